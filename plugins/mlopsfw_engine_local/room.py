"""`Room`: the slots, cores, memory and devices that the attempts on this machine share."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from mlopsfw.roles import Resources, machine_memory

_ROUNDING = 1e-9


class Grant(NamedTuple):
    """What an attempt has until it ends.

    Args:
        asked: What it asked for.
        devices: The devices that it sees, as `CUDA_VISIBLE_DEVICES` names them; none if it asked for none.
    """

    asked: Resources
    devices: tuple[str, ...]


class Room:
    """Grants attempts what they ask for, as soon as there is room.

    An attempt that asks for no cores counts as its slot's share of them.

    Args:
        slots: How many attempts run at once.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._grants: list[Grant] = []
        self._changed = threading.Condition()

    @cached_property
    def cores(self) -> int:
        """How many cores this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    @cached_property
    def memory(self) -> int:
        """The bytes of memory of this machine, or of this container."""
        return machine_memory()

    @cached_property
    def devices(self) -> tuple[str, ...]:
        """The devices that torch sees; none without torch."""
        try:
            import torch
        except ModuleNotFoundError:
            return ()
        count = torch.cuda.device_count()
        named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return tuple(named.split(",") if named else map(str, range(count)))[:count]

    def capacity(self, asked: Resources) -> Resources:
        """Return the most that one attempt can get. Devices are counted only for one that asks for some."""
        gpus = len(self.devices) if asked.gpus else 0
        return Resources(cpus=self.cores, gpus=gpus, memory=f"{self.memory}B", processes=self.cores)

    def fits(self, asked: Resources, running: Sequence[Resources]) -> bool:
        """Return whether an attempt has room beside those that run, and devices beside theirs: given in this order."""
        if not self._has_slot(asked, running):
            return False
        grants: list[Grant] = []
        for each in (*running, asked) if asked.gpus else ():
            devices = self._free_devices(each.gpus, grants)
            if devices is None:
                return False
            grants.append(Grant(each, devices))
        return True

    def take(self, asked: Resources, stopped: threading.Event) -> Grant | None:
        """Wait until an attempt has room; return what it gets, or None if `stopped` is set first."""
        with self._changed:
            while not stopped.is_set():
                if grant := self.take_now(asked):
                    return grant
                self._changed.wait()
        return None

    def take_now(self, asked: Resources) -> Grant | None:
        """Return what an attempt gets, or None if it has no room now."""
        with self._changed:
            has_slot = self._has_slot(asked, [grant.asked for grant in self._grants])
            devices = self._free_devices(asked.gpus, self._grants) if has_slot else None
            if devices is None:
                return None
            self._grants.append(grant := Grant(asked, devices))
            return grant

    def give_back(self, grant: Grant) -> None:
        """Let others have what an attempt had."""
        with self._changed:
            self._grants.remove(grant)
            self._changed.notify_all()

    def look_again(self) -> None:
        """Wake those that wait: one of them was stopped."""
        with self._changed:
            self._changed.notify_all()

    def _has_slot(self, asked: Resources, running: Sequence[Resources]) -> bool:
        """Return whether a slot, cores and memory are left. Devices are another question: a share lies on one device."""
        every = (asked, *running)
        share = self.cores / self.slots
        return (
            len(every) <= self.slots
            and sum(each.cpus or share for each in every) <= self.cores + _ROUNDING
            and sum(each.bytes for each in every) <= self.memory
        )

    def _free_devices(self, gpus: float, grants: Sequence[Grant]) -> tuple[str, ...] | None:
        """Return whole devices, or the fullest one that has the share left; None if there are too few."""
        count, share = math.ceil(gpus), min(gpus, 1.0)
        free = dict.fromkeys(self.devices if gpus else (), 1.0)
        for grant in grants:
            for device in grant.devices if gpus else ():
                free[device] -= min(grant.asked.gpus, 1.0)
        ready = sorted((device for device in free if free[device] >= share - _ROUNDING), key=free.__getitem__)
        return tuple(ready[:count]) if len(ready) >= count else None
