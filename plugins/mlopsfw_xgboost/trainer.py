"""Rows in, a trained model out: XGBoost's JSON file, and the encoding of its columns."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import xgboost

from mlopsfw import evaluation
from mlopsfw.features.boosting import Problem, facts_of, prepare, write_files
from mlopsfw.features.encoded import row_count, sample_of
from mlopsfw.roles import QUANTILE_OUTPUT, TASK_OUTPUTS, TrainedModel
from mlopsfw_xgboost.blocks import check_device, quantile_matrix
from mlopsfw_xgboost.document import OBJECTIVES, QUANTILE
from mlopsfw_xgboost.runtime import FORMAT, QUANTILE_FILE, contributions, finite, predictions

if TYPE_CHECKING:
    from mlopsfw.features.boosting import Sets
    from mlopsfw.features.encoded import Columns
    from mlopsfw.roles import Ability, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_xgboost import XgBoostConfig

_MODEL = "model.json"
_METRICS = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}
_OTHERS = ("num_boost_round", "early_stopping_rounds", "holdout", "memory")


class XgBoostTrainer:
    """Trains boosted trees on a table.

    Args:
        config: `[trainer.xgboost]`.
    """

    tasks = frozenset(TASK_OUTPUTS)
    abilities: frozenset[Ability] = frozenset({"weight", "valid", "seed", "quantiles"})

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
        check_device(self._config.device)
        holdout = self._config.holdout if self._config.early_stopping_rounds else 0.0
        columns, sets, stopping = prepare(task, train, valid, context, memory=self._config.memory, holdout=holdout)
        for each in (*sets.values(), *stopping.values()):
            finite(sample_of(each).numbers)  # in place
        booster, metrics = self._best(Problem(task, columns), sets, stopping, context)
        boosters = {_MODEL: booster}
        for level in task.quantiles:
            name = QUANTILE_FILE.format(QUANTILE_OUTPUT.format(level))
            boosters[name], _ = self._best(Problem(task, columns, level), sets, stopping, context)
        return TrainedModel(
            inputs=columns.inputs,
            files=write_files(boosters, _save, columns, context.scratch),
            formats={FORMAT: _MODEL},
            classes=columns.classes,
            metrics=_metrics(booster, task, sets) | metrics,
            facts=self._facts(booster, columns, sets, stopping)
            | {"rows_without_label": train.rows - row_count(sets["train"])},
        )

    def _best(
        self, problem: Problem, sets: Sets, stopping: Sets, context: TrainingContext
    ) -> tuple[xgboost.Booster, dict[str, float]]:
        """Return the trees up to the best round by the validation rows, else by those held out, grown on all rows; and metrics of these."""
        booster = self._boosted(problem, stopping or sets, context)
        if not stopping:
            return booster, {}
        metrics = {} if problem.quantile else _metrics(booster, problem.task, {"holdout": stopping["valid"]})
        return self._boosted(problem, sets, context, rounds=booster.num_boosted_rounds()), metrics

    def _boosted(self, problem: Problem, sets: Sets, context: TrainingContext, *, rounds: int = 0) -> xgboost.Booster:
        """Return the trees of all rounds, stopped early by `valid`; with `rounds`, of as many, and no loss is logged."""
        with TemporaryDirectory(dir=context.scratch, prefix="pages-", ignore_cleanup_errors=True) as pages:
            tables: dict[str, xgboost.DMatrix] = {}
            for name, each in sets.items():
                tables[name] = quantile_matrix(
                    each, problem.columns, self._config, tables.get("train"), Path(pages) / name
                )
            stops = self._config.early_stopping_rounds if "valid" in tables else 0
            booster = xgboost.train(
                self._params(problem),
                tables["train"],
                rounds or self._config.num_boost_round,
                evals=[] if rounds else [(table, name) for name, table in tables.items()],
                early_stopping_rounds=stops or None,
                callbacks=[_Reporter(problem, context, rounds or self._config.num_boost_round)],
                verbose_eval=False,
            )
        booster.set_param({"device": "cpu"})  # on which it is measured
        return booster[: booster.best_iteration + 1] if stops else booster

    def _params(self, problem: Problem) -> dict[str, Any]:
        task, columns, level = problem
        options = msgspec.to_builtins(self._config)
        for name in _OTHERS:  # arguments of `train`, and ours
            del options[name]
        several = {"num_class": len(columns.classes)} if task.task == "multiclass" else {}
        quantile = {"quantile_alpha": level} if level else {}
        return {
            **options,
            **several,
            **quantile,
            "objective": QUANTILE if level else OBJECTIVES[task.task],
            "eval_metric": "quantile" if level else _METRICS[task.task],
            "tree_method": "hist",
            "seed": task.seed % 2**31,
            "verbosity": 0,
        }

    def _facts(self, booster: xgboost.Booster, columns: Columns, sets: Sets, stopping: Sets) -> dict[str, Any]:
        gains: Any = booster.get_score(importance_type="total_gain")  # by f0, f1, …; what no tree splits on is left out
        each = [gains.get(f"f{at}", 0.0) for at in range(len(columns.inputs))]
        return {
            "trainer": "xgboost",
            "versions": {"xgboost": xgboost.__version__, "numpy": np.__version__},
            **facts_of(columns, sets, stopping, each, partial(contributions, booster)),
            "device": self._config.device,
            "rounds": booster.num_boosted_rounds(),
            "settings": msgspec.to_builtins(self._config),
        }


class _Reporter(xgboost.callback.TrainingCallback):
    """Reports each round."""

    def __init__(self, problem: Problem, context: TrainingContext, rounds: int) -> None:
        super().__init__()
        self._problem, self._context, self._rounds = problem, context, rounds

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict[str, dict[str, Any]]) -> bool:
        """Return that it may go on."""
        del model
        losses = {name: next(iter(values.values()))[-1] for name, values in evals_log.items()}
        self._problem.report(self._context, epoch + 1, self._rounds, losses)
        return False


def _save(booster: xgboost.Booster, file: Path) -> None:
    file.write_bytes(booster.save_raw("json"))


def _metrics(booster: xgboost.Booster, task: TrainingTask, sets: Sets) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, each in sets.items():
        rows = sample_of(each)
        outputs = predictions(booster, rows.numbers)
        metrics |= evaluation.evaluate_set(name, task.task, rows.labels, outputs, rows.weights)
    return metrics
