"""What a training makes small: the loss of a task, or of quantiles of its target; and what a mean over rows divides by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from mlopsfw_trainer_torch.rows import Rows

LEAST: Final = 1e-12
"""A sum of weights, at least."""
_OF_MEMBERS = 3  # dimensions of an output with members

Loss = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


def mass_of(rows: Rows) -> float:
    """Return what a mean over rows divides by: their number, or the sum of their weights."""
    return float(len(rows)) if rows.weight is None else max(float(rows.weight.sum()), LEAST)


def loss_of(task: str, quantiles: Sequence[float] = ()) -> Loss:
    """Return the loss of a task: the mean over rows, weighted if there are weights, and over the members of a network that has several.

    Args:
        task: `binary`, `multiclass` or `regression`.
        quantiles: Levels of the quantiles that a network answers in place of the value.
    """
    kinds: dict[str, Callable[..., Tensor]] = {
        "binary": functional.binary_cross_entropy_with_logits,
        "multiclass": functional.cross_entropy,
        "regression": functional.mse_loss,
    }
    function = partial(_pinball, levels=quantiles) if quantiles else kinds[task]

    def loss(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        if output.dim() == _OF_MEMBERS:
            members = len(output)
            output, target = output.flatten(0, 1), target.expand(members, *target.shape).flatten(0, 1)
            weight = None if weight is None else weight.repeat(members)
        if weight is None:
            return function(output, target)
        each = function(output, target, reduction="none").reshape(-1)
        return (each * weight).sum() / weight.sum().clamp_min(1e-12)

    return loss


def _pinball(output: Tensor, target: Tensor, *, levels: Sequence[float], reduction: str = "mean") -> Tensor:
    """Return the loss that the quantiles of the target make smallest (Koenker & Bassett, 1978), the sum over levels: `[rows]`, or their mean.

    Args:
        output: Float `[rows, levels]`.
        target: Float `[rows, 1]`.
        levels: In (0, 1).
        reduction: `mean` or `none`.
    """
    level, above = target.new_tensor(levels), target - output.float()  # bfloat16 has no 0.95
    each = torch.maximum(level * above, (level - 1) * above).sum(dim=1)
    return each if reduction == "none" else each.mean()
