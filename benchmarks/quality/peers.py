"""The peers of the quality table at their defaults: HistGradientBoosting, LightGBM, XGBoost, logistic or ridge regression; one thread each.

Trees get texts as categories, as their documentation advises; linear models get them one-hot, and numbers standardised with the median in
place of missing ones, which no linear model works without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from sklearn import ensemble, linear_model, preprocessing
from sklearn.pipeline import make_pipeline

_MOST_LEVELS = 255  # HistGradientBoosting takes no more


def _levels(column: pl.Series) -> list[str]:
    return column.cast(pl.String).drop_nulls().unique().sort().to_list()


def codes(train: pl.DataFrame, rows: pl.DataFrame) -> tuple[np.ndarray, list[int]]:
    """Return the features as float64, texts as codes (NaN for missing and unknown), and the number of codes of each column, 0 for numbers."""
    blocks, counts = [], []
    for name in train.columns:
        if train[name].dtype == pl.String:
            levels = _levels(train[name])
            found = rows[name].replace_strict(levels, range(len(levels)), default=None, return_dtype=pl.Float64)
            counts.append(len(levels))
        else:
            found = rows[name].cast(pl.Float64)
            counts.append(0)
        blocks.append(found.fill_null(float("nan")).to_numpy())
    return np.stack(blocks, axis=1), counts


def design(train: pl.DataFrame, rows: pl.DataFrame) -> np.ndarray:
    """Return the features for a linear model."""
    blocks = []
    for name in train.columns:
        if train[name].dtype == pl.String:
            blocks.append(rows[name].fill_null("").to_numpy()[:, None] == np.array(_levels(train[name]))[None, :])
        else:
            middle = train[name].cast(pl.Float64).median()
            blocks.append(rows[name].cast(pl.Float64).fill_null(middle).to_numpy()[:, None])
    return np.concatenate(blocks, axis=1).astype(np.float64)


def linear(task: str, train: pl.DataFrame, y: np.ndarray, test: pl.DataFrame) -> np.ndarray:
    model = linear_model.Ridge() if task == "regression" else linear_model.LogisticRegression(max_iter=1000)
    model = make_pipeline(preprocessing.StandardScaler(), model)
    return _fitted(model, task, design(train, train), y, design(train, test))


def hist_gradient_boosting(task: str, train: pl.DataFrame, y: np.ndarray, test: pl.DataFrame, seed: int) -> np.ndarray:
    x, counts = codes(train, train)
    kind = ensemble.HistGradientBoostingRegressor if task == "regression" else ensemble.HistGradientBoostingClassifier
    model = kind(categorical_features=[0 < count <= _MOST_LEVELS for count in counts], random_state=seed)
    return _fitted(model, task, x, y, codes(train, test)[0])


def lightgbm(task: str, train: pl.DataFrame, y: np.ndarray, test: pl.DataFrame, seed: int) -> np.ndarray:
    import lightgbm as lgb

    x, counts = codes(train, train)
    kind = lgb.LGBMRegressor if task == "regression" else lgb.LGBMClassifier
    model = kind(random_state=seed, n_jobs=1, verbose=-1)
    named = [at for at, count in enumerate(counts) if count]
    model.fit(x, y, categorical_feature=named or "auto")
    return _asked(model, task, codes(train, test)[0])


def xgboost(task: str, train: pl.DataFrame, y: np.ndarray, test: pl.DataFrame, seed: int) -> np.ndarray:
    import xgboost as xgb

    x, counts = codes(train, train)
    kind = xgb.XGBRegressor if task == "regression" else xgb.XGBClassifier
    types = ["c" if count else "q" for count in counts]
    model = kind(random_state=seed, n_jobs=1, enable_categorical=True, feature_types=types)
    return _fitted(model, task, x, y, codes(train, test)[0])


def _fitted(model: Any, task: str, x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    model.fit(x, y)
    return _asked(model, task, asked)


def _asked(model: Any, task: str, x: np.ndarray) -> np.ndarray:
    if task == "regression":
        return np.asarray(model.predict(x))
    probabilities = np.asarray(model.predict_proba(x))
    return probabilities[:, 1] if task == "binary" else probabilities


PEERS: dict[str, Callable[..., np.ndarray]] = {
    "linear": lambda task, train, y, test, _seed: linear(task, train, y, test),
    "hist": hist_gradient_boosting,
    "lightgbm": lightgbm,
    "xgboost": xgboost,
}
