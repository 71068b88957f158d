"""Rows in, a trained model out: LightGBM's text file, and the encoding of its columns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import lightgbm
import msgspec
import numpy as np

from mlopsfw import evaluation
from mlopsfw.features.encoded import Columns, MatrixBlocks, Rows, held_out, row_count, rows_of_trees, sample_of
from mlopsfw.features.encoding import FILE, attributions
from mlopsfw.roles import QUANTILE_OUTPUT, TASK_OUTPUTS, TrainedModel
from mlopsfw_lightgbm.blocks import content
from mlopsfw_lightgbm.runtime import FORMAT, QUANTILE_FILE, contributions, predictions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lightgbm.callback import CallbackEnv

    from mlopsfw.roles import Ability, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_lightgbm import LightGbmConfig

_FILE = "model.txt"
_EXPLAINED = 2048  # rows
_OBJECTIVES = {
    "binary": ("binary", "binary_logloss"),
    "multiclass": ("multiclass", "multi_logloss"),
    "regression": ("regression", "l2"),
    "quantile": ("quantile", "quantile"),
}


class _Problem(NamedTuple):
    """What trees are to answer.

    Args:
        task: The task.
        columns: How columns are encoded.
        quantile: The level of a quantile in place of the task's own answer.
    """

    task: TrainingTask
    columns: Columns
    quantile: float | None = None

    @property
    def prefix(self) -> str:
        """What stands before the names of its losses."""
        return "" if self.quantile is None else f"{QUANTILE_OUTPUT.format(self.quantile)}_"


class _Sets(NamedTuple):
    """The rows: all to learn from, those that the number of rounds is learned from, and those that stop it: connected, or held out."""

    rows: Rows | MatrixBlocks
    learned: Rows | MatrixBlocks
    checked: Rows | MatrixBlocks | None
    held: Rows | MatrixBlocks | None


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
        context.progress("preparing rows", 0.0)
        columns, sets = rows_of_trees(train, valid, task, self._config.memory)
        rows, checked = sets["train"], sets.get("valid")
        if isinstance(rows, MatrixBlocks):
            context.log_metric("streamed_rows", len(rows))
        learned: Rows | MatrixBlocks = rows
        held: Rows | MatrixBlocks | None = None
        if checked is None and self._config.early_stopping_round:
            learned, held = held_out(rows, train, task, self._config.holdout)
        problem, divided = _Problem(task, columns), _Sets(rows, learned, checked, held)
        booster, metrics = self._best(problem, divided, context)
        boosters = {_FILE: booster}
        for level in task.quantiles:
            name = QUANTILE_FILE.format(QUANTILE_OUTPUT.format(level))
            boosters[name], _ = self._best(problem._replace(quantile=level), divided, context)
        return TrainedModel(
            inputs=columns.inputs,
            files=_files(boosters, columns, context.scratch),
            formats={FORMAT: _FILE},
            classes=columns.classes,
            metrics=metrics | self._metrics(booster, task, sets),
            facts={
                **self._facts(booster, columns, rows, checked or held),
                "rows_without_label": train.rows - row_count(rows),
            },
        )

    def _best(
        self, problem: _Problem, sets: _Sets, context: TrainingContext
    ) -> tuple[lightgbm.Booster, dict[str, float]]:
        """Return the trees of as many rounds as the rows that stop them find best, grown on all rows, and metrics of those held out."""
        booster = self._grown(problem, sets.learned, sets.checked or sets.held, context)
        if sets.held is None:
            return booster, {}
        metrics = {} if problem.quantile else self._metrics(booster, problem.task, {"holdout": sets.held})
        return self._grown(problem, sets.rows, None, context, rounds=booster.best_iteration), metrics

    def _grown(
        self, problem: _Problem, rows: Rows | MatrixBlocks, checked: Rows | MatrixBlocks | None, context: TrainingContext, *,
        rounds: int = 0,
    ) -> lightgbm.Booster:  # fmt: skip
        """Return the trees of all rounds, stopped early by `checked`; with `rounds`, of as many, and no loss is logged."""
        columns, params = problem.columns, self._params(problem)
        categorical = [at for at, each in enumerate(columns.encodings) if each.kind != "number"]
        data = lightgbm.Dataset(**content(rows), params=params, categorical_feature=categorical)
        most = rounds or self._config.num_iterations
        sets, callbacks = {} if rounds else {"train": data}, [_reporter(context, most, problem.prefix)]
        if checked is not None:
            sets["valid"] = data.create_valid(**content(checked), params=params)
            if self._config.early_stopping_round:
                callbacks.append(lightgbm.early_stopping(self._config.early_stopping_round, verbose=False))
        return lightgbm.train(params, data, most, list(sets.values()), list(sets), callbacks=callbacks)

    def _params(self, problem: _Problem) -> dict[str, Any]:
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

    def _metrics(
        self, booster: lightgbm.Booster, task: TrainingTask, sets: Mapping[str, Rows | MatrixBlocks]
    ) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, each in sets.items():
            some = sample_of(each)
            outputs = predictions(booster, some.numbers, self._config.num_threads)
            metrics |= evaluation.evaluate_set(name, task.task, some.labels, outputs, some.weights)
        return metrics

    def _facts(
        self,
        booster: lightgbm.Booster,
        columns: Columns,
        rows: Rows | MatrixBlocks,
        checked: Rows | MatrixBlocks | None,
    ) -> dict[str, Any]:
        gains = booster.feature_importance("gain", iteration=booster.best_iteration)
        total = float(gains.sum()) or 1.0
        shares = {each.name: float(gain) / total for each, gain in zip(columns.inputs, gains, strict=True)}
        return {
            "trainer": "lightgbm",
            "versions": {"lightgbm": lightgbm.__version__, "numpy": np.__version__},
            "rows": row_count(rows),
            "validation_rows": 0 if checked is None else row_count(checked),
            "streamed": isinstance(rows, MatrixBlocks),
            "rounds": booster.current_iteration(),
            "importance": dict(sorted(shares.items(), key=lambda share: -share[1])),
            "attributions": lambda: attributions(  # takes several times as long as the training
                columns.encodings,
                contributions(booster, sample_of(rows).numbers[:_EXPLAINED], self._config.num_threads),
            ),
            "settings": msgspec.to_builtins(self._config),
        }


def _files(boosters: Mapping[str, lightgbm.Booster], columns: Columns, folder: Path) -> dict[str, Path]:
    files = {name: folder / name for name in (*boosters, FILE)}
    for name, booster in boosters.items():
        booster.save_model(files[name], num_iteration=booster.best_iteration)
    files[FILE].write_bytes(msgspec.json.encode(columns.encodings))
    return files


def _reporter(context: TrainingContext, rounds: int, prefix: str) -> Any:
    """Return a callback that logs the loss of each round, with a prefix before its name."""

    def report(env: CallbackEnv) -> None:
        step = env.iteration + 1
        for name, _, value, *_ in env.evaluation_result_list or ():
            if math.isfinite(value):
                context.log_metric(f"{prefix}{name}_loss", value, step)
        what = f"{prefix.rstrip('_')}: " if prefix else ""
        context.progress(f"{what}round {step} of at most {rounds}", step / rounds)

    return report
