"""The page about a campaign. May import: `results`, and of this room `outcome`, `scores` and `words`."""

import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path

from reverie.evidence.outcome import Outcome
from reverie.evidence.scores import PARTS, Comparison, summarize
from reverie.evidence.words import HEAD, all_rows, interval, score, task_rows
from reverie.results.charts import Series, line_chart
from reverie.results.html import facts, page, table

NOTE = (
    "Returns of training episodes are averaged within the bins of the published curve, then over seeds. End: the last "
    "tenth of the frames that both have; whole: all of them. Ratio: ours ÷ theirs, both counted from the score of a "
    "random policy; over all tasks, the interquartile mean over seeds and tasks. P(better): the probability that one "
    "of our seeds scores higher than one of theirs. Intervals: 95% bootstrap over seeds."
)


def page_of(comparisons: Sequence[Comparison], out: Path) -> str:
    """The whole page."""
    end = summarize(comparisons, "end")
    outcomes = [outcome for one in comparisons for outcome in one.outcomes]
    others = ", ".join(dict.fromkeys(one.others.name for one in comparisons))
    seconds = sum(one.seconds or 0.0 for one in outcomes)
    numbers = {
        "tasks": str(len(comparisons)),
        "runs": str(len(outcomes)),
        f"ours ÷ {others} at the end": score(end.ratio),
        "95% interval": interval(*end.ratio_interval),
        "probability of improvement": score(end.better),
        "hours of training": f"{seconds / 3600:,.1f}",
    }
    rows = task_rows(comparisons) + [row for part in PARTS for row in all_rows(summarize(comparisons, part))]
    sections = {
        "": f'<p class="sub">{escape(str(out.absolute()))} · compared with {escape(others)}</p>{facts(numbers)}',
        "Scores at equal frames": f'{table(HEAD, rows)}<p class="note">{NOTE}</p>',
        **{one.task.name: _chart(one) for one in comparisons},
        "Machines and versions": _provenance(outcomes),
        "What to do next": _next(comparisons, out),
    }
    return page("Benchmark", {escape(name): html for name, html in sections.items()})


def _chart(one: Comparison) -> str:
    low, high = one.interval
    mean, std, seeds = one.others.mean, one.others.std, len(one.scores)
    series = [
        Series(f"{one.others.name}, mean ± std", one.frames, mean, "other", band=(mean - std, mean + std)),
        Series(
            f"Reverie, mean of {seeds}, 95% interval" if seeds > 1 else "Reverie, one seed",
            one.frames,
            one.mean,
            "mean",
            band=(low, high),
        ),
    ]
    return line_chart(series, "environment frames", "episode return")


def _provenance(outcomes: Sequence[Outcome]) -> str:
    """The machine, versions and commits of each run; equal ones together."""
    runs: dict[tuple[str, ...], list[str]] = {}
    for one in outcomes:
        machine = ", ".join(map(str, one.machine.get("devices", ()))) or "unknown"
        cpus = one.machine.get("cpus")
        versions = ", ".join(f"{name} {version}" for name, version in one.versions.items() if version)
        where = f"{machine} ({cpus} CPUs)" if cpus else machine
        runs.setdefault((where, versions, ", ".join(one.commits)), []).append(f"{one.task} {one.seed}")
    rows = [[", ".join(names), *what] for what, names in runs.items()]
    return table(["task and seed", "device", "versions", "commits"], rows, wrap=True)


def _next(comparisons: Sequence[Comparison], out: Path) -> str:
    first = comparisons[0]
    folder = shlex.quote(str(out))
    names = " ".join(shlex.quote(one.task.name) for one in comparisons)
    commands = {
        "add seeds": f"reverie benchmark {names} --seeds {2 * len(first.outcomes)} --out {folder}",
        "fail if a score is too low": f"reverie benchmark --check {folder}",
        "compare a changed version": f"reverie benchmark {names} --against {folder} --out NEW",
    }
    return table(["to", "run"], ([why, command] for why, command in commands.items()), code=True)
