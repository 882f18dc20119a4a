"""The summary of a campaign: a table, CSV files, a picture and a page.

May import: this room, `results`, `storage`, `text`.

OUT/summary.csv   the scores of each task, and of all together
OUT/curves.csv    every curve
OUT/curves.png    the same as a picture; needs Matplotlib
OUT/index.html    everything on one page
"""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from pathlib import Path

from reverie.errors import InputError
from reverie.evidence.page import page_of
from reverie.evidence.scores import PARTS, Comparison, Score, Summary, summarize
from reverie.results.panels import COLORS, Picture, Reference, draw_references, finish
from reverie.storage import replacing_path, write_text
from reverie.text import printable

NUMBERS = (
    *("task", "part", "frames", "seeds", "ours", "ours_low", "ours_high", "compared_with", "others", "others_std"),
    *("ratio", "ratio_low", "ratio_high", "probability_better"),
)


def write_summary(comparisons: Sequence[Comparison], out: Path, tell: Callable[[str], None]) -> None:
    """Write all files of the summary; a picture that can't be drawn is left out, with a sentence.

    Raises:
        OSError: a file can't be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "summary.csv", _csv(NUMBERS, numbers(comparisons)))
    head = ("task", "frames", "seeds", "ours", "low", "high", "compared_with", "others", "others_std")
    write_text(out / "curves.csv", _csv(head, _curves(comparisons)))
    write_text(out / "index.html", page_of(comparisons, out))
    try:
        with replacing_path(out / "curves.png") as file:
            draw(comparisons, file)
    except ImportError:
        tell("There is no picture without Matplotlib; install it with: pip install 'reverie[plot]'")
    except InputError as error:
        tell(str(error))


def numbers(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """The rows of `summary.csv`: two for each task, and two for all together."""
    rows = [_row(one, score) for one in comparisons for score in one.parts]
    return rows + [_row_of_all(summarize(comparisons, part), comparisons) for part in PARTS]


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """A grid of curves: the mean of our seeds with its interval, over others' mean ± standard deviation."""
    picture = Picture(len(comparisons), columns=math.ceil(math.sqrt(len(comparisons))))
    for panel, one in zip(picture.panels, comparisons, strict=True):
        draw_references(panel, [Reference("", one.others.name, one.frames, one.others.mean, one.others.std)])
        low, high = one.interval
        seeds = len(one.scores)
        panel.fill_between(one.frames, low, high, color=COLORS[0], alpha=0.2, lw=0)
        panel.plot(one.frames, one.scores.T, color=COLORS[0], lw=0.6, alpha=0.35)
        words = f"Reverie, mean of {seeds} seeds, 95% interval" if seeds > 1 else "Reverie, one seed"
        panel.plot(one.frames, one.mean, color=COLORS[0], lw=1.8, label=words)
        finish(panel, one.task.name, "environment frames", "return")
    picture.save(path)


def _row(one: Comparison, score: Score) -> list[str]:
    names = [one.task.name, score.part, f"{one.frames[-1]:.0f}", str(len(score.ours))]
    ours = [_number(x) for x in (score.ours.mean(), score.low, score.high)]
    others = [one.others.name, _number(score.others), _number(score.spread)]
    return [*names, *ours, *others, *(_number(x) for x in (score.ratio, *score.ratio_interval, score.better.mean()))]


def _row_of_all(all_of_it: Summary, comparisons: Sequence[Comparison]) -> list[str]:
    name = ", ".join(dict.fromkeys(one.others.name for one in comparisons))
    row = ["all", all_of_it.part, "", str(all_of_it.seeds), "", "", "", name, "", ""]
    return [*row, *(_number(x) for x in (all_of_it.ratio, *all_of_it.ratio_interval, all_of_it.better))]


def _curves(comparisons: Sequence[Comparison]) -> Iterable[list[str]]:
    for one in comparisons:
        columns = (one.frames, one.mean, *one.interval, one.others.mean, one.others.std)
        for frames, mean, low, high, others, std in zip(*columns, strict=True):
            ours = [str(len(one.scores)), _number(mean), _number(low), _number(high)]
            yield [one.task.name, f"{frames:.0f}", *ours, one.others.name, _number(others), _number(std)]


def _csv(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([printable(cell) for cell in row] for row in rows)
    return text.getvalue()


def _number(x: float) -> str:
    return "" if math.isnan(x) else f"{x:.6g}"
