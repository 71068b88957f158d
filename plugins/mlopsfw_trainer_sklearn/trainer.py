"""Rows in, a fitted estimator out, as ONNX or as skops."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import sklearn
from threadpoolctl import threadpool_limits

from mlopsfw import evaluation
from mlopsfw.errors import DataError, UsageError
from mlopsfw.evaluation import class_codes, golden_rows
from mlopsfw.features.fit import ColumnWish, learned_columns, read_wishes
from mlopsfw.features.labels import classes_of, numbers, row_weights, rows_with_label
from mlopsfw.features.signature import Signature
from mlopsfw.features.tables import signature_of, table_arrays
from mlopsfw.roles import QUANTILE_OUTPUT, TrainedModel
from mlopsfw_trainer_sklearn.estimator import make_estimator, seed_all, tasks_of, used_columns, weight_parameter
from mlopsfw_trainer_sklearn.formats import Comparison, Kept, keep
from mlopsfw_trainer_sklearn.frame import frame_of, outputs_of
from mlopsfw_trainer_sklearn.quantiles import learns_quantiles, set_quantile

if TYPE_CHECKING:
    from mlopsfw.roles import Ability, SignatureColumn, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_trainer_sklearn import SklearnConfig

_COMPARED = 10_000
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, IndexError, pl.exceptions.PolarsError)


class SklearnTrainer:
    """Fits an estimator of scikit-learn on a table.

    It heeds `seed` too: each `random_state` that is not set gets it. It does not name that ability, since only the estimator
    knows whether it draws.

    Args:
        config: `[trainer.sklearn]`.
    """

    def __init__(self, config: SklearnConfig) -> None:
        self._config = config

    @property
    def tasks(self) -> frozenset[str]:
        """What the estimator learns."""
        return tasks_of(make_estimator(self._config))

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it heeds: weights and quantiles, if the estimator does."""
        estimator = make_estimator(self._config)
        heeded: dict[Ability, bool] = {
            "valid": True,
            "weight": bool(weight_parameter(estimator)),
            "quantiles": learns_quantiles(estimator),
        }
        return frozenset(name for name, heeds in heeded.items() if heeds)

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Fit on `train`, and measure on `valid`. A training that was stopped starts again.

        Raises:
            DataError: The rows are not usable for training.
            UsageError: The options do not fit, or the model cannot be kept in an open format.
        """
        context.progress("preparing rows", 0.0)
        whole = _training_rows(train, task)
        estimator = self._fitted(task, whole, context)
        levels = {QUANTILE_OUTPUT.format(level): level for level in task.quantiles}
        quantiles = {name: self._fitted(task, whole, context, level) for name, level in levels.items()}
        rows = whole.only(used_columns(estimator, whole.frame.columns))
        context.progress("writing the model", 0.8)
        examples = golden_rows(rows.inputs, None, task.seed, _spans(rows.frame))
        golden = frame_of(Signature(rows.inputs).arrays(examples), rows.inputs)
        _check_made_up(estimator, golden, task.task)
        sampled = rows.frame.gather_every(math.ceil(rows.frame.height / _COMPARED))
        compared = Comparison(task.task, rows.inputs, [golden, sampled])
        kept = keep(estimator, compared, self._config.format, context.scratch, quantiles)
        metrics = _metrics(estimator, task, rows, "train")
        if valid is not None and valid.rows:
            metrics |= _metrics(estimator, task, _rows(valid, task, rows.inputs, rows.classes, "validation"), "valid")
        for name, value in metrics.items():
            context.log_metric(name, value)
        skipped = train.rows - rows.frame.height
        return TrainedModel(
            inputs=rows.inputs,
            files=kept.files,
            formats=kept.formats,
            classes=rows.classes,
            examples=examples,
            metrics=metrics,
            facts={"rows": rows.frame.height, "rows_without_label": skipped, **self._facts(kept)},
        )

    def _fitted(self, task: TrainingTask, rows: _Rows, context: TrainingContext, level: float | None = None) -> Any:
        """Return the estimator, fitted to the task's own answer or to a quantile."""
        estimator = make_estimator(self._config)
        if level is not None:
            set_quantile(estimator, level)
        seed_all(estimator, task.seed)
        context.progress("fitting", 0.1)
        with threadpool_limits(self._config.threads or None):
            _fit(estimator, rows)
        return estimator

    def _facts(self, kept: Kept) -> dict[str, Any]:
        versions = {"scikit-learn": sklearn.__version__, "numpy": np.__version__, "polars": pl.__version__}
        estimator = self._config.estimator or self._config.factory
        return {"trainer": "sklearn", "estimator": estimator, "versions": versions | kept.versions, **kept.facts}


class _Rows(NamedTuple):
    inputs: tuple[SignatureColumn, ...]
    classes: tuple[str | int | bool, ...]
    frame: pl.DataFrame
    labels: pl.Series
    weights: np.ndarray | None

    def only(self, names: list[str]) -> _Rows:
        """Return them with these columns."""
        inputs = tuple(column for column in self.inputs if column.name in names)
        return self._replace(inputs=inputs, frame=self.frame.select(names))


def _training_rows(data: TrainingData, task: TrainingTask) -> _Rows:
    names = learned_columns(data.schema.names, task)
    _check_wishes(names, task)
    head = rows_with_label(data, task, [*names, task.target], "training")
    classes = () if task.task == "regression" else classes_of(head[task.target], task.task)
    return _rows(data, task, signature_of(head, names), classes, "training")


def _rows(
    data: TrainingData,
    task: TrainingTask,
    inputs: tuple[SignatureColumn, ...],
    classes: tuple[str | int | bool, ...],
    which: str,
) -> _Rows:
    columns = dict.fromkeys([*(column.name for column in inputs), task.target])
    weight = [task.weight] if task.weight in data.schema.names else []
    frame = rows_with_label(data, task, [*columns, *weight], which)
    return _Rows(
        inputs, classes, frame_of(table_arrays(frame, inputs), inputs), frame[task.target], row_weights(frame, task)
    )


def _check_wishes(names: list[str], task: TrainingTask) -> None:
    """Raise `UsageError` for an option of a column that an estimator cannot heed."""
    for name, wish in read_wishes(task).items():
        if name in names and wish.pii:
            raise UsageError(
                f"column {name!r} is personal, and an estimator may keep its values in the model",
                hint="Add it to `exclude`, or pseudonymise it in an earlier step; the trainers torch and lightgbm keep no text of it.",
            )
        if name in names and wish != ColumnWish():
            raise UsageError(
                f"the trainer 'sklearn' cannot heed the options of column {name!r}",
                hint="Say in `factory` how columns become numbers: sklearn.compose.ColumnTransformer selects them by name.",
            )


def _fit(estimator: Any, rows: _Rows) -> None:
    y = np.array(rows.labels.to_list()) if rows.classes else numbers(rows.labels)
    parameter = weight_parameter(estimator)
    more = {parameter: rows.weights} if parameter and rows.weights is not None else {}
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # between infinities
            estimator.fit(rows.frame, y, **more)
    except _REFUSALS as error:
        columns = ", ".join(f"{column.name} ({column.type})" for column in rows.inputs)
        raise DataError(
            f"{type(estimator).__name__} cannot be fitted on the columns {columns}: {error}",
            hint="It gets a Polars frame of these columns. A `factory` may return a Pipeline that begins with a "
            "ColumnTransformer, which selects columns by name and turns them into numbers.",
        ) from error


def _spans(frame: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Return the middle nine tenths of each column of numbers."""
    spans = {}
    for series in frame.iter_columns():
        values = series.cast(pl.Float64).drop_nulls().to_numpy() if series.dtype.is_numeric() else np.empty(0)
        values = values[np.isfinite(values)]
        if values.size:
            low, high = np.quantile(values, [0.05, 0.95]).tolist()
            spans[series.name] = (low, high)
    return spans


def _check_made_up(estimator: Any, golden: pl.DataFrame, task: str) -> None:
    """Raise `DataError` where the estimator fails for made-up rows, which hold values that the training rows lack, as requests do."""
    try:
        outputs_of(estimator, golden, task)
    except _REFUSALS as error:
        raise DataError(
            f"the estimator fails for values that it has not seen in training, and a request may hold any: {error}",
            hint='An encoder says what becomes of them: OneHotEncoder(handle_unknown="ignore"), '
            'OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).',
        ) from error


def _metrics(estimator: Any, task: TrainingTask, rows: _Rows, which: str) -> dict[str, float]:
    labels = class_codes(rows.labels, rows.classes) if rows.classes else numbers(rows.labels)
    outputs = outputs_of(estimator, rows.frame, task.task)
    return evaluation.evaluate_set(which, task.task, labels, outputs, rows.weights)
