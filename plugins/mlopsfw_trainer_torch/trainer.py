"""`TorchTrainer`: from tables to a trained model. Combines plan, rows, network, loop, checkpoints and export, each in its own module."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
import numpy as np
import torch

from mlopsfw import evaluation
from mlopsfw.features import FeaturePlan
from mlopsfw.roles import TASK_OUTPUTS, TrainedModel
from mlopsfw_trainer_torch.attributions import attributions
from mlopsfw_trainer_torch.checkpoint import Checkpoints
from mlopsfw_trainer_torch.device import choose_device, choose_mixed, repeatable
from mlopsfw_trainer_torch.export import check_export, export_onnx, export_weights, outputs_of
from mlopsfw_trainer_torch.importance import importance
from mlopsfw_trainer_torch.launch import check_devices, run_processes
from mlopsfw_trainer_torch.loop import Training
from mlopsfw_trainer_torch.losses import loss_of
from mlopsfw_trainer_torch.nodes import run_on_nodes
from mlopsfw_trainer_torch.problem import Problem, prepare
from mlopsfw_trainer_torch.quantiles import QuantileContext, of_quantiles
from mlopsfw_trainer_torch.rows import Rows, Target, balanced
from mlopsfw_trainer_torch.schedule import schedule_of
from mlopsfw_trainer_torch.streamed import Streamed, few, measured, measured_rows
from mlopsfw_trainer_torch.tabm import network_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlopsfw.roles import Ability, TrainingContext, TrainingData, TrainingTask
    from mlopsfw_trainer_torch import TorchConfig
    from mlopsfw_trainer_torch.export import Network
    from mlopsfw_trainer_torch.peers import Peers

_PROBED = 512
_WEIGHTS = ("weights.safetensors", "quantiles.safetensors")


class Fit(NamedTuple):
    """A training at its end, and what it has learned."""

    training: Training
    problem: Problem

    def answers(self, rows: Rows) -> list[np.ndarray]:
        """Return each output of the exported model, as torch computes it."""
        outputs = outputs_of(self.training.logits(rows), self.problem.target)
        return list(outputs.T) if self.problem.target.quantiles else [outputs]


class TorchTrainer:
    """Trains a network on a table.

    Args:
        config: `[trainer.torch]`.
    """

    tasks = frozenset(TASK_OUTPUTS)
    abilities: frozenset[Ability] = frozenset({"weight", "valid", "seed", "derived", "quantiles"})

    def __init__(self, config: TorchConfig) -> None:
        self._config = config
        self._examples: dict[str, list[Any]] = {}  # none: golden rows are drawn from the plan

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
        device = self._device(context)
        choose_mixed(self._config, device)
        check_devices(self._config, device)
        context.progress("preparing rows", 0.0)
        problem = self._prepare(task, train, valid)
        if isinstance(problem.train, Streamed):
            context.log_metric("streamed_rows", len(problem.train))
            context.progress("reading rows as they are needed: they do not fit into `memory`", 0.0)
        fits = [Fit(self._trained(problem, task, context), problem)]
        if task.quantiles:
            beside = of_quantiles(problem, task.quantiles)
            fits.append(Fit(self._trained(beside, task, QuantileContext(context)), beside))
        with repeatable(task.seed, self._config.threads, device, strict=not self._config.module):
            return self._result(fits, task, context)

    def _device(self, context: TrainingContext) -> torch.device:
        """Return the device of this process: where others train on nodes, these have the devices."""
        far = context.launcher is not None and self._config.processes > 1
        return torch.device("cpu") if far else choose_device(self._config)

    def _trained(self, problem: Problem, task: TrainingTask, context: TrainingContext) -> Training:
        """Return the training of a problem at its end."""
        far = context.launcher if self._config.processes > 1 else None
        device = self._device(context)
        mixed = choose_mixed(self._config, device)
        with repeatable(task.seed, self._config.threads, device, strict=not self._config.module):
            training = self.training(problem, task, device, mixed=mixed)
            checkpoints = Checkpoints(context.checkpoints, self._identity(problem, task, device, mixed=mixed))
            if far is not None:
                run_on_nodes(far, self._config, task, problem, checkpoints=checkpoints, context=context)
                checkpoints.restore(training)
            elif self._config.processes > 1:
                run_processes(self._config, task, problem, checkpoints, context)
                checkpoints.restore(training)
            elif checkpoints.restore(training):
                context.log_metric("resumed_at_step", training.progress.step)
            training.run(context, checkpoints)
            return training

    def training(
        self, problem: Problem, task: TrainingTask, device: torch.device, *, mixed: bool, peers: Peers | None = None
    ) -> Training:
        """Return the training of a prepared problem, at its beginning."""
        c, train = self._config, problem.train
        network = self._network(problem, task, device)
        if c.class_weights == "balanced" and task.task != "regression" and isinstance(train, Rows):
            train = balanced(train, len(problem.target.classes))
        valid = None if problem.valid is None else problem.valid.to(device)
        return Training(
            network, train.to(device), valid, task.task, c,
            schedule=schedule_of(c, len(train)), seed=task.seed, mixed=mixed, peers=peers,
            **{"loss": loss_of(task.task, problem.target.quantiles), **self._loop_options(task)},
        )  # fmt: skip

    # -- what a user's module has otherwise ----------------------------------------------------------------------------------

    def _prepare(self, task: TrainingTask, train: TrainingData, valid: TrainingData | None) -> Problem:
        return prepare(task, train, valid, self._config)

    def _network(self, problem: Problem, task: TrainingTask, device: torch.device) -> torch.nn.Module:
        del task
        return network_of(self._config, _plan(problem), problem.target.outputs).to(device)

    def _loop_options(self, task: TrainingTask) -> dict[str, Any]:
        """Return further arguments of `Training`."""
        del task
        return {}

    def _code(self) -> str:
        """Return the digest of code that a checkpoint depends on, beside this package."""
        return ""

    def _write(self, fits: Sequence[Fit], task: TrainingTask, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
        """Write the bundle's files; return them and facts about them."""
        training, problem = fits[0]
        plan = _plan(problem)
        files = {name: folder / name for name in ("model.onnx", *_WEIGHTS[: len(fits)], "plan.json")}
        files["plan.json"].write_bytes(plan.to_json())
        for each, name in zip(fits, _WEIGHTS, strict=False):
            export_weights(each.training.network, files[name])
        networks = [(cast("Network", each.training.network), each.problem.target) for each in fits]
        export_onnx(networks, files["model.onnx"])
        rows = few(problem.train if problem.valid is None else problem.valid).to(training.device)
        probed = rows.at(torch.arange(min(_PROBED, len(rows)), device=training.device))
        expected = [column for each in fits for column in each.answers(probed)]
        difference = check_export(files["model.onnx"], probed, expected, problem.target.scale)
        return files, {
            "importance": importance(training, plan, rows, task.seed),
            "attributions": attributions(cast("Network", training.network), plan, rows, task.task),
            "export_difference": float(f"{difference:.1e}"),
        }

    # -- the same for all ----------------------------------------------------------------------------------------------------

    def _identity(self, problem: Problem, task: TrainingTask, device: torch.device, *, mixed: bool) -> str:
        """Return the identity of this training, which its checkpoints must have."""
        settings = msgspec.json.encode(
            [
                self._config,
                task,
                problem.target.quantiles,
                str(torch.__version__),
                str(device),
                mixed,
                torch.get_num_threads(),
                self._code(),
            ],
            order="sorted",
        )
        digest = hashlib.sha256(settings)
        digest.update(b"" if problem.plan is None else problem.plan.to_json())
        digest.update(problem.train.digest())
        digest.update(b"" if problem.valid is None else problem.valid.digest())
        return digest.hexdigest()

    def _result(self, fits: Sequence[Fit], task: TrainingTask, context: TrainingContext) -> TrainedModel:
        files, written = self._write(fits, task, context.scratch)
        training, problem = fits[0]
        facts = _facts(training, problem) | {
            **written,
            **_facts_of_quantiles(fits[1:]),
            "precision": "mixed" if choose_mixed(self._config, training.device) else "full",
            "settings": msgspec.to_builtins(self._config),
        }
        return TrainedModel(
            inputs=problem.inputs,
            examples=self._examples,
            files=files,
            formats={"onnx": "model.onnx"},
            classes=problem.target.classes,
            metrics=_metrics(training, problem),
            facts=facts,
        )


def _plan(problem: Problem) -> FeaturePlan:
    if problem.plan is None:
        raise TypeError("a network for tables needs a feature plan")
    return problem.plan


def _facts(training: Training, problem: Problem) -> dict[str, Any]:
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
        "streamed": isinstance(problem.train, Streamed),
        "rows_without_label": problem.unlabelled,
        "schedule": training.schedule._asdict(),
        "epochs": p.epoch,
        "best_epoch": p.best_epoch + 1,
        "steps": p.step,
        "batch_halved": p.halved,
    }


def _facts_of_quantiles(fits: Sequence[Fit]) -> dict[str, Any]:
    names = ("parameters", "epochs", "best_epoch", "steps", "batch_halved")
    own = [{"levels": list(each.problem.target.quantiles), **_facts(*each)} for each in fits]
    return {"quantiles": {name: own[0][name] for name in ("levels", *names)}} if own else {}


def _metrics(training: Training, problem: Problem) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, rows in (("train", problem.train), (problem.validation, problem.valid)):
        if rows is not None:
            parts = (_measured(training, problem.target, part) for part in measured(rows))
            labels, outputs, *weights = _joined(parts, measured_rows(rows))
            metrics |= evaluation.evaluate_set(name, problem.target.task, labels, outputs, *weights)
    return metrics


def _measured(training: Training, target: Target, rows: Rows) -> list[np.ndarray]:
    """Return the labels of rows, the network's outputs, and the weights if there are any."""
    weights = [] if rows.weight is None else [rows.weight.cpu().numpy()]
    return [_labels(rows, target), outputs_of(training.logits(rows.to(training.device)), target), *weights]


def _joined(parts: Iterable[Sequence[np.ndarray]], rows: int) -> list[np.ndarray]:
    """Return the parts of some arrays as whole ones of so many rows. They are allocated first: many small ones split the memory that is freed."""
    wholes: list[np.ndarray] = []
    at = 0
    for part in parts:
        wholes = wholes or [np.empty((rows, *each.shape[1:]), each.dtype) for each in part]
        for whole, each in zip(wholes, part, strict=True):
            whole[at : at + len(each)] = each
        at += len(part[0])
    return wholes


def _labels(rows: Rows, target: Target) -> np.ndarray:
    flat = rows.target.reshape(-1).cpu().numpy()
    if target.task == "regression":
        return flat.astype(np.float64) * target.scale + target.mean
    return flat.astype(np.int64)
