"""`TorchTrainer`: from tables to a trained model. Combines plan, rows, network, loop, checkpoints and export, each in its own module."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import torch

from mlopsfw import evaluation
from mlopsfw.features import FeaturePlan
from mlopsfw.features.fit import training_columns
from mlopsfw.features.labels import classes_of, numbers, rows_with_label
from mlopsfw.roles import TASK_OUTPUTS, TrainedModel
from mlopsfw_trainer_torch.checkpoint import Checkpoints
from mlopsfw_trainer_torch.device import choose_device, choose_mixed, repeatable
from mlopsfw_trainer_torch.export import check_export, export_onnx, export_weights, outputs_of
from mlopsfw_trainer_torch.importance import importance
from mlopsfw_trainer_torch.loop import Training
from mlopsfw_trainer_torch.rows import Rows, Target, balanced, held_out, tensors
from mlopsfw_trainer_torch.schedule import schedule_of
from mlopsfw_trainer_torch.tabm import network_of

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.roles import Ability, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_trainer_torch import TorchConfig

_PROBED = 512


class TorchTrainer:
    """Trains a network on a table.

    Args:
        config: `[trainer.torch]`.
    """

    tasks = frozenset(TASK_OUTPUTS)
    abilities: frozenset[Ability] = frozenset({"weight", "valid", "seed", "derived"})

    def __init__(self, config: TorchConfig) -> None:
        self._config = config

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Train on `train`. With `valid`, stop early and keep the best epoch.

        Rows without a label are skipped and counted in the facts. Training continues from a checkpoint of the same training in
        `context.checkpoints`.

        Raises:
            DataError: The rows are not usable for training.
            PluginError: The configured device does not exist.
        """
        device = choose_device(self._config)
        mixed = choose_mixed(self._config, device)
        context.progress("preparing rows", 0.0)
        problem = _prepare(task, train, valid, self._config)
        with repeatable(task.seed, self._config.threads, device):
            training = self._training(problem, task, device, mixed=mixed)
            checkpoints = Checkpoints(context.checkpoints, self._identity(problem, task, device, mixed=mixed))
            if checkpoints.restore(training):
                context.log_metric("resumed_at_step", training.progress.step)
            training.run(context, checkpoints)
            return self._result(training, problem, task, context)

    def _training(self, problem: _Problem, task: TrainingTask, device: torch.device, *, mixed: bool) -> Training:
        c, plan = self._config, problem.plan
        network = network_of(c, plan, problem.target.outputs).to(device)
        train = problem.train
        if c.class_weights == "balanced" and task.task != "regression":
            train = balanced(train, len(problem.target.classes))
        valid = None if problem.valid is None else problem.valid.to(device)
        return Training(
            network, train.to(device), valid, task.task, c,
            schedule=schedule_of(c, len(train)), seed=task.seed, mixed=mixed,
        )  # fmt: skip

    def _identity(self, problem: _Problem, task: TrainingTask, device: torch.device, *, mixed: bool) -> str:
        """Return the identity of this training, which its checkpoints must have."""
        settings = msgspec.json.encode(
            [self._config, task, str(torch.__version__), str(device), mixed, torch.get_num_threads()], order="sorted"
        )
        digest = hashlib.sha256(settings)
        digest.update(problem.plan.to_json())
        for rows in filter(None, (problem.train, problem.valid)):
            for tensor in (rows.numeric, rows.codes, rows.target, rows.weight):
                if tensor is not None:
                    digest.update(tensor.numpy().data)
        return digest.hexdigest()

    def _result(
        self, training: Training, problem: _Problem, task: TrainingTask, context: TrainingContext
    ) -> TrainedModel:
        files = {name: context.scratch / name for name in ("model.onnx", "weights.safetensors")}
        files["plan.json"] = context.scratch / "plan.json"
        files["plan.json"].write_bytes(problem.plan.to_json())
        network: Any = training.network
        export_weights(network, files["weights.safetensors"])
        export_onnx(network, problem.target, files["model.onnx"])
        evaluation = (problem.train if problem.valid is None else problem.valid).to(training.device)
        probed = evaluation.at(torch.arange(min(_PROBED, len(evaluation)), device=training.device))
        expected = outputs_of(training.logits(probed), problem.target)
        difference = check_export(files["model.onnx"], probed, expected, problem.target.scale)
        facts = _facts(training, problem) | {
            "importance": importance(training, problem.plan, evaluation, task.seed),
            "precision": "mixed" if choose_mixed(self._config, training.device) else "full",
            "export_difference": float(f"{difference:.1e}"),
            "settings": msgspec.to_builtins(self._config),
        }
        return TrainedModel(
            inputs=problem.plan.inputs,
            files=files,
            formats={"onnx": "model.onnx"},
            classes=problem.target.classes,
            metrics=_metrics(training, problem),
            facts=facts,
        )


class _Problem(NamedTuple):
    plan: FeaturePlan
    target: Target
    train: Rows
    valid: Rows | None
    unlabelled: int
    validation: str = "valid"
    """The name of the rows that stop the training: `valid` if they were connected, `holdout` if they come out of the training rows."""


def _prepare(task: TrainingTask, train: TrainingData, valid: TrainingData | None, config: TorchConfig) -> _Problem:
    columns = training_columns(train.schema.names, task)
    timed = task.time in train.schema.names and task.time not in columns
    frame = rows_with_label(train, task, [*columns, task.time] if timed else columns, "training")
    plan = FeaturePlan.fit(frame, task)
    target = _target(frame, task)
    rows = tensors(frame, plan, target, task)
    unlabelled = train.rows - frame.height
    if valid is not None and valid.rows:
        checked = rows_with_label(valid, task, valid.schema.names, "validation")
        return _Problem(plan, target, rows, tensors(checked, plan, target, task), unlabelled)
    times = frame[task.time] if task.time in frame.columns else None
    held = 0 if config.patience == 0 else int(config.holdout * frame.height)
    return _Problem(plan, target, *held_out(rows, times, held, task.seed), unlabelled, "holdout")


def _target(frame: pl.DataFrame, task: TrainingTask) -> Target:
    labels = frame[task.target]
    if task.task == "regression":
        values = numbers(labels)
        return Target(task.task, (), float(values.mean()), float(values.std()) or 1.0)
    return Target(task.task, classes_of(labels, task.task))


def _facts(training: Training, problem: _Problem) -> dict[str, Any]:
    p = training.progress
    return {
        "trainer": "torch",
        "versions": {"torch": str(torch.__version__), "numpy": np.__version__},
        "device": torch.cuda.get_device_name(training.device) if training.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "parameters": sum(each.numel() for each in training.network.parameters()),
        "rows": len(problem.train),
        "validation_rows": 0 if problem.valid is None else len(problem.valid),
        "held_out": problem.valid is not None and problem.validation == "holdout",
        "rows_without_label": problem.unlabelled,
        "schedule": training.schedule._asdict(),
        "epochs": p.epoch,
        "best_epoch": p.best_epoch + 1,
        "steps": p.step,
    }


def _metrics(training: Training, problem: _Problem) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, rows in (("train", problem.train), (problem.validation, problem.valid)):
        if rows is not None:
            on_device = rows.to(training.device)
            outputs = outputs_of(training.logits(on_device), problem.target)
            computed = evaluation.evaluate(problem.target.task, _labels(rows, problem.target), outputs)
            metrics |= {f"{name}_{metric}": value for metric, value in computed.items() if math.isfinite(value)}
    return metrics


def _labels(rows: Rows, target: Target) -> np.ndarray:
    flat = rows.target.reshape(-1).numpy()
    if target.task == "regression":
        return flat.astype(np.float64) * target.scale + target.mean
    return flat.astype(np.int64)
