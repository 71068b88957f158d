"""Rows in, a trained model out: LightGBM's text file, and the encoding of its columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import lightgbm
import msgspec
import numpy as np

from mlopsfw import evaluation
from mlopsfw.features.encoded import Columns, Rows, training_rows, validation_rows
from mlopsfw.features.encoding import FILE, attributions
from mlopsfw.roles import TASK_OUTPUTS, TrainedModel
from mlopsfw_lightgbm.runtime import FORMAT, contributions, predictions

if TYPE_CHECKING:
    from lightgbm.callback import CallbackEnv

    from mlopsfw.roles import Ability, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_lightgbm import LightGbmConfig

_FILE = "model.txt"
_EXPLAINED = 2048  # rows
_OBJECTIVES = {
    "binary": ("binary", "binary_logloss"),
    "multiclass": ("multiclass", "multi_logloss"),
    "regression": ("regression", "l2"),
}


class LightGbmTrainer:
    """Trains boosted trees on a table.

    Args:
        config: `[trainer.lightgbm]`.
    """

    tasks = frozenset(TASK_OUTPUTS)
    abilities: frozenset[Ability] = frozenset({"weight", "valid", "seed"})

    def __init__(self, config: LightGbmConfig) -> None:
        self._config = config

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Train on `train`. With `valid`, stop early and keep the best round. A training that was stopped starts again.

        Raises:
            DataError: The rows are not usable for training.
            UsageError: An option of a column does not fit.
        """
        context.progress("preparing rows", 0.0)
        columns, rows = training_rows(train, task)
        checked = validation_rows(valid, task, columns) if valid is not None and valid.rows else None
        booster = self._boosted(task, columns, rows, checked, context)
        files = {name: context.scratch / name for name in (_FILE, FILE)}
        booster.save_model(files[_FILE], num_iteration=booster.best_iteration)
        files[FILE].write_bytes(msgspec.json.encode(columns.encodings))
        return TrainedModel(
            inputs=columns.inputs,
            files=files,
            formats={FORMAT: _FILE},
            classes=columns.classes,
            metrics=self._metrics(booster, task, rows, checked),
            facts=self._facts(booster, columns, rows, checked) | {"rows_without_label": train.rows - len(rows.labels)},
        )

    def _boosted(
        self, task: TrainingTask, columns: Columns, rows: Rows, checked: Rows | None, context: TrainingContext
    ) -> lightgbm.Booster:
        params = self._params(task, columns)
        categorical = [at for at, each in enumerate(columns.encodings) if each.kind != "number"]
        data = lightgbm.Dataset(
            rows.numbers, rows.labels, weight=rows.weights, params=params, categorical_feature=categorical
        )
        sets, callbacks = {"train": data}, [_reporter(context, self._config.num_iterations)]
        if checked is not None:
            sets["valid"] = data.create_valid(checked.numbers, checked.labels, weight=checked.weights, params=params)
            if self._config.early_stopping_round:
                callbacks.append(lightgbm.early_stopping(self._config.early_stopping_round, verbose=False))
        return lightgbm.train(
            params, data, self._config.num_iterations, list(sets.values()), list(sets), callbacks=callbacks
        )

    def _params(self, task: TrainingTask, columns: Columns) -> dict[str, Any]:
        options = msgspec.to_builtins(self._config)
        for name in ("num_iterations", "early_stopping_round"):  # arguments of `train`, and of a callback
            del options[name]
        objective, metric = _OBJECTIVES[task.task]
        return {
            **options,
            "objective": objective,
            "metric": metric,
            "num_class": len(columns.classes) if task.task == "multiclass" else 1,
            "seed": task.seed % 2**31,
            "bagging_freq": int(self._config.bagging_fraction < 1),
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def _metrics(
        self, booster: lightgbm.Booster, task: TrainingTask, rows: Rows, checked: Rows | None
    ) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, each in (("train", rows), ("valid", checked)):
            if each is not None:
                labels = each.labels if task.task == "regression" else each.labels.astype(np.int64)
                outputs = predictions(booster, each.numbers, self._config.num_threads)
                computed = evaluation.evaluate(task.task, labels, outputs)
                metrics |= {f"{name}_{metric}": value for metric, value in computed.items() if math.isfinite(value)}
        return metrics

    def _facts(self, booster: lightgbm.Booster, columns: Columns, rows: Rows, checked: Rows | None) -> dict[str, Any]:
        gains = booster.feature_importance("gain", iteration=booster.best_iteration)
        total = float(gains.sum()) or 1.0
        shares = {each.name: float(gain) / total for each, gain in zip(columns.inputs, gains, strict=True)}
        return {
            "trainer": "lightgbm",
            "versions": {"lightgbm": lightgbm.__version__, "numpy": np.__version__},
            "rows": len(rows.labels),
            "validation_rows": 0 if checked is None else len(checked.labels),
            "rounds": booster.current_iteration(),
            "importance": dict(sorted(shares.items(), key=lambda share: -share[1])),
            "attributions": attributions(
                columns.encodings, contributions(booster, rows.numbers[:_EXPLAINED], self._config.num_threads)
            ),
            "settings": msgspec.to_builtins(self._config),
        }


def _reporter(context: TrainingContext, rounds: int) -> Any:
    """Return a callback that logs the loss of each round."""

    def report(env: CallbackEnv) -> None:
        step = env.iteration + 1
        for name, _, value, *_ in env.evaluation_result_list or ():
            if math.isfinite(value):
                context.log_metric(f"{name}_loss", value, step)
        context.progress(f"round {step} of at most {rounds}", step / rounds)

    return report
