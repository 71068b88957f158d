"""The alerter role: hands an alert to people or machines.

When, how often and to whom is the kernel's (`mlopsfw.alerts`).
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec


class Alert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that needs attention.

    Args:
        id: Stable: the same alert delivered twice has the same id, by which receivers deduplicate.
        group: What it is about, such as `delay/drift`; repeated alarms of one group are one alert until it is resolved.
        severity: `info`, `warning` or `critical`.
        title: One line.
        text: What was seen, the likely cause and what to do, as plain text.
        time: RFC 3339, UTC.
        project: The project's name.
        links: Name → path or URL (the report's page, the ledger stream).
        facts: Numbers and names for machines.
        state: `firing` or `resolved`.
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


class Alerter(Protocol):
    """Delivers alerts."""

    def deliver(self, alert: Alert) -> None:
        """Hand `alert` over; return only once the receiver has it.

        Raise `DeliveryFailed` when it has not: the outbox tries again, so the same id can arrive twice.
        """
        ...
