"""A feature plan, fitted and applied to a training table, beside scikit-learn's ColumnTransformer with the same output.

Numbers are standardised, and a missing one becomes the mean, with a flag beside it; categories become ordinal codes. Both get the same Polars frame.

Run: python -m pytest benchmarks/bench_features.py -s -o addopts=--import-mode=importlib
"""

from __future__ import annotations

import os
import time

import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from mlopsfw.features import FeaturePlan
from mlopsfw.roles import TrainingTask

ROWS, NUMBERS, CATEGORIES, LEVELS = int(os.environ.get("MLOPSFW_BENCH_ROWS", "1000000")), 40, 10, 100
NUMERIC = [f"n{number}" for number in range(NUMBERS)]
TEXTS = [f"c{number}" for number in range(CATEGORIES)]
TASK = TrainingTask(task="binary", target="y", options={name: {"bins": 0} for name in NUMERIC})


@pytest.fixture(scope="module")
def frame():
    """Return 10^6 × 50: every number is null in one row of twenty, every category too."""
    draw = np.random.default_rng(0)
    words = pl.Series([f"level-{number}" for number in range(LEVELS)])
    columns = {}
    for name in (*NUMERIC, *TEXTS):
        values = pl.Series(draw.normal(size=ROWS)) if name in NUMERIC else words[draw.integers(0, LEVELS, ROWS)]
        columns[name] = values.set(pl.Series(draw.random(ROWS) < 0.05), None)
    return pl.DataFrame(columns).with_columns(y=pl.Series(draw.random(ROWS) < 0.5))


def ours(frame):
    plan = FeaturePlan.fit(frame, TASK)
    return plan.polars(frame)


def theirs(frame):
    scaled = make_pipeline(StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0))
    transformer = ColumnTransformer(
        [
            ("scaled", scaled, NUMERIC),
            ("missing", MissingIndicator(features="all"), NUMERIC),
            ("codes", OrdinalEncoder(), TEXTS),
        ]
    )
    return transformer.fit_transform(frame)


def timed(function, frame):
    start = time.perf_counter()
    result = function(frame)
    return result, time.perf_counter() - start


def test_a_plan_beside_a_column_transformer(benchmark, frame):
    seconds = {ours: [], theirs: []}
    for _ in range(3):
        results = {}
        for function, times in seconds.items():
            results[function], taken = timed(function, frame)
            times.append(taken)
    arrays, matrix = results[ours], results[theirs]
    numeric, codes = arrays["numeric"], arrays["categorical"]
    assert np.allclose(numeric[:, 0::2], matrix[:, :NUMBERS], atol=1e-5)
    assert np.array_equal(numeric[:, 1::2], matrix[:, NUMBERS : 2 * NUMBERS])
    missing_last = np.where(codes == 0, LEVELS, codes - 1)  # scikit-learn counts a missing text as one more, the last
    assert np.array_equal(missing_last, matrix[:, 2 * NUMBERS :])
    benchmark.pedantic(lambda: None, rounds=1)
    best = {function: min(times) for function, times in seconds.items()}
    ratio = best[theirs] / best[ours]
    benchmark.extra_info["ratio"] = ratio
    print(f"\n{ROWS:,} rows x 50: {best[ours]:.2f} s against {best[theirs]:.2f} s: {ratio:.1f} x (target 10 x)")
