"""Full disks: everything that writes does so on a small file system, which fills up at every possible moment.

"Done", "saved" and exit status 0 may only be said if what they speak of is on the disk, complete. Needs the right to
mount a tmpfs.
"""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack import forked, tiny
from benchmarks.attack.record import OUTPUT, Record
from reverie.errors import InputError
from reverie.storage import Store
from reverie.training.run_file import read_run_file

STEPS = 60
PAGE = 4096


@dataclass(frozen=True)
class Disks:
    """Let disks fill up while runs and commands write."""

    count: int = 120
    """Sizes of the disk that are tried for runs; a fourth as many for every other writer."""
    work: Path = Path("/tmp/reverie-attack")
    """Folder for the runs."""
    output: Path = OUTPUT

    def __call__(self) -> None:
        record, template = Record(self.output, "disks"), tiny.template(self.work, 2)
        for kind, attack in {"run": run, "run with replay on disk": on_disk, "resumed run": resumed}.items():
            self._try(record, kind, self.count, attack, template)
        others = {"plot": plot, "report": report, "compile cache": cache, "exported agent": export, "video": video}
        for kind, attack in others.items():
            self._try(record, kind, self.count // 4, attack, template)

    def _try(self, record: Record, kind: str, count: int, attack: object, template: Path) -> None:
        for number in range(count):
            name = f"{kind} {number:04d}"
            if name not in record:
                free = int(LARGEST[kind] * random.Random(name).uniform(0, 1.1) ** 2) // PAGE * PAGE
                with disk(self.work / "disk", free) as place:
                    problems, facts = attack(place, template, self.work / "said.txt", free)  # type: ignore[operator]
                record.add(name, kind, problems, free=free, **facts)


# Bytes that each writer needs at most.
LARGEST = {"run": 1_500_000, "run with replay on disk": 3_000_000, "resumed run": 1_500_000, "plot": 200_000}
LARGEST |= {"report": 200_000, "compile cache": 3_000_000, "exported agent": 400_000, "video": 200_000}

Result = tuple[list[str], dict[str, object]]


@contextmanager
def disk(place: Path, free: int) -> Iterator[Path]:
    """A file system with this many free bytes at a folder."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, free: int) -> None:
    """Leave this many bytes of the disk."""
    left = os.statvfs(place)
    taken = left.f_bavail * left.f_frsize - free
    with (place / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, taken)


def run(place: Path, template: Path, output: Path, free: int, **settings: object) -> Result:
    """A run from its start."""
    fill(place, free)
    common: dict[str, object] = {"run__checkpoint_every": 0.1, "run__log_every": 0.1, "run__dream_every": 0.5}
    arguments = tiny.train(
        place / "run", run__steps=STEPS, run__eval_every=20, run__eval_episodes=1, **common, **settings
    )
    arguments.remove("--run.no-tensorboard")
    return _judged(place / "run", arguments, output, 0)


def on_disk(place: Path, template: Path, output: Path, free: int) -> Result:
    """A run whose replay buffer is on the disk, too."""
    return run(place, template, output, free, replay__home="disk", replay__capacity=2000)


def resumed(place: Path, template: Path, output: Path, free: int) -> Result:
    """A run that is resumed on a disk which is almost full."""
    shutil.copytree(template, place / "run")
    fill(place, free)
    before = Store(place / "run" / "checkpoints").counts[0]
    return _judged(place / "run", ["resume", str(place / "run"), "--steps", "100"], output, before, steps=100)


def _judged(folder: Path, arguments: list[str], output: Path, before: int, steps: int = STEPS) -> Result:
    status, said = forked.run(arguments, output, 240)
    said, problems = " ".join(said.split()), list[str]()
    store, written = Store(folder / "checkpoints"), read_run_file(folder)
    newest, readable = 0, True
    for count in store.counts:
        try:
            checkpoint = store.load(count)
            for part in checkpoint.files:
                checkpoint.read(part)
            newest = max(newest, checkpoint.meta["progress"]["env_steps"])
        except InputError as error:
            problems.append(str(error))
    saved = readable and newest >= steps
    if status == 0 and not saved:
        problems.append(f"exit status 0, but the newest checkpoint has {newest} steps")
    if "the run is saved" in said and not saved:
        problems.append("it claims to be saved")
    if written.get("saved") and not saved:
        problems.append("run.json claims that it is saved")
    if status not in (0, 1):
        problems.append(f"exit status {status}")
    if status and "Error: " not in said:
        problems.append("no sentence")
    if "Traceback" in said:
        problems.append("a traceback")
    if store.counts[:1] < [before] and before:
        problems.append("the checkpoint from before is gone")
    return problems, {"status": status, "saved": saved} | ({"said": said[-3000:]} if problems else {})


def plot(place: Path, template: Path, output: Path, free: int) -> Result:
    """Pictures of learning curves, and their numbers."""
    fill(place, free)
    status, said = forked.run(["plot", str(template), "--out", str(place / "curves.png")], output)
    picture, numbers = place / "curves.png", place / "curves.csv"
    whole = picture.exists() and picture.read_bytes().endswith(b"IEND\xaeB`\x82") and numbers.exists()
    return _command(status, said, whole, not picture.exists() or picture.read_bytes().endswith(b"IEND\xaeB`\x82"))


def report(place: Path, template: Path, output: Path, free: int) -> Result:
    """A run's page."""
    shutil.copytree(template, place / "run")
    page = place / "run" / "report.html"
    page.unlink(missing_ok=True)
    fill(place, free)
    status, said = forked.run(["report", str(place / "run")], output)
    whole = page.exists() and page.read_text().rstrip().endswith("</html>")
    return _command(status, said, whole, whole or not page.exists())


def video(place: Path, template: Path, output: Path, free: int) -> Result:
    """A film of an evaluation."""
    fill(place, free)
    film = place / "film.gif"
    arguments = ["eval", str(template), "--episodes", "1", "--envs", "1", "--video", str(film)]
    status, said = forked.run(arguments, output)
    whole = film.exists() and film.read_bytes().endswith(b";")
    return _command(status, said, whole, whole or not film.exists())


def export(place: Path, template: Path, output: Path, free: int) -> Result:
    """An agent that is saved by itself."""
    fill(place, free)

    def save() -> None:
        from reverie import Agent

        Agent.load(template).save(place / "agent")

    status, said = forked.call(save, output)
    try:
        from reverie.storage import read_arrays, read_document

        read_document(place / "agent" / "agent.json")
        whole = bool(read_arrays(place / "agent" / "networks.safetensors"))
    except InputError:
        whole = False
    problems = ["saved without an error, but incomplete"] if status == 0 and not whole else []
    if status and "No space left" not in said:
        problems.append("the error does not say why")
    return problems, {"status": status, "saved": whole} | ({"said": said[-3000:]} if problems else {})


def cache(place: Path, template: Path, output: Path, free: int) -> Result:
    """Compiled programs; a run does not need them."""
    fill(place, free)
    folder = place.parent / "cached"
    shutil.rmtree(folder, ignore_errors=True)
    os.environ["XDG_CACHE_HOME"] = str(place)
    try:
        return _judged(folder, tiny.train(folder, run__steps=STEPS), output, 0)
    finally:
        del os.environ["XDG_CACHE_HOME"]


def _command(status: int, said: str, whole: bool, intact: bool) -> Result:
    problems = []
    if status == 0 and not whole:
        problems.append("exit status 0, but what it should write is missing or incomplete")
    if not intact:
        problems.append("an incomplete file is left under the final name")
    if status not in (0, 1) or (status and "Error: " not in said):
        problems.append(f"exit status {status}")
    if "Traceback" in said:
        problems.append("a traceback")
    return problems, {"status": status, "saved": whole} | ({"said": said[-3000:]} if problems else {})
