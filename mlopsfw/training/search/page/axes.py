"""Axes of the drawings of a search: numbers, numbers over decades, or values side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from mlopsfw.pages import escape
from mlopsfw.pages.values import text_of_value

WIDTH, HEIGHT, TOP, BASE, LEFT, RIGHT = 320, 170, 10, 138, 58, 312
_DECADES = 100.0  # ratio of the largest to the smallest value beyond which an axis is logarithmic
_LONGEST = 14  # characters of a value on an axis


class Axis(NamedTuple):
    """One axis.

    Args:
        low, high: Its ends; of a logarithmic one their logarithms.
        values: The values side by side; empty for numbers.
        log: Whether it is logarithmic.
    """

    low: float
    high: float
    values: tuple[str, ...] = ()
    log: bool = False

    def share(self, value: Any) -> float:
        """Return where a value lies, from 0 to 1."""
        if self.values:
            number: float = self.values.index(label(value))
        else:
            number = math.log10(value) if self.log else float(value)
        return (number - self.low) / (self.high - self.low)

    def ends(self) -> tuple[str, str]:
        """Return the labels of its ends."""
        if self.values:
            return self.values[0][:_LONGEST], self.values[-1][:_LONGEST] if len(self.values) > 1 else ""
        low, high = (10.0**end if self.log else end for end in (self.low, self.high))
        return f"{low:.3g}", f"{high:.3g}"


def axis_of(values: Sequence[Any]) -> Axis:
    """Return the axis on which values lie: numbers by size, anything else in the order of their texts."""
    if not all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    ):
        labels = tuple(sorted({label(value) for value in values}))
        return Axis(-0.5, len(labels) - 0.5, labels)
    low, high = min(values), max(values)
    log = low > 0 and high / low >= _DECADES
    if log:
        low, high = math.log10(low), math.log10(high)
    pad = 0.0 if high > low else abs(low) * 0.1 or 0.5
    return Axis(low - pad, high + pad, log=log)


def label(value: Any) -> str:
    """Return a value as an axis and a table show it."""
    return "null" if value is None else text_of_value(value, 4)


def plot(title: str, across: Axis, up: Axis, marks: str, below: str = "") -> str:
    """Return a figure with labels at the ends of both axes. `marks` is markup, placed by `point`."""
    (left, right), (low, high) = across.ends(), up.ends()
    word = f" {below}" if below else ""
    texts = (
        (LEFT, BASE + 18, "start", left),
        ((LEFT + RIGHT) / 2, BASE + 18, "middle", f"{word}{' (log)' if across.log else ''}".strip()),
        (RIGHT, BASE + 18, "end", right),
        (LEFT - 5, TOP + 8, "end", high),
        (LEFT - 5, BASE, "end", low),
    )
    drawn = "".join(
        f'<text x="{x:g}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>' for x, y, anchor, text in texts
    )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<line class="axis" x1="{LEFT}" y1="{BASE}" x2="{RIGHT}" y2="{BASE}"/>{marks}{drawn}</svg></figure>'
    )


def point(across: Axis, up: Axis, x: Any, y: Any) -> tuple[float, float]:
    """Return where a point lies in a figure."""
    return LEFT + (RIGHT - LEFT) * across.share(x), BASE - (BASE - TOP) * up.share(y)
