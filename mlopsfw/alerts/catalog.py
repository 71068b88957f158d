"""`Alerts`: raised once per group, repeated, resolved, acknowledged, silenced. The stream `alerts` is the outbox that `delivery` empties."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.alerts.delivery import Deliveries, Pumped
from mlopsfw.alerts.events import AlertAcknowledged, AlertRaised, AlertRepeated, AlertResolved, AlertSilenced
from mlopsfw.alerts.state import SEVERITIES, AlertState, Outbox, fold
from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import Conflict, UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.alerting import Alert, Alerter

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Stream
    from mlopsfw.kernel.services import Services

STREAM = "alerts"


class Alerts:
    """The alerts of one project.

    Args:
        services: The kernel's services.
        alerters: The names of the alerters that get every alert, in order.
        build: Builds an alerter by its name.
    """

    def __init__(self, services: Services, alerters: Sequence[str], build: Callable[[str], Alerter]) -> None:
        self._services, self._deliveries = services, Deliveries(alerters, build)

    @property
    def _stream(self) -> Stream:
        return self._services.ledger.stream(STREAM)

    def outbox(self) -> Outbox:
        """Return the state of every alert."""
        return self._outbox_at()[0]

    def _outbox_at(self) -> tuple[Outbox, int]:
        """Return the state of every alert, and the number of the event after which it is so."""
        events = list(self._stream.events())
        return fold(events), len(events)

    def raise_(
        self,
        group: str,
        severity: Literal["info", "warning", "critical"],
        title: str,
        text: str,
        *,
        facts: Mapping[str, Any] | None = None,
        links: Mapping[str, str] | None = None,
    ) -> Alert:
        """Raise an alert. If the group has an open alert that is at least as severe, record a repetition of that one instead.

        Returns:
            The open alert. It is in the ledger; `pump` delivers it.
        """
        alert = Alert(
            id=uuid.uuid4().hex,
            group=group,
            severity=severity,
            title=title,
            text=text,
            time=rfc3339(self._services.clock.now()),
            project=self._services.project,
            links=dict(links or {}),
            facts=dict(facts or {}),
        )

        while True:
            outbox, seq = self._outbox_at()
            state = outbox.open_in(group)
            record: AlertRaised | AlertRepeated = AlertRaised(alert=alert, alerters=self._deliveries.alerters)
            if state and SEVERITIES.index(severity) <= SEVERITIES.index(state.alert.severity):
                alert = state.alert
                record = AlertRepeated(id=alert.id, title=title, facts=dict(facts or {}))
            with suppress(Conflict):
                self._stream.append(record, expecting=seq)
                return alert

    def resolve(self, group: str, text: str = "") -> Alert | None:
        """Resolve every open alert of a group: a more severe one may stand beside the first.

        Return the newest's notice, or None if the group has no open alert.
        """
        newest: Alert | None = None
        while True:
            outbox, seq = self._outbox_at()
            state = outbox.open_in(group)
            if state is None:
                return newest
            over = msgspec.structs.replace(
                state.alert, state="resolved", text=text or state.alert.text, time=rfc3339(self._services.clock.now())
            )
            with suppress(Conflict):
                self._stream.append(AlertResolved(id=over.id, group=group, alert=over), expecting=seq)
                newest = newest or over

    def acknowledge(self, alert_id: str) -> None:
        """Record that the actor takes care of the alert. A unique prefix of its id is enough. Raise `UnknownName`."""
        self._stream.append(AlertAcknowledged(id=self.find(alert_id).alert.id))

    def silence(self, group: str, seconds: float) -> float:
        """Hold back the deliveries of a group, and of `group/…`, for `seconds`; 0 ends a silence. Return when it ends."""
        until = self._services.clock.now() + seconds
        self._stream.append(AlertSilenced(group=group, until=until))
        return until

    def find(self, alert_id: str) -> AlertState:
        """Return the alert whose id begins with `alert_id`. Raise `UnknownName` unless exactly one does."""
        alerts = self.outbox().alerts
        matches = [state for key, state in alerts.items() if key.startswith(alert_id)] if alert_id else []
        if len(matches) != 1:
            reason = "no alert has" if not matches else f"{len(matches)} alerts have"
            raise UnknownName(f"{reason} an id that begins with {alert_id!r}", hint=nearest(alert_id, alerts))
        return matches[0]

    def pump(self) -> Pumped:
        """Try every due delivery once. A failed delivery is tried again later; none is ever dropped."""
        return self._deliveries.pump(self._stream, self.outbox(), self._services.clock.now())
