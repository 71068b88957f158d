"""Texts, crosses and bags: scikit-learn's matrix bit for bit, and torch's sum of embeddings."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer

from mlopsfw_core import hash_features, hash_text

ALPHABET = "aAzZ019_ -.\t\n\x0b\x1c\xa0éÉßİıſK中文🎈́'"  # letters that change length in lower case, spaces of every kind
TEXTS = st.lists(st.text(st.sampled_from(ALPHABET), max_size=40), min_size=1, max_size=8)
SHOWN = [
    "The quick  brown fox, the 2nd one: a B cd",
    "",
    " \t\n ",
    "x",
    "naïve café ÉCOLE straße",
    "İstanbul ﬁne 中文 文本",
    "a_b __ c-d e.f " * 40,
]


def same(ours, theirs):
    theirs = theirs.tocsr()
    theirs.sort_indices()
    assert ours.shape == theirs.shape
    assert np.array_equal(ours.indptr, theirs.indptr)
    assert np.array_equal(ours.indices, theirs.indices)
    assert ours.data.dtype == theirs.data.dtype
    assert ours.data.tobytes() == theirs.data.tobytes()


@pytest.mark.parametrize("analyzer", ["word", "char", "char_wb"])
@given(
    texts=TEXTS,
    lengths=st.tuples(st.integers(1, 5), st.integers(0, 4)),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    size=st.tuples(st.sampled_from([1, 7, 2**10, 2**20]), st.sampled_from(["l1", "l2", None])),
)
def test_the_matrix_is_scikit_learns(analyzer, texts, lengths, flags, size):
    lowercase, binary, alternate_sign = flags
    options = {
        "analyzer": analyzer, "ngram_range": (lengths[0], sum(lengths)), "norm": size[1], "lowercase": lowercase,
        "binary": binary, "alternate_sign": alternate_sign, "n_features": size[0],
    }  # fmt: skip
    same(hash_text(texts, **options), HashingVectorizer(**options).transform(texts))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("analyzer", ["word", "char", "char_wb"])
def test_the_defaults_are_scikit_learns(analyzer, dtype):
    theirs = HashingVectorizer(analyzer=analyzer, dtype=dtype).transform(SHOWN)
    same(hash_text(SHOWN, analyzer=analyzer, dtype=dtype), theirs)


def test_every_ascii_character_is_a_letter_or_a_space_as_in_python():
    texts = [f"ab{chr(code)}cd{chr(code)}{chr(code)}E" for code in range(128)]
    for analyzer in ("word", "char", "char_wb"):
        options = {"analyzer": analyzer, "ngram_range": (1, 3)}
        same(hash_text(texts, **options), HashingVectorizer(**options).transform(texts))


def test_any_column_of_texts_gives_the_same_rows_and_a_missing_text_an_empty_one():
    expected = hash_text(["one two", "", "tree é"])
    arrow = pa.array(["zero", "one two", None, "tree é"])[1:]
    columns = [
        np.array(["one two", "", "tree é"]),
        pl.Series(["one two", None, "tree é"]),
        pl.Series(["one two", None, "tree é"], dtype=pl.Categorical),
        arrow,
        arrow.cast(pa.large_string()),
        arrow.cast(pa.string_view()),
        arrow.dictionary_encode(),
        pa.chunked_array([arrow[:1], arrow[1:]]),
    ]
    for column in columns:
        got = hash_text(column)
        assert [part.tobytes() for part in got[:3]] == [part.tobytes() for part in expected[:3]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"analyzer": "words"}, "'char_wb'"),
        ({"ngram_range": (0, 2)}, "ngram_range"),
        ({"ngram_range": (3, 2)}, "ngram_range"),
        ({"norm": "max"}, "'l2'"),
        ({"n_features": 0}, "n_features"),
    ],
)
def test_an_option_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        hash_text(["a b"], **options)


def test_no_text_is_an_error():
    with pytest.raises(ValueError, match="no text"):
        hash_text([])


CELLS = st.one_of(st.none(), st.text(st.sampled_from("ab=é\x1f"), max_size=4))


@given(st.lists(st.tuples(CELLS, CELLS, st.integers(-3, 3)), min_size=1, max_size=12), st.integers(0, 11))
def test_a_cross_is_the_pair_of_joined_names_and_texts(rows, cut):
    table = pa.table(
        {
            "a": pa.chunked_array(
                [pa.array([a for a, _, _ in part], pa.string()) for part in (rows[:cut], rows[cut:])]
            ),
            "b": pa.array([b for _, b, _ in rows], pa.large_string()).dictionary_encode(),
            "n": pa.array([n for _, _, n in rows], pa.int8()),
        }
    )
    dicts = [
        {
            **{name: text for name, text in (("a", a), ("b", b)) if text is not None},
            "n": n,
            **({"a\x1fb\x1fn": f"{a}\x1f{b}\x1f{n}"} if a is not None and b is not None else {}),
            **({"b\x1fa": f"{b}\x1f{a}"} if a is not None and b is not None else {}),
        }
        for a, b, n in rows
    ]
    got = hash_features(table, 2**12, crosses=[("a", "b", "n"), ("b", "a")])
    same(got, FeatureHasher(2**12).transform(dicts))


@pytest.mark.parametrize(
    ("crosses", "message"),
    [(["ab"], "two or more"), ([("a",)], "two or more"), ([("a", "c")], "'c'; there are 'a', 'b'")],
)
def test_a_cross_of_what_is_not_there_is_an_error(crosses, message):
    with pytest.raises(ValueError, match=message):
        hash_features({"a": ["x"], "b": ["y"]}, crosses=crosses)


def test_rows_of_tokens_have_no_crosses():
    with pytest.raises(ValueError, match="rows of tokens"):
        hash_features([{"a": "x"}], crosses=[("a", "b")])


def test_bags_sum_embeddings_as_the_matrix_times_the_table():
    torch = pytest.importorskip("torch")
    rows = hash_text(["one two two", "", "three one"], 64, norm=None)
    table = torch.randn(64, 5, dtype=torch.float64)
    layer = torch.nn.EmbeddingBag.from_pretrained(table.float(), mode="sum")
    bags = rows.to_bags()
    indices, offsets, weights = map(torch.from_numpy, bags)
    got = layer(indices, offsets, per_sample_weights=weights).numpy()
    assert got == pytest.approx(rows.to_scipy() @ table.numpy(), abs=1e-5)
    assert (bags.indices.dtype, bags.offsets.dtype, bags.per_sample_weights.dtype) == (np.int64, np.int64, np.float32)
    assert not got[1].any()
