"""`ModuleTrainer`: a user's own `nn.Module` in the loop, the checkpoints and the bundle of the trainer `torch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlopsfw.errors import UsageError
from mlopsfw.features.fit import learned_columns
from mlopsfw.features.labels import rows_with_label
from mlopsfw_trainer_torch.attributions import module_attributions
from mlopsfw_trainer_torch.columns import check_options, examples, inputs_of
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
from mlopsfw_trainer_torch.problem import Problem, target_of
from mlopsfw_trainer_torch.rows import Rows, held_out, weights_of
from mlopsfw_trainer_torch.streamed import few
from mlopsfw_trainer_torch.trainer import Fit, TorchTrainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from mlopsfw.roles import Ability, TrainingData, TrainingTask
    from mlopsfw_trainer_torch.columns import Input
    from mlopsfw_trainer_torch.rows import Target

_COMPARED = 128


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
        frame = rows_with_label(train, task, columns, "training")
        inputs, target = inputs_of(frame, names, config.length), target_of(frame, task)
        rows = _rows(frame, inputs, target, task)
        signature = tuple(each.column for each in inputs)
        unlabelled = train.rows - frame.height
        self._inputs, self._examples = inputs, examples(inputs, frame, task.seed)
        if valid is not None and valid.rows:
            checked = rows_with_label(
                valid, task, [name for name in columns if name in valid.schema.names], "validation"
            )
            return Problem(signature, None, target, rows, _rows(checked, inputs, target, task), unlabelled)
        times = frame[task.time] if task.time in frame.columns else None
        held = 0 if config.patience == 0 else int(config.holdout * frame.height)
        return Problem(signature, None, target, *held_out(rows, times, held, task.seed), unlabelled, "holdout")

    def _loop_options(self, task: TrainingTask) -> dict[str, Any]:
        config = self._config
        loss = loss_function(config) if config.loss else loss_of(task.task)
        return {"loss": loss, "transform": transform_of(config) if config.transform else None}

    def _network(self, problem: Problem, task: TrainingTask, device: torch.device) -> UserNetwork:
        network = build_module(self._config, problem.target.outputs).to(device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            rows = few(problem.train)
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
        rows = few(problem.train if problem.valid is None else problem.valid)
        probed = rows.at(torch.arange(min(_COMPARED, len(rows))))
        difference = export_module(network, problem.target, self._inputs, probed, files["model.onnx"])
        facts = {"module": self._config.module, "export_difference": float(f"{difference:.1e}")}
        return files, facts | module_attributions(network, self._inputs, probed.to(next(network.parameters()).device))


def _rows(frame: pl.DataFrame, inputs: tuple[Input, ...], target: Target, task: TrainingTask) -> Rows:
    tensors = tuple(torch.from_numpy(each.array(frame[each.column.name])) for each in inputs)
    return Rows(tensors, target.encode(frame[task.target]), weights_of(frame, task))
