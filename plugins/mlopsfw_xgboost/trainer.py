"""Rows in, a trained model out: XGBoost's JSON file, and the encoding of its columns."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import xgboost

from mlopsfw import evaluation
from mlopsfw.features.encoded import Columns, MatrixBlocks, Rows, held_out, row_count, rows_of_trees, sample_of
from mlopsfw.features.encoding import FILE, attributions
from mlopsfw.roles import QUANTILE_OUTPUT, TASK_OUTPUTS, TrainedModel
from mlopsfw_xgboost.blocks import check_device, quantile_matrix
from mlopsfw_xgboost.document import OBJECTIVES, QUANTILE
from mlopsfw_xgboost.runtime import FORMAT, QUANTILE_FILE, contributions, finite, predictions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlopsfw.roles import Ability, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_xgboost import XgBoostConfig

_MODEL = "model.json"
_EXPLAINED = 2048  # rows
_METRICS = {"binary": "logloss", "multiclass": "mlogloss", "regression": "rmse"}
_OTHERS = ("num_boost_round", "early_stopping_rounds", "holdout", "memory")
_Sets = dict[str, Rows | MatrixBlocks]


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
        context.progress("preparing rows", 0.0)
        check_device(self._config.device)
        columns, sets = rows_of_trees(train, valid, task, self._config.memory)
        rows = sets["train"]
        if isinstance(rows, MatrixBlocks):
            context.log_metric("streamed_rows", len(rows))
        for each in sets.values():
            finite(sample_of(each).numbers)
        stopping = self._stopping(task, sets, train)
        booster, metrics = self._best(_Problem(task, columns), sets, stopping, context)
        boosters = {_MODEL: booster}
        for level in task.quantiles:
            name = QUANTILE_FILE.format(QUANTILE_OUTPUT.format(level))
            boosters[name], _ = self._best(_Problem(task, columns, level), sets, stopping, context)
        held = {"holdout": stopping["valid"]} if stopping else {}
        return TrainedModel(
            inputs=columns.inputs,
            files=_files(boosters, columns, context.scratch),
            formats={FORMAT: _MODEL},
            classes=columns.classes,
            metrics=_metrics(booster, task, sets) | metrics,
            facts=self._facts(booster, columns, {**held, **sets})
            | {"rows_without_label": train.rows - row_count(rows)},
        )

    def _stopping(self, task: TrainingTask, sets: _Sets, train: TrainingData) -> _Sets:
        """Return the training rows without those that are held out to find the best round, and these as `valid`; nothing if none are."""
        if "valid" in sets or not self._config.early_stopping_rounds:
            return {}
        learned, held = held_out(sets["train"], train, task, self._config.holdout)
        return {} if held is None else {"train": learned, "valid": held}

    def _best(
        self, problem: _Problem, sets: _Sets, stopping: _Sets, context: TrainingContext
    ) -> tuple[xgboost.Booster, dict[str, float]]:
        """Return the trees up to the best round by the validation rows, else by those held out, grown on all rows; and metrics of these."""
        booster = self._boosted(problem, stopping or sets, context)
        if not stopping:
            return booster, {}
        metrics = {} if problem.quantile else _metrics(booster, problem.task, {"holdout": stopping["valid"]})
        return self._boosted(problem, sets, context, rounds=booster.num_boosted_rounds()), metrics

    def _boosted(self, problem: _Problem, sets: _Sets, context: TrainingContext, *, rounds: int = 0) -> xgboost.Booster:
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
                callbacks=[_Reporter(context, rounds or self._config.num_boost_round, problem.prefix)],
                verbose_eval=False,
            )
        booster.set_param({"device": "cpu"})  # on which it is measured
        return booster[: booster.best_iteration + 1] if stops else booster

    def _params(self, problem: _Problem) -> dict[str, Any]:
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

    def _facts(self, booster: xgboost.Booster, columns: Columns, sets: _Sets) -> dict[str, Any]:
        gains: Any = booster.get_score(importance_type="total_gain")  # by f0, f1, …; what no tree splits on is left out
        total = sum(gains.values()) or 1.0
        shares = {each.name: gains.get(f"f{at}", 0.0) / total for at, each in enumerate(columns.inputs)}
        return {
            "trainer": "xgboost",
            "versions": {"xgboost": xgboost.__version__, "numpy": np.__version__},
            "rows": row_count(sets["train"]),
            "validation_rows": next((row_count(sets[name]) for name in ("valid", "holdout") if name in sets), 0),
            "streamed": isinstance(sets["train"], MatrixBlocks),
            "device": self._config.device,
            "rounds": booster.num_boosted_rounds(),
            "importance": dict(sorted(shares.items(), key=lambda share: -share[1])),
            "attributions": lambda: attributions(  # takes several times as long as the training
                columns.encodings, contributions(booster, sample_of(sets["train"]).numbers[:_EXPLAINED])
            ),
            "settings": msgspec.to_builtins(self._config),
        }


class _Reporter(xgboost.callback.TrainingCallback):
    """Logs the loss of each round, with a prefix before its name."""

    def __init__(self, context: TrainingContext, rounds: int, prefix: str) -> None:
        super().__init__()
        self._context, self._rounds, self._prefix = context, rounds, prefix

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: dict[str, dict[str, Any]]) -> bool:
        """Return that it may go on."""
        del model
        for name, losses in evals_log.items():
            ((*_, value),) = losses.values()
            if math.isfinite(value):
                self._context.log_metric(f"{self._prefix}{name}_loss", value, epoch + 1)
        what = f"{self._prefix.rstrip('_')}: " if self._prefix else ""
        self._context.progress(f"{what}round {epoch + 1} of at most {self._rounds}", (epoch + 1) / self._rounds)
        return False


def _files(boosters: Mapping[str, xgboost.Booster], columns: Columns, folder: Path) -> dict[str, Path]:
    files = {name: folder / name for name in (*boosters, FILE)}
    for name, booster in boosters.items():
        files[name].write_bytes(booster.save_raw("json"))
    files[FILE].write_bytes(msgspec.json.encode(columns.encodings))
    return files


def _metrics(booster: xgboost.Booster, task: TrainingTask, sets: _Sets) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, each in sets.items():
        rows = sample_of(each)
        outputs = predictions(booster, rows.numbers)
        metrics |= evaluation.evaluate_set(name, task.task, rows.labels, outputs, rows.weights)
    return metrics
