"""`Encoding`: a table's columns as the numbers that a trainer of trees reads. Training and serving call the same code.

Trees need no feature plan: they have a branch for missing values, and split a number wherever it serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.kernel.roles.bundle import QUANTILE_OUTPUT, TASK_OUTPUTS
from mlopsfw_core import hash_indices

if TYPE_CHECKING:
    from pathlib import Path

    from mlopsfw.kernel.roles.bundle import Manifest

FILE = "encoding.json"
"""The name of the file that a bundle keeps encodings in."""


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


def matrix(encodings: Sequence[Encoding], columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the trees' input `[rows, encodings]`."""
    rows = len(next(iter(columns.values())))
    numbers = np.empty((rows, len(encodings)))
    for at, encoding in enumerate(encodings):
        numbers[:, at] = encoding.numbers(columns[encoding.column])
    return numbers


def by_column(encodings: Sequence[Encoding], contributions: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each column contributes to the trees' sum, as `Model.explain` does: under an empty name the sum before any of them.

    Args:
        encodings: Of the trees' columns.
        contributions: float64 `[rows, sums, encodings + 1]`, the last one that of no column.
    """
    values = contributions[:, 0] if contributions.shape[1] == 1 else np.moveaxis(contributions, 1, -1)
    result = {"": values[:, len(encodings)]}
    for at, encoding in enumerate(encodings):
        result[encoding.column] = result.get(encoding.column, 0.0) + values[:, at]
    return result


def attributions(encodings: Sequence[Encoding], contributions: np.ndarray) -> dict[str, float]:
    """Return the share of each column in the mean absolute contribution to the trees' sums, largest first.

    Args:
        encodings: Of the trees' columns.
        contributions: As for `by_column`.
    """
    sizes = {name: float(np.abs(each).mean()) for name, each in by_column(encodings, contributions).items() if name}
    total = sum(sizes.values()) or 1.0
    shares = {name: round(size / total, 6) for name, size in sizes.items()}
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def outputs_of(manifest: Manifest, file: Path) -> tuple[str, ...]:
    """Return the names of the outputs that trees have: the task's own, and after it the quantiles of the target, if they were asked for.

    Args:
        manifest: Of the bundle.
        file: The file of the trees, for messages.

    Raises:
        BundleError: The manifest declares others.
    """
    quantiles = [QUANTILE_OUTPUT.format(each.quantile) for each in manifest.outputs[1:] if each.quantile is not None]
    declared = tuple(output.name for output in manifest.outputs)
    if declared != (TASK_OUTPUTS.get(manifest.task), *quantiles):
        raise BundleError(
            f"{file}: the manifest declares {', '.join(declared)}, which no {manifest.task} model returns"
        )
    return declared


def ascending(quantiles: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return quantiles `[rows]`, the lowest first, that trees of their own have answered: of a row where they cross, in order.

    In order they are at least as near to the target's quantiles (Chernozhukov, Fernández-Val & Galichon, 2010).
    """
    return list(np.sort(np.stack(quantiles), axis=0)) if quantiles else []


def read_encodings(data: bytes, manifest: Manifest, columns: int) -> tuple[Encoding, ...]:
    """Return the encodings that a bundle keeps.

    Args:
        data: The content of `encoding.json`, checked against the manifest.
        manifest: Of the bundle.
        columns: How many columns the trees read.

    Raises:
        BundleError: They are none, or disagree with the manifest or with the trees.
    """
    try:
        encodings = msgspec.json.decode(data, type=tuple[Encoding, ...])
    except msgspec.DecodeError as error:
        raise BundleError(f"{FILE} is no encoding of columns: {error}") from error
    if len(encodings) != columns:
        raise BundleError(f"the trees read {columns} columns, but {FILE} encodes {len(encodings)}")
    inputs = {column.name for column in manifest.inputs}
    for encoding in encodings:
        if encoding.column not in inputs:
            raise BundleError(f"{FILE} encodes {encoding.column!r}, which is no input of the model")
    return encodings
