"""Checkpoints: the whole state of a training in safetensors and JSON. If the process is killed, the last complete one remains.

A checkpoint is a folder `step-N` with `state.safetensors` and `state.json`, which holds the digest of the former. It is used only if both are
complete and its identity (rows, plan, configuration, versions) matches the current training.

"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mlopsfw.errors import StorageFull

if TYPE_CHECKING:
    from mlopsfw_trainer_torch.loop import Training

_KEPT = 2  # the last one, and the one before in case the last is damaged
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TENSORS, _VALUES = "state.safetensors", "state.json"


class _Values(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    identity: str
    tensors: str
    epoch: int
    batch: int
    step: int
    parts: int
    halved: bool
    best: float | None
    best_epoch: int
    history: list[tuple[float | None, float | None]]


class Checkpoints:
    """The checkpoints of one training step.

    Args:
        folder: Kept between attempts.
        identity: The identity of the training. Checkpoints with another one are skipped.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder, self._identity = folder, identity
        self._last = time.monotonic()

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._folder

    @property
    def identity(self) -> str:
        """The identity of the training."""
        return self._identity

    @property
    def age(self) -> float:
        """Seconds since the last checkpoint, or since the creation of this object."""
        return time.monotonic() - self._last

    @property
    def last_step(self) -> int | None:
        """The step of the last checkpoint, or None."""
        names = self._found()
        return int(names[0].name.split("-")[1]) if names else None

    def save(self, training: Training) -> None:
        """Write a checkpoint, durable before it gets its name, and remove all but the last two.

        Raises:
            StorageFull: The disk has no room for it. Earlier checkpoints are left as they were.
        """
        self.write(encoded(training, self._identity))

    def write(self, checkpoint: bytes) -> None:
        """Write a checkpoint that `encoded` has made, as `save` does."""
        head, _, data = checkpoint.partition(b"\n")
        values = msgspec.json.decode(head, type=_Values)
        temporary = self._folder / f"unfinished-{values.step:09d}-{values.batch}"
        try:
            self._write(temporary, f"step-{values.step:09d}-{values.epoch:06d}", data, head)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if error.errno not in _FULL:
                raise
            raise self._full(values.step) from error
        for old in self._found()[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        self.restart_age()

    def restart_age(self) -> None:
        """Count the age from now."""
        self._last = time.monotonic()

    def _write(self, temporary: Path, name: str, data: bytes, head: bytes) -> None:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        _write(temporary / _TENSORS, data)
        _write(temporary / _VALUES, head)
        _sync(temporary)
        target = self._folder / name
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
        _sync(self._folder)

    def _full(self, step: int) -> StorageFull:
        last = self.last_step
        kept = "there is none before it" if last is None else f"the one of step {last} is kept"
        return StorageFull(
            f"the disk has no room for the checkpoint of step {step} in {self._folder}; {kept}",
            hint="Make room, then run `mlopsfw resume`.",
        )

    def restore(self, training: Training) -> bool:
        """Restore `training` from its last complete checkpoint; return whether there was one."""
        return restored(training, self.read(), self._identity)

    def read(self) -> bytes:
        """Return the last complete checkpoint of this training; empty if there is none."""
        return next(filter(None, map(self._read, self._found())), b"")

    def _found(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"), reverse=True)

    def _read(self, folder: Path) -> bytes:
        try:
            checkpoint = (folder / _VALUES).read_bytes() + b"\n" + (folder / _TENSORS).read_bytes()
        except OSError:
            return b""
        return b"" if _decoded(checkpoint, self._identity) is None else checkpoint


def encoded(training: Training, identity: str) -> bytes:
    """Return a checkpoint: a line of JSON, then tensors as safetensors."""
    data = save(_tensors_of(training))
    p = training.progress
    values = _Values(
        identity=identity,
        tensors=hashlib.sha256(data).hexdigest(),
        epoch=p.epoch,
        batch=p.batch,
        step=p.step,
        parts=p.parts,
        halved=p.halved,
        best=p.best,
        best_epoch=p.best_epoch,
        history=list(p.history),
    )
    return msgspec.json.encode(values) + b"\n" + data


def restored(training: Training, checkpoint: bytes, identity: str) -> bool:
    """Restore `training` from a checkpoint; return whether it is a complete one with this identity."""
    state = _decoded(checkpoint, identity)
    if state is not None:
        _restore(training, *state)
    return state is not None


def _decoded(checkpoint: bytes, identity: str) -> tuple[_Values, dict[str, Tensor]] | None:
    head, _, data = checkpoint.partition(b"\n")
    try:
        values = msgspec.json.decode(head, type=_Values)
        if values.identity != identity or hashlib.sha256(data).hexdigest() != values.tensors:
            return None
        return values, load(data)
    except (msgspec.DecodeError, SafetensorError):
        return None


def _tensors_of(training: Training) -> dict[str, Tensor]:
    tensors = {f"model.{name}": value for name, value in training.network.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in training.best.items()}
    tensors |= {f"average.{name}": value for name, value in training.average.items()}
    for number, slots in training.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in slots.items()}
    tensors |= {"loss_sum": training.loss_sum, "rng.order": training.order_state, "rng.torch": torch.get_rng_state()}
    if training.device.type == "cuda":
        tensors["rng.cuda"] = torch.cuda.get_rng_state(training.device)
    return {name: value.detach().contiguous().clone() for name, value in tensors.items()}


def _restore(training: Training, values: _Values, tensors: dict[str, Tensor]) -> None:
    training.network.load_state_dict(_under(tensors, "model."))
    training.best = {name: value.to(training.device) for name, value in _under(tensors, "best.").items()}
    training.average = {name: value.to(training.device) for name, value in _under(tensors, "average.").items()}
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimizer.").items():
        number, _, slot = name.partition(".")
        slots.setdefault(int(number), {})[slot] = value
    groups: list[dict[str, Any]] = training.optimizer.state_dict()["param_groups"]
    training.optimizer.load_state_dict({"state": slots, "param_groups": groups})
    training.loss_sum = tensors["loss_sum"].to(training.device)
    training.order_state = tensors["rng.order"]
    torch.set_rng_state(tensors["rng.torch"])
    if "rng.cuda" in tensors and training.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["rng.cuda"], training.device)
    p = training.progress
    p.epoch, p.batch, p.step = values.epoch, values.batch, values.step
    p.parts, p.halved = values.parts, values.halved
    p.best = float("inf") if values.best is None else values.best
    p.best_epoch = values.best_epoch
    p.history = [(float("nan") if a is None else a, b) for a, b in values.history]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _write(file: Path, data: bytes) -> None:
    with file.open("xb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _sync(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders, and its file system keeps renames in order
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
