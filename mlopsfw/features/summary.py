"""What is learned of a column's values before a training: from the whole column, or gathered block by block."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl

from mlopsfw_core._encoding import moments
from mlopsfw_core._text import distinct_texts

_COUNTED = 1 << 25  # bytes of distinct texts


class Summary(Protocol):
    """A column's values, summarised."""

    @property
    def nulls(self) -> bool:
        """Whether a value is null."""

    @property
    def missing(self) -> bool:
        """Whether a value is null or NaN."""

    @property
    def counts(self) -> pl.DataFrame:
        """The distinct values as `text`, and the `count` of each, without null."""

    @property
    def values(self) -> np.ndarray:
        """The finite values as float64, or a sample of them."""

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation (with divisor n) of all finite values, which are not finite where a sum overflows; 0 of none."""


class WholeColumn:
    """The summary of a column in memory.

    Args:
        series: The column.
    """

    def __init__(self, series: pl.Series) -> None:
        self._series = series

    @property
    def nulls(self) -> bool:
        """Whether a value is null."""
        return self._series.null_count() > 0

    @cached_property
    def missing(self) -> bool:
        """Whether a value is null or NaN."""
        return has_missing(self._series)

    @cached_property
    def counts(self) -> pl.DataFrame:
        """The distinct values, and the count of each."""
        return text_counts(self._series)

    @cached_property
    def values(self) -> np.ndarray:
        """The finite values."""
        return finite_values(self._series)

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        count, mean, squares = finite_moments(self._series)
        return mean, math.sqrt(squares / max(count, 1))


class GrowingColumn:
    """The summary of a column whose blocks come after one another. Texts are counted as long as the distinct ones take 32 MiB.

    Of a column with more, `counts` are those of the sample.

    Sums are merged by Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979).

    Args:
        texts: Whether to count texts.
        numbers: Whether to sum numbers.
    """

    def __init__(self, *, texts: bool, numbers: bool) -> None:
        self._texts, self._numbers, self._many = texts, numbers, False
        self._parts: list[pl.DataFrame] = []
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self.missing = self.nulls = False
        self.values = np.empty(0)

    def add(self, series: pl.Series) -> None:
        """Add a block."""
        self.nulls = self.nulls or series.null_count() > 0
        self.missing = self.missing or has_missing(series)
        if self._texts and not self._many:
            self._count_texts(series)
        if self._numbers:
            self._merge(*finite_moments(series))

    def sample(self, series: pl.Series) -> None:
        """Take the values of a sample."""
        if self._numbers:
            self.values = finite_values(series)
        if self._many:
            self._parts = [text_counts(series)]

    def _count_texts(self, series: pl.Series) -> None:
        self._parts.append(_own_counts(text_counts(series)))
        merged, *newer = self._parts
        if sum(part.height for part in newer) > merged.height:
            self._parts = [self.counts]
            self._many = self._parts[0].estimated_size() > _COUNTED

    def _merge(self, count: int, mean: float, squares: float) -> None:
        if not count:
            return
        total, apart = self._count + count, mean - self._mean
        self._squares += squares + apart * apart * self._count * count / total
        self._mean += apart * count / total
        self._count = total

    @property
    def counts(self) -> pl.DataFrame:
        """The distinct values, and the count of each."""
        return pl.concat(self._parts).group_by("text").agg(pl.col("count").sum())

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        return self._mean, math.sqrt(self._squares / max(self._count, 1))


def detached(series: pl.Series) -> pl.Series:
    """Return a part of a column that keeps nothing of the rest: Polars selects texts and bytes by views into the memory of all of them."""
    if series.dtype not in (pl.String, pl.Binary) and not isinstance(series.dtype, pl.List):
        return series
    return pl.Series(series.name, series.to_arrow(compat_level=pl.CompatLevel.oldest()), dtype=series.dtype)


def has_missing(series: pl.Series) -> bool:
    """Return whether a value is null or NaN."""
    return series.null_count() > 0 or (series.dtype.is_float() and bool(series.is_nan().any()))


def text_counts(series: pl.Series) -> pl.DataFrame:
    """Return the distinct values as `text`, and the `count` of each, without null."""
    texts = series.cast(pl.String)
    first, counts = distinct_texts(texts)
    return pl.DataFrame({"text": texts[first], "count": counts})


def finite_moments(series: pl.Series) -> tuple[int, float, float]:
    """Return how many values are finite, their mean, and the sum of squares about it."""
    return moments(series.cast(pl.Float64).rechunk())


def _own_counts(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.with_columns(detached(counts["text"]))


def finite_values(series: pl.Series) -> np.ndarray:
    """Return the finite values as float64."""
    values = series.cast(pl.Float64).drop_nulls().to_numpy()
    finite = np.isfinite(values)
    chosen: np.ndarray = values if finite.all() else values[finite]
    return chosen
