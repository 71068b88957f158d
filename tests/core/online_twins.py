"""River's detectors once more in plain Python, from their papers: where each first fires on a fresh stream.

Tests compare the compiled detectors with these. Nothing here is incremental that the paper states as a sum: means and deviations are
taken anew of the rows they are of.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import accumulate, pairwise
from math import inf, log, sqrt
from operator import mul
from random import Random
from statistics import fmean, stdev

from oracle import ks_exact_sf


def page_hinkley(
    values: list[float], delta: float = 0.005, threshold: float = 50.0, alpha: float = 0.9999
) -> int | None:
    """Page 1954, with Gama's fading: the sum of deviations from the running mean, against its extreme, both ways; from row 30."""
    up = down = lowest = highest = total = 0.0
    for t, value in enumerate(values, 1):
        total += value
        apart = value - total / t
        up, down = alpha * up + apart - delta, alpha * down + apart + delta
        lowest, highest = min(lowest, up), max(highest, down)
        if t >= 30 and max(up - lowest, highest - down) > threshold:
            return t - 1
    return None


def adwin(values: list[float], delta: float = 0.002, clock: int = 32) -> int | None:
    """Bifet & Gavaldà 2007, ADWIN2: some cut at a bucket of the exponential histogram (5 a level) parts two different means."""
    buckets = [0] * 40
    for t in range(1, len(values) + 1):
        buckets[0] += 1
        for level in range(len(buckets) - 1):
            if buckets[level] > 5:
                buckets[level : level + 2] = buckets[level] - 2, buckets[level + 1] + 1
        if t % clock:
            continue
        sizes = [2**level for level in reversed(range(len(buckets))) for _ in range(buckets[level])]
        window, spread = values[:t], stdev(values[:t]) ** 2 * (t - 1) / t
        if any(_parted(window, spread, cut, delta) for cut in accumulate(sizes[:-1])):
            return t - 1
    return None


def _parted(window: list[float], spread: float, cut: int, delta: float, least: int = 5) -> bool:
    """Compare the means on both sides of a cut by the paper's bound for variances that are known; `least` is river's margin."""
    if min(cut, len(window) - cut) < least:
        return False
    sides = 1 / (cut - least + 1) + 1 / (len(window) - cut - least + 1)
    part = log(2 * log(len(window)) / delta)
    bound = sqrt(2 * sides * spread * part) + 2 / 3 * part * sides
    return abs(fmean(window[:cut]) - fmean(window[cut:])) > bound


@cache
def _two_sample_p(gap: int, size: int) -> float:
    """Return the exact two-sided p-value of two samples of one size whose distribution functions are `gap` / `size` apart."""
    return ks_exact_sf(size, size, Fraction(gap, size), both_sides=True)


def kswin(values: list[float], size: int, newest: int, alpha: float, seed: int) -> int | None:
    """Raab et al. 2020: the newest rows of a window against a draw of its older ones, by Kolmogorov and Smirnov's exact test."""
    draw = Random(seed)
    for t in range(size, len(values) + 1):
        window = values[t - size : t]
        older, recent = [window[k] for k in draw.sample(range(size - newest), newest)], window[size - newest :]
        gap = max(abs(sum(v <= at for v in older) - sum(v <= at for v in recent)) for at in older + recent)
        if gap / newest > 0.1 and _two_sample_p(gap, newest) <= alpha:
            return t - 1
    return None


def ddm(values: list[float], factor: float = 3.0) -> int | None:
    """Gama et al. 2004: p + s above p_min + 3 s_min, after 30 rows."""
    lowest = (inf, 0.0, 0.0)
    for t in range(31, len(values) + 1):
        p = fmean(values[:t])
        s = sqrt(p * (1 - p) / t)
        if p + s <= lowest[0]:
            lowest = (p + s, p, s)
        if p + s > lowest[1] + factor * lowest[2]:
            return t - 1
    return None


def eddm(values: list[float], beta: float = 0.9) -> int | None:
    """Baena-García et al. 2006: (m + 2 s) of the distances between errors, over its highest, below beta, after 30 errors."""
    errors = [t for t, value in enumerate(values, 1) if value == 1]
    gaps = [b - a for a, b in pairwise([0, *errors])]
    longest = 0.0
    for k, at in enumerate(errors, 1):
        reach = fmean(gaps[:k]) + 2 * (stdev(gaps[:k]) if k > 1 else 0.0)
        if at > 30 and k > 30 and reach <= longest and reach / longest < beta:
            return at - 1
        longest = max(longest, reach if at > 30 else 0.0)
    return None


def hddm_a(values: list[float], confidence: float = 0.001) -> int | None:
    """Frías-Blanco et al. 2015, A-test, one side: the mean so far against that up to the cut, by Hoeffding's bound."""
    low, cut = inf, 0
    for t in range(1, len(values) + 1):
        mean = fmean(values[:t])
        if mean + sqrt(log(1 / confidence) / (2 * t)) <= low:
            low, cut = mean + sqrt(log(1 / confidence) / (2 * t)), t
        margin = sqrt((t - cut) / (cut * t) * log(2 / confidence) / 2)
        if cut < t and mean - fmean(values[:cut]) >= margin:
            return t - 1
    return None


def _faded(values: list[float], share: float) -> tuple[float, float]:
    """Return the exponentially weighted mean of some rows, and the sum of squared weights (river's: it begins with 1 before any row)."""
    old = 1 - share
    weights = [old ** (len(values) - 1), *(share * old ** (len(values) - i) for i in range(2, len(values) + 1))]
    squares = old ** (2 * len(values)) + sum((share * old**i) ** 2 for i in range(len(values)))
    return sum(map(mul, weights, values)), squares


def hddm_w(values: list[float], confidence: float = 0.001, share: float = 0.05) -> int | None:
    """Frías-Blanco et al. 2015, W-test, one side: weighted means before and after the cut, by McDiarmid's bound."""
    lowest, cut = inf, 0
    for t in range(1, len(values) + 1):
        mean, squares = _faded(values[:t], share)
        bound = mean + sqrt(squares * log(1 / confidence) / 2)
        if bound < lowest:
            lowest, cut = bound, t
        if cut < t:
            (before, first), (after, second) = _faded(values[:cut], share), _faded(values[cut:t], share)
            if after - before > sqrt((first + second) * log(1 / confidence) / 2):
                return t - 1
    return None


def fhddm(values: list[float], size: int = 100, confidence: float = 1e-6) -> int | None:
    """Pesaranghader and Viktor 2016: the share of ones in the window below its highest by Hoeffding's margin."""
    highest = 0
    for t in range(size, len(values) + 1):
        ones = int(sum(values[t - size : t]))
        highest = max(highest, ones)
        if (highest - ones) / size >= sqrt(log(1 / confidence) / (2 * size)):
            return t - 1
    return None


def alarms(first: object, values: list[float]) -> list[int]:
    """Return every row where a detector fires that starts afresh after each alarm."""
    rows, start = [], 0
    while (found := first(values[start:])) is not None:
        start += found + 1
        rows.append(start - 1)
    return rows
