"""How soon the detectors find a change, and how often they see one where none is: a table for `docs/core-online.md`.

Run: python -m pytest benchmarks/bench_core_online_delay.py -s -o addopts=--import-mode=importlib

Each stream has its own reference sample of 5,000 rows. The change comes at row 2,000 of 10,000; the delay is to the first
alarm after it, its median over streams, and "-" where most streams end without one.
"""

from __future__ import annotations

import numpy as np
import pytest

from mlopsfw_core import Reference, online
from mlopsfw_core._numbers import ks_against

REFERENCE, ROWS, CHANGE = 5_000, 10_000, 2_000
STATIONARY, CHANGED = 2_000, 200  # streams


class FixedKS:
    """The usual monitor: each 100 rows, the last 500 against the reference by Kolmogorov-Smirnov, alarm at p < 0.05."""

    def __init__(self, reference):
        self.reference = Reference.fit(reference).content

    def update_many(self, values):
        stops = range(500, len(values) + 1, 100)
        return np.array(
            [at - 1 for at in stops if ks_against(self.reference, np.sort(values[at - 500 : at]))[1] < 0.05]
        )


NUMERIC = {
    "BettingMeanDetector": online.BettingMeanDetector.against,
    "QuantileShiftDetector": online.QuantileShiftDetector.against,
    "ADWIN": lambda _: online.ADWIN(),
    "PageHinkley": lambda _: online.PageHinkley(),
    "PageHinkley(threshold=5)": lambda _: online.PageHinkley(threshold=5),
    "KSWIN": lambda _: online.KSWIN(seed=1),
    "KS, p < 0.05": FixedKS,
}
BINARY = {
    "ProportionDetector": lambda reference: online.ProportionDetector.against(int(reference.sum()), len(reference)),
    "ADWIN": NUMERIC["ADWIN"],
    "PageHinkley": NUMERIC["PageHinkley"],
    "DDM": lambda _: online.DDM(),
    "EDDM": lambda _: online.EDDM(),
    "HDDM_A": lambda _: online.HDDM_A(two_sided_test=True),
    "HDDM_W": lambda _: online.HDDM_W(two_sided_test=True),
}


def uniform(rng, n):
    return rng.random(n)


def errors(rng, n):
    return (rng.random(n) < 0.1).astype(float)


def shifted(by):
    return lambda rng, n: np.clip(rng.random(n) + by, 0, 1)


def rate(p):
    return lambda rng, n: (rng.random(n) < p).astype(float)


CASES = {
    "uniform on [0, 1]": (NUMERIC, uniform, {
        "mean + 0.02": shifted(0.02), "mean + 0.05": shifted(0.05), "mean + 0.1": shifted(0.1), "mean + 0.2": shifted(0.2),
        "spread halved": lambda rng, n: 0.25 + rng.random(n) / 2,
    }),
    "errors, 10%": (BINARY, errors, {"12%": rate(0.12), "15%": rate(0.15), "20%": rate(0.2), "40%": rate(0.4)}),
}  # fmt: skip


def false_alarms(make, draw, streams):
    """Alarms in 10,000 rows without a change: their mean over the streams, and its standard error."""
    rng = np.random.default_rng(31)
    alarms = [len(make(draw(rng, REFERENCE)).update_many(draw(rng, ROWS))) for _ in range(streams)]
    return np.mean(alarms), np.std(alarms) / np.sqrt(streams)


def delay(make, before, after):
    """Median rows from the change to the first alarm."""
    rng = np.random.default_rng(32)
    delays = []
    for _ in range(CHANGED):
        detector = make(before(rng, REFERENCE))
        fired = detector.update_many(np.concatenate([before(rng, CHANGE), after(rng, ROWS - CHANGE)]))
        later = fired[fired >= CHANGE]
        delays.append(later[0] - CHANGE if later.size else np.inf)
    return np.median(delays)


@pytest.mark.parametrize("case", CASES)
def test_delay_and_false_alarms(benchmark, case):
    detectors, before, changes = CASES[case]
    print(f"\n| {case} | false alarms in 10,000 rows | " + " | ".join(f"{name}: delay" for name in changes) + " |")
    print("|---" * (2 + len(changes)) + "|")
    for name, make in detectors.items():
        alarms, error = false_alarms(make, before, STATIONARY)
        delays = [delay(make, before, after) for after in changes.values()]
        cells = " | ".join(f"{found:.0f}" if np.isfinite(found) else "-" for found in delays)
        print(f"| `{name}` | {alarms:.3f} ± {error:.3f} | {cells} |", flush=True)
        if name in ("BettingMeanDetector", "QuantileShiftDetector", "ProportionDetector"):
            assert alarms <= 1  # the budget: arl = 10,000
    benchmark.extra_info["streams"] = STATIONARY
    benchmark.pedantic(lambda: detectors[next(iter(detectors))](before(np.random.default_rng(0), REFERENCE)), rounds=3)
