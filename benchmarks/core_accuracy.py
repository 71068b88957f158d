"""How far the core's answers are from their oracles at most: the table of docs/core-accuracy.md, as Markdown.

Run: python benchmarks/core_accuracy.py [pairs]. Pairs of samples (default 2,000) of 1 to 150 values are drawn in turn from nine kinds: normal,
uniform, tied, rounded, Cauchy, an atom, constant, denormal, far from zero; every second pair is shifted. A deviation is relative
where the oracle's answer is above 1, else absolute.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats
from scipy.spatial import distance
from sklearn.feature_extraction import FeatureHasher
from sklearn.utils import murmurhash3_32 as sklearn_murmur

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "core"))
from core_samples import pair

from mlopsfw_core import drift, hash_features, murmurhash3_32

LEAST = 1e-150

TESTS = {
    "ks_2samp": (drift.ks_2samp, stats.ks_2samp, 1),
    "ks_2samp, asymptotic": (
        lambda x, y: drift.ks_2samp(x, y, method="asymp"), lambda x, y: stats.ks_2samp(x, y, method="asymp"), 1),
    "cramervonmises_2samp": (
        lambda x, y: drift.cramervonmises_2samp(x, y, "asymptotic"),
        lambda x, y: stats.cramervonmises_2samp(x, y, "asymptotic"), 2),
    "anderson_ksamp": (lambda x, y: drift.anderson_ksamp([x, y]), lambda x, y: stats.anderson_ksamp([x, y]), 2),
    "mannwhitneyu": (drift.mannwhitneyu, stats.mannwhitneyu, 1),
    "epps_singleton_2samp": (drift.epps_singleton_2samp, stats.epps_singleton_2samp, 5),
    "ttest_ind": (drift.ttest_ind, stats.ttest_ind, 2),
    "ttest_ind, Welch": (
        lambda x, y: drift.ttest_ind(x, y, equal_var=False), lambda x, y: stats.ttest_ind(x, y, equal_var=False), 2),
}  # fmt: skip
DISTANCES = {
    "wasserstein_distance": (drift.wasserstein_distance, stats.wasserstein_distance),
    "energy_distance": (drift.energy_distance, stats.energy_distance),
}
COUNTS = {
    "jensenshannon": (drift.jensenshannon, distance.jensenshannon),
    "kl_divergence": (drift.kl_divergence, stats.entropy),
    "g_2samp, p-value": (
        lambda p, q: drift.g_2samp(p, q).pvalue, lambda p, q: stats.chi2_contingency([p, q], correction=False, lambda_="log-likelihood").pvalue),
    "chi2_2samp, p-value": (
        lambda p, q: drift.chi2_2samp(p, q).pvalue, lambda p, q: stats.chi2_contingency([p, q], correction=False).pvalue),
    "psi": (drift.psi, lambda p, q: stats.entropy(p, q) + stats.entropy(q, p)),
    "hellinger": (drift.hellinger, lambda p, q: np.sqrt(sum((np.sqrt(p / p.sum()) - np.sqrt(q / q.sum())) ** 2) / 2)),
    "total_variation": (drift.total_variation, lambda p, q: np.abs(p / p.sum() - q / q.sum()).sum() / 2),
    "l_infinity": (drift.l_infinity, lambda p, q: np.abs(p / p.sum() - q / q.sum()).max()),
    "bhattacharyya": (drift.bhattacharyya, lambda p, q: -np.log(np.sqrt(p / p.sum() * (q / q.sum())).sum())),
    "fisher_exact, p-value": (
        lambda p, q: drift.fisher_exact([p[:2], q[:2]]).pvalue,
        lambda p, q: stats.fisher_exact(np.array([p[:2], q[:2]], dtype=int)).pvalue),
}  # fmt: skip


def gap(mine: float, peers: float) -> float:
    """Return the deviation; 0 where the peer has no answer or both have the same."""
    if mine == peers or not np.isfinite(peers):
        return 0.0
    return abs(mine - peers) / max(1.0, abs(peers))


def samples(pairs: int, smallest: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw pairs that a test has an answer for: not all of one value."""
    drawn = (pair(seed) for seed in range(pairs))
    return [(x, y) for x, y in drawn if min(x.size, y.size) >= smallest and np.ptp(np.concatenate([x, y])) > 0]


def counts(pairs: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw counts of 2 to 12 bins, none of them empty."""
    rng = np.random.default_rng(0)
    return [tuple(rng.integers(1, 1000, (2, rng.integers(2, 13))).astype(float)) for _ in range(pairs)]


def row(name: str, drawn: list, ours: Callable, theirs: Callable, oracle: str) -> None:
    """Print the largest deviations of one function: of its statistic, and of its p-value where it has one."""
    worst, answered = np.zeros(2), 0
    for x, y in drawn:
        mine = ours(x, y)
        try:
            peers = theirs(x, y)
        except np.linalg.LinAlgError:  # SciPy's Epps-Singleton gives up on denormals
            continue
        answered += 1
        both = (
            ((mine.statistic, mine.pvalue), (peers.statistic, peers.pvalue))
            if hasattr(peers, "pvalue")
            else ((mine,), (peers,))
        )
        found = [gap(float(a), float(b)) for a, b in zip(*both, strict=True)]
        worst[: len(found)] = np.maximum(worst[: len(found)], found)
    second = f"{worst[1]:.1e}" if len(found) > 1 else ""
    print(f"| `{name}` | {oracle} | {answered:,} | {worst[0]:.1e} | {second} |")


def hashing(pairs: int) -> None:
    """Print how many hashes and matrices differ from scikit-learn's."""
    rng = np.random.default_rng(1)
    keys = [rng.bytes(int(size)) for size in rng.integers(0, 60, pairs)]
    wrong = sum(murmurhash3_32(key, 7) != sklearn_murmur(key, 7) for key in keys)
    print(f"| `murmurhash3_32` | scikit-learn | {pairs} | {wrong} differ | |")
    rows = [{f"f{v}": float(v) for v in rng.integers(0, 99, rng.integers(0, 9))} for _ in range(pairs)]
    matrix, theirs = hash_features(rows, 64).to_scipy(), FeatureHasher(64).transform(rows)
    theirs.sum_duplicates()
    print(f"| `hash_features` | scikit-learn | {pairs} | {abs(matrix - theirs).max():.0f} | |")


def main(pairs: int) -> None:
    """Print the whole table."""
    warnings.simplefilter("ignore")  # SciPy tells of overflow, of capped p-values and of cancellation
    print("| function | oracle | inputs | largest deviation: statistic | p-value |\n|---|---|---|---|---|")
    for name, (ours, theirs, smallest) in TESTS.items():
        drawn = samples(pairs, smallest)
        if name.startswith(("ttest", "epps")):  # SciPy's squares of denormals are 0
            drawn = [(x, y) for x, y in drawn if max(np.abs(x).max(), np.abs(y).max()) > LEAST]
        row(name, drawn, ours, theirs, "SciPy")
    for name, (ours, theirs) in DISTANCES.items():
        row(name, samples(pairs, 1), ours, theirs, "SciPy")
    for name, (ours, theirs) in COUNTS.items():
        row(name, counts(pairs), ours, theirs, "SciPy or the formula")
    rng = np.random.default_rng(2)
    large = [(rng.normal(size=10**7), rng.normal(0.0002, size=10**7))]
    row("ks_2samp, 10^7 rows each", large, drift.ks_2samp, stats.ks_2samp, "SciPy")
    row("wasserstein_distance, 10^7 rows each", large, *DISTANCES["wasserstein_distance"], "SciPy")
    hashing(pairs)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
