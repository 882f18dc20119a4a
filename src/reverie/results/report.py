"""A self-contained HTML page about one run: LOGDIR/report.html. May import: `config`, `errors`, `storage`."""

import base64
import json
import re
import shlex
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from reverie.config import Config, config_to_dict, differences
from reverie.errors import InputError
from reverie.results.charts import Series, bars, line_chart
from reverie.results.health import marks
from reverie.results.html import facts, page, table
from reverie.results.provenance import duration, recorded
from reverie.results.runs import Run
from reverie.storage import Document, read_bytes, read_document, write_text

LARGEST = 4_000_000  # bytes of a picture that is embedded; larger ones are linked
HORIZONS = (0, 1, 2, 4, 8, 16, 32)
KINDS = {".mp4": "video/mp4", ".gif": "image/gif", ".png": "image/png"}
MEANINGS = {
    "rew": "predicting the reward, in nats",
    "con": "predicting whether the episode continues, in nats",
}
POINTS = 1500  # of a running mean at most


def write_report(folder: Path) -> Path:
    """Write the page about the run in this folder, finished or not, and return its path.

    Raises:
        InputError: the folder holds no run.
        OSError: the page can't be written; the previous one stays.
    """
    file = folder / "report.html"
    write_text(file, _page(Run.read(folder)))
    return file


def _page(run: Run) -> str:
    sections = {
        "": _summary(run),
        "Learning curve": _learning(run),
        "Health": _health(run),
        "What the world model predicts": _dreams(run.path),
        "Where the time went": _times(run),
        "Settings": _settings(run.config),
        "Machine and versions": _provenance(run),
        "What to do next": _next(run),
    }
    return page(run.env, sections)


def _summary(run: Run) -> str:
    """Progress and a few key numbers."""
    steps, wanted = run.steps, run.config.run.steps
    state = "finished" if steps >= wanted else f"{steps / wanted:.0%} done"
    changed = datetime.fromtimestamp((run.path / "metrics.jsonl").stat().st_mtime)
    returns, lengths = run.series("episode/return")[1], run.series("episode/length")[1]
    seconds, memory = duration(run), _newest(run, "memory/host_bytes")
    found = {
        "environment steps": f"{steps:,}",
        "updates": _count(_newest(run, "updates")),
        "episodes": f"{len(returns):,}",
        "return, last 20": f"{returns[-20:].mean():.4g}" if len(returns) else None,
        "length, last 20": f"{lengths[-20:].mean():.4g}" if len(lengths) else None,
        "training time": None if seconds is None else _duration(seconds),
        "steps per second": _digits(_median(run, "rate/env_steps")),
        "updates per second": _digits(_median(run, "rate/updates")),
        "records in the replay buffer": _count(_newest(run, "replay/records")),
        "memory": None if memory is None else f"{memory / 2**30:.4g} GiB",
    }
    where = f"{escape(str(run.path.absolute()))} · seed {run.config.seed} · {state} · {changed:%Y-%m-%d %H:%M}"
    return f'<p class="sub">{where}</p>{facts(found)}'


def _newest(run: Run, metric: str) -> float | None:
    values = run.series(metric)[1]
    return float(values[-1]) if len(values) else None


def _median(run: Run, metric: str) -> float | None:
    values = run.series(metric)[1]
    return float(np.median(values)) if len(values) else None


def _count(x: float | None) -> str | None:
    return None if x is None else f"{x:,.0f}" if abs(x) < 1e15 else f"{x:.4g}"


def _digits(x: float | None) -> str | None:
    return None if x is None else f"{x:.3g}"


def _duration(seconds: float) -> str:
    """Seconds in the two largest units that they fill."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds >= 1e9:
        return f"{seconds / 3600:.3g} h"
    minutes = round(seconds / 60)
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {round(seconds) % 60} s"


def _learning(run: Run) -> str:
    """The returns of all episodes, their running mean, and those of evaluations if there were any."""
    steps, returns = run.series("episode/return")
    if not len(steps):
        return "<p>No episode has ended yet.</p>"
    window = max(10, len(returns) // 20)
    at = np.unique(np.linspace(0, len(returns) - 1, min(POINTS, len(returns))).astype(int))
    series = [
        Series("episodes", steps, returns, "dot", dots=True),
        Series(f"mean of {window} episodes", steps[at], _running_mean(returns, window, at), "mean"),
    ]
    evaluated = run.series("eval/return")
    if len(evaluated[0]):
        series.append(Series("evaluation", *evaluated, "eval"))
    return line_chart(series, "environment steps", "episode return")


def _running_mean(values: np.ndarray, window: int, at: np.ndarray) -> np.ndarray:
    """At each index, the mean of the value there and those before it, `window` in all.

    Summed one by one: with a cumulative sum, one huge value would wipe out the digits of all that follow.
    """
    return np.array([values[max(0, end - window + 1) : end + 1].mean() for end in at])


def _health(run: Run) -> str:
    """What the metrics say, next to what is normal; with what to do about it."""
    found = marks(run)
    if not found:
        return ""
    rows = ([mark.state, mark.about, mark.found, mark.normal] for mark in found)
    advice = "".join(
        f'<p class="warning"><b>{escape(mark.about)}</b>: {escape(mark.todo)}</p>' for mark in found if mark.todo
    )
    note = '<p class="note">Over the last tenth of the updates. docs/healthy.md explains each line.</p>'
    return table(["", "", "this run", "normal"], rows, wrap=True) + advice + note


def _dreams(folder: Path) -> str:
    """The newest open-loop prediction: films, curves, and losses by horizon."""
    written = [path for path in folder.glob("dreams/*.json") if re.fullmatch("[0-9]{12,}", path.stem)]
    newest = max(written, key=lambda path: path.stem, default=None)
    if newest is None:
        return ""
    beside = [path for path in newest.parent.glob(f"{newest.stem}[-.]*") if not path.is_symlink()]
    pictures = [path for path in sorted(beside) if path.suffix in KINDS and path.is_file()]
    words = (
        f"After {int(newest.stem):,} steps. The model sees the first half of each recorded sequence and the first "
        "record of any episode that begins later. It predicts everything else from the actions alone."
    )
    shown = "".join(_embedded(path, folder) for path in sorted(pictures, key=lambda path: path.suffix == ".png"))
    return f"<p>{words}</p>{shown}{_errors(newest)}"


def _embedded(path: Path, folder: Path) -> str:
    """A picture or film embedded in the page, or a link to one that is too large."""
    if path.stat().st_size > LARGEST:
        link = escape(quote(path.relative_to(folder).as_posix()))
        return f'<p><a href="{link}">{escape(path.name)}</a></p>'
    data = f"data:{KINDS[path.suffix]};base64,{base64.b64encode(read_bytes(path, LARGEST)).decode()}"
    if path.suffix == ".mp4":
        return f'<video controls autoplay loop muted playsinline src="{data}"></video>'
    return f'<img alt="{escape(path.stem)}" src="{data}">'


def _errors(file: Path) -> str:
    """A table of losses by steps since the last observation, and what they measure; nothing if the file is damaged."""
    try:
        read = read_document(file)["error"].fields()
        errors = {name: {h: _loss(x) for h, x in enumerate(error.elements())} for name, error in read.items()}
    except (InputError, OSError):
        return ""
    horizons = [h for h in HORIZONS if any(error.get(h, "–") != "–" for error in errors.values())]
    if not horizons:
        return ""
    rows = ([name, *(error.get(h, "–") for h in horizons)] for name, error in errors.items())
    losses = table(["loss after … steps without an observation", *(str(h) for h in horizons)], rows)
    return losses + _legend(errors)


def _legend(losses: Iterable[str]) -> str:
    """What the rows and columns of the table of losses mean."""
    lines = [f"<b>{escape(name)}</b> {MEANINGS.get(name, 'decoding this observation')}" for name in losses]
    note = (
        "Column 0 is the loss where the model sees the observation, the others where it predicts that many steps "
        "ahead. Observations: squared error, summed over pixels (from 0 to 1) or over numbers (in symlog), or the "
        "negative log-likelihood of classes. Lower is better; – means that no sequence has this horizon."
    )
    return f'<p class="note">{"; ".join(lines)}. {note}</p>'


def _loss(x: Document) -> str:
    return "–" if x.value is None else f"{x.number():.4g}"


def _times(run: Run) -> str:
    names = sorted({name for row in run.rows for name in row if name.startswith("time/")})
    means = {name.removeprefix("time/"): run.series(name)[1] for name in names}
    shares = {name: float(np.clip(values, 0, 1).mean()) for name, values in means.items() if len(values)}
    return bars(shares) if shares else ""


def _settings(config: Config) -> str:
    """A table of the settings that differ from the defaults, and a foldout with all of them."""
    changed = [[name, str(ours), str(usual)] for name, (ours, usual) in differences(config, Config()).items()]
    every = json.dumps(config_to_dict(config), indent=2)
    chosen = table(["setting", "this run", "default"], changed) if changed else "<p>All settings are defaults.</p>"
    return f"{chosen}<details><summary>All settings</summary><pre>{escape(every)}</pre></details>"


def _provenance(run: Run) -> str:
    rows = [[name, value] for name, value in recorded(run).items()]
    return table(["", "of the newest checkpoint"], rows) if rows else ""


def _next(run: Run) -> str:
    """Commands to copy."""
    folder, around = shlex.quote(str(run.path)), shlex.quote(str(run.path.parent))
    more = f" --steps {2 * run.steps}" if run.steps >= run.config.run.steps else ""
    commands = {
        "train longer": f"reverie resume {folder}{more}",
        "watch an episode": f"reverie eval {folder} --video film.mp4",
        "compare it with its neighbors": f"reverie plot {around}",
        "see all metrics": f"tensorboard --logdir {folder}",
        "update this page": f"reverie report {folder}",
    }
    return table(["to", "run"], ([why, command] for why, command in commands.items()), code=True)
