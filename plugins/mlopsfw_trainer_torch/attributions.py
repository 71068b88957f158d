"""Integrated gradients: which inputs move the network's answers away from that to an average row (Sundararajan, Taly & Yan, 2017, equation 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlopsfw_trainer_torch.tabm import mean_logits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlopsfw.features import FeaturePlan
    from mlopsfw_trainer_torch.columns import Input
    from mlopsfw_trainer_torch.module import UserNetwork
    from mlopsfw_trainer_torch.network import TabularNetwork
    from mlopsfw_trainer_torch.rows import Rows
    from mlopsfw_trainer_torch.tabm import MemberNetwork

_STEPS = 32  # of the path
_ROWS = 2048


def attributions(network: TabularNetwork | MemberNetwork, plan: FeaturePlan, rows: Rows, task: str) -> dict[str, float]:
    """Return, for each input and derived column, its share of the mean absolute attribution, largest first.

    Args:
        network: The trained network.
        plan: Maps columns to features.
        rows: The rows that are explained, the first 2,048 of them.
        task: `binary`, `multiclass` or `regression`.
    """
    some = rows.at(torch.arange(min(_ROWS, len(rows)), device=rows.target.device))
    floats, whole = some.inputs
    numeric, codes = integrated(network, floats, whole, task)
    of_column = dict.fromkeys((*plan.numeric_sources, *plan.categorical_sources), torch.zeros(len(some)))
    for values, sources in ((numeric, plan.numeric_sources), (codes, plan.categorical_sources)):
        for at, source in enumerate(sources):
            of_column[source] = of_column[source] + values[:, at].cpu()
    return _shares(of_column)


def module_attributions(network: UserNetwork, inputs: Sequence[Input], rows: Rows) -> dict[str, Any]:
    """Return `attributions` of the floating-point inputs of a user's module, as a function, and the names of the others: `attributions_without`.

    A gradient needs numbers that can move: texts, bytes, integers and booleans stay as they are along the path.

    Args:
        network: The trained network; it is as before afterwards.
        inputs: Its inputs, in order.
        rows: The rows that are explained.
    """
    moving = [at for at, tensor in enumerate(rows.inputs) if tensor.is_floating_point()]
    without = [each.column.name for at, each in enumerate(inputs) if at not in moving]
    facts: dict[str, Any] = {"attributions_without": without} if without else {}
    return facts | ({"attributions": lambda: _of_module(network, inputs, rows, moving)} if moving else {})


def _of_module(network: UserNetwork, inputs: Sequence[Input], rows: Rows, moving: Sequence[int]) -> dict[str, float]:
    was_training = network.training
    network.eval()

    def logits(values: Sequence[Tensor]) -> Tensor:
        given = dict(zip(moving, (value.clone() for value in values), strict=True))  # a module may change what it gets
        output: Tensor = network(*(given.get(at, tensor) for at, tensor in enumerate(rows.inputs)))
        return output

    ends = tuple(rows.inputs[at] for at in moving)
    with torch.no_grad():
        chosen = logits(ends).argmax(dim=1, keepdim=True)
    parts = _along_path(lambda values: logits(values).gather(1, chosen).sum(), ends)
    network.train(was_training)
    return _shares(
        {
            inputs[at].column.name: part.reshape(len(part), -1).sum(dim=1).cpu()
            for at, part in zip(moving, parts, strict=True)
        }
    )


def _shares(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the share of each in the mean absolute value, largest first."""
    sizes = {name: float(each.abs().mean()) for name, each in values.items()}
    total = sum(sizes.values())
    shares = {name: round(size / total, 6) if 0 < total < math.inf else 0.0 for name, size in sizes.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def integrated(
    network: TabularNetwork | MemberNetwork, numeric: Tensor, codes: Tensor, task: str
) -> tuple[Tensor, Tensor]:
    """Return what each feature adds to the answer, beyond that to the average row: to a logit, of several classes the likeliest one's.

    The path is straight, from the mean of the numbers and of the embeddings to those of the row, by the midpoint rule in 32 steps. The
    attributions of a row add up to the difference of the answers, but for the error of that rule.

    Args:
        network: The network; it is as before afterwards.
        numeric: float32 `[rows, k]`.
        codes: int64 `[rows, c]`.
        task: `binary`, `multiclass` or `regression`.

    Returns:
        Attributions of the numbers, `[rows, k]`, and of the codes, `[rows, c]`.
    """
    was_training = network.training
    network.eval()
    with torch.no_grad():
        chosen = mean_logits(network(numeric, codes), task).argmax(dim=1, keepdim=True)
        embedded = numeric.new_zeros(len(numeric), 0) if network.categories is None else network.categories(codes)
    numbers, embeddings = _along_path(
        lambda at: _answer(network, at, codes, task).gather(1, chosen).sum(), (numeric, embedded)
    )
    network.train(was_training)
    width = embeddings.shape[1] // max(1, codes.shape[1])
    return numbers, embeddings.reshape(len(codes), codes.shape[1], width).sum(dim=2)


def _along_path(answer: Callable[[Sequence[Tensor]], Tensor], ends: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the integrated gradients of a sum of answers over rows, from the mean row to each row."""
    starts = [end.mean(dim=0, keepdim=True) for end in ends]
    sums = [torch.zeros_like(end) for end in ends]
    for step in range(_STEPS):
        share = (step + 0.5) / _STEPS
        at = [
            (start + share * (end - start)).detach().requires_grad_() for start, end in zip(starts, ends, strict=True)
        ]
        grads = torch.autograd.grad(answer(at), at, allow_unused=True)
        sums = [whole if grad is None else whole + grad for whole, grad in zip(sums, grads, strict=True)]
    return [((end - start) * whole / _STEPS).detach() for start, end, whole in zip(starts, ends, sums, strict=True)]


def _answer(network: TabularNetwork | MemberNetwork, at: Sequence[Tensor], codes: Tensor, task: str) -> Tensor:
    """Return the logits for numbers and embeddings on the path: the latter stand in for those of the codes."""
    if network.categories is None:
        return mean_logits(network(at[0], codes), task)
    hook = network.categories.register_forward_hook(lambda *_: at[1])
    try:
        return mean_logits(network(at[0], codes), task)
    finally:
        hook.remove()
