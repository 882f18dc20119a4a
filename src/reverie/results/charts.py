"""Drawings for a page, as inline SVG that takes its colours from the page's style. May import: nothing of Reverie."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 760, 280, 64, 36, 12, 24
POINTS = 1500  # dots of a chart, at most, so that a page of a long run stays small


class Series(NamedTuple):
    """Values over steps, (N,) each; drawn with the style class `kind`, as a line or as dots."""

    name: str
    steps: np.ndarray
    values: np.ndarray
    kind: str
    dots: bool = False


def line_chart(series: Sequence[Series], x: str, y: str) -> str:
    """All series in one chart with axes from nice number to nice number, named `x` and `y`."""
    end = max(float(s.steps.max()) for s in series)
    across, up = _ticks([np.array([0, end])]), _ticks([s.values for s in series])
    to_x = lambda v: LEFT + v / end * (WIDTH - LEFT - RIGHT)  # noqa: E731
    to_y = lambda v: HEIGHT - BOTTOM - (v - up[0]) / (up[-1] - up[0]) * (HEIGHT - BOTTOM - TOP)  # noqa: E731
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y)} over {escape(x)}">']
    for tick in up:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{to_y(tick):.1f}" y2="{to_y(tick):.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{to_y(tick) + 4:.1f}" text-anchor="end">{tick:,.10g}</text>')
    for tick in across[across <= end]:
        parts.append(f'<text x="{to_x(tick):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick:,.10g}</text>')
    for one in series:
        parts.append(_marks(one, to_x(one.steps), to_y(one.values)))
    parts.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 2}" text-anchor="middle">{escape(x)}</text></svg>')
    legend = "".join(f'<span class="{s.kind}">{"●" if s.dots else "━"} {escape(s.name)}</span>' for s in series)
    return f'<figure>{"".join(parts)}<figcaption class="legend">{legend}</figcaption></figure>'


def bars(shares: dict[str, float]) -> str:
    """Shares of a whole as one divided bar, with what is left over."""
    shares = shares | {"other": max(0.0, 1 - sum(shares.values()))}
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
    """Four to eight round numbers that all values lie between."""
    every = np.concatenate([x[np.isfinite(x)] for x in values])
    low, high = float(every.min()), float(every.max())
    if low == high:
        low, high = low - 1, high + 1
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough)
    return np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step
