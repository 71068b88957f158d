"""Split-conformal prediction: intervals of numbers and sets of classes that hold the truth as often as they are asked to. Needs only NumPy.

The promise is about rows that are drawn as the calibration rows were (Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from mlopsfw.kernel.base.errors import BundleError, DataError, UsageError

Kind = Literal["absolute", "normalised", "cqr", "lac", "aps"]
CLASS = "class"
_MOST = 5000  # scores of a group: their quantiles then lie within half a percent of the asked coverage
_GROUP = 50  # rows that a group needs for scores of its own
_BINS = 10
_EVERY = ""
_ROUNDING = 1e-9
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class Conformal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The scores of the calibration rows, and how a row's score is computed.

    Args:
        kind: `absolute` (|y - ŷ|), `normalised` (divided by the usual error of such predictions), `cqr` (Romano, Patterson &
            Candès, 2019), `lac` (1 - p of the class; Sadinle, Lei & Wasserman, 2019), or `aps` (the probabilities down to that
            of the class, less a random part of its own; Romano, Sesia & Candès, 2020).
        by: Groups with scores of their own: `class`, an input of the model, or nothing.
        scores: Group → scores, ascending. The empty name has those of all rows, for groups that have none.
        weights: Group → how much each of its scores counts; a group without them counts all alike.
        edges: Of `normalised`: the predictions between bins, ascending.
        scales: Of `normalised`: the mean error of each bin.
    """

    kind: Kind
    by: str = ""
    scores: dict[str, tuple[float, ...]]
    weights: dict[str, tuple[float, ...]] = {}
    edges: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for values in (*self.scores.values(), self.edges):
            if not all(map(math.isfinite, values)) or any(a > b for a, b in itertools.pairwise(values)):
                raise BundleError("the scores of a conformal prediction are not ascending numbers")
        if not self.scores.get(_EVERY) or not all(scale > 0 and math.isfinite(scale) for scale in self.scales):
            raise BundleError("a conformal prediction lacks scores of all rows, or has a scale that is not above 0")
        for name, weights in self.weights.items():
            if len(weights) != len(self.scores.get(name, ())) or not all(0 < each < math.inf for each in weights):
                raise BundleError(f"the weights of the scores of {name!r} are not one number above 0 for each")
        if self.kind == "normalised" and len(self.scales) != len(self.edges) + 1:
            raise BundleError(f"{len(self.edges)} edges need {len(self.edges) + 1} scales, not {len(self.scales)}")

    def limits(self, groups: np.ndarray, alpha: float, names: Mapping[str, str] = _NO_NAMES) -> np.ndarray:
        """Return the score that a group exceeds in at most `alpha` of its rows: the ⌈(n + 1)(1 - alpha)⌉-th smallest of n.

        Where scores have weights, it is the smallest score at which (1 + 1 / n)(1 - alpha) of all weight is reached, with Kish's n = (Σw)² / Σw²
        (Tibshirani et al., Conformal Prediction Under Covariate Shift, 2019, equation 7, for a row of the mean weight of such rows).

        Args:
            groups: Names of groups.
            alpha: The share of rows whose truth may be missed, in (0, 1).
            names: What errors call groups.

        Raises:
            UsageError: alpha lies outside of (0, 1), or below 1 / (n + 1) in one of the groups: only an interval or a set of everything would
                keep it.
        """
        check_alpha(alpha)
        each, place = np.unique(groups, return_inverse=True)
        limits: np.ndarray = np.array([self._limit(group, alpha, names.get(group, group)) for group in map(str, each)])
        return limits[place]

    def _limit(self, group: str, alpha: float, called: str) -> float:
        name = group if group in self.scores else _EVERY
        scores, weights = self.scores[name], self.weights.get(name)
        if weights is None:
            count = float(len(scores))
            place = math.ceil((count + 1) * (1 - alpha) - _ROUNDING) - 1
        else:
            reached = np.cumsum(weights)
            count = float(reached[-1] ** 2 / np.square(weights).sum())
            place = int(np.searchsorted(reached, reached[-1] * ((1 + 1 / count) * (1 - alpha) - _ROUNDING)))
        if place >= len(scores):
            raise _too_small(alpha, count, called if name else "")
        return scores[place]

    def scale(self, predictions: np.ndarray) -> np.ndarray:
        """Return the usual error of rows with these predictions."""
        if not self.scales:
            return np.ones(len(predictions))
        return np.asarray(self.scales)[np.searchsorted(self.edges, predictions, side="right")]


class Answer(NamedTuple):
    """What a model answers about rows.

    Args:
        main: Its main output: values or probabilities of the second class `[rows]`, or of all `[rows, classes]`.
        groups: The group of each row, by name.
        lower, upper: Of `cqr`: the two quantiles.
    """

    main: np.ndarray
    groups: np.ndarray
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None


def check_alpha(alpha: float) -> None:
    """Raise `UsageError` unless a share lies between 0 and 1."""
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise UsageError(f"alpha lies between 0 and 1, not at {alpha!r}", hint="0.1 asks for 90%.")


def _too_small(alpha: float, count: float, group: str) -> UsageError:
    """Return the error of a share that so many calibration rows cannot promise, with the smallest one that they can, rounded up."""
    least = 1 / (count + 1)
    step: float = 10.0 ** (math.floor(math.log10(least)) - 1)
    rows = f"{count:,.0f} calibration rows{f' of the group {group!r}' if group else ''}"
    return UsageError(
        f"alpha {alpha:g} is less than {rows} can promise",
        hint=f"Ask for {math.ceil(least / step) * step:.2g} or more.",
    )


def learn(
    kind: Kind, labels: np.ndarray, answer: Answer, *, by: str = "", weight: np.ndarray | None = None, seed: int = 0
) -> Conformal:
    """Return the conformal prediction of calibration rows. A group with fewer than 50 rows shares the scores of all.

    Args:
        kind: As `Conformal` has it.
        labels: int64 codes of classes, or float64.
        answer: What the model answers about these rows; `groups` is ignored by class.
        by: As `Conformal` has it.
        weight: How much each row counts, float64 `[rows]`; None where all count alike. Rows of weight 0 are left out.
        seed: Draws the rows of scales, and those whose scores are kept where there are more than 5,000.

    Raises:
        DataError: There are fewer than 20 rows.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    rows = np.arange(len(labels)) if weight is None else np.flatnonzero(weight)
    if len(rows) < 2 * _BINS:
        raise DataError(f"{len(rows)} rows are too few to calibrate on; {2 * _BINS} are needed")
    edges: np.ndarray = np.array([])
    scales: np.ndarray = np.array([])
    if kind == "normalised":
        drawn = draw.random(len(rows)) < 0.5  # noqa: PLR2004 - a scale that has seen a row makes its score small
        seen, rows = rows[drawn], rows[~drawn]
        edges, scales = _scales(labels[seen], answer.main[seen])
    empty = Conformal(
        kind=kind, by=by, scores={_EVERY: (0.0,)}, edges=tuple(edges.tolist()), scales=tuple(scales.tolist())
    )
    scores = _own_scores(empty, labels, answer)[rows]
    groups = labels[rows].astype(str) if by == CLASS else answer.groups[rows]
    at = {_EVERY: _sorted(scores, np.arange(len(scores)), draw)}
    if by:
        names, counts = np.unique(groups, return_counts=True)
        at |= {str(name): _sorted(scores, np.flatnonzero(groups == name), draw) for name in names[counts >= _GROUP]}
    own = {} if weight is None else {name: tuple(weight[rows[each]].tolist()) for name, each in at.items()}
    kept = {name: tuple(scores[each].tolist()) for name, each in at.items()}
    return msgspec.structs.replace(empty, scores=kept, weights=own)


def _sorted(scores: np.ndarray, at: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Return the positions of at most 5,000 of some scores, in ascending order of the scores."""
    chosen = at if len(at) <= _MOST else draw.choice(at, _MOST, replace=False)
    return chosen[np.argsort(scores[chosen], kind="stable")]


def _scales(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of bins of predictions with equal shares of rows, and the mean error in each."""
    errors = np.abs(labels - predictions)
    edges = np.unique(np.quantile(predictions, np.arange(1, _BINS) / _BINS))
    place = np.searchsorted(edges, predictions, side="right")
    counts = np.bincount(place, minlength=len(edges) + 1)
    means = np.bincount(place, weights=errors, minlength=len(edges) + 1) / np.maximum(counts, 1)
    usual = float(errors.mean()) or 1.0
    return edges, np.maximum(np.where(counts > 0, means, usual), usual / 100)


def _own_scores(conformal: Conformal, labels: np.ndarray, answer: Answer) -> np.ndarray:
    """Return the score of each row's own label."""
    scores: np.ndarray
    if conformal.kind in ("lac", "aps"):
        scores = class_scores(conformal.kind, answer.main)[np.arange(len(labels)), labels]
    elif conformal.kind == "cqr":
        lower, upper = _quantiles(answer)
        scores = np.maximum(lower - labels, labels - upper)
    else:
        scores = np.abs(labels - answer.main) / conformal.scale(answer.main)
    return scores


def class_scores(kind: str, main: np.ndarray) -> np.ndarray:
    """Return the score of each class of each row, `[rows, classes]`."""
    p = np.stack([1 - main, main], axis=1) if main.ndim == 1 else main
    if kind == "lac":
        return 1 - p
    order = np.argsort(-p, axis=1, kind="stable")
    totals = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    scores = np.empty_like(totals)
    np.put_along_axis(scores, order, totals, axis=1)
    scores -= _draw(p)[:, None] * p
    return scores


def _draw(p: np.ndarray) -> np.ndarray:
    """Return a number in [0, 1) for each row, made of its probabilities: the same whenever it is asked, and spread evenly over rows."""
    irrational = np.sqrt(np.arange(p.shape[1]) + 2.5)
    parts: np.ndarray = np.mod(np.round(p * 10_000) @ irrational, 1.0)
    return parts


def _quantiles(answer: Answer) -> tuple[np.ndarray, np.ndarray]:
    if answer.lower is None or answer.upper is None:
        raise UsageError(
            "the model has no two outputs that are quantiles of the target", hint='Write kind = "normalised".'
        )
    return answer.lower, answer.upper


def class_sets(conformal: Conformal, answer: Answer, alpha: float, names: Mapping[str, str] = _NO_NAMES) -> np.ndarray:
    """Return which classes of each row its set holds, bool `[rows, classes]`. A set may be empty. Raise `UsageError` as `Conformal.limits` does."""
    scores = class_scores(conformal.kind, answer.main)
    if conformal.by == CLASS:
        limits: np.ndarray = conformal.limits(np.arange(scores.shape[1]).astype(str), alpha, names)
        return scores <= limits
    return scores <= conformal.limits(answer.groups, alpha)[:, None]


def value_intervals(conformal: Conformal, answer: Answer, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of each row's interval. Raise `UsageError` as `Conformal.limits` does."""
    limits = conformal.limits(answer.groups, alpha)
    if conformal.kind == "cqr":
        lower, upper = _quantiles(answer)
        return np.minimum(lower - limits, upper + limits), np.maximum(lower - limits, upper + limits)
    reach = limits * conformal.scale(answer.main)
    return answer.main - reach, answer.main + reach


def covered(conformal: Conformal, labels: np.ndarray, answer: Answer, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each row's interval or set holds its label, and its width or number of classes.

    Args:
        conformal: Learned on other rows.
        labels: int64 codes of classes, or float64.
        answer: What the model answers about these rows.
        alpha: As `Conformal.limits` takes it.
    """
    if conformal.kind in ("lac", "aps"):
        sets = class_sets(conformal, answer, alpha)
        return sets[np.arange(len(labels)), labels], sets.sum(axis=1)
    low, high = value_intervals(conformal, answer, alpha)
    return (low <= labels) & (labels <= high), high - low
