"""The processes of one training. Each computes its part of a batch; sums over all of them keep their weights equal."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Peers(Protocol):
    """The processes of one training.

    Args:
        rank: This process, from 0, which alone writes.
        count: How many there are.
    """

    rank: int
    count: int

    def add(self, values: Tensor) -> None:
        """Replace `values` by their sum over all processes."""


class Alone:
    """One process."""

    rank, count = 0, 1

    def add(self, values: Tensor) -> None:
        """Leave `values` as they are."""


class Group:
    """The processes of torch's default process group."""

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()

    def add(self, values: Tensor) -> None:
        """Replace `values` by their sum over all processes."""
        dist.all_reduce(values)


def add_all(peers: Peers, network: nn.Module, loss: Tensor) -> Tensor:
    """Sum the gradients over all processes, and average the buffers, such as those of batch normalisation, in one message.

    Returns:
        The sum of the losses.
    """
    gradients = [_gradient(each) for each in network.parameters() if each.requires_grad]
    kept = network.state_dict()
    buffers = [each for name, each in network.named_buffers() if name in kept and each.is_floating_point()]
    shared = [loss.reshape(1), *gradients, *buffers]
    flat = torch.cat([each.detach().reshape(-1).to(torch.float32) for each in shared])
    peers.add(flat)
    total, *rest = torch.split(flat, [each.numel() for each in shared])
    for gradient, summed in zip(gradients, rest, strict=False):
        gradient.copy_(summed.view_as(gradient))
    for buffer, summed in zip(buffers, rest[len(gradients) :], strict=True):
        buffer.copy_(summed.view_as(buffer) / peers.count)
    return total.reshape(())


def _gradient(parameter: nn.Parameter) -> Tensor:
    """Return a parameter's gradient; zeros where none of this process's rows reached it."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
