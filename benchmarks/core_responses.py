"""How each statistic answers to a shift, a scale and a tail change: the pictures of docs/core.md.

Two samples of 2,000 standard normal values; the second is left alone, shifted by 0.2, scaled by 1.2, or has 2 in 100 of its values
multiplied by 6. Medians of 30 draws, seeds 0 to 29. A bar's length is -log10 p for tests; for distances it is twice the
value over its value without a change. Run: python benchmarks/core_responses.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import log10

import numpy as np

from mlopsfw_core import drift

LONGEST = 12

CHANGES = {
    "nothing": lambda _, values: values,
    "shift": lambda _, values: values + 0.2,
    "scale": lambda _, values: values * 1.2,
    "tail": lambda rng, values: np.where(rng.random(values.size) < 0.02, values * 6, values),
}

TESTS = {
    "ks_2samp": lambda x, y: drift.ks_2samp(x, y).pvalue,
    "kuiper_2samp": lambda x, y: drift.kuiper_2samp(x, y).pvalue,
    "cramervonmises_2samp": lambda x, y: drift.cramervonmises_2samp(x, y).pvalue,
    "anderson_ksamp": lambda x, y: drift.anderson_ksamp([x, y]).pvalue,
    "epps_singleton_2samp": lambda x, y: drift.epps_singleton_2samp(x, y).pvalue,
    "mannwhitneyu": lambda x, y: drift.mannwhitneyu(x, y).pvalue,
    "ttest_ind": lambda x, y: drift.ttest_ind(x, y).pvalue,
    "chi2_2samp": lambda x, y: drift.chi2_2samp(x, y, 10).pvalue,
    "g_2samp": lambda x, y: drift.g_2samp(x, y, 10).pvalue,
}

DISTANCES = {
    "wasserstein_distance": drift.wasserstein_distance,
    "energy_distance": drift.energy_distance,
    "psi": lambda x, y: drift.psi(x, y, 10),
    "jensenshannon": lambda x, y: drift.jensenshannon(x, y, 2, bins=10),
    "kl_divergence": lambda x, y: drift.kl_divergence(x, y, bins=10),
    "hellinger": lambda x, y: drift.hellinger(x, y, bins=10),
    "bhattacharyya": lambda x, y: drift.bhattacharyya(x, y, bins=10),
    "total_variation": lambda x, y: drift.total_variation(x, y, bins=10),
    "l_infinity": lambda x, y: drift.l_infinity(x, y, bins=10),
}


def median_of(statistic: Callable, change: Callable) -> float:
    """Return the statistic's median over the draws."""
    values = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=2000), rng.normal(size=2000)
        values.append(statistic(x, change(rng, y)))
    return float(np.median(values))


def draw(statistics: Mapping[str, Callable], length: Callable[[float, float], float], form: str) -> None:
    """Print a row of bars and values for each statistic."""
    for name, statistic in statistics.items():
        values = [median_of(statistic, change) for change in CHANGES.values()]
        bars = ["█" * min(LONGEST, round(length(value, values[0]))) for value in values]
        cells = [f"{bar} {format(value, form)}".strip() for bar, value in zip(bars, values, strict=True)]
        print(f"| `{name}` |", " | ".join(cells), "|")


if __name__ == "__main__":
    draw(TESTS, lambda p, _: -log10(max(p, 1e-300)), ".0e")
    draw(DISTANCES, lambda value, base: 2 * value / base, ".3g")
