"""The estimator that the options name: imported, built, seeded, and asked what it learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from mlopsfw.errors import UsageError
from mlopsfw.roles import build_object

if TYPE_CHECKING:
    from mlopsfw_trainer_sklearn import SklearnConfig

_SEEDS = 2**32


def make_estimator(config: SklearnConfig) -> Any:
    """Return a new estimator. Raise `UsageError` if the options name none, or one that cannot be used."""
    key, target = ("estimator", config.estimator) if config.estimator else ("factory", config.factory)
    made = build_object(target, key, config.params)
    _check(made, target)
    return made


def tasks_of(estimator: Any) -> frozenset[str]:
    """Return the tasks that it learns."""
    return frozenset({"binary", "multiclass"}) if is_classifier(estimator) else frozenset({"regression"})


def weight_parameter(estimator: Any) -> str:
    """Return the argument of `fit` for weights of rows; nothing if it takes none."""
    prefix = ""
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        prefix += f"{name}__"
    return f"{prefix}sample_weight" if has_fit_parameter(estimator, "sample_weight") else ""


def used_columns(estimator: Any, names: list[str]) -> list[str]:
    """Return the columns that a fitted estimator reads: all, unless it begins with a ColumnTransformer that selects by name.

    Positions, slices and masks refer to the columns of the whole frame, so there all of them stay.
    """
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[0][1]
    if not isinstance(estimator, ColumnTransformer):
        return names
    used: set[str] = set()
    for _, transformer, columns in estimator.transformers_:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        chosen = [columns] if isinstance(columns, str) else columns
        if np.ndim(chosen) != 1 or not all(isinstance(each, str) for each in chosen):
            return names
        used |= set(chosen)
    return [name for name in names if name in used]


def seed_all(estimator: Any, seed: int) -> None:
    """Give `seed` to every `random_state` that is not set, inside of pipelines too."""
    params = estimator.get_params(deep=True)
    unset = [name for name, value in params.items() if name.rpartition("__")[2] == "random_state" and value is None]
    estimator.set_params(**dict.fromkeys(unset, seed % _SEEDS))


def _check(made: Any, target: str) -> None:
    if not (is_classifier(made) or is_regressor(made)) or not hasattr(made, "get_params"):
        raise UsageError(
            f"{target} gives a {type(made).__name__}, which is no classifier and no regressor of scikit-learn",
            hint="End a Pipeline with one. For other models write a trainer: mlopsfw plugins new trainer NAME.",
        )
    if is_classifier(made) and not _gives_probabilities(made):
        raise UsageError(
            f"{target} gives a {type(made).__name__}, which has no predict_proba",
            hint="Wrap it: sklearn.calibration.CalibratedClassifierCV(…) gives probabilities.",
        )


def _gives_probabilities(estimator: Any) -> bool:
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    # `fit` makes the default final estimator, a logistic regression; scikit-learn denies predict_proba until then.
    by_default = isinstance(estimator, StackingClassifier) and estimator.final_estimator is None
    return by_default or hasattr(estimator, "predict_proba")
