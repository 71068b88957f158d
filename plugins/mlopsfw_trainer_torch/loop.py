"""The training loop and its state: everything that a checkpoint needs for the rest to be identical, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mlopsfw.errors import DataError, PluginError
from mlopsfw_trainer_torch.losses import LEAST, Loss, loss_of, mass_of
from mlopsfw_trainer_torch.peers import Alone, add_all
from mlopsfw_trainer_torch.progress import Progress
from mlopsfw_trainer_torch.rows import Rows
from mlopsfw_trainer_torch.schedule import learning_rate
from mlopsfw_trainer_torch.streamed import Order, Streamed
from mlopsfw_trainer_torch.tabm import mean_logits

if TYPE_CHECKING:
    from mlopsfw.roles import TrainingContext
    from mlopsfw_trainer_torch import TorchConfig
    from mlopsfw_trainer_torch.checkpoint import Checkpoints
    from mlopsfw_trainer_torch.peers import Peers
    from mlopsfw_trainer_torch.schedule import Schedule

_SECONDS_BETWEEN = 2.0  # between checkpoints of short epochs: repeating less time is cheaper than storing it
_EVALUATED_AT_ONCE = 8192
_CHECKED = 50  # steps between two checks of the loss on a GPU, each of which waits for it

Transform = Callable[..., tuple[Tensor, ...]]


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
        loss: The loss; by default the task's own.
        transform: Changes the inputs of each training batch, such as by noise.
        peers: The processes that share each batch.
    """

    def __init__(
        self, network: nn.Module, train: Rows | Streamed, valid: Rows | Streamed | None, task: str, config: TorchConfig, *,
        schedule: Schedule, seed: int, mixed: bool, loss: Loss | None = None, transform: Transform | None = None,
        peers: Peers | None = None,
    ) -> None:  # fmt: skip
        self.network, self._train, self._valid, self._task, self._config = network, train, valid, task, config
        self._loss, self._transform = loss or loss_of(task), transform
        self._forward = torch.compile(network) if config.compile else network
        self._evaluated_at_once = schedule.batch_size if config.module else _EVALUATED_AT_ONCE
        self.schedule = schedule
        self.device = train.device
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.sampler = torch.Generator().manual_seed(seed)
        self.order_state = self.sampler.get_state()  # the state of the sampler that drew this epoch's order
        self.loss_sum = torch.zeros((), device=self.device)
        self.best = _copied(network.state_dict())
        self.average = _copied(network.state_dict()) if config.ema else {}
        self.progress = Progress(parts=config.accumulate)
        self._mixed, self._seed, self._peers = mixed, seed, peers or Alone()
        count = self._peers.count
        shared = isinstance(train, Rows)  # each process has a part of each batch, not batches of its own
        self._own = schedule.batch_size if shared else max(1, schedule.batch_size // count)
        self._rows = len(train) if shared else len(train) // count * count
        # Few rows that are left over join the batch before them: batch normalisation cannot learn from one row a process.
        few = 2 * count - 1 if shared else 1
        self._batches = max(1, math.ceil(((self._rows if shared else self._rows // count) - few) / self._own))

    # -- running ---------------------------------------------------------------------------------------------------------

    def run(self, context: TrainingContext, checkpoints: Checkpoints) -> None:
        """Train to the end; the network then has its best weights."""
        while not self.finished:
            self._run_epoch(context, checkpoints)
            if self.finished or self._config.checkpoint_every or checkpoints.age >= _SECONDS_BETWEEN:
                checkpoints.save(self)
        self.network.load_state_dict(self.best)
        self.average = {}
        self.network.eval()

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or validation has not improved for long enough."""
        p, schedule = self.progress, self.schedule
        if p.epoch >= schedule.epochs:
            return True
        return self._valid is not None and 0 < schedule.patience <= p.epoch - 1 - p.best_epoch

    def _run_epoch(self, context: TrainingContext, checkpoints: Checkpoints) -> None:
        p, every = self.progress, self._config.checkpoint_every
        self.sampler.set_state(self.order_state)
        self.network.train()
        with closing(self._batches_left()) as batches:
            for rows, share, count in batches:
                self._step(rows, share, count, checkpoints, context)
                p.batch, p.step = p.batch + 1, p.step + 1
                if every and p.step % every == 0 and p.batch < self._batches:
                    self._check_loss(self.loss_sum, checkpoints)
                    checkpoints.save(self)
                    context.progress(f"epoch {p.epoch + 1} of {self.schedule.epochs}", self._share())
        self._check_loss(self.loss_sum, checkpoints)
        self._end_epoch(context, checkpoints)

    def _batches_left(self) -> Generator[tuple[Rows, float, int]]:
        """Yield this process's rows of each batch that is left, their share of the batch's loss, and the rows of the whole batch."""
        p, peers, size = self.progress, self._peers, self._own
        if isinstance(self._train, Streamed):
            order = Order(self._seed, p.epoch, size, self._batches, (peers.rank, peers.count))
            for rows in self._train.batches(order, p.batch):
                self._seed_step()
                yield rows, self._share_of(rows), len(rows) * peers.count
            return
        order_of_rows = torch.randperm(len(self._train), generator=self.sampler).to(self.device)
        for batch in range(p.batch, self._batches):
            whole = order_of_rows[batch * size : None if batch + 1 == self._batches else (batch + 1) * size]
            yield *self._part(self._train, whole), len(whole)

    def _step(self, rows: Rows, share: float, count: int, checkpoints: Checkpoints, context: TrainingContext) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        if self._transform is not None:
            rows = replace(rows, inputs=self._transform(*rows.inputs))
        loss = self._gradients(rows, share, context)
        if self._peers.count > 1:
            loss = add_all(self._peers, self.network, loss)
        if self.device.type == "cpu" or self.progress.step % _CHECKED == 0:
            self._check_loss(loss, checkpoints)
        if self._config.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._config.clip)
        self.optimizer.step()
        self._follow()
        self.loss_sum += loss * count

    def _part(self, train: Rows, index: Tensor) -> tuple[Rows, float]:
        """Return this process's rows of a batch, and their share of the batch's loss."""
        peers = self._peers
        if peers.count == 1:
            return train.at(index), 1.0
        self._seed_step()
        rows, whole = train.at(index[peers.rank :: peers.count]), index
        if train.weight is None:
            return rows, len(rows) / len(whole)
        return rows, mass_of(rows) / max(float(train.weight[whole].sum()), LEAST)

    def _seed_step(self) -> None:
        """Give the generator the state of the step, so that a checkpoint of one process serves all of them."""
        peers = self._peers
        if peers.count > 1:
            torch.manual_seed(((self._seed * 1_000_003 + self.progress.step) * 65_537 + peers.rank) % 2**63)

    def _share_of(self, rows: Rows) -> float:
        """Return the share that this process's batch has in the loss of all processes' batches."""
        if self._peers.count == 1:
            return 1.0
        mass = mass_of(rows)
        return mass / max(self._sum(mass), LEAST)

    def _gradients(self, rows: Rows, share: float, context: TrainingContext) -> Tensor:
        """Compute a batch's gradients; return its loss. Out of memory halves, once, what is computed at a time."""
        while True:
            try:
                return self._backward(rows, share)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                self._check_divisible(rows)
            self._halve(context)  # here, where the exception no longer holds the tensors of the failed step

    def _check_divisible(self, rows: Rows) -> None:
        """Raise `PluginError` if a batch that does not fit was halved before, or cannot be."""
        p = self.progress
        if p.halved or len(rows) <= p.parts:
            raise PluginError(
                f"[trainer.torch] batch_size = {self.schedule.batch_size} does not fit into the memory of {self.device}, "
                f"not even in {p.parts} parts",
                hint="Set a smaller batch_size, or a larger accumulate.",
            ) from None

    def _halve(self, context: TrainingContext) -> None:
        p = self.progress
        p.parts, p.halved = 2 * p.parts, True
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        context.log_metric("batch_halved_at_step", p.step)
        context.progress(f"out of memory: each batch is computed in {p.parts} parts", self._share())

    def _backward(self, rows: Rows, share: float) -> Tensor:
        """Compute the gradients in as many parts as `progress` says: their sum is that of all rows, times `share`."""
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        if not len(rows):
            return total
        if self.progress.parts == 1:
            return self._backward_of(rows, share)
        whole = mass_of(rows)
        for index in torch.arange(len(rows), device=self.device).chunk(self.progress.parts):
            part = rows.at(index)
            total += self._backward_of(part, share * mass_of(part) / whole)
        return total

    def _backward_of(self, rows: Rows, share: float) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed):
            loss = self._loss(self._forward(*rows.inputs), rows.target, rows.weight)
        loss = loss * share if share != 1.0 else loss
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _follow(self) -> None:
        """Move the average of the weights towards the weights, faster in the first steps."""
        if not self.average:
            return
        step = self.progress.step
        decay = min(self._config.ema, (1 + step) / (10 + step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _check_loss(self, loss: Tensor | float, checkpoints: Checkpoints, which: str = "loss") -> None:
        """Raise `DataError` if a loss is no finite number. Nothing is written then, so the last good checkpoint remains."""
        if math.isfinite(float(loss)):
            return
        p, last = self.progress, checkpoints.last_step
        kept = "no checkpoint was written before" if last is None else f"the checkpoint of step {last} is kept"
        name = f" of {self._config.loss or self._config.module}" if self._config.module else ""
        raise DataError(
            f"the {which}{name} became {float(loss)} in epoch {p.epoch + 1}, step {p.step}, with the learning rate "
            f"{self._learning_rate():.3g}; {kept}",
            hint="Set a smaller learning_rate, or clip = 1.0.",
        )

    def _learning_rate(self) -> float:
        return learning_rate(self._config, self.progress.step, self.schedule.epochs * self._batches)

    def _end_epoch(self, context: TrainingContext, checkpoints: Checkpoints) -> None:
        p = self.progress
        train_loss = float(self.loss_sum) / self._rows
        valid_loss = None if self._valid is None else self._valid_loss(self._valid)
        if valid_loss is not None:
            self._check_loss(valid_loss, checkpoints, "validation loss")
        score = train_loss if valid_loss is None else valid_loss
        if self._valid is None or score < p.best:
            p.best, p.best_epoch = score, p.epoch
            self.best = _copied(self.average or self.network.state_dict())
        context.log_metric("train_loss", train_loss, p.epoch)
        if valid_loss is not None:
            context.log_metric("valid_loss", valid_loss, p.epoch)
        p.history.append((train_loss, valid_loss))
        p.epoch, p.batch = p.epoch + 1, 0
        self.order_state = self.sampler.get_state()
        self.loss_sum.zero_()
        context.progress(f"epoch {p.epoch} of {self.schedule.epochs}", self._share())

    def _valid_loss(self, rows: Rows | Streamed) -> float:
        """Return the mean loss over rows: the same number in all processes, since they must all take the same epoch for the best."""
        if isinstance(rows, Rows):
            return self._sum(self.evaluate(rows)) / self._peers.count
        loss = mass = 0.0
        for some in rows.in_order((self._peers.rank, self._peers.count)):
            loss, mass = loss + self.evaluate(some) * mass_of(some), mass + mass_of(some)
        return self._sum(loss) / max(self._sum(mass), LEAST)

    def _sum(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        if self._peers.count == 1:
            return value
        values = torch.tensor([value], dtype=torch.float64, device=self.device)
        self._peers.add(values)
        return float(values)

    def _share(self) -> float:
        return (self.progress.epoch + self.progress.batch / self._batches) / self.schedule.epochs

    # -- scoring ---------------------------------------------------------------------------------------------------------

    def evaluate(self, rows: Rows) -> float:
        """Return the mean loss over rows."""
        return float(self._loss(self.logits(rows), rows.target, rows.weight))

    def logits(self, rows: Rows) -> Tensor:
        """Return `[rows, outputs]`, the network's output for rows, without dropout; that of several members is their mean.

        While it trains with `ema`, the average of the weights answers.
        """
        self.network.eval()
        with torch.no_grad():
            first = mean_logits(self._answer(rows.part(0, self._evaluated_at_once).inputs), self._task)
            logits = first.new_empty(len(rows), *first.shape[1:])  # a list of answers splits the memory that is freed
            logits[: len(first)] = first
            for at in range(len(first), len(rows), self._evaluated_at_once):
                inputs = rows.part(at, at + self._evaluated_at_once).inputs
                logits[at : at + self._evaluated_at_once] = mean_logits(self._answer(inputs), self._task)
            return logits

    def _answer(self, inputs: tuple[Tensor, ...]) -> Tensor:
        output: Tensor = functional_call(self.network, self.average, inputs) if self.average else self.network(*inputs)
        return output


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
