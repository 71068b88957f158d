"""Every entry promises the same from a slice at any bit offset, of any length, in one chunk or two, as from a compact copy.

Offsets 0 to 16 reach past two bytes of a bitmap, lengths 0 to 40 past its last whole word, and the cut between the chunks takes
every place as offset and length go their ways. The night tries every pair of them; a push tries each offset with a fifth of the
lengths and each length with a fifth of the offsets, and every entry and type at each of those pairs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from mlopsfw_core import (
    Reference,
    compare_column,
    compare_streams,
    compare_table,
    drift,
    hash_features,
    hash_indices,
    hash_text,
    online,
)
from mlopsfw_core._buffers import numeric_rows, numeric_values
from mlopsfw_core._text import category_counts
from mlopsfw_core.profile import ColumnProfile, profile, profile_column

GRID = [(offset, length) for offset in range(17) for length in range(41)]
GRIDS = [
    pytest.param(tuple((offset, length) for offset, length in GRID if (offset + 2 * length) % 5 == 0), id="push"),
    pytest.param(tuple(GRID), id="nightly", marks=pytest.mark.nightly),
]
NULLS = np.random.default_rng(4).random(64) < 0.3
WORDS = ["", "a", "é", "twelve bytes", "more than twelve bytes of text", "a", "b"]
NUMBERS = [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]
NUMBERS += [pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"), pa.time32("s")]
NUMBERS += [pa.duration("us"), pa.decimal128(9, 2), pa.dictionary(pa.int8(), pa.float64())]
TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int16(), pa.string())]

FIXED = np.random.default_rng(5).integers(0, 9, 50) / 4
NAMED = pl.Series([*WORDS, None, "z"] * 5)
NUMERIC = {
    "numeric_values": numeric_values,
    "numeric_rows": lambda column: masked(*numeric_rows(column)),
    "profile": profile_column,
}
STATISTICS = {
    "update_many": lambda column: online.PageHinkley(min_instances=2, threshold=1).update_many(column),
    "ks": lambda column: drift.ks_2samp(column, FIXED),
    "rank_statistics": lambda column: drift.rank_statistics(FIXED, column),
    "psi": lambda column: drift.psi(column, FIXED, 3),
    "uniform": lambda column: drift.chi2_2samp(column, FIXED, ("uniform", 3)),
    "ttest": lambda column: drift.ttest_ind(column, FIXED),
    "epps_singleton": lambda column: drift.epps_singleton_2samp(column, FIXED),
    "mannwhitneyu": lambda column: drift.mannwhitneyu(column, FIXED),
    "weights": lambda column: drift.wasserstein_distance(FIXED, FIXED[: len(column)], None, column),
    "KsReference": lambda column: drift.KsReference(column).ks_2samp(FIXED),
    "quantile shift": lambda column: online.QuantileShiftDetector.against(FIXED).update_many(column),
    "Reference": lambda column: Reference.fit(column).to_dict(),
    "compare_column": lambda column: compare_column(FITTED, column),
    "compare_table": lambda column: compare_table({"c": FITTED}, pa.table({"c": column})),
    "compare_streams": lambda column: compare_streams(lambda: [{"c": FIXED}], lambda: [{"c": column}]).drifts,
    "profile of a table": lambda column: profile(pa.table({"c": column})),
    "hash_features": lambda column: hash_features({"c": column, "d": column}, crosses=[("c", "d")]),
}  # fmt: skip
TEXTUAL = {
    "category_counts": category_counts,
    "hash_indices": lambda column: hash_indices(column, 97, 3),
    "hash_features": lambda column: hash_features({"c": column, "d": column}, 1 << 10, crosses=[("c", "d")]),
    "hash_text": lambda column: hash_text(column, 1 << 10, ngram_range=(1, 2)),
    "profile": lambda column: rounded(profile_column(column)),
    "chi2": lambda column: drift.chi2_2samp(column, NAMED, "categories"),
    "Reference": lambda column: Reference.fit(column).to_dict(),
}
FITTED = Reference.fit(FIXED, name="c")


def typed(kind: pa.DataType) -> pa.Array:
    """Make 64 rows of a type, three in ten of them null."""
    if kind in TEXTS:
        return pa.array([None if null else WORDS[i * i % 7] for i, null in enumerate(NULLS)]).cast(kind)
    whole = pa.array([None if null else i * 7 % 11 for i, null in enumerate(NULLS)], pa.int32())
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if plain == pa.float16():
        return pa.array(np.arange(64) * 7 % 11 / 4, pa.float16(), mask=NULLS)
    if plain == pa.float64():
        whole = pa.array([None if value is None else value / 4 for value in whole.to_pylist()], pa.float64())
    wide = (pa.types.is_temporal(plain) and plain.bit_width == 64) or pa.types.is_decimal(plain)
    through = whole.cast(pa.float64() if pa.types.is_decimal(plain) else pa.int64()) if wide else whole
    made = through.cast(plain)
    return made.dictionary_encode().cast(kind) if plain is not kind else made


def masked(values: np.ndarray, valid: np.ndarray | None) -> Any:
    """Leave out what stands in the place of a null, which is nobody's promise."""
    return (values, None) if valid is None else (values[valid], valid)


def rounded(profile: ColumnProfile) -> ColumnProfile:
    """Leave out the last digits of the moments of lengths: each chunk's dictionary is summed by itself."""
    kept = profile.numbers
    if kept is None:
        return profile
    count, *parts = kept.sums
    return replace(profile, numbers=replace(kept, sums=(count, *(float(f"{part:.10g}") for part in parts))))


def compact(part: pa.Array) -> pa.Array:
    """Copy a slice into buffers of its own that start at 0; a dictionary stays as it is, for sums go by its order."""
    if pa.types.is_dictionary(part.type):
        return pa.DictionaryArray.from_arrays(compact(part.indices), part.dictionary)
    return pa.array(part.to_pylist(), part.type)


def seen(value: Any) -> Any:
    """Turn an answer into what can be compared bit for bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tolist() if value.dtype.kind != "f" else value.tobytes()
    if isinstance(value, dict):
        return {name: seen(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [seen(part) for part in value]
    return value.to_bytes() if hasattr(value, "to_bytes") and not isinstance(value, int) else repr(value)


def outcome(entry: Any, column: Any) -> Any:
    """Return what an entry answers, or how it refuses."""
    try:
        return seen(entry(column))
    except ValueError as error:  # the statistics of nothing
        return str(error)


@cache
def layouts(
    kind: pa.DataType, grid: tuple[tuple[int, int], ...]
) -> list[tuple[str, pa.Array, pa.Array, pa.ChunkedArray]]:
    """Return a grid of a type: the place, a compact copy, the slice, and the slice in two chunks."""
    whole, made = typed(kind), []
    for offset, length in grid:
        part = whole[offset : offset + length]
        cut = (offset + length) % (length + 1)
        chunks = pa.chunked_array([part[:cut], part[cut:]])
        made.append((f"{length} from {offset}, cut at {cut}", compact(part), part, chunks))
    return made


def differing(entry: Any, kind: pa.DataType, grid: tuple[tuple[int, int], ...]) -> list[str]:
    """Return the places of the grid where a slice, or the slice in two chunks, is answered otherwise than its copy."""
    found = []
    for place, copy, part, chunks in layouts(kind, grid):
        expected = outcome(entry, copy)
        if outcome(entry, part) != expected or outcome(entry, chunks) != expected:
            found.append(place)
    return found


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
@pytest.mark.parametrize("entry", NUMERIC)
@pytest.mark.parametrize("grid", GRIDS)
def test_numbers_are_read_alike_at_every_offset(entry, kind, grid):
    assert differing(NUMERIC[entry], kind, grid) == []


@pytest.mark.parametrize("kind", TEXTS, ids=str)
@pytest.mark.parametrize("entry", TEXTUAL)
@pytest.mark.parametrize("grid", GRIDS)
def test_texts_are_read_alike_at_every_offset(entry, kind, grid):
    assert differing(TEXTUAL[entry], kind, grid) == []


@pytest.mark.parametrize("entry", STATISTICS)
@pytest.mark.parametrize("grid", GRIDS)
def test_statistics_answer_alike_at_every_offset(entry, grid):
    assert differing(STATISTICS[entry], pa.float64(), grid) == []
