"""A training in several processes on the nodes of an engine, which share no folder with the step: the engine's launcher starts them.

Each process gets a copy of the rows: in memory, or as files on the disk of its node where they do not fit. The first sends metrics, progress and checkpoints to the step, which writes them where it would write its
own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch

from mlopsfw.errors import MlopsfwError, error_from_json, error_to_json
from mlopsfw.roles import Resources
from mlopsfw_trainer_torch.checkpoint import Checkpoints, encoded, restored
from mlopsfw_trainer_torch.launch import read_spec, write_problem
from mlopsfw_trainer_torch.worker import Silent, train

if TYPE_CHECKING:
    from mlopsfw.roles import Launcher, TrainingContext, TrainingTask
    from mlopsfw_trainer_torch import TorchConfig
    from mlopsfw_trainer_torch.loop import Training
    from mlopsfw_trainer_torch.problem import Problem

_CHECKPOINT, _ERROR = b"checkpoint", b"error"


class Send(Protocol):
    """Sends a message to the step, from one of its processes."""

    def __call__(self, message: bytes, *, keep: bool = False) -> None:
        """Send a message; the last one with `keep` is the state of processes that start later."""


def run_on_nodes(
    launcher: Launcher,
    config: TorchConfig,
    task: TrainingTask,
    problem: Problem,
    *,
    checkpoints: Checkpoints,
    context: TrainingContext,
) -> None:
    """Train to the end in `config.processes` processes; the last checkpoint has the result.

    Raises:
        MlopsfwError: As in one process; what the launcher raises where they die again and again.
    """

    def receive(message: bytes) -> None:
        kind, _, rest = message.partition(b"\n")
        if kind == _CHECKPOINT:
            checkpoints.write(rest)
        elif kind == _ERROR:
            raise error_from_json(rest)
        else:
            name, *arguments = json.loads(kind)
            getattr(context, name)(*arguments)

    launcher.launch(
        f"{__name__}:join",
        count=config.processes,
        each=Resources(cpus=float(config.threads), gpus=float(_wants_gpu(config))),
        folder=write_problem(config, task, problem, checkpoints, context, copied=True),
        receive=receive,
        state=b"\n".join((_CHECKPOINT, checkpoints.read())),
    )


def _wants_gpu(config: TorchConfig) -> bool:
    return config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())


def join(folder: Path, state: bytes, send: Send) -> None:
    """Train as one of the processes that a launcher has started."""
    spec, first = read_spec(folder), torch.distributed.get_rank() == 0
    context = _Sent(send) if first else Silent()
    checkpoints = _SentCheckpoints(state.partition(b"\n")[2], spec.identity, send if first else None)
    try:
        train(spec, folder, context, checkpoints)
    except MlopsfwError as error:
        send(b"\n".join((_ERROR, error_to_json(error))))


class _Sent(Silent):
    """A context that sends metrics and progress to the step."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Send a metric."""
        self._send(json.dumps(["log_metric", name, value, step]).encode())

    def progress(self, phase: str, share: float) -> None:
        """Send the progress."""
        self._send(json.dumps(["progress", phase, share]).encode())


class _SentCheckpoints(Checkpoints):
    """Checkpoints that the step keeps.

    Args:
        start: The one to go on from; empty if there is none.
        identity: The identity of the training.
        send: Sends a checkpoint; None in the processes that write none.
    """

    def __init__(self, start: bytes, identity: str, send: Send | None) -> None:
        super().__init__(Path(), identity)
        self._start, self._send = start, send
        self._step: int | None = None

    @property
    def last_step(self) -> int | None:
        """The step of the last checkpoint, or None."""
        return self._step

    def save(self, training: Training) -> None:
        """Send a checkpoint."""
        if self._send is not None:
            self._send(b"\n".join((_CHECKPOINT, encoded(training, self.identity))), keep=True)
            self._step = training.progress.step
            self.restart_age()

    def restore(self, training: Training) -> bool:
        """Restore `training` from the checkpoint to go on from; return whether there is one."""
        if not restored(training, self._start, self.identity):
            return False
        self._step = training.progress.step
        return True
