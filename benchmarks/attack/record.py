"""The file of attacks: a line of JSON each, which later runs of the same command continue."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUTPUT = Path("benchmarks/results/attacks.jsonl")


class Record:
    """Appends attacks to a file, and knows which ones are in it already.

    Args:
        path: of the file; created if it is missing.
        attack: which command attacks.
    """

    def __init__(self, path: Path, attack: str) -> None:
        self._path, self._attack = path, attack
        path.parent.mkdir(parents=True, exist_ok=True)
        self._done = {row["name"] for row in rows(path) if row["attack"] == attack}

    def __contains__(self, name: str) -> bool:
        return name in self._done

    def add(self, name: str, kind: str, problems: list[str], **facts: Any) -> None:
        """Append an attack: its unique name, the kind it is counted under, and what went wrong."""
        row = {"attack": self._attack, "kind": kind, "name": name, "problems": problems, **facts}
        row["date"] = time.strftime("%Y-%m-%d %H:%M:%S")
        with self._path.open("a") as file:
            file.write(json.dumps(row, default=str) + "\n")
        self._done.add(name)
        if problems:
            print(f"\n{self._attack} {name}: {'; '.join(problems)}", flush=True)
        print(f"\r{self._attack}: {len(self._done)} attacks", end="", flush=True)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The attacks in a file."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield json.loads(line)


def summary(path: Path) -> str:
    """A table in Markdown: attacks and problems by command and kind."""
    total, failed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in rows(path):
        place = row["attack"], row["kind"]
        total[place] += 1
        failed[place] += bool(row["problems"])
    lines = ["| attack | kind | attacks | with a problem |", "| --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(place)} | {total[place]} | {failed[place]} |" for place in sorted(total)]
    return "\n".join(lines)
