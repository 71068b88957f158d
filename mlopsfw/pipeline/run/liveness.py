"""Whether the coordinator of a run is alive: proof on the same machine, a silent heartbeat from another."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import Conflict

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Stream
    from mlopsfw.kernel.roles.host import Clock
    from mlopsfw.pipeline.run.record import RunView

HEARTBEAT = 10.0
"""Seconds without any other event after which a coordinator appends `run.heartbeat`."""
LOST_AFTER = 30.0
"""Seconds of silence, on the observer's monotonic clock, after which a run may be taken over."""
SILENT = 600.0
"""Seconds since the newest event, by the clocks of two machines, after which a run is shown as lost."""


def identity() -> dict[str, Any]:
    """Return the identity of this process: machine, boot, pid namespace, pid, and start time."""
    return {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "born": _born(os.getpid())}


def _machine() -> str:
    """Return the boot and the pid namespace, within which a pid means one process at a time; empty if the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _born(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 if it does not exist or the system does not say."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    fields = stat.rpartition(b")")[2].split()
    return 0 if fields[0] == b"Z" else int(fields[19])  # a zombie coordinates nothing


def is_lost(view: RunView, clock: Clock) -> bool:
    """Return whether a run that has not ended has lost its coordinator.

    That is certain on its own machine. From another one, or after a restart, ten minutes without a heartbeat count as lost; a script sends none.
    """
    owner = view.facts.process
    if owner.get("machine") and owner["machine"] == _machine():
        return bool(_born(int(owner["pid"])) != owner["born"])
    silent = clock.now() - datetime.fromisoformat(view.seen).timestamp() if view.seen else 0.0
    return view.facts.kind != "script" and silent > SILENT


def wait_until_lost(stream: Stream, view: RunView, clock: Clock, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Return the number of the run's newest event if its coordinator is gone, or must be presumed gone.

    Raises:
        Conflict: It is alive.
    """
    owner = view.facts.process
    if owner.get("machine") and owner["machine"] == _machine():
        if not is_lost(view, clock):
            raise Conflict(
                f"run {view.id} is running in process {owner['pid']}", hint="Wait for it, or stop that process."
            )
        return view.head
    head, seen = stream.head(), clock.monotonic()
    if head != view.head:
        raise _alive(view)
    while clock.monotonic() - seen < LOST_AFTER:
        sleep(1.0)
        if stream.head() != head:
            raise _alive(view)
    return head


def _alive(view: RunView) -> Conflict:
    where = view.facts.process.get("host", "another machine")
    return Conflict(f"run {view.id} is running on {where}", hint="Wait for it, or stop it there.")
