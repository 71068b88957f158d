"""Device, precision, threads, and the settings that make two runs equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from mlopsfw.errors import PluginError

if TYPE_CHECKING:
    from mlopsfw_trainer_torch import TorchConfig


def choose_device(config: TorchConfig) -> torch.device:
    """Return the configured device. Raise `PluginError` if it is CUDA and there is none."""
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        build = "can use none" if torch.version.cuda is None else "finds none"
        raise PluginError(
            f"[trainer.torch] device = 'cuda', but torch {torch.__version__} {build} on this machine",
            hint="Set device = 'auto' to use the CPU on a machine without a GPU.",
        )
    return torch.device("cuda" if has_cuda and config.device != "cpu" else "cpu")


def choose_mixed(config: TorchConfig, device: torch.device) -> bool:
    """Return whether to compute in bfloat16. Raise `PluginError` if the configuration asks for it and the device cannot."""
    able = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if config.precision == "mixed" and not able:
        raise PluginError(
            f"[trainer.torch] precision = 'mixed', but {device.type} cannot do it here",
            hint="Set precision = 'auto' to use full precision on a machine without mixed precision.",
        )
    return able and config.precision != "full"


@contextmanager
def repeatable(seed: int, threads: int, device: torch.device, *, strict: bool = True) -> Iterator[None]:
    """Seed torch and make it deterministic; restore its settings and generators afterwards.

    An operation that has no deterministic form is an error, or a warning unless `strict`.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=not strict)  # noqa: FBT003 - torch's own signature
        if threads:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            torch.set_num_threads(before[1])
