"""What is logged of torch's optimizers in one run: loss, learning rate and gradient norm by step, and their options."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from mlopsfw.pipeline.run.autolog.sink import Sink, name_of

_MOST_GROUPS, _MOST_LOSSES = 8, 1000


class _Seen:
    """An optimizer that took a step."""

    def __init__(self, optimizer: Any, suffix: str) -> None:
        self.optimizer, self.suffix, self.steps = weakref.ref(optimizer), suffix, 0


class Optimizers:
    """The optimizers of one run.

    Args:
        sink: Where to write.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink, self._due = sink, True
        self._seen: dict[int, _Seen] = {}
        self._losses: list[Any] = []
        self._scaled: tuple[Any, Any] | None = None

    def scaled(self, loss: Any, scaled: Any) -> None:
        """Note a loss that a `GradScaler` made larger: the loss itself is what is logged."""
        if self._noting:
            self._scaled = (scaled, loss.detach())

    def backward(self, tensors: Any) -> None:
        """Note a loss whose gradients are about to be computed, if the next step is logged."""
        if not self._noting or len(self._losses) >= _MOST_LOSSES:
            return
        for tensor in tensors if isinstance(tensors, Sequence) else (tensors,):
            if tensor.numel() == 1 and tensor.is_floating_point():
                own = self._scaled is not None and self._scaled[0] is tensor
                self._losses.append(self._scaled[1] if own and self._scaled else tensor.detach())
        self._scaled = None

    @property
    def _noting(self) -> bool:
        return self._due or self._sink.every > 0

    def stepped(self, optimizer: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Log a step that an optimizer took, if it is due."""
        seen = self._seen.get(id(optimizer))
        if seen is None or seen.optimizer() is not optimizer:
            seen = self._begin(optimizer)
        step, every = seen.steps, self._sink.every
        seen.steps = step + 1
        if step % every == 0 if every else self._due:
            began = time.perf_counter()
            try:
                self._log(optimizer, seen.suffix, step, closure=any(map(callable, (*args, *kwargs.values()))))
            finally:
                self._sink.spend(time.perf_counter() - began)
        if self._losses:
            self._losses.clear()
        self._due = not every and self._sink.due()

    def _begin(self, optimizer: Any) -> _Seen:
        """Note an optimizer, and log its options and how many numbers it learns."""
        number = len(self._seen) + 1
        seen = self._seen[id(optimizer)] = _Seen(optimizer, "" if number == 1 else f".{number}")
        numbers = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
        facts = {"class": name_of(type(optimizer)), **optimizer.defaults, "parameters": numbers}
        self._sink.params(f"optimizer{seen.suffix}", facts)
        return seen

    def _log(self, optimizer: Any, suffix: str, step: int, *, closure: bool) -> None:
        import torch

        cuda: Any = torch.cuda
        if cuda.is_initialized() and cuda.is_current_stream_capturing():
            return
        groups = optimizer.param_groups
        with torch.no_grad():
            if self._losses:  # a closure evaluates the loss several times in a step; else parts of it are accumulated
                loss = self._losses[-1] if closure else sum(self._losses)
                self._sink.log.log(f"loss{suffix}", float(loss), step)
            grads = [each.grad for group in groups for each in group["params"] if each.grad is not None]
            grads = [each.coalesce().values() if each.is_sparse else each for each in grads]
            if grads:
                self._sink.log.log(f"gradient_norm{suffix}", float(torch.nn.utils.get_total_norm(grads)), step)
        for number, group in enumerate(groups[:_MOST_GROUPS]):
            if "lr" in group:
                part = f".group{number}" if len(groups) > 1 else ""
                self._sink.log.log(f"learning_rate{suffix}{part}", float(group["lr"]), step)
