"""Under no change p-values are uniform or larger, ties included; under a change ours reject where SciPy's do, one for one.

The night runs 1,000 simulations of each, a push 100; MLOPSFW_SIMULATIONS=10000 runs ten times as many. `-s` prints the table of docs/core-accuracy.md.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy import stats

from mlopsfw_core import drift

TRIALS = int(os.environ.get("MLOPSFW_SIMULATIONS", "1000"))  # by night; a push makes a tenth
LEVELS = (0.01, 0.05, 0.1)
SIZES = [(30, 30), (60, 80), (40, 400)]

TESTS = {
    "ks_2samp": drift.ks_2samp,
    "kuiper_2samp": drift.kuiper_2samp,
    "cramervonmises_2samp": lambda x, y: drift.cramervonmises_2samp(x, y, "asymptotic"),
    "anderson_ksamp": lambda x, y: drift.anderson_ksamp([x, y]),
    "epps_singleton_2samp": drift.epps_singleton_2samp,
    "mannwhitneyu": drift.mannwhitneyu,
    "ttest_ind": drift.ttest_ind,
    "welch": lambda x, y: drift.ttest_ind(x, y, equal_var=False),
    "permutation_test": lambda x, y: drift.permutation_test(x, y, lambda a, b: abs(a.mean() - b.mean()), 99),
}
# Limit laws that are known to reject a little too often at these sizes, as SciPy's do: by how much at most.
SLACK = {
    ("epps_singleton_2samp", "normal"): 1.8,
    ("epps_singleton_2samp", "ties"): 2.8,
    ("anderson_ksamp", "ties"): 2.3,
    ("cramervonmises_2samp", "normal"): 1.1,
    ("cramervonmises_2samp", "ties"): 1.2,
}
# Where SciPy's test, which ours equals, does not hold its level at all; docs/core.md says so, and what to use instead.
UNSOUND = {
    ("cramervonmises_2samp", "ties", (40, 400)),
    ("epps_singleton_2samp", "normal", (40, 400)),
    ("epps_singleton_2samp", "ties", (40, 400)),
}
UNIFORM = {
    "mannwhitneyu",
    "ttest_ind",
    "welch",
    "cramervonmises_2samp",
}  # continuous; the others are lattices or conservative

DRAWS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "ties": lambda rng, n: rng.integers(0, 8, n).astype(float),
}


def null_pvalues(name, draw, sizes, trials):
    rng = np.random.default_rng(len(name) + sum(sizes))
    trials = trials // 4 if name == "permutation_test" else trials
    return np.array([TESTS[name](*(DRAWS[draw](rng, n) for n in sizes)).pvalue for _ in range(trials)])


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "trials", [pytest.param(TRIALS // 10, id="push"), pytest.param(TRIALS, id="nightly", marks=pytest.mark.nightly)]
)
@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("name", TESTS)
def test_null_p_values_reject_no_more_often_than_they_claim(name, draw, trials):
    for sizes in SIZES:
        p = null_pvalues(name, draw, sizes, trials)
        rates = [float(np.mean(p <= level)) for level in LEVELS]
        gap = stats.kstest(p, "uniform").statistic
        print(f"| `{name}` | {draw} | {sizes[0]}, {sizes[1]} |", *(f"{rate:.4f} |" for rate in rates), f"{gap:.3f} |")  # noqa: T201 - the table
        for level, rate in zip(LEVELS, rates, strict=True):
            allowed = SLACK.get((name, draw), 1.0) * level + 3 * np.sqrt(level * (1 - level) / p.size)
            assert rate <= allowed or (name, draw, sizes) in UNSOUND, (sizes, level)
        if name in UNIFORM and draw == "normal":
            assert gap <= 0.02 + 1.63 / np.sqrt(p.size)  # 1% of the Kolmogorov distribution


@pytest.mark.parametrize(("name", "draw", "sizes"), sorted(UNSOUND))
def test_what_does_not_hold_its_level_is_scipys_own_fault(name, draw, sizes):
    rng = np.random.default_rng(9)
    for _ in range(50):
        x, y = (DRAWS[draw](rng, n) for n in sizes)
        ours, theirs = (test(x, y).pvalue for test in PEERS[name])
        assert ours == pytest.approx(theirs, abs=1e-7)


PEERS = {
    "ks_2samp": (drift.ks_2samp, stats.ks_2samp),
    "cramervonmises_2samp": (
        TESTS["cramervonmises_2samp"],
        lambda x, y: stats.cramervonmises_2samp(x, y, "asymptotic"),
    ),
    "epps_singleton_2samp": (drift.epps_singleton_2samp, stats.epps_singleton_2samp),
    "mannwhitneyu": (drift.mannwhitneyu, stats.mannwhitneyu),
    "ttest_ind": (drift.ttest_ind, stats.ttest_ind),
}
CHANGES = {
    "shift": lambda _, values, s: values + s,
    "scale": lambda _, values, s: values * (1 + 2 * s),
    "tail": lambda rng, values, s: np.where(rng.random(values.size) < s / 2, values * 6, values),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PEERS)
def test_power_is_scipys_rejection_for_rejection(name, change):
    ours, theirs = PEERS[name]
    rng = np.random.default_rng(5)
    for strength in (0.1, 0.2, 0.4):
        pairs = [
            (rng.normal(size=60), CHANGES[change](rng, rng.normal(size=80), strength)) for _ in range(TRIALS // 20)
        ]
        rejected = [(ours(x, y).pvalue <= 0.05, theirs(x, y).pvalue <= 0.05) for x, y in pairs]
        print(f"| `{name}` | {change} {strength} | {np.mean(rejected):.3f} |")  # noqa: T201 - the table
        assert all(mine == peers for mine, peers in rejected)
