"""Every file of a run folder is damaged in every way, and all commands are asked about the run.

Each must answer as if nothing was damaged, fall back and say so, or refuse in a sentence. A resumed run must end with
checkpoints that can be read, and nothing outside of the folder may have changed.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack import tiny
from benchmarks.attack.answers import answer, dashboard
from benchmarks.attack.record import OUTPUT, Record
from reverie.errors import InputError
from reverie.storage import Store


def _flip(file: Path, other: Path, elsewhere: Path) -> None:
    data = bytearray(file.read_bytes())
    if data:
        place = random.Random(file.name).randrange(8 * len(data))
        data[place // 8] ^= 1 << place % 8
    file.write_bytes(data)


def _truncate(file: Path, other: Path, elsewhere: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


def _empty(file: Path, other: Path, elsewhere: Path) -> None:
    file.write_bytes(b"")


def _remove(file: Path, other: Path, elsewhere: Path) -> None:
    file.unlink()


def _folder(file: Path, other: Path, elsewhere: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inside").write_text("precious")


def _link(file: Path, other: Path, elsewhere: Path) -> None:
    shutil.copy(file, elsewhere / file.name)
    file.unlink()
    file.symlink_to(elsewhere / file.name)


def _garbage(file: Path, other: Path, elsewhere: Path) -> None:
    file.write_bytes(random.Random(file.name).randbytes(max(100, file.stat().st_size)))


def _other(file: Path, other: Path, elsewhere: Path) -> None:
    shutil.copy(other, file)


WAYS: dict[str, Callable[[Path, Path, Path], None]] = {
    "a bit flips": _flip,
    "truncated": _truncate,
    "empty": _empty,
    "missing": _remove,
    "a folder": _folder,
    "a link": _link,
    "garbage": _garbage,
    "another file": _other,
}
FALLS_BACK = ("is damaged", "damaged", "is missing", "is a link", "can't be read", "bytes long", "not a regular file")


@dataclass(frozen=True)
class Corruptions:
    """Damage every file of a run folder in eight ways, with one and with two checkpoints."""

    count: int = 10**6
    """Stop after this many."""
    work: Path = Path("/tmp/reverie-attack")
    """Folder for the runs."""
    output: Path = OUTPUT

    def __call__(self) -> None:
        record = Record(self.output, "corruptions")
        attacks = []
        for keep in (1, 2):
            template = tiny.template(self.work, keep)
            files = [path.relative_to(template) for path in sorted(template.rglob("*")) if path.is_file()]
            others = [template / file for file in (*files[1:], files[0])]
            attacks += [(keep, template, *pair, way) for pair in zip(files, others, strict=True) for way in WAYS]
            attack(template, self.work, files[0], lambda *_: None, others[0])  # memory that answers need anyway
        random.Random(0).shuffle(attacks)  # so that the first ones are of all kinds
        for keep, template, file, other, way in attacks[: self.count]:
            name = f"{keep} | {file} | {way}"
            if name not in record:
                problems, said = attack(template, self.work, file, WAYS[way], other)
                record.add(name, f"{keep} checkpoint{'s' * (keep > 1)}, {way}", problems, **_told(problems, said))


def _told(problems: list[str], said: dict[str, str]) -> dict[str, object]:
    return {"said": {name: text[-1500:] for name, text in said.items()}} if problems else {}


def attack(
    template: Path, work: Path, file: Path, damage: Callable[[Path, Path, Path], None], other: Path
) -> tuple[list[str], dict[str, str]]:
    """Damage a file in a copy of a run and ask everything about it; returns the problems, and what was said."""
    folder, elsewhere = work / "damaged", work / "elsewhere"
    for path in (folder, elsewhere):
        shutil.rmtree(path, ignore_errors=True)
    elsewhere.mkdir()
    run = folder / "run"
    shutil.copytree(template, run)
    damage(run / file, other, elsewhere)
    before = dict(_contents(elsewhere))
    problems, said = list[str](), dict[str, str]()
    for name, arguments in {
        "eval": ["eval", str(run), "--episodes", "1", "--envs", "2"],
        "best": ["eval", str(run), "--episodes", "1", "--envs", "2", "--checkpoint", "best"],
        "plot": ["plot", str(run), "--out", str(work / "curves.png")],
        "report": ["report", str(run)],
    }.items():
        got = answer(arguments)
        problems += got.problems
        said[name] = got.said
    shown = dashboard(folder, "run")
    problems, said["dashboard"] = problems + shown.problems, shown.said
    needed = str(file) in _newest_files(template)
    if needed:  # what the newest checkpoint consists of
        for name in ("dashboard", "eval"):
            if ("networks" in file.name or file.suffix == ".json") and not _falls_back(said[name]):
                problems.append(f"{name} did not say that the newest checkpoint is damaged")
    resumed = answer(["resume", str(run), "--steps", "68"])
    problems, said["resume"] = problems + resumed.problems, resumed.said
    if needed and not _falls_back(resumed.said):
        problems.append("resume did not say that the newest checkpoint is damaged")
    if resumed.status == 0:
        problems += _unreadable(run)
    if dict(_contents(elsewhere)) != before:
        problems.append("a file outside of the run folder was changed")
    return problems, said


def _newest_files(run: Path) -> set[str]:
    """The files of the newest checkpoint that no other one has, relative to the run's folder."""
    store = Store(run / "checkpoints")
    manifest = f"checkpoints/{store.counts[0]:012d}.json"
    return {manifest, *(f"checkpoints/arrays/{file.name}" for file in store.load(store.counts[0]).files.values())}


def _falls_back(said: str) -> bool:
    return any(word in said for word in FALLS_BACK)


def _unreadable(run: Path) -> list[str]:
    """What is wrong with a run that has been resumed to its end."""
    store = Store(run / "checkpoints")
    try:
        checkpoint = store.load(store.counts[0])
        for part in checkpoint.files:
            checkpoint.read(part)
    except (InputError, IndexError) as error:
        return [f"the resumed run's newest checkpoint can't be read: {error}"]
    steps = checkpoint.meta["progress"]["env_steps"]
    return [] if steps >= 68 else [f"the resumed run's newest checkpoint has {steps} steps"]


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        yield str(path), path.read_bytes() if path.is_file() else b""
