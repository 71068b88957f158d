"""Two-sample statistics of a million values against SciPy, equal answers asserted first.

Run: python -m pytest benchmarks/bench_core_drift.py --benchmark-only
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from mlopsfw_core import Reference, _sorting, compare_table, drift, ks_2samp, wasserstein_distance
from mlopsfw_core.drift._binning import count_bins

sys.path.insert(0, str(Path(__file__).parent))
from core_peers import best_of, compare

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


def test_ks_of_columns_with_nulls(benchmark):
    """One value in twenty is null; the peer is given what pandas users give it, the column without them."""
    rng = np.random.default_rng(5)
    x, y = (pl.Series(sample).set(pl.Series(rng.random(SIZE) < 0.05), None) for sample in _draw("uniform"))

    def peer():
        return stats.ks_2samp(x.drop_nulls().to_numpy(), y.drop_nulls().to_numpy())

    assert ks_2samp(x, y).statistic == pytest.approx(peer().statistic, abs=1e-15)
    compare(benchmark, lambda: ks_2samp(x, y), peer, "scipy", rounds=3)


@KINDS
def test_sorting_by_cells_beside_numpy(benchmark, kind):
    """Which of them `ascending` takes depends on the processor; 1e6 values, so that milliseconds are nanoseconds a value."""
    x, _ = _draw(kind)
    if not _sorting.HAS_CELLS:
        pytest.skip("this processor or build cannot sort by cells")
    assert np.array_equal(_sorting.ascending_by_cells(x), np.sort(x))
    compare(benchmark, lambda: _sorting.ascending_by_cells(x), lambda: np.sort(x), "np.sort")


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
    reference = drift.KsReference(x)
    ours, theirs = reference.ks_2samp(y), stats.ks_2samp(x, y)
    assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-15)
    assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-9)
    compare(benchmark, lambda: reference.ks_2samp(y), lambda: stats.ks_2samp(x, y), "scipy", rounds=3)


@KINDS
def test_wasserstein_distance(benchmark, kind):
    x, y = _draw(kind)
    assert wasserstein_distance(x, y) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-9)
    compare(benchmark, lambda: wasserstein_distance(x, y), lambda: stats.wasserstein_distance(x, y), "scipy", rounds=3)


@KINDS
def test_cramervonmises_2samp(benchmark, kind):
    x, y = _draw(kind)
    ours, theirs = drift.cramervonmises_2samp(x, y), stats.cramervonmises_2samp(x, y)
    assert ours.pvalue == pytest.approx(theirs.pvalue, abs=1e-7)
    compare(
        benchmark,
        lambda: drift.cramervonmises_2samp(x, y),
        lambda: stats.cramervonmises_2samp(x, y),
        "scipy",
        rounds=3,
    )


@KINDS
def test_energy_distance(benchmark, kind):
    x, y = _draw(kind)
    assert drift.energy_distance(x, y) == pytest.approx(stats.energy_distance(x, y), rel=1e-9)
    compare(benchmark, lambda: drift.energy_distance(x, y), lambda: stats.energy_distance(x, y), "scipy", rounds=3)


@KINDS
@pytest.mark.filterwarnings("ignore")  # SciPy warns that its p-value is capped
def test_anderson_ksamp(benchmark, kind):
    x, y = _draw(kind)
    assert drift.anderson_ksamp([x, y]).statistic == pytest.approx(stats.anderson_ksamp([x, y]).statistic, rel=1e-6)
    compare(benchmark, lambda: drift.anderson_ksamp([x, y]), lambda: stats.anderson_ksamp([x, y]), "scipy", rounds=2)


@KINDS
def test_all_rank_statistics_beside_the_two_sorts(benchmark, kind):
    """KS, Kuiper, W1, CvM, energy, AD and MWU together: at most 1.5 times the sorts' cost is a ratio of at least 0.67."""
    x, y = _draw(kind)
    assert drift.rank_statistics(x, y).wasserstein_distance == wasserstein_distance(x, y)
    compare(benchmark, lambda: drift.rank_statistics(x, y), lambda: (np.sort(x), np.sort(y)), "the sorts alone")


def _numpy_psi(p, edges, y):
    q = np.histogram(y, edges)[0] / y.size
    return float(np.sum((q - p) * np.log(q / p)))


def test_psi_of_a_million_against_frozen_bins(benchmark):
    x, y = _draw("uniform")
    content = Reference.fit(x).content
    edges = np.concatenate([[-np.inf], content.edges, [np.inf]])
    shares = content.counts / x.size
    expected = _numpy_psi(shares, edges, y)
    assert drift.psi(content.counts, count_bins(y, content.edges)) == pytest.approx(expected, rel=1e-9)
    compare(
        benchmark,
        lambda: drift.psi(content.counts, count_bins(y, content.edges)),
        lambda: _numpy_psi(shares, edges, y),
        "numpy.histogram",
    )


def test_psi_of_two_samples_in_quantile_bins(benchmark):
    x, y = _draw("uniform")

    def peer():
        edges = np.quantile(x, np.linspace(0, 1, 11))
        edges[0], edges[-1] = -np.inf, np.inf
        return _numpy_psi(np.histogram(x, edges)[0] / x.size, edges, y)

    assert drift.psi(x, y, 10) == pytest.approx(peer(), rel=1e-2)
    compare(benchmark, lambda: drift.psi(x, y, 10), peer, "numpy.quantile and histogram")


BINNED = {
    "PSI": drift.psi,
    "HellingerDistance": lambda x, y, bins: drift.hellinger(x, y, bins=bins),
    "JS": lambda x, y, bins: drift.jensenshannon(x, y, bins=bins),
}


@KINDS
@pytest.mark.parametrize("name", BINNED)
def test_binned_distances_of_two_samples_in_uniform_bins(benchmark, name, kind):
    """The peer takes the range of both samples, ours that of the reference; the answers are compared on the peer's edges."""
    peers = pytest.importorskip("frouros.detectors.data_drift")
    x, y = _draw(kind)

    def peer():
        detector = getattr(peers, name)(num_bins=10)
        detector.fit(X=x)
        return detector.compare(X=y)[0].distance

    ours, edges = BINNED[name], np.histogram_bin_edges(np.concatenate([x, y]), 10)
    if kind != "heavy":  # where bins are empty the rules differ, and the peer's JS interpolates between bins
        assert ours(x, y, edges) == pytest.approx(peer(), rel=1e-9 if name != "JS" else 0.1)
    compare(benchmark, lambda: ours(x, y, ("uniform", 10)), peer, "frouros", rounds=3)


def test_mmd_with_a_hundred_permutations(benchmark):
    """Beside alibi-detect, whose interpreter `MLOPSFW_ALIBI_PYTHON` names (it needs numpy < 2): the same estimate, 100 permutations."""
    if "MLOPSFW_ALIBI_PYTHON" not in os.environ:
        pytest.skip("name an interpreter that has alibi-detect and torch in MLOPSFW_ALIBI_PYTHON")
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2000, 20)), rng.normal(size=(2000, 20))
    asked = subprocess.run(
        [os.environ["MLOPSFW_ALIBI_PYTHON"], "-c", ALIBI],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | ONE_THREAD,
    )
    seconds, statistic = map(float, asked.stdout.split()[-2:])
    assert drift.mmd_test(x, y, 0.05).statistic == pytest.approx(statistic, abs=1e-7)  # the peer's is in float32
    benchmark.pedantic(lambda: drift.mmd_test(x, y, 0.05), rounds=3)
    mine = benchmark.stats.stats.min
    benchmark.extra_info.update(peer="alibi-detect", peer_seconds=seconds, seconds=mine, ratio=round(seconds / mine, 2))
    print(f"\n    {benchmark.name}: {mine:.3f} s, alibi-detect {seconds:.1f} s, {seconds / mine:.1f} times faster")


ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
ALIBI = """
import time, numpy, torch
from alibi_detect.cd import MMDDrift
torch.set_num_threads(1)
rng = numpy.random.default_rng(3)
x, y = rng.normal(size=(2000, 20)), rng.normal(size=(2000, 20))
start = time.perf_counter()
detector = MMDDrift(
    x, backend="pytorch", n_permutations=100, device="cpu", sigma=numpy.array([10**0.5]), configure_kernel_from_x_ref=False
)
found = detector.predict(y)["data"]
print(time.perf_counter() - start, float(found["distance"]))
"""


def test_two_cores_on_a_wide_table(benchmark, monkeypatch):
    """The peer is ourselves with one thread; 1.8 needs both cores to be free."""
    rng = np.random.default_rng(6)
    frame = {f"n{i:02}": rng.normal(size=200_000) for i in range(40)}
    references = {name: Reference.fit(column) for name, column in frame.items()}

    def with_threads(count):
        monkeypatch.setenv("MLOPSFW_THREADS", str(count))
        return compare_table(references, frame)

    assert with_threads(1) == with_threads(2)
    compare(benchmark, lambda: with_threads(2), lambda: with_threads(1), "one thread")


def test_drift_report_of_100k_rows_by_25_columns(benchmark):
    rng = np.random.default_rng(4)
    names = [f"category {i}" for i in range(40)]
    columns = {f"n{i:02}": rng.normal(size=100_000) for i in range(20)}
    columns |= {f"c{i}": rng.choice(names, 100_000) for i in range(5)}
    frame = pl.DataFrame(columns)
    references = {name: Reference.fit(frame[name]) for name in frame.columns}
    report = benchmark.pedantic(lambda: compare_table(references, frame), rounds=5, warmup_rounds=1)
    assert not any(column.drifted for column in report)
    fit = benchmark.extra_info["fit_seconds"] = best_of(lambda: [Reference.fit(frame[name]) for name in frame.columns])
    print(f"\n    report {benchmark.stats.stats.min * 1e3:.0f} ms, references fitted in {fit * 1e3:.0f} ms")
