"""Two-sample statistics of a million values against SciPy, equal answers asserted first.

Run: python -m pytest benchmarks/bench_core_drift.py -s -o addopts=--import-mode=importlib
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mlopsfw_core import Reference, ks_2samp, wasserstein_distance
from mlopsfw_core._numbers import ks_against

sys.path.insert(0, str(Path(__file__).parent))
from core_peers import compare

SIZE = 1_000_000


def _draw(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    x, y = rng.random(SIZE), rng.random(SIZE) * 1.004  # far enough apart for a p-value worth computing
    if kind == "heavy":
        return np.tan(np.pi * (x - 0.5)), np.tan(np.pi * (y / 1.004 - 0.5)) * 1.01
    if kind == "tied":
        return x.round(2), y.round(2)
    return x, y


KINDS = pytest.mark.parametrize("kind", ["uniform", "heavy", "tied"])


@KINDS
def test_ks_2samp(benchmark, kind):
    x, y = _draw(kind)
    ours, theirs = ks_2samp(x, y), stats.ks_2samp(x, y)
    assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-15)
    assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-9)
    compare(benchmark, lambda: ks_2samp(x, y), lambda: stats.ks_2samp(x, y), "scipy", rounds=3)


@KINDS
def test_ks_against_a_prepared_reference(benchmark, kind):
    x, y = _draw(kind)
    reference = Reference.fit(x, max_points=SIZE).content
    ours, theirs = ks_against(reference, np.sort(y)), stats.ks_2samp(x, y)
    assert ours[0] == pytest.approx(theirs.statistic, abs=1e-15)
    compare(benchmark, lambda: ks_against(reference, np.sort(y)), lambda: stats.ks_2samp(x, y), "scipy", rounds=3)


@KINDS
def test_wasserstein_distance(benchmark, kind):
    x, y = _draw(kind)
    assert wasserstein_distance(x, y) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-9)
    compare(benchmark, lambda: wasserstein_distance(x, y), lambda: stats.wasserstein_distance(x, y), "scipy", rounds=3)
