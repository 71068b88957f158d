"""How far the core's answers are from their oracles where inputs are odd: the second table of docs/core-accuracy.md, as Markdown.

Run: python benchmarks/core_accuracy_edges.py [pairs]. Pairs (default 1,000) are those of core_accuracy.py, a fifth of their values made NaN, infinite or
null, or scaled into the denormals. Oracles are SciPy on what is left, or the defining formula in fractions or 40 digits.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import polars as pl
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "core"))
import test_online_peers as peers
from core_accuracy import gap
from core_samples import pair
from online_streams import follow, stream

from mlopsfw_core import drift

mpmath.mp.dps = 40
Pair = tuple[np.ndarray, np.ndarray]

TESTS = {
    "ks_2samp": (drift.ks_2samp, stats.ks_2samp),
    "cramervonmises_2samp": (
        lambda x, y: drift.cramervonmises_2samp(x, y, "asymptotic"), lambda x, y: stats.cramervonmises_2samp(x, y, "asymptotic")),
    "anderson_ksamp": (lambda x, y: drift.anderson_ksamp([x, y]), lambda x, y: stats.anderson_ksamp([x, y])),
    "mannwhitneyu": (drift.mannwhitneyu, stats.mannwhitneyu),
}  # fmt: skip
DISTANCES = {
    "wasserstein_distance": (drift.wasserstein_distance, stats.wasserstein_distance),
    "energy_distance": (drift.energy_distance, stats.energy_distance),
}


def kuiper(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return V in fractions, and Stephens' series in 40 digits."""
    gaps = [
        Fraction(int((x <= v).sum()), x.size) - Fraction(int((y <= v).sum()), y.size) for v in np.concatenate([x, y])
    ]
    distance, size = max(*gaps, Fraction(0)) - min(*gaps, Fraction(0)), mpmath.mpf(x.size * y.size) / (x.size + y.size)
    square = ((mpmath.sqrt(size) + mpmath.mpf("0.155") + mpmath.mpf("0.24") / mpmath.sqrt(size)) * distance) ** 2
    if not square:
        return float(distance), 1.0
    terms = ((4 * j * j * square - 1) * mpmath.exp(-2 * j * j * square) for j in range(1, 60))
    return float(distance), float(min(1, max(0, 2 * sum(terms))))


def mmd(x: np.ndarray, y: np.ndarray) -> tuple[float]:
    """Return the mean of the kernel over pairs within each sample, less twice that between them, in 40 digits; gamma is 1/2."""

    def total(a: np.ndarray, b: np.ndarray) -> Any:
        return sum(
            mpmath.exp(-sum((mpmath.mpf(p) - mpmath.mpf(q)) ** 2 for p, q in zip(u, v, strict=True)) / 2)
            for u in a
            for v in b
        )

    m, n = len(x), len(y)
    within = (total(x, x) - m) / (m * (m - 1)) + (total(y, y) - n) / (n * (n - 1))
    return (float(within - 2 * total(x, y) / (m * n)),)


def student(x: np.ndarray, y: np.ndarray) -> tuple[float]:
    """Return Student's t in fractions, its root in 40 digits."""
    first, second = ([Fraction(v) for v in sample.tolist()] for sample in (x, y))
    means = [sum(sample) / len(sample) for sample in (first, second)]
    squares = sum(sum((v - mean) ** 2 for v in sample) for sample, mean in zip((first, second), means, strict=True))
    error = squares / (len(first) + len(second) - 2) * (Fraction(1, len(first)) + Fraction(1, len(second)))
    apart = means[0] - means[1]
    ratio = apart * apart / error
    return (float(mpmath.sign(apart.numerator) * mpmath.sqrt(mpmath.mpf(ratio.numerator) / ratio.denominator)),)


def pairs_of(count: int, smallest: int = 2, largest: int = 150) -> Iterator[Pair]:
    """Draw pairs that are not all of one value."""
    for seed in range(count):
        x, y = pair(seed, largest)
        if min(x.size, y.size) >= smallest and np.ptp(np.concatenate([x, y])) > 0:
            yield x, y


def holed(sample: np.ndarray, seed: int, values: list[float]) -> np.ndarray:
    """Put odd values in place of a fifth of a sample."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(sample.size) < 0.2, rng.choice(values, sample.size), sample)


def row(name: str, oracle: str, found: list[tuple[tuple[float, ...], tuple[float, ...]]]) -> None:
    """Print the largest deviations of one function, its statistic's and its p-value's."""
    worst = [max(gap(float(mine[k]), float(theirs[k])) for mine, theirs in found) for k in range(len(found[0][1]))]
    print(
        f"| `{name}` | {oracle} | {len(found):,} | {worst[0]:.1e} | {f'{worst[1]:.1e}' if worst[1:] else ''} |",
        flush=True,
    )


def odd_values(count: int) -> None:
    """Print the rows of NaN, nulls and infinities."""
    drawn = [(holed(x, 1, [np.nan]), holed(y, 2, [np.nan])) for x, y in pairs_of(count, 3)]
    left = [tuple(sample[~np.isnan(sample)] for sample in both) for both in drawn]
    kept = [k for k, (x, y) in enumerate(left) if min(x.size, y.size) > 1 and np.ptp(np.concatenate([x, y])) > 0]
    for name, (ours, theirs) in {**TESTS, **DISTANCES}.items():
        given = {"NaN": lambda sample: sample, "nulls": lambda sample: pl.Series(sample, nan_to_null=True)}
        for what, put in given.items():
            answers = [(ours(*map(put, drawn[k])), theirs(*left[k])) for k in kept]
            row(f"{name}, {what}", "SciPy", [(both(mine), both(peer)) for mine, peer in answers])
    infinite = [(holed(x, 3, [np.inf, -np.inf]), holed(y, 4, [np.inf, -np.inf])) for x, y in pairs_of(count, 3)]
    for name, (ours, theirs) in TESTS.items():
        row(f"{name}, ±inf", "SciPy", [(both(ours(x, y)), both(theirs(x, y))) for x, y in infinite])


def both(answer: Any) -> tuple[float, ...]:
    """Return a test's statistic and p-value, or a distance alone."""
    return (float(answer.statistic), float(answer.pvalue)) if hasattr(answer, "pvalue") else (float(answer),)


def empties() -> None:
    """Print how many tests answer an empty sample otherwise than by "no evidence": statistic 0, the largest p-value."""
    answers = [
        (both(ours(*sides)), (0.0, 0.25 if name == "anderson_ksamp" else 1.0))
        for name, (ours, _) in {**TESTS, "kuiper_2samp": (drift.kuiper_2samp, None)}.items()
        for sides in (([], [1.0]), ([1.0], []), ([], []))
    ]
    wrong = sum(mine != stated for mine, stated in answers)
    print(f"| the five rank tests, an empty sample | 0, the largest p-value | {len(answers)} | {wrong} differ | |")


def formulas(count: int) -> None:
    """Print Kuiper's and MMD's rows, and those of denormals."""
    row(
        "kuiper_2samp",
        "fractions, mpmath",
        [(both(drift.kuiper_2samp(x, y)), kuiper(x, y)) for x, y in pairs_of(count)],
    )
    rng = np.random.default_rng(6)
    points = [(rng.normal(size=(9, 3)), rng.normal(0.3, 1, (7, 3))) for _ in range(count // 10)]
    row("mmd2_unbiased", "mpmath", [((drift.mmd2_unbiased(x, y, 0.5),), mmd(x, y)) for x, y in points])
    small = [tuple(rng.integers(-(2**40), 2**40, n) * 5e-324 for n in rng.integers(3, 60, 2)) for _ in range(count)]
    row("ttest_ind, denormals", "fractions", [((drift.ttest_ind(x, y).statistic,), student(x, y)) for x, y in small])
    for name, (ours, theirs) in TESTS.items():
        whole = [(x / 5e-324, y / 5e-324) for x, y in small]
        answers = zip(small, whole, strict=True)
        row(
            f"{name}, denormals",
            "SciPy, as whole numbers",
            [(both(ours(*tiny)), both(theirs(*plain))) for tiny, plain in answers],
        )


def detectors(count: int) -> None:
    """Print in how many streams a detector fires or warns at other rows than river's."""
    for name, (ours, theirs, kinds, arguments) in peers.PAIRS.items():
        wrong, fired = 0, 0
        for seed in range(count):
            rng, values = stream(kinds, seed, 800)
            chosen = arguments(rng) if seed % 4 else {}
            expected = follow(theirs(**chosen), values)
            wrong, fired = wrong + (peers.signals(ours(**chosen), values) != expected), fired + len(expected[0])
        print(f"| `online.{name}`, {fired:,} detections | river | {count:,} streams | {wrong} differ | |", flush=True)


def large() -> None:
    """Print the rows of 10^7 values a side."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=10**7), rng.normal(0.0002, size=10**7)
    for name in ("wasserstein_distance", "energy_distance", "cramervonmises_2samp"):
        ours, theirs = {**TESTS, **DISTANCES}[name]
        row(f"{name}, 10^7 rows each", "SciPy", [(both(ours(x, y)), both(theirs(x, y)))])


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # SciPy tells of overflow and of capped p-values
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| function | oracle | inputs | largest deviation: statistic | p-value |\n|---|---|---|---|---|")
    odd_values(pairs)
    empties()
    formulas(pairs)
    detectors(pairs)
    large()
