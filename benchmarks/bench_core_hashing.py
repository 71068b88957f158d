"""Feature hashing of ten categorical columns, and of texts, against scikit-learn, the same matrix asserted first.

Run: python -m pytest benchmarks/bench_core_hashing.py --benchmark-only
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer

from mlopsfw_core import hash_features, hash_indices, hash_text

sys.path.insert(0, str(Path(__file__).parent))
from core_peers import compare

ROWS = 100_000


def _rows(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


TABLES = {"arrow": pa.table, "polars": pl.DataFrame, "lists": dict, "dicts": _rows}


def _columns() -> dict[str, list[str]]:
    rng = np.random.default_rng(1)
    return {f"column_{i}": rng.choice([f"value_{i}_{k}" for k in range(1000)], ROWS).tolist() for i in range(10)}


@pytest.mark.parametrize("source", TABLES)
def test_hash_features_against_dicts(benchmark, source):
    columns = _columns()
    rows, table, hasher = _rows(columns), TABLES[source](columns), FeatureHasher(1 << 20)
    ours, theirs = hash_features(table), hasher.transform(rows)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(ours.data, theirs.data)
    assert np.array_equal(ours.indptr, theirs.indptr)
    compare(benchmark, lambda: hash_features(table), lambda: hasher.transform(rows), "scikit-learn", rounds=5)


TEXTS = {"word": (1, 2), "char": (3, 3), "char_wb": (3, 5)}


@pytest.mark.parametrize("letters", ["ascii", "mixed"])
@pytest.mark.parametrize("analyzer", TEXTS)
def test_hash_text(benchmark, analyzer, letters):
    rng = np.random.default_rng(2)
    words = [f"{'Wö' if letters == 'mixed' and i % 10 == 0 else 'wo'}rd{i}" for i in range(5000)]
    texts = [" ".join(rng.choice(words, 30)) for _ in range(5000)]
    column, options = pa.array(texts), {"analyzer": analyzer, "ngram_range": TEXTS[analyzer]}
    vectorizer = HashingVectorizer(**options)
    ours, theirs = hash_text(column, **options), vectorizer.transform(texts)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(ours.data, theirs.data)
    assert np.array_equal(ours.indptr, theirs.indptr)
    compare(
        benchmark, lambda: hash_text(column, **options), lambda: vectorizer.transform(texts), "scikit-learn", rounds=3
    )


def test_one_request(benchmark):
    benchmark(hash_indices, ["JFK"], 1000)
