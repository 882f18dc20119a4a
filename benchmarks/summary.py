"""Summarize a folder of `accelerator.sh` as Markdown: its stages, updates, loop rates and learning curve.

    python -m benchmarks.summary benchmarks/results/accelerator

Needs nothing but Python, so that it can be repeated after each stage. Incomplete folders are fine.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

Row = dict[str, Any]

UPDATE = {
    "size": "size",
    "input": "input",
    "dtype": "dtype",
    "textbook": "textbook",
    "median": "median ms",
    "queued": "queued ms",
    "dispatch": "dispatch ms",
    "share of peak": "share of peak",
    "launches": "launches",
    "counted": "launches counted",
    "device MiB": "device MiB",
    "first update, s": "first s",
}
LOOP = {
    "env": "env",
    "envs": "envs",
    "train ratio": "train ratio",
    "env steps/s": "env steps/s",
    "updates/s": "updates/s",
    "act ms": "act ms",
    "learn": "learn share",
    "other": "other share",
}
RATES = {"env steps/s": "rate/env_steps", "updates/s": "rate/updates"}
POINTS = 12  # of the learning curve


def summary(folder: Path) -> str:
    """Return the summary of a folder's results."""
    stages = [line.split("\t") for line in _lines(folder / "stages.tsv")]
    parts = [
        ("Machine", [" · ".join(f"{name}: {value}" for name, value in _machine(folder).items())]),
        ("Stages", _table(dict(zip(("stage", "seconds", "result"), stage, strict=True)) for stage in stages)),
        ("One update", _table(_chosen(_rows(folder, "update"), UPDATE))),
        ("The training loop", _table(_chosen(_rows(folder, "loop"), LOOP))),
        ("Learning CartPole-v1", _table(curve(folder / "learning.jsonl"))),
        ("One agent, and several at once", _table(rates(folder, {"one": "learning", "each of four": "seeds"}))),
    ]
    return "\n\n".join(f"## {title}\n\n" + "\n".join(lines) for title, lines in parts if any(lines)) + "\n"


def curve(file: Path) -> list[Row]:
    """Return the mean return of the episodes in equal shares of a run's steps."""
    rows = [json.loads(line) for line in _lines(file)]
    episodes = [(row["step"], row["episode/return"]) for row in rows if "episode/return" in row]
    if not episodes:
        return []
    width = max(1, -(-episodes[-1][0] // POINTS))
    shares: dict[int, list[float]] = {}
    for step, score in episodes:
        shares.setdefault((step - 1) // width, []).append(score)
    return [
        {"steps": f"to {width * (share + 1):,}", "episodes": len(scores), "mean return": sum(scores) / len(scores)}
        for share, scores in sorted(shares.items())
    ]


def rates(folder: Path, runs: dict[str, str]) -> list[Row]:
    """Return the median rates of training runs while they learn."""
    found = []
    for name, stage in runs.items():
        rows = [json.loads(line) for line in _lines(folder / f"{stage}.jsonl")]
        if rows := [row for row in rows if row.get("rate/updates")]:
            middle = {title: median(row[key] for row in rows) for title, key in RATES.items()}
            found.append({"agents": name, **middle})
    return found


def _rows(folder: Path, benchmark: str) -> list[Row]:
    """The rows of all files that a benchmark has written, oldest first."""
    files = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{benchmark}-*.json"))]
    return [row for file in files for row in file["rows"]]


def _machine(folder: Path) -> Row:
    newest = max(folder.glob("*-*.json"), default=None)
    return json.loads(newest.read_text())["machine"] if newest else {}


def _chosen(rows: Iterable[Row], columns: dict[str, str]) -> list[Row]:
    return [{title: row.get(name) for title, name in columns.items()} for row in rows]


def _table(rows: Iterable[Row]) -> list[str]:
    """Rows with equal columns as a Markdown table."""
    rows = list(rows)
    if not rows:
        return []
    lines: list[Sequence[str]] = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[_cell(value) for value in row.values()] for row in rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return "" if value is None or value is False else "yes" if value is True else str(value)


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


if __name__ == "__main__":
    print(summary(Path(sys.argv[1])), end="")
