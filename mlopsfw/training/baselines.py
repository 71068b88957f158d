"""Baseline models: one with constant outputs, and a logistic (or linear) regression. Fitted with NumPy, used only in evaluation.

They use the same columns as the model: scaled numbers, dates as cycles, one column per category (rare categories of a large column share
one). They are never served.

"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlopsfw.features.plan import CATEGORICAL, NUMERIC
from mlopsfw.kernel.roles.training import TrainingTask

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.features import FeaturePlan
    from mlopsfw.kernel.roles.bundle import Manifest

_FOLDED = 64  # codes kept of a column with very many categories
_TOLD_APART = 256
_MOST_ROWS = 100_000  # rows to fit; more would change only the third digit
_NO_FEATURES = frozenset({"binary", "list", "tensor"})
_RIDGE = 1.0  # scikit-learn's default
_STEPS = 100
_LONGEST_STEP = 8.0  # of a coefficient: Newton's own steps diverge if classes are separable
_CLOSE = 1e-8
_BOUNDED_STEPS = 300  # it converges linearly
_CLOSE_ENOUGH = 1e-5  # well below any visible difference of a metric


def constant_name(task: str) -> str:
    """Return what reports call the model with constant outputs."""
    return "mean" if task == "regression" else "majority"


def majority(labels: np.ndarray, classes: int, rows: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the outputs of a model that always predicts the shares of the classes in the training labels, or their mean.

    Args:
        labels: Training labels as codes; numbers for regression.
        classes: How many classes there are; 0 for regression.
        rows: How many answers to return.
        weights: Of the labels, float64; None where all weigh alike. Zeros alone count as alike.
    """
    if weights is not None and not weights.any():
        weights = None
    if not classes:
        return np.full(rows, np.average(labels, weights=weights))
    counts = np.bincount(labels, weights=weights, minlength=classes)
    shares = counts / counts.sum()
    return np.full(rows, shares[1]) if classes == 2 else np.tile(shares, (rows, 1))  # noqa: PLR2004 - binary


def regression(
    manifest: Manifest, train: pl.DataFrame, labels: np.ndarray, rows: pl.DataFrame, weights: np.ndarray | None = None
) -> np.ndarray | None:
    """Return the outputs for `rows` of a ridge-penalised logistic (for numbers, linear) regression fitted to `train`.

    Lists, tensors and bytes are left out. None if the model has no other input.

    Args:
        manifest: Says which columns are learned from, and the task.
        train: Training rows; of more than 100,000 a fixed random part is used.
        labels: Their labels, as codes or numbers.
        rows: The rows to answer for.
        weights: Of the training rows, float64; None where all weigh alike. Zeros alone count as alike.
    """
    chosen_rows = np.arange(train.height)
    if train.height > _MOST_ROWS:
        chosen_rows = np.sort(np.random.default_rng(0).choice(train.height, _MOST_ROWS, replace=False))
    names = tuple(column.name for column in manifest.inputs if column.type not in _NO_FEATURES)
    if not names:
        return None
    plan = _plain_plan(manifest, train, names)
    design = Design.of(plan, train[chosen_rows])
    weights = np.ones(train.height) if weights is None else weights
    fitted = _fit(design, labels[chosen_rows], manifest, weights[chosen_rows])
    scores = Design.of(plan, rows).times(fitted)
    if manifest.task == "regression":
        return scores[:, 0]
    return _sigmoid(scores[:, 0]) if manifest.task == "binary" else _softmax(scores)


def _plain_plan(manifest: Manifest, train: pl.DataFrame, names: tuple[str, ...]) -> FeaturePlan:
    from mlopsfw.features.fit import fit

    options: dict[str, dict[str, object]] = {name: {"bins": 0} for name in names}
    return fit(train, TrainingTask(task=manifest.task, target=manifest.target, features=names, options=options))


def _fit(design: Design, labels: np.ndarray, manifest: Manifest, weights: np.ndarray) -> np.ndarray:
    weights = weights if weights.any() else np.ones(len(labels))
    if manifest.task == "regression":
        return least_squares(design, labels, weights)
    if manifest.task == "binary":
        return logistic(design, labels, weights)
    return multinomial(design, labels, len(manifest.classes), weights)


class Design(NamedTuple):
    """A sparse design matrix: an intercept and the numbers, and for each row the categorical columns that are one.

    The large part, one column for each category, is never there: products with it are sums by category.
    """

    dense: np.ndarray
    codes: np.ndarray
    counts: tuple[int, ...]

    @classmethod
    def of(cls, plan: FeaturePlan, rows: pl.DataFrame) -> Design:
        """Return the design of a table's rows."""
        arrays: Mapping[str, np.ndarray] = plan.polars(rows)
        numeric = arrays.get(NUMERIC, np.empty((rows.height, 0)))
        counts = tuple(_FOLDED if count > _TOLD_APART else count for count in plan.code_counts)
        codes = arrays.get(CATEGORICAL, np.empty((rows.height, 0), dtype=np.int64))
        dense = np.concatenate([np.ones((rows.height, 1)), numeric], axis=1)
        return cls(dense, codes % np.array(counts, dtype=np.int64), counts)

    @property
    def starts(self) -> list[int]:
        """The start of each categorical column's block; the last entry is the width."""
        return [self.dense.shape[1] + sum(self.counts[:at]) for at in range(len(self.counts) + 1)]

    def times(self, beta: np.ndarray) -> np.ndarray:
        """Return X @ beta, for beta `[width, k]`."""
        product: np.ndarray = self.dense @ beta[: self.dense.shape[1]]
        for at, start in enumerate(self.starts[:-1]):
            product += beta[start + self.codes[:, at]]
        return product

    def moment(self, residual: np.ndarray) -> np.ndarray:
        """Return X.T @ residual, for a residual `[rows, k]`."""
        blocks = [self.dense.T @ residual]
        for at, count in enumerate(self.counts):
            sums = [np.bincount(self.codes[:, at], weights=each, minlength=count) for each in residual.T]
            blocks.append(np.stack(sums, axis=1))
        return np.concatenate(blocks)

    def gram(self, weights: np.ndarray) -> np.ndarray:
        """Return X.T @ diag(weights) @ X."""
        starts = self.starts
        weighted = self.dense * weights[:, None]
        gram = np.zeros((starts[-1], starts[-1]))
        gram[: starts[0], : starts[0]] = weighted.T @ self.dense
        for at, count in enumerate(self.counts):
            block = slice(starts[at], starts[at + 1])
            sums = [np.bincount(self.codes[:, at], weights=each, minlength=count) for each in weighted.T]
            gram[: starts[0], block] = np.stack(sums)
            gram[block, : starts[0]] = np.stack(sums, axis=1)
            for other in range(at + 1):
                pair = self.codes[:, at] * self.counts[other] + self.codes[:, other]
                met = np.bincount(pair, weights=weights, minlength=count * self.counts[other])
                columns = slice(starts[other], starts[other + 1])
                gram[block, columns] = met.reshape(count, -1)
                gram[columns, block] = gram[block, columns].T
        return gram

    def ridge(self) -> np.ndarray:
        """Return the penalty: nearly none on the intercept."""
        ridge = np.full(self.starts[-1], _RIDGE)
        ridge[0] = 1e-10
        return ridge


def logistic(design: Design, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fit by iteratively reweighted least squares (Hastie, Tibshirani & Friedman, 2009, section 4.4.1); return `[width, 1]`."""
    ridge = design.ridge()[:, None]
    beta = np.zeros_like(ridge)
    positive = (labels == 1)[:, None]
    for _ in range(_STEPS):
        p = _sigmoid(design.times(beta))
        gradient = design.moment(weights[:, None] * (positive - p)) - ridge * beta
        step = np.linalg.solve(design.gram(weights * (p * (1 - p))[:, 0]) + np.diag(ridge[:, 0]), gradient)
        largest = float(np.abs(step).max())
        beta += step * min(1.0, _LONGEST_STEP / max(largest, _CLOSE))
        if largest < _CLOSE:
            break
    return beta


def least_squares(design: Design, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fit by the normal equations (Hastie, Tibshirani & Friedman, 2009, section 3.4.1); return `[width, 1]`."""
    gram = design.gram(weights) + np.diag(design.ridge())
    return np.linalg.solve(gram, design.moment((weights * labels)[:, None]))


def multinomial(design: Design, labels: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    """Fit with a fixed bound of the Hessian (Böhning, "Multinomial logistic regression algorithm", 1992); return `[width, classes]`."""
    ridge = design.ridge()[:, None]
    beta = np.zeros((len(ridge), classes))
    inverse = np.linalg.inv(np.diag(ridge[:, 0]) + 0.5 * design.gram(weights))
    truth = np.eye(classes)[labels]
    for _ in range(_BOUNDED_STEPS):
        residual = weights[:, None] * (truth - _softmax(design.times(beta)))
        step = inverse @ (design.moment(residual) - ridge * beta)
        beta += step
        if float(np.abs(step).max()) < _CLOSE_ENOUGH:
            break
    return beta


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _softmax(x: np.ndarray) -> np.ndarray:
    shifted = np.exp(x - x.max(axis=1, keepdims=True))
    shares: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
    return shares
