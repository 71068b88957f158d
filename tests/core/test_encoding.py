"""The kernels that encode a table: beside NumPy and plain Python, in every layout of Arrow, and refusing what they would overrun."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw_core._encoding import MISSING, RAMP, SCALE, STEP, Vocabulary, encode_numbers, encode_texts, moments
from mlopsfw_core._text import distinct_texts

NONE = np.empty((2, 0))
FLAG = (MISSING, 0, 0, 1, 0, 0.0, 0.0, 0.0)
NUMBERS = st.none() | st.floats() | st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e308, -1e308, 5e-324])
TEXTS = (
    st.none()
    | st.text("aé\0", max_size=20)
    | st.sampled_from(["12 bytes text", "a text that", "a long text, number 1"])
)


def twin(steps, intervals, columns):
    """Encode one value after the other."""
    width = max((at + count for _, _, at, count, *_ in steps), default=0)
    out = np.zeros((len(columns[0]), width), dtype=np.float32)
    for kind, source, at, count, first, mean, factor, limit in steps:
        for row, value in enumerate(columns[source]):
            x, absent = np.float64(value), value is None or value != value  # noqa: PLR0124 - NaN
            if kind == MISSING:
                out[row, at] = absent
            elif absent:
                out[row, at : at + count] = 0
            elif kind == SCALE:
                out[row, at] = min(max((x - mean) * factor, -limit), limit)
            else:
                for k in range(count):
                    out[row, at + k] = min(max((x - intervals[0, first + k]) * intervals[1, first + k], 0.0), 1.0)
    return out


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), max_size=9), st.integers(1, 30), st.integers(0, 9), st.permutations(range(4))
)
@settings(max_examples=40, deadline=None)
def test_numbers_are_encoded_as_one_by_one_wherever_a_column_begins(rows, times, begin, order):
    rows *= times
    intervals = np.array([[-1.0, 0.0, 2.0], [1.0, 0.5, 1e300]])
    makes = [
        lambda at: (SCALE, 0, at, 1, 0, 0.25, 3.0, 8.0),
        lambda at: (MISSING, 0, at, 1, 0, 0.0, 0.0, 0.0),
        lambda at: (RAMP, 1, at, 3, 0, 0.0, 0.0, 0.0),
        lambda at: (SCALE, 1, at, 1, 0, -1.0, 1e-3, 2.0),
    ]
    starts = np.cumsum([0, *(3 if which == 2 else 1 for which in order)]).tolist()
    steps = [makes[which](at) for which, at in zip(order, starts, strict=False)]
    columns = [[row[side] for row in rows[begin:]] for side in (0, 1)]
    arrow = [pl.Series([row[side] for row in rows], dtype=pl.Float64)[begin:] for side in (0, 1)]
    matrix = np.array([[np.nan if value is None else value for value in column] for column in columns])
    with np.errstate(over="ignore", invalid="ignore"):
        expected = twin(steps, intervals, columns)
    for source in (arrow, [each.to_arrow() for each in arrow], matrix.reshape(2, -1)):
        room = np.full((len(columns[0]), 8), 7.0, dtype=np.float32)  # wider than what is made
        encode_numbers(np.array(steps, dtype=STEP), intervals, source, room)
        assert np.array_equal(room[:, :6], expected)
        assert (room[:, 6:] == 7).all()


@pytest.mark.parametrize(
    "step", [(3, *FLAG[1:]), (0, 1, *FLAG[2:]), (0, 0, 1, *FLAG[3:]), (0, 0, -1, *FLAG[3:]), (RAMP, 0, 0, 1, 0, 0.0, 0.0, 0.0),
             (0, 0, 1, 0, *FLAG[4:])]
)  # fmt: skip
def test_a_step_beyond_its_columns_is_refused(step):
    with pytest.raises(ValueError, match="beyond"):
        encode_numbers(np.array([step], dtype=STEP), NONE, np.zeros((1, 2)), np.zeros((2, 1), dtype=np.float32))


@pytest.mark.parametrize(
    ("columns", "out"),
    [
        (np.zeros((1, 3)), np.zeros((2, 1), dtype=np.float32)),
        (np.zeros((1, 2), dtype=np.float32), np.zeros((2, 1), dtype=np.float32)),
        (np.zeros((1, 4))[:, ::2], np.zeros((2, 1), dtype=np.float32)),
        (np.zeros((1, 2)), np.zeros((2, 1))),
        ([pa.array([1, 2])], np.zeros((2, 1), dtype=np.float32)),
        ([pa.array([1.0])], np.zeros((2, 1), dtype=np.float32)),
        ([pa.chunked_array([[1.0], [2.0]])], np.zeros((2, 1), dtype=np.float32)),
    ],
)
def test_numbers_of_another_layout_are_refused(columns, out):
    with pytest.raises(TypeError, match="float"):
        encode_numbers(np.array([FLAG], dtype=STEP), NONE, columns, out)


@given(st.lists(NUMBERS | st.floats(-9, 9), max_size=30), st.integers(1, 60), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_moments_have_the_bits_of_numpy(values, times, begin):
    values *= times
    finite = np.array([each for each in values[begin:] if each is not None and np.isfinite(each)])
    with np.errstate(over="ignore", invalid="ignore"):
        mean = finite.mean() if finite.size else 0.0
        expected = finite.size, mean, finite.var() if finite.size else 0.0
    count, centre, squares = moments(pl.Series(values, dtype=pl.Float64)[begin:])
    assert np.array_equal(expected, (count, centre, squares / max(count, 1)), equal_nan=True)


@given(st.lists(TEXTS, max_size=200), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_texts_are_counted_and_coded_alike_in_every_layout(values, begin):
    part = values[begin:]
    expected = Counter(each for each in part if each is not None)
    vocabulary = sorted(expected)[::2]
    codes = [
        0 if each is None else vocabulary.index(each) + 1 if each in vocabulary else len(vocabulary) + 1
        for each in part
    ]
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        column = pa.array(values, kind)[begin:]
        first, counts = distinct_texts(column)
        assert {
            column[row].as_py(): count for row, count in zip(first.tolist(), counts.tolist(), strict=True)
        } == expected
        assert all(part.index(part[row]) == row for row in first.tolist())
        out = np.full((len(part), 3), -1)
        encode_texts([Vocabulary(vocabulary)], [column], [1], out)
        assert out.tolist() == [[-1, code, -1] for code in codes]


def test_as_many_texts_as_make_a_table_large_are_all_told_apart():
    first, counts = distinct_texts(pl.Series([f"number {number}" for number in range(40_000)] * 2))
    assert sorted(first.tolist()) == list(range(40_000))
    assert set(counts.tolist()) == {2}


def test_bytes_behind_a_short_text_of_a_view_are_no_part_of_it():
    views = b"".join(size.to_bytes(4, "little") + b"abcdefgh" + bytes([size] * 4) for size in (0, 3, 3, 8, 8, 9))
    column = pa.Array.from_buffers(pa.string_view(), 6, [None, pa.py_buffer(views)])
    out = np.zeros((6, 1), dtype=np.int64)
    encode_texts([Vocabulary(["", "abc", "abcdefgh", "abcdefgh\t"])], [column], [0], out)
    assert out.ravel().tolist() == [1, 2, 2, 3, 3, 4]


@pytest.mark.parametrize(
    "column", [pa.array(["a", "b"]).dictionary_encode(), pa.array(["a"]), pa.chunked_array([["a"], ["b"]])]
)
def test_texts_of_another_layout_are_refused(column):
    with pytest.raises(TypeError, match="one chunk"):
        encode_texts([Vocabulary(["a"])], [column], [0], np.zeros((2, 1), dtype=np.int64))


def test_a_place_beyond_the_codes_is_refused():
    with pytest.raises(ValueError, match="no column 1"):
        encode_texts([Vocabulary(["a"])], [pa.array(["a"])], [1], np.zeros((1, 1), dtype=np.int64))
