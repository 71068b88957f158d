"""Sorting by cells promises what NumPy's sort gives, for any doubles and any number of them, and every statistic the same digits by either."""

from __future__ import annotations

import numpy as np
import pytest
from core_samples import MAKERS
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw_core import Reference, _sorting, compare_column, drift
from mlopsfw_core._numbers import value_counts
from mlopsfw_core._stops import Thinned, stops_of
from mlopsfw_core.profile import profile_column

by_cells = pytest.mark.skipif(not _sorting.HAS_CELLS, reason="the processor lacks AVX2, or the compiler is another")

KINDS = MAKERS | {
    "ascending": lambda rng, n: np.sort(rng.normal(size=n)),
    "descending": lambda rng, n: -np.sort(rng.normal(size=n)),
    "bits": lambda rng, n: np.frombuffer(rng.bytes(8 * n)).copy(),
    "infinities": lambda rng, n: rng.choice([-np.inf, np.inf, 1.0, 2.0], n) * rng.random(n),
    "huge": lambda rng, n: rng.uniform(-1.0, 1.0, n) * 1.7e308,
    "narrow clusters": lambda rng, n: rng.integers(0, 50, n) + 1e-9 * rng.normal(size=n),
    "nested": lambda rng, n: 2.0 ** -rng.integers(0, 1074, n).astype(float),
    "one far away": lambda rng, n: np.where(np.arange(n) == n // 2, 1e300, rng.normal(size=n)),
    "zeros": lambda rng, n: rng.choice([-0.0, 0.0, -5e-324, 5e-324], n),
    "many ties": lambda rng, n: rng.random(n).round(3),
}
SIZES = [0, 1, 2, 15, 16, 17, 63, 64, 65, 257, 1_000, 4_097, 100_003]


def expected(values):
    return np.sort(values[~np.isnan(values)])


def same(got, values):
    """Say whether the values are in order, with as many zeros of each sign as before."""
    signs = [np.count_nonzero(np.signbit(array) & (array == 0)) for array in (got, values)]
    return np.array_equal(got, expected(values)) and signs[0] == signs[1]


@by_cells
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [0.0, 0.05, 1.0])
def test_sorting_by_cells_gives_what_numpy_gives_without_nan(kind, missing):
    for size in SIZES:
        rng = np.random.default_rng(size)
        values = KINDS[kind](rng, size)
        values[rng.random(size) < missing] = rng.choice([np.nan, -np.nan])
        before = values.copy()
        assert same(_sorting.ascending_by_cells(values), values), size
        assert values.tobytes() == before.tobytes()  # the caller's data is left alone


@by_cells
@given(st.lists(st.floats(), max_size=40), st.integers(1, 60), st.randoms(use_true_random=False))
def test_any_doubles_are_sorted(floats, times, random):
    values = np.array(floats * times)
    random.shuffle(values)
    assert same(_sorting.ascending_by_cells(values), values)


@by_cells
def test_the_network_sorts_every_order_of_zeros_and_ones():
    """A network that does so sorts anything (the 0-1 principle). The 16 values of an order share a cell; four orders lie beside each other."""
    orders = np.unpackbits(np.arange(1 << 16, dtype="<u2")[:, None].view(np.uint8), axis=1).reshape(-1, 4, 16)
    places = np.array([1.0, 2.0, 3.0, 4.0])[:, None]
    for four in orders:
        values = (places + four * 1e-12).ravel()
        assert np.array_equal(_sorting.ascending_by_cells(values), np.sort(values))


@by_cells
def test_a_million_values_are_sorted():
    values = np.random.default_rng(1).standard_cauchy(1_000_000)
    assert same(_sorting.ascending_by_cells(values), values)


def test_the_sort_that_is_chosen_leaves_out_nan():
    for size in SIZES:
        values = np.random.default_rng(size).normal(size=size)
        values[::3] = np.nan
        assert np.array_equal(_sorting.ascending(values), expected(values))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0], [-np.inf, 2.0, 2.0, 3.0, np.inf, np.inf]])
def test_values_are_counted_as_numpy_counts_them(values):
    got, counts = value_counts(np.array(values))
    theirs, their_counts = np.unique(values, return_counts=True)
    assert np.array_equal(got, theirs)
    assert counts.tolist() == their_counts.tolist()


def _stops(x, y):
    samples = [Thinned(), Thinned()]
    for sample, values in zip(samples, (x, y), strict=True):
        sample.add(values)
    return stops_of(samples).tobytes()


SORTING = {
    "rank_statistics": lambda x, y: repr(drift.rank_statistics(x, y)),
    "ks_2samp": lambda x, y: repr(drift.ks_2samp(x, y)),
    "KsReference": lambda x, y: repr(drift.KsReference(x).ks_2samp(y)),
    "psi": lambda x, y: repr(drift.psi(x, y, 10)),
    "Reference": lambda x, y: repr(Reference.fit(x).to_dict()),
    "compare_column": lambda x, y: repr(compare_column(Reference.fit(x), y)),
    "stops": _stops,
    "profile": lambda x, y: repr(profile_column(x).numbers.quantiles),
}


@by_cells
@pytest.mark.parametrize("name", SORTING)
@pytest.mark.parametrize("kind", ["normal", "cauchy", "ties", "many ties", "infinities"])
def test_statistics_have_the_same_digits_by_either_sort(name, kind, monkeypatch):
    rng = np.random.default_rng(3)
    x, y = KINDS[kind](rng, 50_000), KINDS[kind](rng, 45_000)
    x[::50] = np.nan
    answers = []
    for path in ("NumPy", "cells"):
        monkeypatch.setattr(_sorting, "PATH", path)
        answers.append(SORTING[name](x, y))
    assert answers[0] == answers[1]
