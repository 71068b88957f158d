"""One logical content, one digest: laws over encodings and splits, and what must tell tables apart."""

from __future__ import annotations

import itertools
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw.data.tables.digest import BLOCK, TableDigest, table_digest
from mlopsfw.data.tables.logical import logical_type
from mlopsfw.kernel.base.errors import DataError

TEXTS = st.lists(st.none() | st.text(max_size=12), max_size=80)
NUMBERS = st.lists(st.none() | st.floats(width=64), max_size=80)


def sample() -> pa.Table:
    """A table with a column of every kind, nulls in each."""
    return pa.table(
        {
            "integer": pa.array([1, None, 3, 4], pa.int32()),
            "float": pa.array([1.5, float("nan"), None, -0.0]),
            "flag": pa.array([True, None, False, True]),
            "text": pa.array(["a", None, "", "déjà"]),
            "bytes": pa.array([b"a", None, b"", b"\x00"]),
            "day": pa.array([date(2013, 1, 1), None, date(2013, 1, 2), date(1969, 1, 1)]),
            "time": pa.array(
                [datetime(2013, 1, 1, 5, tzinfo=UTC), None, None, datetime(2013, 1, 2, tzinfo=UTC)],
                pa.timestamp("us", "UTC"),
            ),
            "money": pa.array([Decimal("1.50"), None, Decimal("2.25"), Decimal("0.00")], pa.decimal128(10, 2)),
            "list": pa.array([[1, None], None, [], [3]], pa.list_(pa.int64())),
            "pair": pa.array([[1, 2], None, [3, 4], [5, None]], pa.list_(pa.int8(), 2)),
            "struct": pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": None}, {"x": 2, "y": "b"}]),
            "map": pa.array([[("a", 1)], None, [], [("b", None)]], pa.map_(pa.string(), pa.int32())),
            "nothing": pa.nulls(4),
        }
    )


def pieces(table: pa.Table, cuts: list[int]) -> list[pa.RecordBatch]:
    """Cut a table at the given rows, each piece a batch of its own that keeps its offset into the buffers."""
    whole = table.combine_chunks().to_batches()[0]
    edges = [0, *sorted({cut % (table.num_rows + 1) for cut in cuts}), table.num_rows]
    return [whole.slice(a, b - a) for a, b in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 100), max_size=4))
def test_any_split_into_batches_has_the_digest_of_the_whole(cuts):
    table = sample()
    assert table_digest(pieces(table, cuts)) == table_digest(table)


@pytest.mark.parametrize("offset", [1, 2, 3])
def test_a_slice_has_the_digest_of_a_copy(offset):
    table = sample()
    copied = pa.Table.from_pylist(table.slice(offset).to_pylist(), schema=table.schema)
    assert table_digest(table.slice(offset)) == table_digest(copied)


@given(TEXTS)
def test_text_has_one_digest_however_it_is_encoded(values):
    plain = pa.array(values, pa.string())
    kinds = [plain, plain.cast(pa.large_string()), plain.cast(pa.string_view()), plain.dictionary_encode()]
    ends = [] if not values else [pc.run_end_encode(plain)]
    assert len({table_digest(pa.table({"a": kind})) for kind in (*kinds, *ends)}) == 1


@given(TEXTS)
def test_polars_and_arrow_agree(values):
    frame = pl.DataFrame({"a": pl.Series(values, dtype=pl.String)})
    digests = {
        table_digest(frame),
        table_digest(frame.lazy()),
        table_digest(frame.to_arrow()),
        table_digest(frame.with_columns(pl.col("a").cast(pl.Categorical))),
        table_digest(pa.table({"a": pa.array(values, pa.string())})),
    }
    assert len(digests) == 1


def test_compression_does_not_count(tmp_path):
    table = sample().drop_columns(["map"])
    digests = set()
    for codec in ("zstd", "lz4", "uncompressed"):
        pyarrow.feather.write_feather(table, tmp_path / codec, compression=codec)
        digests.add(table_digest(pyarrow.feather.read_table(tmp_path / codec)))
    assert digests == {table_digest(table)}


def test_what_lies_under_a_null_does_not_count():
    valid = pa.py_buffer(b"\x05")  # rows 0 and 2
    arrays = [
        pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(np.array([1, junk, 3]).tobytes())]) for junk in (7, 8)
    ]
    assert len({table_digest(pa.table({"a": array})) for array in arrays}) == 1


def test_every_nan_counts_as_the_same_nan():
    quiet, other = np.array([0x7FF8000000000000, 0xFFF8000000000001], np.uint64).view(np.float64)
    assert table_digest(pa.table({"a": [quiet]})) == table_digest(pa.table({"a": [other]}))


def test_schema_metadata_and_nullability_flags_do_not_count():
    plain = pa.table({"a": pa.array([1])})
    noted = pa.table({"a": pa.array([1])}, schema=pa.schema([pa.field("a", pa.int64(), nullable=False)], {"k": "v"}))
    assert table_digest(plain) == table_digest(noted)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [1]}, {"b": [1]}),
        ({"a": [1], "b": [2]}, {"b": [2], "a": [1]}),
        ({"a": ["ab", "c"]}, {"a": ["a", "bc"]}),
        ({"a": [None, "a"]}, {"a": ["a", None]}),
        ({"a": [""]}, {"a": [None]}),
        ({"a": [0.0]}, {"a": [-0.0]}),
        ({"a": [1]}, {"a": [1.0]}),
        ({"a": [[1], [2]]}, {"a": [[1, 2], []]}),
        ({"a": [[None]]}, {"a": [[]]}),
        ({"a": [{"x": None}]}, {"a": [{"y": None}]}),
        ({"a": [1]}, {"a": [1, 1]}),
    ],
)
def test_different_contents_have_different_digests(one, other):
    def table(columns):
        kinds = {"a": pa.string()} if columns["a" if "a" in columns else "b"] in ([""], [None]) else {}
        return pa.table({n: pa.array(v, kinds.get(n)) for n, v in columns.items()})

    assert table_digest(table(one)) != table_digest(table(other))


@given(NUMBERS, st.integers(0, 79), st.floats(width=64))
def test_changing_one_number_changes_the_digest(values, at, new):
    if at >= len(values) or values[at] == new or (values[at] is not None and new != new and values[at] != values[at]):  # noqa: PLR0124
        return
    changed = [*values[:at], new, *values[at + 1 :]]
    kind = pa.float64()
    same = pa.array(values, kind).equals(pa.array(changed, kind))
    assert same or table_digest(pa.table({"a": pa.array(values, kind)})) != table_digest(
        pa.table({"a": pa.array(changed, kind)})
    )


def test_an_empty_table_has_the_digest_of_its_schema():
    empty = sample().schema.empty_table()
    assert table_digest(empty) == table_digest(empty.to_batches() or empty)
    assert table_digest(empty) != table_digest(empty.drop_columns(["text"]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3 * BLOCK), st.integers(0, 2 * BLOCK))
def test_going_on_from_the_full_blocks_gives_the_digest_of_the_whole(first, more):
    values = pa.record_batch({"a": np.arange(first + more), "s": np.arange(first + more).astype(str)})
    begun = TableDigest(values.schema)
    begun.update(values.slice(0, first))
    _, blocks = begun.finish()
    resumed = TableDigest(values.schema, blocks)
    resumed.update(values.slice(len(blocks) * BLOCK))
    assert resumed.finish()[0] == table_digest(values)


def test_the_digest_is_the_same_in_every_release():
    assert table_digest(sample()) == "1222436a7a881ccffd1391e85870939b6f605c54700bc68b2a6fe2d18483a829"
    assert (
        table_digest(pa.table({"a": [1, 2, 3]})) == "a9abc4c498dd2d22c41f184b3a8fba6e3a7752dc790ccbeeb6900361439d3835"
    )


def test_a_union_and_batches_of_two_schemas_are_refused_by_name():
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(DataError, match="union"):
        table_digest(pa.table({"a": union}))
    with pytest.raises(DataError, match="'b'"):
        table_digest([pa.record_batch({"a": [1]}), pa.record_batch({"b": [1]})])
    with pytest.raises(DataError, match="no batches"):
        table_digest([])
    with pytest.raises(DataError, match="int holds no Arrow data"):
        table_digest(3)


def test_importing_it_imports_no_heavy_library():
    code = "import sys, mlopsfw.data.tables.digest; print(sorted({'numpy', 'pyarrow', 'polars'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_objects_that_are_nested_too_deeply_for_a_digest_are_refused_at_once():
    kind = pa.int64()
    for _ in range(60):
        kind = pa.struct([("a", kind)])
    with pytest.raises(DataError, match="nested too deeply"):
        logical_type(kind)
