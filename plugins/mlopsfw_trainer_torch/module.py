"""A user's own `nn.Module`: imported, built, and tried on two rows before anything is trained. Errors name it and the shapes."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mlopsfw.errors import UsageError
from mlopsfw.roles import build_object, import_object

if TYPE_CHECKING:
    from mlopsfw_trainer_torch import TorchConfig
    from mlopsfw_trainer_torch.losses import Loss
    from mlopsfw_trainer_torch.rows import Rows

_MATRIX = 2
_WEIGHTED = 3  # arguments of a loss that heeds weights
_REFUSALS = (RuntimeError, TypeError, ValueError, IndexError, AttributeError)


class UserNetwork(nn.Module):
    """A user's module, whose output is checked at every call.

    Args:
        module: The module.
        name: Its name, for messages.
        outputs: Width of the output.
    """

    def __init__(self, module: nn.Module, name: str, outputs: int) -> None:
        super().__init__()
        self.module, self._name, self._outputs = module, name, outputs

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return `[rows, outputs]`. Raise `UsageError` if the module gives another shape or no floats."""
        output = self.module(*inputs)
        if not isinstance(output, Tensor):
            raise UsageError(f"{self._name} returns a {type(output).__name__}, not a tensor")
        if output.dim() == 1 and self._outputs == 1:
            output = output[:, None]
        if output.dim() != _MATRIX or output.shape[1] != self._outputs or not output.is_floating_point():
            raise UsageError(
                f"{self._name} returns {_shown(output)} for {', '.join(map(_shown, inputs))}, "
                f"but this task needs floats [rows, {self._outputs}]",
                hint="Return one logit for binary, one for each class for multiclass, one standardised value for regression.",
            )
        return output


def build_module(config: TorchConfig, outputs: int) -> UserNetwork:
    """Return the configured module, untrained. Raise `UsageError` if it is no module, or has nothing to learn."""
    module = build_object(config.module, "module", config.params)
    if not isinstance(module, nn.Module):
        raise UsageError(f"module = {config.module!r} gives a {type(module).__name__}, which is no torch.nn.Module")
    if not any(each.requires_grad for each in module.parameters()):
        raise UsageError(f"{config.module} has no parameters to learn", hint="Assign layers to `self` in `__init__`.")
    return UserNetwork(module, config.module, outputs)


def try_module(network: UserNetwork, loss: Loss, rows: Rows, config: TorchConfig) -> None:
    """Run module, transform and loss on two rows. Raise `UsageError` if one of them cannot take them, with their shapes and types."""
    few = rows.at(torch.arange(min(2, len(rows)), device=rows.target.device))
    inputs = few.inputs
    if config.transform:
        inputs = transform_of(config)(*inputs)
    network.eval()
    output = _tried(config.module, network, *inputs)
    named = config.loss or "the loss"
    value = _tried(named, loss, output, few.target, few.weight)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        what = _shown(value) if isinstance(value, Tensor) else type(value).__name__
        raise UsageError(
            f"{named} of the output of {config.module} is {what}, not one number that depends on its parameters",
            hint="Return the mean over the rows, and detach nothing.",
        )


def _tried(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except _REFUSALS as error:
        shapes = ", ".join(_shown(each) for each in arguments if isinstance(each, Tensor))
        raise UsageError(
            f"{name} cannot take {shapes}: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error


def loss_function(config: TorchConfig) -> Loss:
    """Return the user's loss as the loop calls it: weights are left out where there are none."""
    function = import_object(config.loss, "loss")

    def loss(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        result: Tensor = function(output, target) if weight is None else function(output, target, weight)
        return result

    return loss


def heeds_weights(config: TorchConfig) -> bool:
    """Return whether the loss takes weights: the task's own does, a user's if it has a third argument."""
    return not config.loss or len(inspect.signature(import_object(config.loss, "loss")).parameters) >= _WEIGHTED


def transform_of(config: TorchConfig) -> Callable[..., tuple[Tensor, ...]]:
    """Return the user's transform of a training batch. It keeps shapes and types, else the call raises `UsageError`."""
    function = import_object(config.transform, "transform")

    def transform(*inputs: Tensor) -> tuple[Tensor, ...]:
        made = _tried(config.transform, function, *inputs)
        outputs = made if isinstance(made, tuple) else (made,)
        before, after = ([(each.shape, each.dtype) for each in some] for some in (inputs, outputs))
        if before != after:
            raise UsageError(
                f"{config.transform} makes {', '.join(map(_shown, outputs))} of {', '.join(map(_shown, inputs))}",
                hint="A transform keeps shapes and types: requests, which are not transformed, have those of the rows.",
            )
        return outputs

    return transform


def source_digest(config: TorchConfig) -> str:
    """Return the digest of the files that hold the user's code: a checkpoint of other code does not fit."""
    digest = hashlib.sha256()
    for target in filter(None, (config.module, config.loss, config.transform)):
        file = importlib.import_module(target.partition(":")[0]).__file__
        digest.update(Path(file).read_bytes() if file else b"")
    return digest.hexdigest()


def _shown(tensor: Any) -> str:
    if not isinstance(tensor, Tensor):
        return type(tensor).__name__
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
