"""Rows in, a trained model out: LightGBM's text file, and the encoding of its columns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import lightgbm
import msgspec
import numpy as np

from mlopsfw import evaluation
from mlopsfw.features.boosting import Problem, facts_of, prepare, write_files
from mlopsfw.features.encoded import row_count, sample_of
from mlopsfw.roles import QUANTILE_OUTPUT, TASK_OUTPUTS, TrainedModel
from mlopsfw_lightgbm.blocks import content
from mlopsfw_lightgbm.runtime import FORMAT, QUANTILE_FILE, contributions, predictions

if TYPE_CHECKING:
    from pathlib import Path

    from lightgbm.callback import CallbackEnv

    from mlopsfw.features.boosting import Sets
    from mlopsfw.features.encoded import Columns
    from mlopsfw.roles import Ability, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_lightgbm import LightGbmConfig

_FILE = "model.txt"
_OBJECTIVES = {
    "binary": ("binary", "binary_logloss"),
    "multiclass": ("multiclass", "multi_logloss"),
    "regression": ("regression", "l2"),
    "quantile": ("quantile", "quantile"),
}


class LightGbmTrainer:
    """Trains boosted trees on a table.

    Args:
        config: `[trainer.lightgbm]`.
    """

    tasks = frozenset(TASK_OUTPUTS)
    abilities: frozenset[Ability] = frozenset({"weight", "valid", "seed", "quantiles"})

    def __init__(self, config: LightGbmConfig) -> None:
        self._config = config

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Train on `train`; `valid`, or rows held out, say how many rounds are best. A training that was stopped starts again.

        Raises:
            DataError: The rows are not usable for training.
            UsageError: An option of a column does not fit.
        """
        holdout = self._config.holdout if self._config.early_stopping_round else 0.0
        columns, sets, stopping = prepare(task, train, valid, context, memory=self._config.memory, holdout=holdout)
        booster, metrics = self._best(Problem(task, columns), sets, stopping, context)
        boosters = {_FILE: booster}
        for level in task.quantiles:
            name = QUANTILE_FILE.format(QUANTILE_OUTPUT.format(level))
            boosters[name], _ = self._best(Problem(task, columns, level), sets, stopping, context)
        return TrainedModel(
            inputs=columns.inputs,
            files=write_files(boosters, _save, columns, context.scratch),
            formats={FORMAT: _FILE},
            classes=columns.classes,
            metrics=metrics | self._metrics(booster, task, sets),
            facts=self._facts(booster, columns, sets, stopping)
            | {"rows_without_label": train.rows - row_count(sets["train"])},
        )

    def _best(
        self, problem: Problem, sets: Sets, stopping: Sets, context: TrainingContext
    ) -> tuple[lightgbm.Booster, dict[str, float]]:
        """Return the trees up to the best round by the validation rows, else by those held out, grown on all rows; and metrics of these."""
        booster = self._grown(problem, stopping or sets, context)
        if not stopping:
            return booster, {}
        metrics = {} if problem.quantile else self._metrics(booster, problem.task, {"holdout": stopping["valid"]})
        return self._grown(problem, {"train": sets["train"]}, context, rounds=booster.best_iteration), metrics

    def _grown(self, problem: Problem, sets: Sets, context: TrainingContext, *, rounds: int = 0) -> lightgbm.Booster:
        """Return the trees of all rounds, stopped early by `valid`; with `rounds`, of as many, and no loss is logged."""
        columns, params = problem.columns, self._params(problem)
        categorical = [at for at, each in enumerate(columns.encodings) if each.kind != "number"]
        data = lightgbm.Dataset(**content(sets["train"]), params=params, categorical_feature=categorical)
        most = rounds or self._config.num_iterations
        judged, callbacks = {} if rounds else {"train": data}, [_reporter(problem, context, most)]
        if "valid" in sets:
            judged["valid"] = data.create_valid(**content(sets["valid"]), params=params)
            if self._config.early_stopping_round:
                callbacks.append(lightgbm.early_stopping(self._config.early_stopping_round, verbose=False))
        return lightgbm.train(params, data, most, list(judged.values()), list(judged), callbacks=callbacks)

    def _params(self, problem: Problem) -> dict[str, Any]:
        options = msgspec.to_builtins(self._config)
        for name in ("num_iterations", "early_stopping_round", "holdout", "memory"):  # of `train`, a callback, ours
            del options[name]
        task, columns, level = problem
        objective, metric = _OBJECTIVES["quantile" if level else task.task]
        return {
            **options,
            **({"alpha": level} if level else {}),
            "objective": objective,
            "metric": metric,
            "num_class": len(columns.classes) if task.task == "multiclass" else 1,
            "seed": task.seed % 2**31,
            "bagging_freq": int(self._config.bagging_fraction < 1),
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }

    def _metrics(self, booster: lightgbm.Booster, task: TrainingTask, sets: Sets) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, each in sets.items():
            rows = sample_of(each)
            outputs = predictions(booster, rows.numbers, self._config.num_threads)
            metrics |= evaluation.evaluate_set(name, task.task, rows.labels, outputs, rows.weights)
        return metrics

    def _facts(self, booster: lightgbm.Booster, columns: Columns, sets: Sets, stopping: Sets) -> dict[str, Any]:
        gains = booster.feature_importance("gain", iteration=booster.best_iteration).tolist()
        explained = partial(contributions, booster, threads=self._config.num_threads)
        return {
            "trainer": "lightgbm",
            "versions": {"lightgbm": lightgbm.__version__, "numpy": np.__version__},
            **facts_of(columns, sets, stopping, gains, explained),
            "rounds": booster.current_iteration(),
            "settings": msgspec.to_builtins(self._config),
        }


def _save(booster: lightgbm.Booster, file: Path) -> None:
    booster.save_model(file, num_iteration=booster.best_iteration)


def _reporter(problem: Problem, context: TrainingContext, rounds: int) -> Any:
    """Return a callback that reports each round."""

    def report(env: CallbackEnv) -> None:
        losses = {name: value for name, _, value, *_ in env.evaluation_result_list or ()}
        problem.report(context, env.iteration + 1, rounds, losses)

    return report
