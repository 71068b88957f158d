"""Hashing promises one answer for one text, whatever holds it, and scikit-learn's matrix bit for bit."""

from __future__ import annotations

import numpy as np
import oracle
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction import FeatureHasher

import mlopsfw_core as core

GOLDEN = {  # computed once by Appleby's C code; signs and lengths of every tail
    (b"", 0): 0x00000000,
    (b"", 1): 0x514E28B7,
    (b"", 0xFFFFFFFF): 0x81F16F39,
    (b"\xff\xff\xff\xff", 0): 0x76293B50,
    (b"!Ce\x87", 0): 0xF55B516B,
    (b"!Ce\x87", 0x5082EDEE): 0x2362F9DE,
    (b"!Ce", 0): 0x7E4A8634,
    (b"!C", 0): 0xA0F7B07A,
    (b"!", 0): 0x72661CF4,
    (b"\0\0\0\0", 0): 0x2362F9DE,
    (b"\0\0\0", 0): 0x85F0B427,
    (b"\0\0", 0): 0x30F4C306,
    (b"\0", 0): 0x514E28B7,
    (b"Hello, world!", 0x9747B28C): 0x24884CBA,
    ("ππππππππ".encode(), 0x9747B28C): 0xD58063C1,
    (b"The quick brown fox jumps over the lazy dog", 0x9747B28C): 0x2FA826CD,
}

texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


def same(ours, theirs):
    """Whether two matrices are equal in every buffer, not only in value."""
    pairs = [(ours.data, theirs.data), (ours.indices, theirs.indices), (ours.indptr, theirs.indptr)]
    return ours.shape == theirs.shape and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def rows_of(columns):
    """The dicts that scikit-learn would be given; a null is a key left out."""
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    ]


def test_verification_value_is_that_of_murmurhash3_x86_32():
    keys = [bytes(range(length)) for length in range(256)]
    hashes = b"".join(core.murmurhash3_32(key, 256 - len(key), positive=True).to_bytes(4, "little") for key in keys)
    assert core.murmurhash3_32(hashes, 0, positive=True) == 0xB0F57EE3


@pytest.mark.parametrize(("key", "expected"), GOLDEN.items(), ids=str)
def test_golden_vectors(key, expected):
    assert core.murmurhash3_32(*key, positive=True) == expected


@given(st.binary(max_size=70), st.integers(0, 2**32 - 1))
def test_murmur_equals_its_oracle(key, seed):
    assert core.murmurhash3_32(key, seed, positive=True) == oracle.murmurhash3_32(key, seed)


@given(st.lists(st.none() | texts, min_size=1, max_size=70), st.data())
def test_every_layout_of_a_text_column_gives_the_same_buckets(column, data):
    expected = [oracle.hash_index(text, 1000, 7) for text in column]
    cut = data.draw(st.integers(0, len(column)))
    padding = data.draw(st.integers(0, 65))
    layouts = [
        column,
        np.array(column, dtype=object),
        pl.Series(column, dtype=pl.String),
        pl.Series([None] * padding + column, dtype=pl.String)[padding:],
        pl.Series(column, dtype=pl.Categorical),
        *(
            pa.array([None] * padding + column, type=kind)[padding:]
            for kind in (pa.string(), pa.large_string(), pa.string_view())
        ),
        pa.array([None] * padding + column, type=pa.string()).dictionary_encode()[padding:],
        pa.chunked_array([column[:cut], column[cut:]], type=pa.string()),
    ]
    for layout in layouts:
        assert core.hash_indices(layout, 1000, 7).tolist() == expected


@given(st.lists(texts.filter(lambda text: not text.endswith("\0")), min_size=1, max_size=20))
def test_fixed_width_numpy_strings_hash_as_texts(column):
    expected = [oracle.hash_index(text, 50) for text in column]
    assert core.hash_indices(np.array(column), 50).tolist() == expected
    assert core.hash_indices(np.array(column, dtype=np.dtypes.StringDType()), 50).tolist() == expected


def test_only_missing_values_go_to_the_null_bucket():
    buckets = core.hash_indices(["a", None, float("nan"), ""], 2)
    assert buckets.tolist() == [1, core.NULL_BUCKET, core.NULL_BUCKET, 1]


def test_equal_numbers_hash_alike_whatever_their_type():
    expected = core.hash_indices(["3", "true"], 10**6).tolist()
    assert core.hash_indices([3, True], 10**6).tolist() == expected
    assert core.hash_indices(np.array([3.0]), 10**6).tolist() == expected[:1]
    assert core.hash_indices(pa.array([3], pa.int8()), 10**6).tolist() == expected[:1]
    assert core.hash_indices(pl.Series([True]), 10**6).tolist() == expected[1:]


@pytest.mark.parametrize("n_buckets", [1, 0, -5, 2**32])
def test_impossible_bucket_numbers_are_refused(n_buckets):
    with pytest.raises(ValueError, match="n_buckets"):
        core.hash_indices(["a"], n_buckets)


@settings(max_examples=60)
@given(
    st.integers(1, 12),
    st.integers(1, 30),
    st.sampled_from([1, 2, 7, 64, 1000, 2**20, 2**31 - 1]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_hashed_tables_equal_scikit_learns_bit_for_bit(width, rows, n_features, alternate_sign, random):
    columns = {
        f"c{i}": [random.choice([None, "", "a", "é", "x" * random.randint(0, 400)]) for _ in range(rows)]
        for i in range(width)
    }
    columns["n"] = [random.choice([None, 0.0, 1.5, -2.0]) for _ in range(rows)]
    theirs = FeatureHasher(n_features, alternate_sign=alternate_sign).transform(rows_of(columns))
    schema = {name: pl.Float64 if name == "n" else pl.String for name in columns}
    frame = pl.DataFrame(columns, schema=schema)
    for table in (columns, frame, frame.to_arrow(), pa.table(columns, frame.to_arrow().cast(_plain(columns)).schema)):
        assert same(core.hash_features(table, n_features, alternate_sign=alternate_sign), theirs)
    assert same(core.hash_features(rows_of(columns), n_features, alternate_sign=alternate_sign), theirs)


def _plain(columns):
    return pa.schema([(name, pa.float64() if name == "n" else pa.string()) for name in columns])


@pytest.mark.parametrize(
    ("input_type", "rows"),
    [
        ("string", [["a", "b", "a"], [], ["c"]]),
        ("pair", [[("a", 2), ("b", "x"), ("a", 0.5)], [("z", 0)]]),
        ("dict", [{"a": 1, "b": "x"}, {}, {"c": -3.5}]),
    ],
)
def test_rows_equal_scikit_learns_for_every_input_type(input_type, rows):
    theirs = FeatureHasher(1 << 10, input_type=input_type).transform(rows)
    assert same(core.hash_features(rows, 1 << 10, input_type=input_type), theirs)
    assert (core.hash_features(rows, 1 << 10, input_type=input_type).to_scipy() != theirs).nnz == 0


def test_rows_equal_the_plain_oracle():
    rows = [{"a": "x", "b": 2.5, "c": 0.0}, {"a": "y", "d": -1.0}]
    ours = core.hash_features(rows, 16)
    for row, cells in enumerate(oracle.hash_features(rows, 16)):
        span = slice(ours.indptr[row], ours.indptr[row + 1])
        assert dict(zip(ours.indices[span].tolist(), ours.data[span].tolist(), strict=True)) == cells


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ({}, ValueError),
        ([], ValueError),
        ({"a": ["x"], "b": ["x", "y"]}, ValueError),
        ({"a": []}, ValueError),
        ([{1: 2.0}], TypeError),
    ],
)
def test_tables_that_cannot_be_hashed_say_so(table, error):
    with pytest.raises(error):
        core.hash_features(table)
