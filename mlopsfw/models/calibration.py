"""Calibration of probabilities: a map from what a model answers to what is true as often as it says. Needs only NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np

from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.models.bootstrap import intervals
from mlopsfw.models.evaluation import calibration_error, log_loss

_TINY = 1e-12
_SHARPEST, _FLATTEST = 0.01, 100.0  # temperatures
_STEPS = 60
_GOLDEN = (5**0.5 - 1) / 2
_FOLDS = 5
FEWEST = 100  # rows: a map that is fitted to fewer follows their noise


class Temperature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="temperature"):
    """Divides logits by a number (Guo et al., On Calibration of Modern Neural Networks, 2017, eq. 9).

    Args:
        temperature: Above 1 makes probabilities less certain.
    """

    temperature: float

    def __post_init__(self) -> None:
        if not _SHARPEST <= self.temperature <= _FLATTEST:
            raise BundleError(f"a temperature lies between {_SHARPEST:g} and {_FLATTEST:g}, not at {self.temperature}")

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities: of the second class `[rows]`, or of all `[rows, classes]`."""
        both = np.stack([1 - p, p], axis=-1) if p.ndim == 1 else p
        logits = np.log(np.maximum(both, _TINY)) / self.temperature
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares: np.ndarray = odds / odds.sum(axis=-1, keepdims=True)
        return shares[:, 1] if p.ndim == 1 else shares


class Isotonic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="isotonic"):
    """A step function that never falls, linear between its points (Zadrozny & Elkan, 2002). Of two classes.

    Args:
        x: Probabilities of the model, ascending.
        y: What they become.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __post_init__(self) -> None:
        rises = all(
            (np.diff(values) >= 0).all() and 0 <= values[0] <= values[-1] <= 1 for values in (self.x, self.y) if values
        )
        if not self.x or len(self.x) != len(self.y) or not rises:
            raise BundleError("the points of an isotonic calibration do not rise, or are no probabilities")

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities of the second class, `[rows]`."""
        shares: np.ndarray = np.interp(p, self.x, self.y)
        return shares


Map = Temperature | Isotonic
Weight = np.ndarray | None


def fit_temperature(labels: np.ndarray, p: np.ndarray, weight: Weight = None) -> Temperature:
    """Return the temperature with the least log loss, by golden-section search of its logarithm.

    Args:
        labels: int64 codes.
        p: Probability of the second class `[rows]`, or of all `[rows, classes]`.
        weight: How much each row counts, float64 `[rows]`; None where all count alike.
    """
    low, high = np.log(_SHARPEST), np.log(_FLATTEST)
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        losses = [_loss(labels, _at(each)(p), weight) for each in (left, right)]
        low, high = (low, right) if losses[0] < losses[1] else (left, high)
    return _at((low + high) / 2)


def _at(log_temperature: float) -> Temperature:
    return Temperature(temperature=float(np.clip(np.exp(log_temperature), _SHARPEST, _FLATTEST)))


def fit_isotonic(labels: np.ndarray, p: np.ndarray, weight: Weight = None) -> Isotonic:
    """Return the least-squares isotonic map, by pooling adjacent violators (Barlow et al., 1972).

    Its ends stay 1 / (rows + 2) away from 0 and 1, so that no outcome becomes impossible. Equal probabilities are pooled first.

    Args:
        labels: int64 codes of two classes.
        p: Probability of the second class `[rows]`.
        weight: As for `fit_temperature`. Rows of weight 0 are left out.
    """
    if weight is not None:
        labels, p, weight = (values[weight > 0] for values in (labels, p, weight))
    x, place = np.unique(p.astype(np.float64), return_inverse=True)
    counts = np.bincount(place, weights=weight)
    hits = np.bincount(place, weights=(labels == 1) if weight is None else (labels == 1) * weight)
    blocks: list[tuple[float, float, int, int]] = []  # hits, weight, first and last point
    for at in range(len(x)):
        block = (float(hits[at]), float(counts[at]), at, at)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2], block[3])
        blocks.append(block)
    ends = [(at, block[0] / block[1]) for block in blocks for at in dict.fromkeys(block[2:])]
    edge = 1 / (len(p) + 2)
    return Isotonic(
        x=tuple(float(x[at]) for at, _ in ends), y=tuple(min(max(value, edge), 1 - edge) for _, value in ends)
    )


class Choice(NamedTuple):
    """A map, and what it gains on rows that it was not fitted to.

    Args:
        map: The best of those that gain; None where none does.
        report: Name of each map → log loss and calibration error before and after, and the interval of the gain.
    """

    map: Map | None
    report: dict[str, Any]


def choose(labels: np.ndarray, p: np.ndarray, clusters: np.ndarray, weight: Weight = None, *, seed: int = 0) -> Choice:
    """Return the map that makes probabilities better on rows that it was not fitted to, if one does.

    Each fifth of the rows is answered by a map of the others. A map is kept where the 95% interval of its gain in log loss lies above 0, and
    the calibration error does not rise.

    Args:
        labels: int64 codes.
        p: Probability of the second class `[rows]`, or of all `[rows, classes]`.
        clusters: int64 code of each row's cluster, from 0.
        weight: As for `fit_temperature`.
        seed: Seeds the draws.
    """
    if len(labels) < FEWEST:
        return Choice(None, {})
    own = np.ones(len(labels)) if weight is None else weight
    fits: dict[str, Callable[[np.ndarray, np.ndarray, Weight], Map]] = {"temperature": fit_temperature}
    if p.ndim == 1:
        fits["isotonic"] = fit_isotonic
    folds = np.random.Generator(np.random.PCG64(seed)).integers(0, _FOLDS, int(clusters.max()) + 1)[clusters]
    report, gains = {}, {}
    for name, fit in fits.items():
        after = _crossed(fit, labels, p, own, folds)
        report[name] = values = _gain(labels, (p, after), own, clusters, seed)
        if values.get("low", 0.0) > 0 and values["ece"]["after"] <= values["ece"]["before"]:
            gains[name] = values["log_loss"]["before"] - values["log_loss"]["after"]
    best = max(gains, key=gains.__getitem__, default="")
    return Choice(fits[best](labels, p, weight) if best else None, report)


def _crossed(
    fit: Callable[..., Map], labels: np.ndarray, p: np.ndarray, weight: np.ndarray, folds: np.ndarray
) -> np.ndarray:
    after = np.array(p, dtype=np.float64)
    for fold in range(_FOLDS):
        held_out = folds == fold
        if held_out.any() and weight[~held_out].any():
            after[held_out] = fit(labels[~held_out], p[~held_out], weight[~held_out])(p[held_out])
    return after


def _gain(
    labels: np.ndarray, both: tuple[np.ndarray, np.ndarray], weight: np.ndarray, clusters: np.ndarray, seed: int
) -> dict[str, Any]:
    before, after = both

    def gain(times: np.ndarray | None) -> dict[str, float]:
        own = weight if times is None else weight * times
        return {"gain": _loss(labels, before, own) - _loss(labels, after, own)} if own.any() else {}

    pairs = {
        name: {"before": measure(labels, before, weight), "after": measure(labels, after, weight)}
        for name, measure in (("log_loss", _loss), ("ece", _ece))
    }
    ends = intervals(gain, clusters, seed=seed).get("gain")
    return {**pairs, **({"low": ends[0], "high": ends[1]} if ends else {})}


def _loss(labels: np.ndarray, p: np.ndarray, weight: Weight = None) -> float:
    return log_loss(labels, np.stack([1 - p, p], axis=1) if p.ndim == 1 else p, weight)


def _ece(labels: np.ndarray, p: np.ndarray, weight: Weight = None) -> float:
    if p.ndim == 1:
        return calibration_error(labels == 1, p, weight)
    return calibration_error(p.argmax(axis=1) == labels, p.max(axis=1), weight)
