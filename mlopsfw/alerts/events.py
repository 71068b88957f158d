"""What alerts write to their stream, `alerts`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mlopsfw.kernel.events.record import EventRecord, Text
from mlopsfw.kernel.roles.alerting import Alert, Receipt


class AlertRecord(Alert, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert as an event holds it: a monitor, a step or an exception may quote values in the title and the text."""

    title: Text
    text: Text

    def clear(self, words: Mapping[str, str]) -> Alert:
        """Return the alert as an alerter gets it, with its `words` by their references."""
        facts = msgspec.structs.asdict(self)
        return Alert(**{**facts, "title": words[self.title], "text": words[self.text]})


class AlertRaised(EventRecord, frozen=True, kw_only=True):
    """An alert calls for attention.

    Args:
        alert: The alert.
        alerters: The alerters that were selected; null where an earlier release did not say.
    """

    type = "alert.raised"
    streams = ("alerts",)
    alert: AlertRecord
    alerters: tuple[str, ...] | None = None


class AlertRepeated(EventRecord, frozen=True, kw_only=True):
    """A group alarmed again while its alert was open.

    Args:
        id: The alert's id.
        title: The title of the new alarm.
        facts: Numbers and names for machines.
    """

    type = "alert.repeated"
    streams = ("alerts",)
    id: str = ""
    title: Text = ""
    facts: dict[str, Any] = {}


class AlertRose(EventRecord, frozen=True, kw_only=True):
    """An open alert became more severe, and is delivered again.

    Args:
        id: The alert's id.
        alert: The alert as it is now.
    """

    type = "alert.rose"
    streams = ("alerts",)
    id: str
    alert: AlertRecord


class AlertAcknowledged(EventRecord, frozen=True, kw_only=True):
    """The actor looks after an alert.

    Args:
        id: The alert's id.
    """

    type = "alert.acknowledged"
    streams = ("alerts",)
    id: str = ""


class AlertResolved(EventRecord, frozen=True, kw_only=True):
    """What an alert reported is over.

    Args:
        id: The alert's id.
        group: The alert's group.
        alert: The notice that it is over.
    """

    type = "alert.resolved"
    streams = ("alerts",)
    id: str = ""
    group: str = ""
    alert: AlertRecord


class AlertSilenced(EventRecord, frozen=True, kw_only=True):
    """Deliveries of a group, and of `group/…`, are held back.

    Args:
        group: The group.
        until: Until when, in seconds since the epoch.
    """

    type = "alert.silenced"
    streams = ("alerts",)
    group: str
    until: float


class AlertDelivered(EventRecord, frozen=True, kw_only=True):
    """An alerter took a notice.

    Args:
        id: The alert's id.
        state: `firing` or `resolved`.
        alerter: The alerter.
        attempt: The number of the attempt, from 1.
        rises: How often the alert had risen.
        receipt: What the receiver made of it.
    """

    type = "alert.delivered"
    streams = ("alerts",)
    id: str = ""
    state: str
    alerter: str
    attempt: int = 1
    rises: int = 0
    receipt: Receipt | None = None


class AlertFailed(EventRecord, frozen=True, kw_only=True):
    """An alerter did not take a notice; it is tried again.

    Args:
        id: The alert's id.
        state: `firing` or `resolved`.
        alerter: The alerter.
        attempt: The number of the attempt, from 1.
        reason: Why the delivery failed.
        retry_after: Seconds until the next attempt.
    """

    type = "alert.failed"
    streams = ("alerts",)
    id: str = ""
    state: str
    alerter: str
    attempt: int
    reason: Text = ""
    retry_after: float


EVENTS: tuple[type[EventRecord], ...] = (
    AlertRaised,
    AlertRepeated,
    AlertRose,
    AlertAcknowledged,
    AlertResolved,
    AlertSilenced,
    AlertDelivered,
    AlertFailed,
)
