"""Profiles of a float64 column beside Apache datasketches: its KLL sketch alone, and its sketches of all that a profile holds.

Run: python -m pytest benchmarks/bench_core_profile.py --benchmark-only
"""

from __future__ import annotations

import sys
from pathlib import Path

import datasketches
import numpy as np
import pytest

from mlopsfw_core.profile import ColumnProfile, profile_column

sys.path.insert(0, str(Path(__file__).parent))
from core_peers import compare

SIZE = 1_000_000
rng = np.random.default_rng(3)
SHAPES = {
    "uniform": rng.random(SIZE),
    "heavy": rng.standard_cauchy(SIZE),
    "sorted": np.sort(rng.normal(size=SIZE)),
    "tied": rng.integers(0, 50, SIZE).astype(float),
}


def kll(values):
    sketch = datasketches.kll_doubles_sketch(200)
    sketch.update(values)
    return sketch


def whole_peer(values):
    """KLL, HyperLogLog and frequent items: what a profile holds, less the moments."""
    distinct, frequent = datasketches.hll_sketch(10), datasketches.frequent_items_sketch(6)
    for value in values.tolist():
        distinct.update(value)
        frequent.update(value)
    return kll(values), distinct, frequent


def root_mean_square(rank, values):
    ordered = np.sort(values)
    points = ordered[:: SIZE // 199]
    truth = np.searchsorted(ordered, points, side="right") / SIZE
    return float(np.sqrt(np.mean((np.array([rank(at) for at in points.tolist()]) - truth) ** 2)))


@pytest.mark.parametrize("shape", SHAPES)
def test_profile_against_kll_alone(benchmark, shape):
    values = SHAPES[shape]
    ours, theirs = profile_column(values), kll(values)
    assert ours.rank_error(0.99) <= theirs.normalized_rank_error(as_pmf=False)
    print(
        f"\n    {shape}: stated {ours.rank_error():.4f} v {theirs.normalized_rank_error(as_pmf=False):.4f}, measured"
        f" {root_mean_square(ours.rank, values):.5f} v {root_mean_square(lambda at: theirs.get_rank(at, inclusive=True), values):.5f},"
        f" bytes {len(ours.to_bytes())} (everything) v {len(theirs.serialize())} (quantiles alone)"
    )
    compare(benchmark, lambda: profile_column(values), lambda: kll(values), "datasketches KLL", rounds=5)


def test_profile_against_the_same_content(benchmark):
    values = SHAPES["uniform"][: SIZE // 10]
    compare(benchmark, lambda: profile_column(values), lambda: whole_peer(values), "datasketches", rounds=3)


def test_merge(benchmark):
    first, second = (profile_column(SHAPES[shape]) for shape in ("uniform", "heavy"))
    peers = [kll(SHAPES[shape]) for shape in ("uniform", "heavy")]

    def peer():
        merged = datasketches.kll_doubles_sketch(200)
        merged.merge(peers[0])
        merged.merge(peers[1])

    compare(benchmark, lambda: first.merge(second), peer, "datasketches KLL", rounds=20)


def test_bytes(benchmark):
    first, peer = profile_column(SHAPES["uniform"]), kll(SHAPES["uniform"])

    def there_and_back():
        return datasketches.kll_doubles_sketch.deserialize(peer.serialize())

    compare(
        benchmark, lambda: ColumnProfile.from_bytes(first.to_bytes()), there_and_back, "datasketches KLL", rounds=20
    )
