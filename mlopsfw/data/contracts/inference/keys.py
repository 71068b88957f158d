"""Columns that together identify a row: found on a sample, among those that would not be unique by chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations, islice
from typing import TYPE_CHECKING

from mlopsfw.data.contracts.inference.profile import ColumnProfile, Profile
from mlopsfw.data.contracts.model import Key

if TYPE_CHECKING:
    import polars as pl

_FEWEST = 1_000  # rows
_WIDEST = 4  # columns of a key
_CANDIDATES = 12
_MOST_TRIED = 300  # of each width
_OFFERED = 3  # of each width
_CHANCE = 50  # rows that would be repeated if the columns were independent


def find_keys(profile: Profile, profiles: Mapping[str, ColumnProfile]) -> Iterator[Key]:
    """Yield keys of several columns, best first: narrow ones, and of these the one that chance would repeat most often.

    They are unique on the sample; the trial checks all rows.
    """
    if profile.rows < _FEWEST:
        return
    sample = profile.sample
    names = [name for name in sample.columns if name in profiles and _may_identify(profiles[name])][:_CANDIDATES]
    weights = {name: _collisions(sample[name]) for name in names}
    pairs = profile.rows * (profile.rows - 1) / 2
    for width in range(2, _WIDEST + 1):
        chances = {
            columns: pairs * math.prod(weights[name] for name in columns) for columns in combinations(names, width)
        }
        likely = sorted((key for key in chances if chances[key] >= _CHANCE), key=lambda key: -chances[key])
        unique = (key for key in likely[:_MOST_TRIED] if not sample.select(key).is_duplicated().any())
        yield from (Key(columns=columns, level="warn") for columns in islice(unique, _OFFERED))


def _may_identify(column: ColumnProfile) -> bool:
    """Return whether a column may be part of a key: it has a value in every row, and is no measurement."""
    return column.kind in ("integer", "string", "date", "datetime") and not column.missing and not column.constant


def _collisions(column: pl.Series) -> float:
    """Return the probability that two rows have the same value."""
    counts = column.value_counts(name="\0count")["\0count"]
    return float((counts / column.len()).pow(2).sum())
