"""The alerter role: hands an alert to people or machines.

When, how often and to whom is the kernel's (`mlopsfw.alerts`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, Protocol

import msgspec


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a receiver made of an alert.

    Args:
        id: The receiver's own id, such as the number of an incident.
        link: Where people find it.
    """

    id: str
    link: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that needs attention.

    Args:
        id: Stable: the same alert delivered twice has the same id and the same `rises`, by which receivers deduplicate.
        group: What it is about, such as `delay/drift`; repeated alarms of one group are one alert until it is resolved.
        severity: `info`, `warning` or `critical`.
        title: One line.
        text: What was seen, the likely cause and what to do, as plain text.
        time: RFC 3339, UTC.
        project: The project's name.
        links: Name → path or URL (the report's page, the ledger stream).
        facts: Numbers and names for machines.
        state: `firing` or `resolved`.
        rises: How often its severity rose. An alert that rises is delivered again.
        receipt: What this alerter returned for the alert before; None for the first delivery.
    """

    id: str
    group: str
    severity: Literal["info", "warning", "critical"]
    title: str
    text: str
    time: str
    project: str
    links: dict[str, str] = {}
    facts: dict[str, Any] = {}
    state: Literal["firing", "resolved"] = "firing"
    rises: int = 0
    receipt: Receipt | None = None


class AlertChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person (an id) did about an open alert, when, and until when a silence holds, RFC 3339, UTC."""

    kind: Literal["acknowledged", "silenced"]
    actor: str
    time: str
    until: str = ""


class Alerter(Protocol):
    """Delivers alerts. A subclass inherits the methods that are not abstract."""

    @abstractmethod
    def deliver(self, alert: Alert) -> Receipt | None:
        """Hand `alert` over; return only once the receiver has it. The end of an alert comes as one that is `resolved`.

        Raise `DeliveryFailed` when it has not: the outbox tries again, so the same id can arrive twice.
        """

    def update(self, alert: Alert, change: AlertChange) -> None:  # noqa: ARG002 - for those who take it
        """Tell the receiver what a person did about an alert that it has. A failure is a warning, never tried again."""
        return

    def check(self) -> None:
        """Raise an error of `mlopsfw.errors` where no delivery can work, such as a missing secret. Send nothing."""
        return
