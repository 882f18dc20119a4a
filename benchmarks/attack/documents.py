"""Hostile documents: JSON that is nested, endless, of wrong types or huge, in every file that is read as JSON.

In some attacks a whole file is replaced. In the others one value of a real document, chosen at random, becomes hostile;
checksums of manifests are computed again, as an attacker would. Commands and the dashboard may refuse in a sentence, or
answer as if nothing was wrong. They may neither fail with a traceback, nor hang, nor need much memory.
"""

import copy
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.attack import tiny
from benchmarks.attack.answers import answer, dashboard
from benchmarks.attack.record import OUTPUT, Record

DEEP = 10_000
NESTED = "[" * DEEP + "]" * DEEP
VALUES: dict[str, str] = {  # as JSON: some of them are no Python values
    "nested": NESTED,
    "nested objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "400 digits": "9" * 400,
    "5,000 digits": "9" * 5000,
    "-400 digits": "-" + "9" * 400,
    "Infinity": "Infinity",
    "1e999": "1e999",
    "NaN": "NaN",
    "surrogate": '"\\ud800"',
    "superscript": '"1²"',
    "null": "null",
    "true": "true",
    "-1": "-1",
    "1.5": "1.5",
    "2^63": str(2**63),
    "10^12": str(10**12),
    "shape of 10^12": f"[{10**12}]",
    "shape of 10^6 × 10^6": f"[{10**6}, {10**6}]",
    "text": '"text"',
    "empty text": '""',
    "control characters": '"\\u001b[2J\\u0000\\u202e"',
    "path": '"../../../../etc/passwd"',
    "list": "[]",
    "object": "{}",
    "long list": "[" + "0," * 100_000 + "0]",
}
MARK = "\u0001hostile\u0001"


def _replaced(content: bytes) -> Callable[[Path], None]:
    return lambda file: (file.unlink(), file.write_bytes(content))  # type: ignore[func-returns-value,return-value]


def _sparse(file: Path) -> None:
    os.truncate(file, 2**40)


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _device(file: Path) -> None:
    """/dev/zero: as a device file where that is allowed, else as a link to it."""
    file.unlink()
    try:
        os.mknod(file, 0o20666, os.makedev(1, 5))
    except OSError:
        file.symlink_to("/dev/zero")


def _superscript(file: Path) -> None:
    shutil.copy(file, file.with_name(file.stem[:-1] + "²" + file.suffix))
    shutil.copy(file, file.with_name("0" * 11 + "²" + file.suffix))


WHOLE: dict[str, Callable[[Path], None]] = {
    "1 TB": _sparse,
    "pipe": _pipe,
    "device": _device,
    "name with ²": _superscript,
    **{f"all {name}": _replaced(value.encode()) for name, value in VALUES.items()},
    "raw surrogate": _replaced(b'{"a": "\xed\xa0\x80"}'),
    "no UTF-8": _replaced(b"\xff\xfe{\x00}\x00"),
    "NUL": _replaced(b"\0" * 1000),
    "unfinished": _replaced(b'{"format": 2, "spaces": {'),
    "duplicates": _replaced(b'{"format": 2, "format": 2, "spaces": {}, "spaces": [], "config": 1, "env": "x"}'),
}


@dataclass(frozen=True)
class Documents:
    """Give hostile documents to everything that reads JSON."""

    count: int = 1500
    """Attacks of either sort, at most: whole files, of which there are some hundreds, and single values."""
    work: Path = Path("/tmp/reverie-attack")
    """Folder for the runs."""
    output: Path = OUTPUT

    def __call__(self) -> None:
        record, template = Record(self.output, "documents"), tiny.template(self.work, 2)
        files = list(_documents(template))
        _attack(template, self.work, files[0], lambda _: None)  # what answers need anyway is in memory afterwards
        whole = [(file, way) for file in files for way in WHOLE]
        random.Random(0).shuffle(whole)  # so that the first ones are of all kinds
        for file, way in whole[: self.count]:
            name = f"{file} | {way}"
            if name not in record:
                problems, said = _attack(template, self.work, file, WHOLE[way])
                record.add(name, "whole file", problems, **said)
        for number in range(self.count):
            name = f"{number:05d}"
            if name not in record:
                chance = random.Random(number)
                file, (kind, value) = chance.choice(files), chance.choice(list(VALUES.items()))
                place = ""

                def damage(path: Path, chance: random.Random = chance, value: str = value) -> None:
                    nonlocal place
                    place = _make_hostile(path, chance, value)

                problems, said = _attack(template, self.work, file, damage)
                record.add(name, "one value", problems, file=str(file), value=kind, place=place, **said)


def _documents(run: Path) -> Iterator[Path]:
    """The files of a run that are or begin with JSON."""
    newest = max((run / "checkpoints").glob("[0-9]*.json"))
    arrays = {path.name.partition("-")[0]: path for path in sorted((run / "checkpoints" / "arrays").iterdir())}
    names = ["agent.json", "run.json", "metrics.jsonl", "history.jsonl", "checkpoints/best.json"]
    for path in [*(run / name for name in names), newest, *arrays.values(), *sorted(run.glob("dreams/*.json"))]:
        yield path.relative_to(run)


def _attack(
    template: Path, work: Path, file: Path, damage: Callable[[Path], None]
) -> tuple[list[str], dict[str, object]]:
    folder = work / "hostile"
    shutil.rmtree(folder, ignore_errors=True)
    run = folder / "run"
    shutil.copytree(template, run)
    damage(run / file)
    readers = _readers(file)
    commands = {
        "eval": ["eval", str(run), "--episodes", "1", "--envs", "2"],
        "best": ["eval", str(run), "--episodes", "1", "--envs", "2", "--checkpoint", "best"],
        "plot": ["plot", str(run), "--out", str(work / "curves.png")],
        "report": ["report", str(run)],
        "resume": ["resume", str(run)],  # has all its steps: it is opened, restored and left
    }
    answers = [answer(line) for name, line in commands.items() if name in readers]
    if "dashboard" in readers or "play" in readers:
        answers.append(dashboard(folder, "run", play="play" in readers))
    problems = [problem for one in answers for problem in one.problems]
    return problems, {"said": [one.said[-1500:] for one in answers]} if problems else {}


def _readers(file: Path) -> set[str]:
    """What reads a file."""
    if file.parts[0] == "checkpoints":
        if file.name == "best.json":
            return {"best", "resume"}
        return {"resume", "play", *(("eval",) if file.suffix == ".json" or "networks" in file.name else ())}
    everything = {"eval", "best", "plot", "report", "resume", "dashboard", "play"}
    return everything if file.name == "agent.json" else {"plot", "report", "dashboard", "resume"}


def _make_hostile(path: Path, chance: random.Random, value: str) -> str:
    """Replace one value in a document by a hostile one; returns its place."""
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        length = int.from_bytes(data[:8], "little")
        header, place = _replace(data[8 : 8 + length], chance, value)
        header += b" " * (-len(header) % 8)
        path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    elif path.suffix == ".jsonl":
        lines = data.splitlines()
        at = chance.randrange(len(lines))
        lines[at], place = _replace(lines[at], chance, value)
        path.write_bytes(b"\n".join(lines) + b"\n")
        place = f"line {at}: {place}"
    else:
        text, place = _replace(data, chance, value, signed=path.parent.name == "checkpoints")
        path.write_bytes(text)
    return place


def _replace(text: bytes, chance: random.Random, value: str, *, signed: bool = False) -> tuple[bytes, str]:
    document = json.loads(text)
    places = [place for place in _places(document) if not signed or place[:1] != ("digest",)]
    place = chance.choice(places)
    changed = copy.deepcopy(document)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = MARK
    if signed:
        changed.pop("digest")
        changed = _signed(changed, value)
    return json.dumps(changed).replace(json.dumps(MARK), value).encode(), ".".join(map(str, place))


def _signed(fields: dict[str, Any], value: str) -> dict[str, Any]:
    """With the checksum that the reader will compute, if it can read the document at all."""
    try:
        read = json.loads(json.dumps(fields).replace(json.dumps(MARK), value))
        text = json.dumps(read, sort_keys=True).encode()
    except (ValueError, RecursionError):
        text = b""
    return fields | {"digest": hashlib.blake2b(text, digest_size=16).hexdigest()}


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*place, name)
        yield from _places(inner, (*place, name))
