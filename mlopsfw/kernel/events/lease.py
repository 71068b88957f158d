"""The kernel's own events: who holds a stream."""

from __future__ import annotations

from typing import Any

from mlopsfw.kernel.events.record import EventRecord


class Takeover(EventRecord, frozen=True, kw_only=True):
    """A new epoch of a stream began: writers of older epochs are fenced off.

    Args:
        holder: Who holds a lease now, for people.
        process: The process that goes on with a run.
    """

    type = "takeover"
    streams = ("run/RUN", "lease/NAME")
    holder: str = ""
    process: dict[str, Any] = {}


class LeaseRenewed(EventRecord, frozen=True, kw_only=True):
    """The holder of a lease is alive."""

    type = "lease.renewed"
    streams = ("lease/NAME",)


class LeaseReleased(EventRecord, frozen=True, kw_only=True):
    """The holder of a lease let it go."""

    type = "lease.released"
    streams = ("lease/NAME",)


LEASE_EVENTS: tuple[type[EventRecord], ...] = (Takeover, LeaseRenewed, LeaseReleased)
