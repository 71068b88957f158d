"""The most frequent values, mergeable: Misra and Gries' summary (Agarwal and others, "Mergeable summaries", PODS 2012).

A kept count is never too high, and too low by at most `lost` rows; a value that is not kept occurs at most `lost` times. `lost` is what
really was given up, not the worst case: 0 as long as a column has no more than 32 distinct values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._sketches import heavy

KEPT = 32
STREAMING = 256
_FEW = 512
_EXACT = 2048
_SHARE = 256

Label = float | bytes
Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]


class Item(NamedTuple):
    """A frequent value; it occurs at least `lower` and at most `upper` times."""

    value: object
    lower: int
    upper: int


@dataclass(frozen=True, slots=True)
class Frequent:
    """Counts by hash with the value of each, most frequent first, and the rows that any count may lack."""

    items: tuple[tuple[int, int, Label], ...] = ()
    lost: int = 0

    def merge(self, other: Frequent) -> Frequent:
        """Return the summary of both samples together; the same for either order."""
        counts = {key: (count, label) for key, count, label in self.items}
        for key, count, label in other.items:
            previous, first = counts.get(key, (0, label))
            counts[key] = previous + count, min(first, label)
        return reduced(counts, self.lost + other.lost, KEPT)


def reduced(counts: dict[int, tuple[int, Label]], lost: int, kept: int) -> Frequent:
    """Take the next largest count off all, so that no more than `kept` are left."""
    ranked = sorted(
        ((key, count, label) for key, (count, label) in counts.items()), key=lambda item: (-item[1], item[0])
    )
    subtracted = ranked[kept][1] if len(ranked) > kept else 0
    return Frequent(
        tuple((key, count - subtracted, label) for key, count, label in ranked if count > subtracted), lost + subtracted
    )


@dataclass
class FrequentStream:
    """Counts block by block."""

    _counts: dict[int, tuple[int, Label]] = field(default_factory=dict)
    _lost: int = 0

    def add(self, hashes: Hashes, label: Callable[[int], Label]) -> None:
        """Count a block's hashes; `label` gives the value at a position of the block."""
        if not hashes.size:
            return
        least = hashes.size // _SHARE if hashes.size > _EXACT else 1
        keys, times, rows, lost = heavy(hashes, least, _FEW)
        if lost:
            small = times < least
            lost = max(lost, int(times[small].max(initial=0)))
            keys, times, rows = keys[~small], times[~small], rows[~small]
        self._lost += lost
        self.count(keys, times, rows, label)

    def count(self, keys: Hashes, times: Counts, rows: Counts, label: Callable[[int], Label]) -> None:
        """Add ready counts, one for each distinct hash."""
        for key, count, row in zip(keys.tolist(), times.tolist(), rows.tolist(), strict=True):
            previous = self._counts.get(key)
            self._counts[key] = (previous[0] + count, previous[1]) if previous else (count, label(row))
        if len(self._counts) > STREAMING:
            summary = reduced(self._counts, self._lost, STREAMING)
            self._counts = {key: (count, value) for key, count, value in summary.items}
            self._lost = summary.lost

    def finish(self) -> Frequent:
        """Return the summary of what came so far."""
        return reduced(self._counts, self._lost, KEPT)
