"""Columns promise the same numbers and nulls, whatever holds them, and no copy where none is needed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw_core._buffers import column_kind, numeric_values, table_columns
from mlopsfw_core._text import category_counts

DTYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "?"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_order_and_stride_reads_alike(dtype):
    values = np.arange(24).astype(dtype)
    expected = values.astype(np.float64)
    for layout in (values, values.astype(values.dtype.newbyteorder()), np.repeat(values, 3)[::3], values.reshape(4, 6)):
        assert np.array_equal(numeric_values(layout)[0], expected)
    assert np.array_equal(numeric_values(values[::-1])[0], expected[::-1])


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "f2"])
@pytest.mark.parametrize("offset", [0, 1, 7, 8, 9, 63, 64, 65])
def test_arrow_slices_read_their_own_rows_and_nulls(dtype, offset):
    values = [None if i % 3 == 0 else bool(i % 2) if dtype == "?" else i % 100 for i in range(100)]
    column = pa.array(values, pa.bool_() if dtype == "?" else pa.from_numpy_dtype(dtype))[offset : offset + 20]
    expected = [float(value) for value in values[offset : offset + 20] if value is not None]
    got, nulls = numeric_values(column)
    assert got.tolist() == expected
    assert nulls == 20 - len(expected)


@given(st.lists(st.none() | st.floats(allow_nan=True, width=64), max_size=80), st.data())
def test_chunks_series_and_lists_read_alike(column, data):
    cut = data.draw(st.integers(0, len(column)))
    expected = np.array([value for value in column if value is not None], dtype=float)
    sources = [
        column,
        pl.Series(column, dtype=pl.Float64),
        pa.chunked_array([column[:cut], [], column[cut:]], type=pa.float64()),
        pa.array(column, pa.float64()).dictionary_encode(),
        np.array(column, dtype=object),
    ]
    for source in sources:
        got, nulls = numeric_values(source)
        assert np.array_equal(got, expected, equal_nan=True)
        assert nulls == column.count(None)


def test_float64_is_read_without_a_copy_and_never_writable_from_arrow():
    values = np.arange(10.0)
    assert np.shares_memory(numeric_values(values)[0], values)
    shared = numeric_values(pa.array(values))[0]
    assert np.shares_memory(shared, values)
    assert not shared.flags.writeable


def test_a_view_outlives_the_column_it_came_from():
    values = numeric_values(pl.Series(np.arange(1000.0)))[0]
    assert values.sum() == 499500.0


def test_times_decimals_and_masks_are_numbers():
    day = dt.date(1970, 1, 11)
    assert numeric_values(pa.array([day, None]))[0].tolist() == [10.0]
    assert numeric_values(np.array(["1970-01-02", "NaT"], dtype="M8[D]")) == (np.array([1.0]), 1)
    assert numeric_values(pl.Series([dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)]))[0].tolist() == [1e6]
    assert numeric_values(pa.array([Decimal("-12.34"), None], pa.decimal128(9, 2)))[0].tolist() == [-12.34]
    assert numeric_values(np.ma.array([1.0, 2.0], mask=[True, False])) == (np.array([2.0]), 1)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([1, 2.5, None], "numeric"),
        (["a", None], "categorical"),
        ([True, False], "categorical"),
        ([None, None], "numeric"),
        (np.array([1, 2]), "numeric"),
        (np.array(["a"]), "categorical"),
        (np.array([1, None], dtype=object), "numeric"),
        (pa.array([1.0]), "numeric"),
        (pa.array(["a"]).dictionary_encode(), "categorical"),
        (pl.Series([True]), "categorical"),
        (pl.Series(["a"], dtype=pl.Categorical), "categorical"),
        (pl.Series([dt.date(2013, 1, 1)]), "numeric"),
    ],
)
def test_kind_follows_the_type(column, kind):
    assert column_kind(column) == kind


@pytest.mark.parametrize("column", [["a"], np.array(["a"]), pa.array(["a"]), pa.array([[1]]), pl.Series([{"a": 1}])])
def test_what_holds_no_numbers_is_refused(column):
    with pytest.raises(TypeError):
        numeric_values(column)


@given(
    st.lists(st.none() | st.sampled_from(["a", "b", "", "é" * 20, "a long text, more than twelve bytes"]), max_size=60)
)
def test_categories_are_counted_alike_in_every_layout(column):
    expected = {text: column.count(text) for text in set(column) - {None}}
    arrow = pa.array(column, pa.string())
    for source in (column, arrow, arrow.dictionary_encode(), pl.Series(column, dtype=pl.String)):
        assert category_counts(source) == (expected, column.count(None))


def test_many_categories_are_all_counted():
    texts = [f"category number {i % 5000}" for i in range(20000)]
    counts, _ = category_counts(pl.Series(texts))
    assert len(counts) == 5000
    assert set(counts.values()) == {4}


@pytest.mark.parametrize("odd", [[0.5, "12"], [None, "12"], [b"\xff", "text"], [1, 10**400], [[1], [2, 3]]])
def test_lists_with_texts_or_numbers_too_large_hold_no_numbers(odd):
    with pytest.raises(TypeError, match=r"holds? no"):
        numeric_values(odd)


def test_a_signalling_nan_of_fewer_bits_is_a_nan_without_a_warning():
    column = np.frombuffer(bytes([0x01, 0x00, 0xA0, 0x7F]), dtype="<f4")
    assert np.isnan(numeric_values(column)[0]).all()


def test_tables_split_into_columns_in_their_order():
    frame = pl.DataFrame({"b": [1, 2], "a": ["x", None]})
    for table in (frame, frame.to_arrow(), frame.to_arrow().to_batches()[0], {"b": [1, 2], "a": ["x", None]}):
        columns = table_columns(table)
        assert list(columns) == ["b", "a"]
        assert numeric_values(columns["b"])[0].tolist() == [1.0, 2.0]
        assert category_counts(columns["a"]) == ({"x": 1}, 1)


def test_a_table_is_no_column_and_a_column_no_table():
    frame = pl.DataFrame({"a": [1]})
    with pytest.raises(TypeError, match="nested"):
        numeric_values(frame)
    with pytest.raises(TypeError, match="single column"):
        table_columns(frame["a"])
    with pytest.raises(TypeError, match="neither"):
        table_columns(7)
