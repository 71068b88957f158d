"""`Encoding`: a table's columns as the numbers that the trees read. Training and serving call the same code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np

from mlopsfw_core import hash_indices

ENCODING = "encoding.json"
FORMAT = "lightgbm"


class Encoding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """How one column becomes numbers. Missing is NaN.

    Args:
        column: The column's name.
        kind: `number` takes numbers, truth values and times (seconds since 1970) as they are; `category` gives each listed
            text its place, and NaN to any other; `hash` gives a text its bucket, and lists none.
        categories: The texts of a `category`.
        buckets: The buckets of a `hash`.
        seed: The seed of a `hash`.
    """

    column: str
    kind: Literal["number", "category", "hash"]
    categories: tuple[str, ...] = ()
    buckets: int = 0
    seed: int = 0

    @cached_property
    def _codes(self) -> dict[str, float]:
        return {text: float(code) for code, text in enumerate(self.categories)}

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Return float64 for a column's values, which are as a model gets them."""
        if self.kind == "category":
            codes = (np.nan if value is None else self._codes.get(str(value), np.nan) for value in values)
            return np.fromiter(codes, np.float64, len(values))
        if self.kind == "hash":
            texts = [None if value is None else str(value) for value in values]
            buckets = hash_indices(texts, self.buckets, self.seed).astype(np.float64)
            return np.where(buckets == 0, np.nan, buckets)
        if values.dtype.kind == "M":
            seconds = values.astype("M8[us]").view(np.int64) / 1e6
            return np.where(np.isnat(values), np.nan, seconds)
        return values.astype(np.float64)


def matrix(encodings: tuple[Encoding, ...], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the trees' input `[rows, encodings]`."""
    rows = len(next(iter(columns.values())))
    numbers = np.empty((rows, len(encodings)))
    for at, encoding in enumerate(encodings):
        numbers[:, at] = encoding.numbers(columns[encoding.column])
    return numbers
