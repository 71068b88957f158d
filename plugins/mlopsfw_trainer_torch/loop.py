"""The training loop and its state: everything that a checkpoint needs for the rest to be identical, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlopsfw_trainer_torch.tabm import mean_logits

if TYPE_CHECKING:
    from mlopsfw.roles import TrainingContext
    from mlopsfw_trainer_torch import TorchConfig
    from mlopsfw_trainer_torch.checkpoint import Checkpoints
    from mlopsfw_trainer_torch.rows import Rows
    from mlopsfw_trainer_torch.schedule import Schedule

_WARM_UP = 0.05
_SECONDS_BETWEEN = 2.0  # between checkpoints of short epochs: repeating less time is cheaper than storing it
_EVALUATED_AT_ONCE = 8192
_OF_MEMBERS = 3  # dimensions of an output with members

Loss = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


@dataclass(slots=True)
class Progress:
    """The progress of a training, in plain values; a checkpoint stores it as JSON.

    Args:
        epoch: The current epoch, from 0.
        batch: Finished batches of this epoch.
        step: Steps of the optimiser so far.
        best: The lowest validation loss, and its epoch.
        history: For each finished epoch its training and validation loss (NaN is written as None).
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: float = math.inf
    best_epoch: int = -1
    history: list[tuple[float, float | None]] = field(default_factory=list)


class Training:
    """One training, from its start or a checkpoint to its end.

    Args:
        network: The network to train, on its device.
        train, valid: The rows, on the same device.
        task: `binary`, `multiclass` or `regression`; decides the loss.
        config: The trainer's configuration.
        schedule: The length of the training.
        seed: Seeds the order of the rows.
        mixed: Whether to compute in bfloat16 where that is safe.
    """

    def __init__(
        self, network: nn.Module, train: Rows, valid: Rows | None, task: str, config: TorchConfig, *, schedule: Schedule, seed: int,
        mixed: bool,
    ) -> None:  # fmt: skip
        self.network, self._train, self._valid, self._task, self._config = network, train, valid, task, config
        self._loss = loss_of(task)
        self.schedule = schedule
        self.device = train.target.device
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.sampler = torch.Generator().manual_seed(seed)
        self.order_state = self.sampler.get_state()  # the state of the sampler that drew this epoch's order
        self.loss_sum = torch.zeros((), device=self.device)
        self.best = {name: value.clone() for name, value in network.state_dict().items()}
        self.progress = Progress()
        self._mixed = mixed
        self._batches = math.ceil(len(train) / schedule.batch_size)

    # -- running ---------------------------------------------------------------------------------------------------------

    def run(self, context: TrainingContext, checkpoints: Checkpoints) -> None:
        """Train to the end; the network then has its best weights."""
        while not self.finished:
            self._run_epoch(context, checkpoints)
            if self.finished or self._config.checkpoint_every or checkpoints.age >= _SECONDS_BETWEEN:
                checkpoints.save(self)
        self.network.load_state_dict(self.best)
        self.network.eval()

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or validation has not improved for long enough."""
        p, schedule = self.progress, self.schedule
        if p.epoch >= schedule.epochs:
            return True
        return self._valid is not None and 0 < schedule.patience <= p.epoch - 1 - p.best_epoch

    def _run_epoch(self, context: TrainingContext, checkpoints: Checkpoints) -> None:
        p, size, every = self.progress, self.schedule.batch_size, self._config.checkpoint_every
        self.sampler.set_state(self.order_state)
        order = torch.randperm(len(self._train), generator=self.sampler).to(self.device)
        self.network.train()
        while p.batch < self._batches:
            self._step(self._train.at(order[p.batch * size : (p.batch + 1) * size]))
            p.batch, p.step = p.batch + 1, p.step + 1
            if every and p.step % every == 0 and p.batch < self._batches:
                checkpoints.save(self)
                context.progress(f"epoch {p.epoch + 1} of {self.schedule.epochs}", self._share())
        self._end_epoch(context)

    def _step(self, rows: Rows) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed):
            loss = self._loss(self.network(rows.numeric, rows.codes), rows.target, rows.weight)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.loss_sum += loss.detach() * len(rows)

    def _learning_rate(self) -> float:
        """Return the learning rate as a function of the step alone, so that a checkpoint needs no scheduler's state."""
        total = self.schedule.epochs * self._batches
        warm = max(1, int(total * _WARM_UP))
        if self.progress.step < warm:
            return self._config.learning_rate * (self.progress.step + 1) / warm
        share = (self.progress.step - warm) / max(1, total - warm)
        return self._config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))

    def _end_epoch(self, context: TrainingContext) -> None:
        p = self.progress
        train_loss = float(self.loss_sum) / len(self._train)
        valid_loss = None if self._valid is None else self.evaluate(self._valid)
        score = train_loss if valid_loss is None else valid_loss
        if self._valid is None or score < p.best:
            p.best, p.best_epoch = score, p.epoch
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}
        context.log_metric("train_loss", train_loss, p.epoch)
        if valid_loss is not None:
            context.log_metric("valid_loss", valid_loss, p.epoch)
        p.history.append((train_loss, valid_loss))
        p.epoch, p.batch = p.epoch + 1, 0
        self.order_state = self.sampler.get_state()
        self.loss_sum.zero_()
        context.progress(f"epoch {p.epoch} of {self.schedule.epochs}", self._share())

    def _share(self) -> float:
        return (self.progress.epoch + self.progress.batch / self._batches) / self.schedule.epochs

    # -- scoring ---------------------------------------------------------------------------------------------------------

    def evaluate(self, rows: Rows) -> float:
        """Return the mean loss over rows."""
        return float(self._loss(self.logits(rows), rows.target, rows.weight))

    def logits(self, rows: Rows) -> Tensor:
        """Return `[rows, outputs]`, the network's output for rows, without dropout; that of several members is their mean."""
        self.network.eval()
        with torch.no_grad():
            parts = zip(
                torch.split(rows.numeric, _EVALUATED_AT_ONCE), torch.split(rows.codes, _EVALUATED_AT_ONCE), strict=True
            )
            return torch.cat([mean_logits(self.network(*part), self._task) for part in parts])


def loss_of(task: str) -> Loss:
    """Return the loss of a task: the mean over rows, weighted if there are weights, and over the members of a network that has several."""
    kinds: dict[str, Callable[..., Tensor]] = {
        "binary": functional.binary_cross_entropy_with_logits,
        "multiclass": functional.cross_entropy,
        "regression": functional.mse_loss,
    }
    function = kinds[task]

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
