"""The state of all alerts, folded from the stream `alerts`: which are open, who has them, and when a delivery is due.

Pure: it neither delivers nor appends. It uses only the ledger's times, so every reader gets the same state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import get_args

import msgspec

from mlopsfw.alerts.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertFailed,
    AlertRaised,
    AlertRecord,
    AlertRepeated,
    AlertResolved,
    AlertRose,
    AlertSilenced,
)
from mlopsfw.kernel.roles.alerting import Receipt
from mlopsfw.kernel.roles.event import Event

SEVERITIES = ("info", "warning", "critical")


def seconds(stamp: str) -> float:
    """Return an RFC 3339 stamp as seconds since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()


@dataclass
class Delivery:
    """One notice (an alert, firing or resolved) on its way to one alerter.

    Args:
        delivered: When it arrived, RFC 3339; empty until then.
        attempts: The number of attempts.
        failed: When the last attempt failed, in seconds since the epoch.
        due: When to try again, in seconds since the epoch.
        reason: Why the last attempt failed.
    """

    delivered: str = ""
    attempts: int = 0
    failed: float = 0.0
    due: float = 0.0
    reason: str = ""

    def is_due(self, now: float) -> bool:
        """Return whether to try at `now`. A clock that was set back must not delay the delivery."""
        return not self.failed <= now < self.due


@dataclass
class AlertState:
    """One alert and its deliveries.

    Args:
        alert: As it was raised, or as it was when it last rose.
        repeats: How often its group alarmed again while it was open.
        acknowledged: The actor who acknowledged it; empty if nobody did.
        resolved: The notice that it is over, or None.
        deliveries: `(state, alerter)` → delivery.
        alerters: The alerters selected when it was raised; None in older ledgers, which do not say.
        receipts: Alerter → what its receiver last made of the alert.
    """

    alert: AlertRecord
    repeats: int = 0
    acknowledged: str = ""
    resolved: AlertRecord | None = None
    deliveries: dict[tuple[str, str], Delivery] = field(default_factory=dict)
    alerters: tuple[str, ...] | None = None
    receipts: dict[str, Receipt] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether the alert is not resolved yet."""
        return self.resolved is None

    def notices(self) -> Iterator[AlertRecord]:
        """Yield the notices to deliver: the alert, then its resolution."""
        yield self.alert
        if self.resolved is not None:
            yield self.resolved

    def notice(self, alerter: str, state: str) -> AlertRecord:
        """Return the notice with `state` as `alerter` gets it: with the receipt that it returned before."""
        notice = self.resolved if state == "resolved" and self.resolved is not None else self.alert
        return msgspec.structs.replace(notice, receipt=self.receipts.get(alerter))

    def concerns(self, alerter: str) -> bool:
        """Return whether `alerter` gets this alert. An alerter that was added after the alert was resolved does not."""
        return self.open or self.alerters is None or alerter in self.alerters or ("firing", alerter) in self.deliveries

    def rise(self, alert: AlertRecord) -> None:
        """Take the alert as it is now: nobody takes care of it at this severity, and every alerter gets it again."""
        self.alert, self.acknowledged = alert, ""
        for state, alerter in [key for key in self.deliveries if key[0] == "firing"]:
            self.deliveries[state, alerter] = Delivery()

    def arrived(self, change: AlertDelivered, time: str) -> None:
        """Take note of a delivery. One that was on its way when the alert rose leaves the new one to be delivered."""
        if change.receipt is not None:
            self.receipts[change.alerter] = change.receipt
        if change.state != "firing" or change.rises == self.alert.rises:
            self.delivery(change.state, change.alerter).delivered = time

    def delivery(self, state: str, alerter: str) -> Delivery:
        """Return the delivery of the notice with `state` to `alerter`."""
        return self.deliveries.setdefault((state, alerter), Delivery())


@dataclass
class Outbox:
    """Every alert, and the end of each group's silence."""

    alerts: dict[str, AlertState] = field(default_factory=dict)
    silences: dict[str, float] = field(default_factory=dict)

    def open_in(self, group: str) -> AlertState | None:
        """Return the open alert of a group, or None."""
        return next((a for a in reversed(self.alerts.values()) if a.alert.group == group and a.open), None)

    def silent(self, group: str, now: float) -> bool:
        """Return whether the group is silenced at `now`; a silence of `a` covers `a/b`."""
        return any(now < until and covers(silenced, group) for silenced, until in self.silences.items())


def covers(silenced: str, group: str) -> bool:
    """Return whether a silence of one group holds for another: that of `a` covers `a/b`."""
    return group == silenced or group.startswith(f"{silenced}/")


def fold(events: Iterable[Event]) -> Outbox:
    """Return the state after all `events`."""
    outbox = Outbox()
    for event in events:
        _apply(outbox, event)
    return outbox


def _apply(outbox: Outbox, event: Event) -> None:
    if event.type == AlertRaised.type:
        raised = AlertRaised.of(event)
        outbox.alerts[raised.alert.id] = AlertState(raised.alert, alerters=raised.alerters)
    elif event.type == AlertSilenced.type:
        silenced = AlertSilenced.of(event)
        outbox.silences[silenced.group] = silenced.until
    elif (record := _CHANGES.get(event.type)) and (state := outbox.alerts.get((change := record.of(event)).id)):
        _apply_to(state, change, event)


_Change = AlertRepeated | AlertRose | AlertAcknowledged | AlertResolved | AlertDelivered | AlertFailed
_CHANGES: dict[str, type[_Change]] = {record.type: record for record in get_args(_Change)}


def _apply_to(state: AlertState, change: _Change, event: Event) -> None:
    match change:
        case AlertRepeated():
            state.repeats += 1
        case AlertRose():
            state.rise(change.alert)
        case AlertAcknowledged():
            state.acknowledged = event.actor
        case AlertResolved():
            state.resolved = change.alert
        case AlertDelivered():
            state.arrived(change, event.time)
        case AlertFailed():
            delivery = state.delivery(change.state, change.alerter)
            delivery.attempts, delivery.reason = change.attempt, change.reason
            delivery.failed = seconds(event.time)
            delivery.due = delivery.failed + change.retry_after
