"""Charts as inline SVG, colored by the page's style sheet. May import: nothing of Reverie."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 280, 64, 36, 12, 24
POINTS = 1500  # dots per chart at most, so that the page of a long run stays small
SMALLEST = 1e-290  # below it, differences of values lose their digits


class Series(NamedTuple):
    """Values over steps, (N,) each; drawn in the style class `kind`, as a line or as dots, maybe with a band."""

    name: str
    steps: np.ndarray
    values: np.ndarray
    kind: str
    dots: bool = False
    band: tuple[np.ndarray, np.ndarray] | None = None  # its lower and upper edge, (N,) each; NaN where there is none


def line_chart(series: Sequence[Series], x: str, y: str) -> str:
    """All series in one chart; `x` and `y` name the axes, whose ticks are round numbers.

    Values must be at most 1e300 in size; those that are not finite are not drawn.
    """
    end = max(1.0, *(float(s.steps.max()) for s in series))
    across, up = _ticks([np.array([0, end])]), _ticks([edge for s in series for edge in (s.values, *(s.band or ()))])

    def to_x(steps: np.ndarray) -> np.ndarray:
        return LEFT + steps / end * (WIDTH - LEFT - RIGHT)

    def to_y(values: np.ndarray) -> np.ndarray:
        return HEIGHT - BOTTOM - (values - up[0]) / (up[-1] - up[0]) * (HEIGHT - BOTTOM - TOP)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y)} over {escape(x)}">']
    for place, label in zip(to_y(up), _labels(up), strict=True):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{place + 4:.1f}" text-anchor="end">{label}</text>')
    across = across[across <= end]
    for place, label in zip(to_x(across), _labels(across), strict=True):
        parts.append(f'<text x="{place:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{label}</text>')
    for one in series:
        if one.band is not None:
            parts.append(_band(one.kind, to_x(one.steps), to_y(one.band[0]), to_y(one.band[1])))
    for one in series:
        parts.append(_marks(one, to_x(one.steps), to_y(one.values)))
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 2}" text-anchor="middle">{escape(x)}</text></svg>')
    legend = "".join(f'<span class="{s.kind}">{"●" if s.dots else "━"} {escape(s.name)}</span>' for s in series)
    return f'<figure>{"".join(parts)}<figcaption class="legend">{legend}</figcaption></figure>'


def bars(shares: dict[str, float]) -> str:
    """Shares of a whole as one divided bar; what they leave is 'other'."""
    total = max(1.0, sum(shares.values()))
    shares = {name: share / total for name, share in shares.items()}
    shares["other"] = max(0.0, 1 - sum(shares.values()))
    parts, start = [], 0.0
    for index, share in enumerate(shares.values()):
        parts.append(f'<rect class="part{index}" x="{start * WIDTH:.1f}" width="{share * WIDTH:.1f}" height="22"/>')
        start += share
    legend = "".join(
        f'<span class="part{index}">■ {escape(name)} {share:.1%}</span>'
        for index, (name, share) in enumerate(shares.items())
    )
    svg = f'<svg viewBox="0 0 {WIDTH} 22" role="img" aria-label="shares of time">{"".join(parts)}</svg>'
    return f'<figure>{svg}<figcaption class="legend">{legend}</figcaption></figure>'


def _band(kind: str, xs: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    kept = np.isfinite(low) & np.isfinite(high)
    around = zip((*xs[kept], *xs[kept][::-1]), (*low[kept], *high[kept][::-1]), strict=True)
    return f'<polygon class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in around)}"/>'


def _marks(series: Series, xs: np.ndarray, ys: np.ndarray) -> str:
    kept = np.isfinite(ys)
    xs, ys = xs[kept], ys[kept]
    if not series.dots:
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        return f'<polyline class="{series.kind}" points="{points}"/>'
    some = np.unique(np.linspace(0, len(xs) - 1, min(POINTS, len(xs))).astype(int))
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.6"/>' for x, y in zip(xs[some], ys[some], strict=True))
    return f'<g class="{series.kind}">{dots}</g>'


def _ticks(values: Sequence[np.ndarray]) -> np.ndarray:
    """Four to eight round numbers that span all finite values; values that hardly differ are given some room."""
    every = np.concatenate([x[np.isfinite(x)] for x in values])
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 0.0)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, SMALLEST):
        room = 0.1 * size if size > SMALLEST else 1.0
        low, high = low - room, high + room
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough)
    return np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step


def _labels(ticks: np.ndarray) -> list[str]:
    """The labels of ticks, in scientific notation where plain numbers would not fit."""
    if not len(ticks):
        return []
    size = float(np.abs(ticks).max())
    plain = size == 0 or 1e-4 <= size < 1e8
    return [f"{tick:,.10g}" if plain else f"{tick:.4g}" for tick in ticks]
