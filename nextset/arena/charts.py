"""Charts as SVG text: points with intervals, curves, bars. Colours are the page's (`currentColor` and classes), so they follow its theme.

Coordinates are pixels, y down.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .entry import Curve
from .interval import Interval

Scale = Callable[[float], float]
WIDTH, HEIGHT = 560, 380  # of a scatter plot
LETTER, LINE = 6.2, 12.0  # of a label: width of a letter, height


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` along pixels `start` to `end`, by their logarithm where `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where a number lies."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    @property
    def ticks(self) -> list[float]:
        """Round numbers on it, about six."""
        if self.log and self.high / self.low > 4:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if self.high / self.low < 300 else (1,)
            found = [step * 10.0**power for power in powers for step in steps]
        else:
            size = 10.0 ** math.floor(math.log10((self.high - self.low) / 2))
            size *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (m * size) <= 6)
            found = [size * k for k in range(math.ceil(self.low / size), math.floor(self.high / size) + 1)]
        return [tick for tick in found if self.low <= tick <= self.high * (1 + 1e-9)]


def axis(values: Sequence[float], start: float, end: float, log: bool = False) -> Axis:
    """One that has room around all values; linear where a logarithm would not do."""
    low, high = min(values), max(values)
    if log and low > 0:
        room = max((high / low) ** 0.06, 1.05)
        return Axis(low / room, high * room, start, end, True)
    room = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return Axis(low - room, high + room, start, end)


@dataclass(frozen=True)
class Point:
    """A system in a scatter plot."""

    name: str
    x: float
    y: Interval


def scatter(points: Sequence[Point], across: str, up: str, log: bool, form: str) -> str:
    """Points with the intervals of y, over a logarithmic x; y logarithmic where `log`."""
    width, height, left, bottom = WIDTH, HEIGHT, 62, 44
    x = axis([point.x for point in points], left, width - 12, log=True)
    y = axis(
        [v for p in points for v in (p.y.mean, *((p.y.low, p.y.high) if not log or p.y.low > 0 else ()))],
        height - bottom,
        12,
        log,
    )
    parts = [_frame(x, y, across, up, form)]
    taken = [(x(p.x) - 4, y(p.y.mean) - 4, x(p.x) + 4, y(p.y.mean) + 4) for p in points]
    taken += [(x(p.x) - 1, y(p.y.high), x(p.x) + 1, y(max(p.y.low, y.low))) for p in points]
    for p in points:
        at, middle = x(p.x), y(p.y.mean)
        said = f"{p.name}: {form.format(p.y.mean)} ({form.format(p.y.low)} to {form.format(p.y.high)}) at {p.x:.3g} s"
        ends = [y(max(v, y.low)) for v in (p.y.low, p.y.high)]
        label = _place(at, middle, len(p.name) * LETTER, taken, (left, 12, width - 4, height - bottom))
        parts.append(
            f'<g class="point"><title>{html.escape(said)}</title>'
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>'
            f'<circle cx="{at:.1f}" cy="{middle:.1f}" r="4"/>'
            f'<text x="{label[0]:.1f}" y="{label[1]:.1f}">{html.escape(p.name)}</text></g>'
        )
    return _svg(width, height, "".join(parts), f"{up} against {across}")


Box = tuple[float, float, float, float]


def _place(x: float, y: float, width: float, taken: list[Box], inside: Box) -> tuple[float, float]:
    """Where a label of this width goes, near (x, y) and over as little as can be: its left end and base line."""
    offsets = [
        (7, 4),
        (7, -6),
        (7, 14),
        (-7 - width, 4),
        (-width / 2, -9),
        (-width / 2, 18),
        (-7 - width, -6),
        (-7 - width, 14),
    ]
    offsets += [(8, -18), (8, 26), (-8 - width, -18), (-8 - width, 26), (-width / 2, -22), (-width / 2, 31)]
    boxes = [(x + right, y + down - LINE + 3, x + right + width, y + down + 3) for right, down in offsets]

    def cost(box: Box) -> float:
        outside = box[0] < inside[0] or box[1] < inside[1] or box[2] > inside[2] or box[3] > inside[3]
        return sum(_shared(box, other) for other in taken) + 1e6 * outside

    best = min(boxes, key=cost)
    taken.append(best)
    return best[0], best[3] - 3


def _shared(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _frame(x: Axis, y: Axis, across: str, up: str, form: str) -> str:
    parts = []
    for tick in x.ticks:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{y.start}" y2="{y.end}"/>')
        parts.append(f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y.start + 16}">{tick:g}</text>')
    for tick in y.ticks:
        said = form.format(tick) if "%" in form else f"{tick:g}"
        parts.append(f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{x.start - 6}" y="{y(tick) + 4:.1f}">{said}</text>')
    middle = (y.start + y.end) / 2
    parts.append(
        f'<text text-anchor="middle" x="{(x.start + x.end) / 2}" y="{y.start + 36}">{html.escape(across)}</text>'
    )
    parts.append(f'<text text-anchor="middle" transform="translate(14 {middle}) rotate(-90)">{html.escape(up)}</text>')
    return "".join(parts)


def curves(found: Sequence[Curve]) -> str:
    """Training losses (thin) and held-out ones (dots) over the share of the budget; the first tenth may be cut off above."""
    width, height, left, bottom = 330, 150, 40, 22
    values = [
        v for curve in found for share, v in (*curve.training, *curve.held_out) if share >= 0.1 and math.isfinite(v)
    ]
    if not values:
        return ""
    x, y = Axis(0, 1, left, width - 6), axis(values, height - bottom, 6)
    x = Axis(0, 1, left, width - 6)
    parts = []
    for tick in y.ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 6}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{left - 4}" y="{y(tick) + 4:.1f}">{tick:g}</text>')
    for share, said in ((0, "0"), (0.5, "half of the budget"), (1, "all")):
        anchor = "middle" if share == 0.5 else "end" if share else "start"
        parts.append(f'<text class="tick" text-anchor="{anchor}" x="{x(share):.1f}" y="{height - 6}">{said}</text>')
    for curve in found:
        parts.append(_line(curve.training, x, y, "training"))
        parts.append(_line(curve.held_out, x, y, "held"))
    return _svg(width, height, "".join(parts), "loss of training batches, and of held-out pictures")


def _line(points: Sequence[tuple[float, float]], x: Axis, y: Axis, kind: str) -> str:
    inside = [(share, value) for share, value in points if y.low <= value <= y.high]
    path = " ".join(f"{x(share):.1f},{y(value):.1f}" for share, value in inside)
    dots = (
        "".join(f'<circle class="{kind}" cx="{x(s):.1f}" cy="{y(v):.1f}" r="2"/>' for s, v in inside)
        if kind == "held"
        else ""
    )
    return f'<polyline class="{kind}" points="{path}"/>{dots}' if inside else ""


BARS, FEW = 330, 12  # width of a chart of shares; up to so many are rows with their names beside


def bars(values: Sequence[tuple[str, float | None]], told: str) -> str:
    """Shares in [0, 1] as upright bars with their names below; long names beside rows, or, of many bars, where they are pointed at."""
    step = (BARS - 2) / max(len(values), 1)
    fits = all(len(name) * LETTER < step + 4 for name, _ in values)
    return _rows(values, told) if not fits and len(values) <= FEW else _upright(values, told, step, fits)


def _upright(values: Sequence[tuple[str, float | None]], told: str, step: float, named: bool) -> str:
    height, bottom = 92, 16
    parts = [f'<line class="grid" x1="0" x2="{BARS}" y1="{at}" y2="{at}"/>' for at in (6, (height - bottom + 6) / 2)]
    for index, (name, share) in enumerate(values):
        tall, left = (height - bottom - 6) * (share or 0.0), 1 + index * step
        hit = f'<rect class="hit" x="{left:.1f}" y="6" width="{step:.1f}" height="{height - bottom - 6}"/>'
        bar = f'<rect x="{left + 0.1 * step:.1f}" y="{height - bottom - tall:.1f}" width="{0.8 * step:.1f}" height="{tall:.1f}"/>'
        parts.append(f'<g class="bar"><title>{html.escape(name)}: {_share(share)}</title>{hit}{bar}</g>')
        if named:
            middle = left + step / 2
            parts.append(
                f'<text class="tick" text-anchor="middle" x="{middle:.1f}" y="{height - 3}">{html.escape(name)}</text>'
            )
    return _svg(BARS, height, "".join(parts), told)


def _rows(values: Sequence[tuple[str, float | None]], told: str) -> str:
    left = max(len(name) for name, _ in values) * LETTER + 4
    room, parts = BARS - left - 40, []
    for index, (name, share) in enumerate(values):
        y, long = index * 15 + 2, room * (share or 0.0)
        parts.append(
            f'<text class="tick" text-anchor="end" x="{left - 4:.1f}" y="{y + 9}">{html.escape(name)}</text>'
            f'<g class="bar"><rect x="{left:.1f}" y="{y}" width="{long:.1f}" height="11"/></g>'
            f'<text class="tick" x="{left + long + 4:.1f}" y="{y + 9}">{_share(share)}</text>'
        )
    return _svg(BARS, len(values) * 15 + 4, "".join(parts), told)


def _share(share: float | None) -> str:
    return "none" if share is None else f"{share:.1%}"


def _svg(width: float, height: float, inside: str, told: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{html.escape(told)}">{inside}</svg>'
    )
