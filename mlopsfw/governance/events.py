"""What governance records of itself. Names of people are no part of it."""

from __future__ import annotations

from mlopsfw.kernel.events.record import EventRecord


class ActorForgotten(EventRecord, frozen=True, kw_only=True):
    """An actor lost name and key, and so every word written under it.

    Args:
        forgotten: The actor's id.
    """

    type = "actor.forgotten"
    forgotten: str


GOVERNANCE_EVENTS: tuple[type[EventRecord], ...] = (ActorForgotten,)
