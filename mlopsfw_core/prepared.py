"""`Reference`: one column of the training data, prepared once, kept with the model, compared with at any time.

It holds what a comparison needs and no more, as plain values that JSON can carry. It does not decide over many columns: that
is `compare_table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ._buffers import column_kind
from ._categories import HASH_CELLS, Categories, fit_categories
from ._numbers import Numbers, fit_numbers, sort_column
from ._text import category_counts

FORMAT = 1
"""Version of the dictionaries that `Reference.to_dict` writes. A reader refuses a later one."""

MOST_ROWS = 2**53
"""Row counts stay below this, so that they are exact as float64."""

Kind = Literal["numeric", "categorical"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference column: its kind, how many rows it had, which were missing, and the distribution of the others."""

    name: str
    kind: Kind
    rows: int
    nulls: int
    nan: int
    content: Numbers | Categories

    @property
    def missing(self) -> int:
        """Rows without a value: nulls and NaN."""
        return self.nulls + self.nan

    @classmethod
    def fit(
        cls,
        column: Any,
        kind: Kind | None = None,
        *,
        max_points: int = 4096,
        bins: int = 10,
        name: str = "",
        max_categories: int = 1000,
    ) -> Reference:
        """Prepare a column.

        Args:
            column: NumPy, Arrow, Polars or a sequence, of any length.
            kind: "numeric" or "categorical"; None takes the column's type (numbers and times are numeric).
            max_points: a numeric sample up to this size is kept whole, a larger one as this many quantile points.
            bins: quantile bins whose counts are frozen for PSI.
            name: the column's name, for reports.
            max_categories: up to this many categories are counted one by one, more by hash cell.

        Raises:
            TypeError: the column cannot be read as its kind.
        """
        decided = kind or column_kind(column)
        if decided == "numeric":
            ordered = sort_column(column)
            rows = ordered.values.size + ordered.nulls + ordered.nan
            return cls(name, "numeric", rows, ordered.nulls, ordered.nan, fit_numbers(ordered, max_points, bins))
        if decided != "categorical":
            raise ValueError(f"kind is 'numeric', 'categorical' or None, not {kind!r}")
        counts, nulls = category_counts(column)
        content = fit_categories(counts, max_categories)
        return cls(name, "categorical", content.rows + nulls, nulls, 0, content)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values (finite numbers, strings, lists) that JSON carries without loss."""
        shared = {"format": FORMAT, "name": self.name, "kind": self.kind, "rows": self.rows, "nulls": self.nulls}
        if isinstance(self.content, Numbers):
            return {**shared, "nan": self.nan, "numbers": _numbers_to_dict(self.content)}
        kept = self.content
        counts = None if kept.counts is None else dict(kept.counts)
        cells = None if kept.cells is None else list(kept.cells)
        body = {"rows": kept.rows, "distinct": kept.distinct, "counts": counts, "cells": cells}
        return {**shared, "nan": self.nan, "categories": body}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reference:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: the format is a later one, or the values do not make a reference.
        """
        if data.get("format") != FORMAT:
            raise ValueError(
                f"a reference of format {data.get('format')!r} is not read here; this version reads format {FORMAT}"
            )
        try:
            content = (
                _numbers_from_dict(data["numbers"])
                if data["kind"] == "numeric"
                else _categories_from_dict(data["categories"])
            )
            nulls, nan = (_count(data[part], part) for part in ("nulls", "nan"))
            rows = content.rows + nulls + nan
            if data["rows"] != rows or not isinstance(data["name"], str):
                raise ValueError(
                    f"a stored reference is damaged: it has {data['rows']!r} rows, which are {rows} by their parts"
                )
            return cls(data["name"], data["kind"], rows, nulls, nan, content)
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"a stored reference is damaged: {error!r}") from error

    def compare(self, column: Any, alpha: float = 0.05, threshold: float = 0.05) -> Any:
        """Compare a current column with this one, on its own; see `comparison.compare_column`."""
        from .comparison import compare_column

        return compare_column(self, column, alpha=alpha, threshold=threshold)


def _numbers_to_dict(numbers: Numbers) -> dict[str, Any]:
    return {
        "points": numbers.points.tolist(),
        "finite": numbers.finite,
        "neg_inf": numbers.neg_inf,
        "pos_inf": numbers.pos_inf,
        "min": numbers.minimum,
        "max": numbers.maximum,
        "mean": numbers.mean,
        "std": numbers.std,
        "edges": numbers.edges.tolist(),
        "counts": numbers.counts.tolist(),
        "levels": None if numbers.levels is None else [list(level) for level in numbers.levels],
    }


def _count(value: Any, what: str) -> int:
    """Read a number of rows."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST_ROWS:
        raise ValueError(f"a stored reference is damaged: {what} is {value!r}, which counts no rows")
    return value


def _moment(value: Any, what: str) -> float | None:
    """Read a finite number, or that there is none."""
    if value is None:
        return None
    number = float(value) if isinstance(value, (int, float)) else np.nan
    if not np.isfinite(number):
        raise ValueError(f"a stored reference is damaged: {what} is {value!r}, which is no finite number")
    return number


def _numbers_from_dict(body: Mapping[str, Any]) -> Numbers:
    points = np.array(body["points"], dtype=np.float64)
    edges = np.array(body["edges"], dtype=np.float64)
    counts = [_count(count, "a bin") for count in body["counts"]]
    finite, neg_inf, pos_inf = (_count(body[part], part) for part in ("finite", "neg_inf", "pos_inf"))
    if points.ndim != 1 or not np.isfinite(points).all() or (points[1:] < points[:-1]).any():
        raise ValueError("a stored reference is damaged: its points are finite and ascending")
    if points.size > finite or (not points.size and finite):
        raise ValueError(
            "a stored reference is damaged: its points are no more than its rows, and none only where it has none"
        )
    if edges.ndim != 1 or not (edges[1:] > edges[:-1]).all() or len(counts) != edges.size + 1:
        raise ValueError("a stored reference is damaged: its bins do not fit their edges")
    if sum(counts) != finite + neg_inf + pos_inf:
        raise ValueError("a stored reference is damaged: its bins do not add up to its rows")
    minimum, maximum, mean, std = (_moment(body[name], name) for name in ("min", "max", "mean", "std"))
    return Numbers(
        points=points,
        finite=finite,
        neg_inf=neg_inf,
        pos_inf=pos_inf,
        minimum=minimum,
        maximum=maximum,
        mean=mean,
        std=std,
        edges=edges,
        counts=np.array(counts, dtype=np.int64),
        levels=None if body["levels"] is None else _levels_from_list(body["levels"], finite),
    )


def _levels_from_list(levels: Any, rows: int) -> tuple[tuple[float, int], ...]:
    """Read values with their rows: ascending, and all rows of the column."""
    pairs = tuple((_moment(value, "a level"), _count(count, "a level")) for value, count in levels)
    values = [value for value, _ in pairs if value is not None]
    if len(values) < len(pairs) or values != sorted(set(values)) or sum(count for _, count in pairs) != rows:
        raise ValueError("a stored reference is damaged: its levels ascend and add up to its rows")
    return tuple(zip(values, (count for _, count in pairs), strict=True))


def _categories_from_dict(body: Mapping[str, Any]) -> Categories:
    if (body["counts"] is None) == (body["cells"] is None):
        raise ValueError("a stored reference is damaged: it holds either category counts or hash cells")
    counts = None if body["counts"] is None else {name: _count(rows, name) for name, rows in body["counts"].items()}
    cells = None if body["cells"] is None else tuple(_count(rows, "a cell") for rows in body["cells"])
    rows, distinct = _count(body["rows"], "rows"), _count(body["distinct"], "distinct")
    if cells is not None and len(cells) != HASH_CELLS:
        raise ValueError(f"a stored reference is damaged: it has {len(cells)} hash cells, not {HASH_CELLS}")
    total = sum(counts.values()) if counts is not None else sum(cells or ())
    if rows != total or not all(isinstance(name, str) for name in counts or ()):
        raise ValueError("a stored reference is damaged: its categories do not add up to its rows")
    return Categories(rows, distinct, counts, cells)
