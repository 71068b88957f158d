"""`ModuleTrainer`: a user's own `nn.Module` in the loop, the checkpoints and the bundle of the trainer `torch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlopsfw.errors import UsageError
from mlopsfw.features.fit import learned_columns
from mlopsfw.features.labels import labelled, rows_with_label
from mlopsfw.features.size import row_bytes, rows_fit
from mlopsfw.features.survey import survey
from mlopsfw_trainer_torch.attributions import module_attributions
from mlopsfw_trainer_torch.columns import GrowingInputs, ModuleFeatures, check_options, examples, inputs_of
from mlopsfw_trainer_torch.export import export_weights
from mlopsfw_trainer_torch.losses import loss_of
from mlopsfw_trainer_torch.module import (
    UserNetwork,
    build_module,
    heeds_weights,
    loss_function,
    source_digest,
    transform_of,
    try_module,
)  # fmt: skip
from mlopsfw_trainer_torch.module_export import export_module
from mlopsfw_trainer_torch.problem import Problem, read_as_needed, target_of
from mlopsfw_trainer_torch.rows import held_out
from mlopsfw_trainer_torch.streamed import Encoder, few
from mlopsfw_trainer_torch.trainer import Fit, TorchTrainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mlopsfw.roles import Ability, TrainingData, TrainingTask
    from mlopsfw_trainer_torch import TorchConfig
    from mlopsfw_trainer_torch.columns import Input

_COMPARED = 128
_LOOKED = 1024


class ModuleTrainer(TorchTrainer):
    """Trains the module that `module` names.

    Args:
        config: `[trainer.torch]`.
    """

    @property
    def abilities(self) -> frozenset[Ability]:  # type: ignore[override]
        """What it heeds: weights, if the loss does."""
        return frozenset({"valid", "seed", "weight"} if heeds_weights(self._config) else {"valid", "seed"})

    def _prepare(self, task: TrainingTask, train: TrainingData, valid: TrainingData | None) -> Problem:
        config = self._config
        if config.class_weights == "balanced" and not heeds_weights(config):
            raise UsageError(
                f"class_weights = 'balanced', but {config.loss} takes no weights", hint="Give it a third argument."
            )
        names = learned_columns(train.schema.names, task)
        check_options(task, names)
        more = [name for name in (task.weight, task.time) if name in train.schema.names]
        columns = list(dict.fromkeys([*names, task.target, *more]))
        if _fits(train, valid, task, names, config):
            return self._in_memory(task, train, valid, columns, names)
        looked = GrowingInputs(names, config.length)
        surveyed = survey(train, task, columns, "training", config.memory, each=looked.add)
        problem = read_as_needed(surveyed, ModuleFeatures(looked.inputs), task, valid, config)
        return self._described(problem, looked.inputs, surveyed.sample, task)

    def _in_memory(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, columns: list[str], names: list[str]
    ) -> Problem:
        config = self._config
        frame = rows_with_label(train, task, columns, "training")
        inputs = inputs_of(frame, names, config.length)
        encoder = Encoder(ModuleFeatures(inputs), target_of(frame, task), task, (), torch.device("cpu"))
        rows, unlabelled = encoder(frame), train.rows - frame.height
        if valid is not None and valid.rows:
            there = [name for name in columns if name in valid.schema.names]
            checked = encoder(rows_with_label(valid, task, there, "validation"))
            problem = Problem((), None, encoder.target, rows, checked, unlabelled)
        else:
            times = frame[task.time] if task.time in frame.columns else None
            held = 0 if config.patience == 0 else int(config.holdout * frame.height)
            parts = held_out(rows, times, held, task.seed)
            problem = Problem((), None, encoder.target, *parts, unlabelled, "holdout")
        return self._described(problem, inputs, frame, task)

    def _described(
        self, problem: Problem, inputs: tuple[Input, ...], frame: pl.DataFrame, task: TrainingTask
    ) -> Problem:
        """Keep what the bundle will say of the inputs; return the problem with its signature."""
        self._inputs, self._examples = inputs, examples(inputs, frame, task.seed)
        return problem._replace(inputs=tuple(each.column for each in inputs))

    def _loop_options(self, task: TrainingTask) -> dict[str, Any]:
        config = self._config
        loss = loss_function(config) if config.loss else loss_of(task.task)
        return {"loss": loss, "transform": transform_of(config) if config.transform else None}

    def _network(self, problem: Problem, task: TrainingTask, device: torch.device) -> UserNetwork:
        network = build_module(self._config, problem.target.outputs).to(device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            rows = few(problem.train, 2)
            sample = rows.at(torch.arange(min(2, len(rows)))).to(device)
            try_module(network, self._loop_options(task)["loss"], sample, self._config)
        return network

    def _code(self) -> str:
        return source_digest(self._config)

    def _write(self, fits: Sequence[Fit], task: TrainingTask, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
        del task
        [(training, problem)] = fits
        files = {name: folder / name for name in ("model.onnx", "weights.safetensors")}
        network: Any = training.network
        export_weights(network.module, files["weights.safetensors"])
        rows = few(problem.train if problem.valid is None else problem.valid, _COMPARED)
        probed = rows.at(torch.arange(min(_COMPARED, len(rows))))
        difference = export_module(network, problem.target, self._inputs, probed, files["model.onnx"])
        facts = {"module": self._config.module, "export_difference": float(f"{difference:.1e}")}
        return files, facts | module_attributions(network, self._inputs, probed.to(next(network.parameters()).device))


def _fits(
    train: TrainingData, valid: TrainingData | None, task: TrainingTask, names: list[str], config: TorchConfig
) -> bool:
    """Return whether the rows fit into `memory`, as they are read and as tensors, by the first that have a label."""
    first = labelled(train, task, "training").select(names).head(_LOOKED).collect()
    tensors = sum(each.bytes for each in inputs_of(first, names, config.length)) if first.height else 0
    return rows_fit(train, valid, row_bytes(train, names) + tensors, config.memory)
