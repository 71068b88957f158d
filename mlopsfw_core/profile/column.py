"""`ColumnProfile`: everything that is known of one column; merges with another's, and goes to bytes and back."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Literal, Protocol, Self, TypeVar

import numpy as np

from ._characters import CLASSES
from .distinct import Distinct
from .frequent import Frequent, Item
from .moments import Numbers
from .vectors import Vectors

Kind = Literal["number", "boolean", "time", "text", "binary", "list", "vector", "other"]

Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """A column's profile. What does not apply to its kind is None, and asking for it gives NaN or nothing.

    Attributes:
        kind: what the values are.
        rows: how many there were, nulls included.
        nulls: how many were null.
        numbers: the values; of texts, binaries and lists their lengths; of vectors their norms; of times seconds (since 1970, UTC).
        distinct_values: a HyperLogLog of the values.
        frequent: the most frequent values.
        characters: characters by class, then texts that hold one by class, in the order of `CLASSES`.
        clock: times by hour (24), then by weekday from Monday (7); UTC.
        vectors: embeddings.
    """

    kind: Kind
    rows: int
    nulls: int
    numbers: Numbers | None = None
    distinct_values: Distinct | None = None
    frequent: Frequent | None = None
    characters: Counts | None = None
    clock: Counts | None = None
    vectors: Vectors | None = None

    @property
    def count(self) -> int:
        """Rows that are not null."""
        return self.rows - self.nulls

    @property
    def nan(self) -> int:
        """Rows that are NaN."""
        return self.numbers.nan if self.numbers else 0

    @property
    def neg_inf(self) -> int:
        """Rows that are minus infinity."""
        return self.numbers.neg_inf if self.numbers else 0

    @property
    def pos_inf(self) -> int:
        """Rows that are plus infinity."""
        return self.numbers.pos_inf if self.numbers else 0

    @property
    def min(self) -> float:
        """The smallest number, length, norm or time."""
        return self.numbers.minimum if self.numbers else nan

    @property
    def max(self) -> float:
        """The largest number, length, norm or time."""
        return self.numbers.maximum if self.numbers else nan

    @property
    def mean(self) -> float:
        """The mean of the finite ones; of a boolean column the share that is true."""
        return self.numbers.mean if self.numbers else nan

    @property
    def stddev(self) -> float:
        """The sample standard deviation of the finite ones."""
        return self.numbers.stddev if self.numbers else nan

    @property
    def distinct(self) -> float:
        """The estimated number of distinct values; standard error 3.25% of it."""
        return self.distinct_values.estimate() if self.distinct_values else nan

    def rank(self, value: float) -> float:
        """Return the share of numbers at or below `value`; see `rank_error`."""
        return self.numbers.rank(value) if self.numbers else nan

    def quantile(self, q: float) -> float:
        """Return the value at a share `q` of the numbers; its rank is within `rank_error` of that."""
        return self.numbers.quantile(q) if self.numbers else nan

    def cdf(self, points: list[float]) -> list[float]:
        """Return the share of numbers at or below each point."""
        return [self.rank(point) for point in points]

    def rank_error(self, confidence: float = 0.99) -> float:
        """Return the bound that the error of one rank keeps with this probability, by what this profile went through."""
        return self.numbers.quantiles.rank_error(confidence) if self.numbers else 0.0

    def frequent_items(self) -> list[Item]:
        """Return up to 32 values with bounds on their counts, most frequent first; a text longer than 40 bytes is cut short."""
        if self.frequent is None:
            return []
        lost = self.frequent.lost
        return [Item(self._shown(label), count, count + lost) for _, count, label in self.frequent.items]

    def _shown(self, label: float | bytes) -> object:
        if isinstance(label, bytes):
            return label if self.kind == "binary" else label.decode(errors="ignore")
        return bool(label) if self.kind == "boolean" else label

    def charset(self) -> dict[str, tuple[int, int]]:
        """Return, by class of characters, how many there are, and how many texts hold one."""
        if self.characters is None:
            return {}
        return {name: (self.characters[at], self.characters[at + len(CLASSES)]) for at, name in enumerate(CLASSES)}

    def hours(self) -> Counts:
        """Return how many times fall into each hour of the day."""
        return self.clock[:24] if self.clock else ()

    def weekdays(self) -> Counts:
        """Return how many times fall on each weekday, Monday first."""
        return self.clock[24:] if self.clock else ()

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """Return the profile of both columns together.

        Raises:
            ValueError: they are of different kinds, and neither is all null.
        """
        if self.kind != other.kind:
            return self._absorbing(other)
        return ColumnProfile(
            self.kind,
            self.rows + other.rows,
            self.nulls + other.nulls,
            _both(self.numbers, other.numbers),
            _both(self.distinct_values, other.distinct_values),
            _both(self.frequent, other.frequent),
            _added(self.characters, other.characters),
            _added(self.clock, other.clock),
            _both(self.vectors, other.vectors),
        )

    def _absorbing(self, other: ColumnProfile) -> ColumnProfile:
        """Merge with a column of another kind, which only one without any value can be."""
        filled, empty = (self, other) if not other.count else (other, self)
        if empty.count:
            raise ValueError(f"profiles of a {self.kind} and of a {other.kind} column do not merge")
        return ColumnProfile(
            filled.kind, self.rows + other.rows, self.nulls + other.nulls, filled.numbers, filled.distinct_values,
            filled.frequent, filled.characters, filled.clock, filled.vectors,
        )  # fmt: skip

    def to_bytes(self) -> bytes:
        """Write the profile in the layout that docs/core-profile.md gives: at most 4,096 bytes."""
        from .codec import write_column

        return write_column(self)

    @staticmethod
    def from_bytes(data: bytes) -> ColumnProfile:
        """Read what `to_bytes` wrote.

        Raises:
            ProfileError: the bytes are damaged, or of a later version.
        """
        from .codec import read_column

        return read_column(data)


class _Part(Protocol):
    def merge(self, other: Self) -> Self: ...


Part = TypeVar("Part", bound=_Part)


def _both(first: Part | None, second: Part | None) -> Part | None:
    """Merge two parts; a part that one lacks is the other's."""
    if first is None or second is None:
        return second if first is None else first
    return first.merge(second)


def _added(first: Counts | None, second: Counts | None) -> Counts | None:
    if first is None or second is None:
        return second if first is None else first
    return tuple(np.add(first, second).tolist())
