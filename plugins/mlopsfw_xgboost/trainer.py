"""Rows in, a trained model out: XGBoost's JSON file, and the encoding of its columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import xgboost

from mlopsfw import evaluation
from mlopsfw.features.encoded import Columns, Rows, held_out, training_rows, validation_rows
from mlopsfw.features.encoding import FILE, attributions
from mlopsfw.roles import TASK_OUTPUTS, TrainedModel
from mlopsfw_xgboost.document import OBJECTIVES
from mlopsfw_xgboost.runtime import FORMAT, contributions, finite, predictions

if TYPE_CHECKING:
    from mlopsfw.roles import Ability, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_xgboost import XgBoostConfig

_MODEL = "model.json"
_EXPLAINED = 2048  # rows
_METRICS = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}
_ROUNDS = ("num_boost_round", "early_stopping_rounds", "holdout")


class XgBoostTrainer:
    """Trains boosted trees on a table.

    Args:
        config: `[trainer.xgboost]`.
    """

    tasks = frozenset(TASK_OUTPUTS)
    abilities: frozenset[Ability] = frozenset({"weight", "valid", "seed"})

    def __init__(self, config: XgBoostConfig) -> None:
        self._config = config

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Train on `train`; `valid`, or rows held out, say how many rounds are best. A training that was stopped starts again.

        Raises:
            DataError: The rows are not usable for training.
            UsageError: An option of a column does not fit.
        """
        context.progress("preparing rows", 0.0)
        columns, rows = training_rows(train, task)
        sets = {"train": rows}
        if valid is not None and valid.rows:
            sets["valid"] = validation_rows(valid, task, columns)
        for each in sets.values():
            finite(each.numbers)
        booster, stopping = self._best(task, columns, sets, train, context)
        metrics = _metrics(booster, task, stopping)
        if stopping:
            booster = self._boosted(task, columns, sets, context, rounds=booster.num_boosted_rounds())
        files = {name: context.scratch / name for name in (_MODEL, FILE)}
        files[_MODEL].write_bytes(booster.save_raw("json"))
        files[FILE].write_bytes(msgspec.json.encode(columns.encodings))
        return TrainedModel(
            inputs=columns.inputs,
            files=files,
            formats={FORMAT: _MODEL},
            classes=columns.classes,
            metrics=_metrics(booster, task, sets) | metrics,
            facts=self._facts(booster, columns, {**stopping, **sets})
            | {"rows_without_label": train.rows - len(rows.labels)},
        )

    def _best(
        self, task: TrainingTask, columns: Columns, sets: dict[str, Rows], train: TrainingData, context: TrainingContext
    ) -> tuple[xgboost.Booster, dict[str, Rows]]:
        """Return the trees up to the best round by the validation rows, else by rows held out of the training rows, and these."""
        if "valid" in sets or not self._config.early_stopping_rounds:
            return self._boosted(task, columns, sets, context), {}
        learned, held = held_out(sets["train"], train, task, self._config.holdout)
        if held is None:
            return self._boosted(task, columns, sets, context), {}
        return self._boosted(task, columns, {"train": learned, "valid": held}, context), {"holdout": held}

    def _boosted(
        self, task: TrainingTask, columns: Columns, sets: dict[str, Rows], context: TrainingContext, *, rounds: int = 0
    ) -> xgboost.Booster:
        """Return the trees of all rounds, stopped early by `valid`; with `rounds`, of as many, and no loss is logged."""
        kinds = ["q" if each.kind == "number" else "c" for each in columns.encodings]
        tables: dict[str, xgboost.QuantileDMatrix] = {}
        for name, each in sets.items():
            tables[name] = xgboost.QuantileDMatrix(
                each.numbers,
                each.labels,
                weight=each.weights,
                feature_types=kinds,
                enable_categorical=True,
                max_bin=self._config.max_bin,
                nthread=self._config.nthread,
                ref=tables.get("train"),
            )
        stops = self._config.early_stopping_rounds if "valid" in tables else 0
        booster = xgboost.train(
            self._params(task, columns),
            tables["train"],
            rounds or self._config.num_boost_round,
            evals=[] if rounds else [(table, name) for name, table in tables.items()],
            early_stopping_rounds=stops or None,
            callbacks=[_Reporter(context, rounds or self._config.num_boost_round)],
            verbose_eval=False,
        )
        return booster[: booster.best_iteration + 1] if stops else booster

    def _params(self, task: TrainingTask, columns: Columns) -> dict[str, Any]:
        options = msgspec.to_builtins(self._config)
        for name in _ROUNDS:  # arguments of `train`
            del options[name]
        several = {"num_class": len(columns.classes)} if task.task == "multiclass" else {}
        return {
            **options,
            **several,
            "objective": OBJECTIVES[task.task],
            "eval_metric": _METRICS[task.task],
            "tree_method": "hist",
            "seed": task.seed % 2**31,
            "verbosity": 0,
        }

    def _facts(self, booster: xgboost.Booster, columns: Columns, sets: dict[str, Rows]) -> dict[str, Any]:
        gains: Any = booster.get_score(importance_type="total_gain")  # by f0, f1, …; what no tree splits on is left out
        total = sum(gains.values()) or 1.0
        shares = {each.name: gains.get(f"f{at}", 0.0) / total for at, each in enumerate(columns.inputs)}
        return {
            "trainer": "xgboost",
            "versions": {"xgboost": xgboost.__version__, "numpy": np.__version__},
            "rows": len(sets["train"].labels),
            "validation_rows": next((len(sets[name].labels) for name in ("valid", "holdout") if name in sets), 0),
            "rounds": booster.num_boosted_rounds(),
            "importance": dict(sorted(shares.items(), key=lambda share: -share[1])),
            "attributions": lambda: attributions(  # takes several times as long as the training
                columns.encodings, contributions(booster, sets["train"].numbers[:_EXPLAINED])
            ),
            "settings": msgspec.to_builtins(self._config),
        }


class _Reporter(xgboost.callback.TrainingCallback):
    """Logs the loss of each round."""

    def __init__(self, context: TrainingContext, rounds: int) -> None:
        super().__init__()
        self._context, self._rounds = context, rounds

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict[str, dict[str, Any]]) -> bool:
        """Return that it may go on."""
        del model
        for name, losses in evals_log.items():
            ((*_, value),) = losses.values()
            if math.isfinite(value):
                self._context.log_metric(f"{name}_loss", value, epoch + 1)
        self._context.progress(f"round {epoch + 1} of at most {self._rounds}", (epoch + 1) / self._rounds)
        return False


def _metrics(booster: xgboost.Booster, task: TrainingTask, sets: dict[str, Rows]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, each in sets.items():
        labels = each.labels if task.task == "regression" else each.labels.astype(np.int64)
        computed = evaluation.evaluate(task.task, labels, predictions(booster, each.numbers))
        metrics |= {f"{name}_{metric}": value for metric, value in computed.items() if math.isfinite(value)}
    return metrics
