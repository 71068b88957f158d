"""One process of a training in several: `torch.distributed.run` starts it, and starts it anew where one of them died."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist

from mlopsfw.errors import MlopsfwError
from mlopsfw_trainer_torch.checkpoint import Checkpoints
from mlopsfw_trainer_torch.device import choose_device, choose_mixed, repeatable
from mlopsfw_trainer_torch.launch import Reports, has_error, read_problem, read_spec, write_error
from mlopsfw_trainer_torch.peers import Group

if TYPE_CHECKING:
    from mlopsfw.roles import TrainingContext
    from mlopsfw_trainer_torch.launch import Spec
    from mlopsfw_trainer_torch.trainer import TorchTrainer

_LOOKED = 0.5


class Silent:
    """The context of a process that is not the first."""

    def log_metric(self, name: str, value: float, step: float | None = None) -> None:
        """Do nothing."""

    def progress(self, phase: str, share: float) -> None:
        """Do nothing."""


class _Reading(Checkpoints):
    """Checkpoints that another process writes."""

    def save(self, training: object) -> None:
        """Do nothing."""


def _main(folder: Path) -> None:
    spec = read_spec(folder)
    _end_without(spec.parent)
    if has_error(folder):
        return
    first = os.environ["RANK"] == "0"
    context, kind = (Reports(folder), Checkpoints) if first else (Silent(), _Reading)
    try:
        train(spec, folder, context, kind(Path(spec.checkpoints), spec.identity))
    except MlopsfwError as error:
        write_error(folder, error)


def train(spec: Spec, folder: Path, reports: Reports | Silent, checkpoints: Checkpoints) -> None:
    """Train to the end as one of several processes.

    Args:
        spec: What to train.
        folder: Has the rows.
        reports: Takes metrics and progress.
        checkpoints: Of the training; the first process writes them.
    """
    context = cast("TrainingContext", reports)
    device = choose_device(spec.config)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    peers = _joined(folder, device)
    mixed = choose_mixed(spec.config, device)
    with repeatable(spec.task.seed, spec.config.threads, device, strict=not spec.config.module):
        training = _trainer(spec).training(read_problem(spec, folder), spec.task, device, mixed=mixed, peers=peers)
        if checkpoints.restore(training):
            context.log_metric("resumed_at_step", training.progress.step)
        dist.barrier()  # none writes a checkpoint before all have read theirs
        training.run(context, checkpoints)
    dist.barrier()
    dist.destroy_process_group()


def _joined(folder: Path, device: torch.device) -> Group:
    """Join the processes of this start, if the launcher has not done so. They meet in a file; only gloo and NCCL use sockets."""
    if dist.is_initialized():
        return Group()
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    meeting = folder / f"meeting-{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    store = dist.FileStore(str(meeting), count)  # type: ignore[attr-defined]
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=count)
    return Group()


def _trainer(spec: Spec) -> TorchTrainer:
    if spec.config.module:
        from mlopsfw_trainer_torch.module_trainer import ModuleTrainer

        return ModuleTrainer(spec.config)
    from mlopsfw_trainer_torch.trainer import TorchTrainer

    return TorchTrainer(spec.config)


def _end_without(parent: int) -> None:
    """End this process where the one that waits for the result is gone: nobody would read it."""

    def alive() -> bool:
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            return False
        return True

    def watch() -> None:
        while alive():
            time.sleep(_LOOKED)
        os._exit(1)

    if not alive():
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
