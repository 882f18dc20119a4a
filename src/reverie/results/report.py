"""One run on one page that needs nothing else: LOGDIR/report.html. May import: `config`,
`errors`, `storage` and this room."""

import base64
import json
import re
import shlex
from collections.abc import Iterable
from datetime import datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import numpy as np

from reverie.config import Config, config_to_dict, differences
from reverie.errors import InputError
from reverie.results.charts import Series, bars, line_chart
from reverie.results.runs import Run
from reverie.storage import Document, read_bytes, read_document, write_text

LARGEST = 4_000_000  # bytes of a picture that is put into the page; what is larger is linked
HORIZONS = (0, 1, 2, 4, 8, 16, 32)
KINDS = {".mp4": "video/mp4", ".gif": "image/gif", ".png": "image/png"}


def write_report(folder: Path) -> Path:
    """Write the page of the run in this folder, finished or not, and return where it is.

    Raises:
        InputError: there is no run.
        OSError: the page can't be written; the one before stays.
    """
    page = folder / "report.html"
    write_text(page, _page(Run.read(folder)))
    return page


def _page(run: Run) -> str:
    style = files("reverie.results").joinpath("report.css").read_text(encoding="utf-8")
    sections = {
        "": _summary(run),
        "Learning curve": _learning(run),
        "What the model dreams": _dreams(run.path),
        "Where the time went": _times(run),
        "Settings": _settings(run.config),
        "What to do next": _next(run),
    }
    body = "".join((f"<h2>{title}</h2>" if title else "") + html for title, html in sections.items() if html)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(run.env)} · Reverie</title><style>{style}</style></head>"
        f"<body><main><h1>{escape(run.env)}</h1>{body}</main></body></html>"
    )


def _summary(run: Run) -> str:
    """How far it has got, in a line and a few numbers."""
    steps, wanted = run.steps, run.config.run.steps
    state = "finished" if steps >= wanted else f"{steps / wanted:.0%} of the way"
    changed = datetime.fromtimestamp((run.path / "metrics.jsonl").stat().st_mtime)
    returns, lengths = run.series("episode/return")[1], run.series("episode/length")[1]
    facts = {
        "environment steps": f"{steps:,}",
        "updates": f"{_newest(run, 'updates'):,.0f}",
        "episodes": f"{len(returns):,}",
        "return, last 20": f"{returns[-20:].mean():.4g}" if len(returns) else "–",
        "length, last 20": f"{lengths[-20:].mean():.4g}" if len(lengths) else "–",
        "steps per second": f"{_usual(run, 'rate/env_steps'):.3g}",
        "updates per second": f"{_usual(run, 'rate/updates'):.3g}",
        "records in replay": f"{_newest(run, 'replay/records'):,.0f}",
        "memory": f"{_newest(run, 'memory/host_bytes') / 1e9:.2f} GB",
    }
    shown = "".join(
        f"<div><b>{value}</b><span>{name}</span></div>" for name, value in facts.items() if "nan" not in value
    )
    where = f"{escape(str(run.path.absolute()))} · seed {run.config.seed} · {state} · {changed:%Y-%m-%d %H:%M}"
    return f'<p class="sub">{where}</p><div class="facts">{shown}</div>'


def _newest(run: Run, metric: str) -> float:
    values = run.series(metric)[1]
    return float(values[-1]) if len(values) else float("nan")


def _usual(run: Run, metric: str) -> float:
    values = run.series(metric)[1]
    return float(np.median(values)) if len(values) else float("nan")


def _learning(run: Run) -> str:
    """Every episode, their running mean, and evaluations if there were any."""
    steps, returns = run.series("episode/return")
    if not len(steps):
        return "<p>No episode has ended yet.</p>"
    window = max(10, len(returns) // 20)
    series = [
        Series("episodes", steps, returns, "dot", dots=True),
        Series(f"mean of {window}", steps, _running_mean(returns, window), "mean"),
    ]
    evaluated = run.series("eval/return")
    if len(evaluated[0]):
        series.append(Series("evaluation", *evaluated, "eval"))
    return line_chart(series, "environment steps", "episode return")


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Of each value and those before it, `window` in all."""
    sums = np.cumsum(np.insert(values, 0, 0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _dreams(folder: Path) -> str:
    """The newest open-loop prediction: films, curves, and errors by horizon."""
    written = [path for path in folder.glob("dreams/*.json") if re.fullmatch("[0-9]{12,}", path.stem)]
    newest = max(written, key=lambda path: path.stem, default=None)
    if newest is None:
        return ""
    found = sorted(newest.parent.glob(f"{newest.stem}[-.]*"))
    pictures = [path for path in found if path.suffix in KINDS and path.is_file() and not path.is_symlink()]
    words = (
        f"After {int(newest.stem):,} steps. The model sees the first half of recorded sequences, and the first moment "
        "of an episode that begins later; the rest it dreams from the actions alone."
    )
    shown = "".join(_embedded(path, folder) for path in sorted(pictures, key=lambda path: path.suffix == ".png"))
    return f"<p>{words}</p>{shown}{_errors(newest)}"


def _embedded(path: Path, folder: Path) -> str:
    """A picture or film in the page itself, or a link to one that is too large."""
    if path.stat().st_size > LARGEST:
        link = escape(quote(path.relative_to(folder).as_posix()))
        return f'<p><a href="{link}">{escape(path.name)}</a></p>'
    data = f"data:{KINDS[path.suffix]};base64,{base64.b64encode(read_bytes(path, LARGEST)).decode()}"
    if path.suffix == ".mp4":
        return f'<video controls autoplay loop muted playsinline src="{data}"></video>'
    return f'<img alt="{escape(path.stem)}" src="{data}">'


def _errors(file: Path) -> str:
    """Losses by steps dreamed, as a table."""
    try:
        read = read_document(file)["error"].fields()
        errors = {name: {h: _number(x) for h, x in enumerate(error.elements())} for name, error in read.items()}
    except InputError:
        return ""
    horizons = [h for h in HORIZONS if any(error.get(h, "–") != "–" for error in errors.values())]
    rows = ([name, *(error.get(h, "–") for h in horizons)] for name, error in errors.items())
    return _table(["loss, by steps dreamed", *(str(h) for h in horizons)], rows)


def _number(x: Document) -> str:
    return "–" if x.value is None else f"{x.number():.4g}"


def _times(run: Run) -> str:
    names = sorted({name for row in run.rows for name in row if name.startswith("time/")})
    shares = {name.removeprefix("time/"): float(run.series(name)[1].mean()) for name in names}
    return bars(shares) if shares else ""


def _settings(config: Config) -> str:
    """What was chosen, and all of it to unfold."""
    changed = [[name, str(ours), str(usual)] for name, (ours, usual) in differences(config, Config()).items()]
    every = json.dumps(config_to_dict(config), indent=2)
    chosen = _table(["setting", "here", "by default"], changed) if changed else "<p>All are the defaults.</p>"
    return f"{chosen}<details><summary>All settings</summary><pre>{escape(every)}</pre></details>"


def _next(run: Run) -> str:
    """Commands, to be copied."""
    folder, around = shlex.quote(str(run.path)), shlex.quote(str(run.path.parent))
    more = f" --steps {2 * run.steps}" if run.steps >= run.config.run.steps else ""
    commands = {
        "go on training": f"reverie resume {folder}{more}",
        "watch it act": f"reverie eval {folder} --video film.mp4",
        "compare it with the runs beside it": f"reverie plot {around}",
        "all metrics": f"tensorboard --logdir {folder}",
        "make this page anew": f"reverie report {folder}",
    }
    return _table(["to", "command"], ([why, command] for why, command in commands.items()), code=True)


def _table(head: Iterable[str], rows: Iterable[list[str]], *, code: bool = False) -> str:
    """Escaped; `code`: all but the first column are commands."""
    tag = ("<code>", "</code>") if code else ("", "")
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        f"<tr><td>{escape(first)}</td>" + "".join(f"<td>{tag[0]}{escape(x)}{tag[1]}</td>" for x in rest) + "</tr>"
        for first, *rest in rows
    )
    return f'<div class="wide"><table><tr>{heads}</tr>{body}</table></div>'
