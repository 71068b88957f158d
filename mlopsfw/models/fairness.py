"""How a model treats groups of rows: rates of each group, how far they lie apart, and intervals of both. Needs only NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mlopsfw.models.bootstrap import intervals

Rates = Mapping[str, np.ndarray]
"""Rate → its value in each group, float64 `[groups]`, NaN where it is undefined."""

_SHARES = ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy")


class Outcomes(NamedTuple):
    """What a classifier decides, and what was true.

    Args:
        positive: Whether a row's label is the positive class, bool `[rows]`.
        chosen: Whether the model decides for it, bool `[rows]`.
    """

    positive: np.ndarray
    chosen: np.ndarray

    def rates(self, codes: np.ndarray, groups: int, weight: np.ndarray) -> Rates:
        """Return the rates of each group; see `measure`."""
        cells = codes * 4 + self.positive * 2 + self.chosen
        counts = np.bincount(cells, weights=weight, minlength=4 * groups).reshape(groups, 4)
        rejected, false, missed, hit = counts.T
        with np.errstate(invalid="ignore", divide="ignore"):
            every = counts.sum(axis=1)
            shares = ((false + hit) / every, hit / (missed + hit), false / (rejected + false), (rejected + hit) / every)
        return dict(zip(_SHARES, shares, strict=True))

    def gaps(self, rates: Rates) -> dict[str, float]:
        """Return how far the groups lie apart; a gap of fewer than two groups is undefined, and left out."""
        spread = {name: _difference(values) for name, values in rates.items()}
        ratios = {name: _ratio(values) for name, values in rates.items()}
        odds = ("true_positive_rate", "false_positive_rate")
        gaps = {
            "demographic_parity_difference": spread["selection_rate"],
            "demographic_parity_ratio": ratios["selection_rate"],
            "equal_opportunity_difference": spread["true_positive_rate"],
            "equalized_odds_difference": max(spread[name] for name in odds),
            "equalized_odds_ratio": min(ratios[name] for name in odds),
            "accuracy_difference": spread["accuracy"],
        }
        odd = any(np.isnan(spread[name]) for name in odds)
        return {
            name: value
            for name, value in gaps.items()
            if not (np.isnan(value) or (odd and name.startswith("equalized")))
        }


class Numbers(NamedTuple):
    """What a regression answers, and what was true.

    Args:
        label: float64 `[rows]`.
        answer: float64 `[rows]`.
    """

    label: np.ndarray
    answer: np.ndarray

    def rates(self, codes: np.ndarray, groups: int, weight: np.ndarray) -> Rates:
        """Return the mean answer, the mean error (answer less label) and the mean absolute error of each group."""
        error = self.answer - self.label
        every = np.bincount(codes, weights=weight, minlength=groups)
        columns = {"mean_answer": self.answer, "mean_error": error, "mean_absolute_error": np.abs(error)}
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                name: np.bincount(codes, weights=weight * values, minlength=groups) / every
                for name, values in columns.items()
            }

    def gaps(self, rates: Rates) -> dict[str, float]:
        """Return the difference of the largest and the smallest value of each rate."""
        spread = {f"{name}_difference": _difference(values) for name, values in rates.items()}
        return {name: value for name, value in spread.items() if not np.isnan(value)}


def measure(
    answers: Outcomes | Numbers, codes: np.ndarray, names: list[str], clusters: np.ndarray, weight: np.ndarray | None
) -> dict[str, Any]:
    """Return the rates of each group, how far the groups lie apart, and 95% intervals by the cluster bootstrap.

    The selection rate is the share of rows that are decided for. The demographic parity difference is that of the largest and the smallest
    selection rate, the ratio that of the smallest and the largest (Agarwal et al., A Reductions Approach to Fair Classification, 2018,
    definition 1). The equal opportunity difference compares true positive rates, the equalized odds difference is the larger one of true
    and of false positive rates (Hardt, Price & Srebro, 2016, definitions 2.1 and 2.2).

    A group without positive rows has no true positive rate, and does not take part in its difference; false positive rates likewise.
    Chance alone sets groups apart: a difference is never below 0, and of many small groups it is large. So judge it by its lower end.

    Args:
        answers: The model's, beside the truth.
        codes: int64 code of each row's group, from 0; -1 where the row counts in none.
        names: The groups' names, by code.
        clusters: int64 code of each row's cluster, from 0; see `mlopsfw.models.bootstrap.intervals`.
        weight: Of each row, float64 `[rows]`, or None.

    Returns:
        `groups`: name → `rows` and rates; and the gaps. A rate or gap has its `value`, and the ends `low` and `high` where
        they are known: not of a rate that is 0 or 1 in all replicates. A difference that is 0 in all of them has the `low` 0.
    """
    at = np.flatnonzero(codes >= 0)
    judged, code = type(answers)(*(values[at] for values in answers)), codes[at]
    own = np.ones(len(at)) if weight is None else weight[at]

    def estimates(times: np.ndarray | None) -> dict[str, float]:
        rates = judged.rates(code, len(names), own if times is None else own * times)
        flat = {
            f"{number}.{name}": float(value) for name, values in rates.items() for number, value in enumerate(values)
        }
        return {name: value for name, value in flat.items() if not np.isnan(value)} | judged.gaps(rates)

    values = estimates(None)
    ends = intervals(estimates, np.unique(clusters[at], return_inverse=True)[1])
    described = {name: _described(name, value, ends.get(name)) for name, value in values.items()}
    rows = np.bincount(code, minlength=len(names))
    groups = {name: {"rows": int(rows[number])} | _of_group(described, number) for number, name in enumerate(names)}
    return {"groups": groups, **{name: value for name, value in described.items() if not name[0].isdigit()}}


def _of_group(described: Mapping[str, Any], number: int) -> dict[str, Any]:
    start = f"{number}."
    return {name.removeprefix(start): value for name, value in described.items() if name.startswith(start)}


def _described(name: str, value: float, ends: tuple[float, float] | None) -> dict[str, float]:
    """Return a value with its ends, which stay where the value can be."""
    if ends is None or ends[0] == ends[1]:  # that no replicate differs does not make a value certain
        return {"value": value} | ({"low": 0.0} if name.endswith("_difference") and ends and value == 0.0 else {})
    last = name.rpartition(".")[2]
    low = -np.inf if last in ("mean_answer", "mean_error") else 0.0
    high = np.inf if last.startswith("mean") else 1.0
    return {"value": value, "low": float(max(ends[0], low)), "high": float(min(ends[1], high))}


def _difference(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.max() - defined.min()) if len(defined) > 1 else float("nan")


def _ratio(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.min() / defined.max()) if len(defined) > 1 and defined.max() > 0 else float("nan")


class Groups(NamedTuple):
    """The groups of a column, largest first.

    Args:
        codes: int64 `[rows]`, -1 where the group is left out.
        names: By code.
        small: Name → rows of the groups that have too few, largest first, and only the first `most` of them.
        left_out: How many groups are left out: the small ones, and those after the largest.
    """

    codes: np.ndarray
    names: list[str]
    small: dict[str, int]
    left_out: int


def groups_of(texts: np.ndarray, *, fewest: int, most: int = 50) -> Groups:
    """Return the groups with enough rows.

    Args:
        texts: The group of each row, as text.
        fewest: Rows that a group needs.
        most: Groups that are judged at most.
    """
    names, index, counts = np.unique(texts, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    kept = [int(at) for at in order if counts[at] >= fewest][:most]
    code = np.full(len(names), -1)
    code[kept] = np.arange(len(kept))
    small = {str(names[at]): int(counts[at]) for at in order if counts[at] < fewest}
    return Groups(
        code[index], [str(names[at]) for at in kept], dict(list(small.items())[:most]), len(names) - len(kept)
    )
