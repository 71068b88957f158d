"""`Alerts`: raised once per group, repeated, risen, resolved, acknowledged, silenced. The stream `alerts` is the outbox that `delivery` empties."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.alerts.delivery import Deliveries, Pumped, Waiting, Words
from mlopsfw.alerts.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertRecord,
    AlertRepeated,
    AlertResolved,
    AlertRose,
    AlertSilenced,
)
from mlopsfw.alerts.state import SEVERITIES, AlertState, Outbox, covers, fold
from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import Conflict, UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.alerting import Alert, AlertChange, Alerter

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
        words: Reads the words of alerts.
    """

    def __init__(
        self, services: Services, alerters: Sequence[str], build: Callable[[str], Alerter], words: Words
    ) -> None:
        self._services, self._alerters, self._words = services, list(alerters), words
        self._deliveries = Deliveries(services.ledger, build, words)

    @property
    def _stream(self) -> Stream:
        return self._services.ledger.stream(STREAM)

    def outbox(self) -> Outbox:
        """Return the state of every alert, with the words of alerts and failures in clear."""
        return fold(self._words.clear(self._stream.events()))

    def _outbox_at(self) -> tuple[Outbox, int]:
        """Return the state of every alert, its words as references, and the number of the event after which it is so."""
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
        """Raise an alert. A group has one open alert: it is repeated, or rises if the severity is higher.

        Returns:
            The open alert. It is in the ledger; `pump` delivers it if it is new, or has risen.
        """
        alert = AlertRecord(
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
            record, now = self._raising(alert, outbox.open_in(group))
            with suppress(Conflict):
                self._stream.append(record, expecting=seq)
                return self._deliveries.clear(now)

    def _raising(
        self, alert: AlertRecord, state: AlertState | None
    ) -> tuple[AlertRaised | AlertRose | AlertRepeated, AlertRecord]:
        """Return what to record of an alert whose group has the open alert `state`, and the open alert from then on."""
        if state is None:
            return AlertRaised(alert=alert, alerters=tuple(self._alerters)), alert
        before = state.alert
        if SEVERITIES.index(alert.severity) <= SEVERITIES.index(before.severity):
            return AlertRepeated(id=before.id, title=alert.title, facts=alert.facts), before
        risen = msgspec.structs.replace(alert, id=before.id, rises=before.rises + 1)
        return AlertRose(id=before.id, alert=risen), risen

    def resolve(self, group: str, text: str = "") -> Alert | None:
        """Resolve every open alert of a group: a more severe one may stand beside the first.

        Return the newest's notice, or None if the group has no open alert.
        """
        newest: AlertRecord | None = None
        while True:
            outbox, seq = self._outbox_at()
            state = outbox.open_in(group)
            if state is None:
                return newest and self._deliveries.clear(newest)
            over = msgspec.structs.replace(
                state.alert, state="resolved", text=text or state.alert.text, time=rfc3339(self._services.clock.now())
            )
            with suppress(Conflict):
                self._stream.append(AlertResolved(id=over.id, group=group, alert=over), expecting=seq)
                newest = newest or over

    def acknowledge(self, alert_id: str) -> None:
        """Record that the actor takes care of the alert, and tell the alerters that delivered it.

        A unique prefix of its id is enough. Raise `UnknownName`.
        """
        state = self.find(alert_id)
        event = self._stream.append(AlertAcknowledged(id=state.alert.id))
        self._tell([state], AlertChange(kind="acknowledged", actor=event.actor, time=event.time))

    def silence(self, group: str, seconds: float) -> float:
        """Hold back the deliveries of a group, and of `group/…`, for `seconds`; 0 ends a silence. Return when it ends.

        The alerters hear of it for each open alert of these groups that they delivered.
        """
        until = self._services.clock.now() + seconds
        event = self._stream.append(AlertSilenced(group=group, until=until))
        change = AlertChange(kind="silenced", actor=event.actor, time=event.time, until=rfc3339(until))
        concerned = [
            each for each in self._outbox_at()[0].alerts.values() if each.open and covers(group, each.alert.group)
        ]
        self._tell(concerned, change)
        return until

    def _tell(self, states: Sequence[AlertState], change: AlertChange) -> None:
        for state in states:
            for alerter in self._alerters:
                if state.delivery("firing", alerter).delivered:
                    self._deliveries.update(alerter, state.notice(alerter, "firing"), change)

    def check_alerters(self) -> Iterator[tuple[str, Exception | None]]:
        """Yield each alerter, and why it cannot deliver; None where it can. Nothing is sent."""
        for name in self._alerters:
            yield name, self._deliveries.check(name)

    def find(self, alert_id: str) -> AlertState:
        """Return the alert whose id begins with `alert_id`. Raise `UnknownName` unless exactly one does."""
        alerts = self.outbox().alerts
        matches = [state for key, state in alerts.items() if key.startswith(alert_id)] if alert_id else []
        if len(matches) != 1:
            reason = "no alert has" if not matches else f"{len(matches)} alerts have"
            raise UnknownName(f"{reason} an id that begins with {alert_id!r}", hint=nearest(alert_id, alerts))
        return matches[0]

    def pump(self) -> Pumped:
        """Try every due delivery once, the alerters beside each other. A failed one is tried again later; none is ever dropped.

        The first failure of an alerter ends its turn, so a receiver that hangs costs one time-out per pass.
        """
        (outbox, _), now = self._outbox_at(), self._services.clock.now()
        due: dict[str, list[Waiting]] = {}
        held: set[tuple[str, str]] = set()  # what comes later of an alert waits for what comes before
        waiting = 0
        for each in self.waiting(outbox):
            alert, alerter = each.alert, each.alerter
            if (alert.id, alerter) in held or not each.delivery.is_due(now) or outbox.silent(alert.group, now):
                held.add((alert.id, alerter))
                waiting += 1
            else:
                due.setdefault(alerter, []).append(each)
        pumped = self._deliveries.run(due)
        return msgspec.structs.replace(pumped, waiting=pumped.waiting + waiting)

    def waiting(self, outbox: Outbox) -> Iterator[Waiting]:
        """Yield what waits for its delivery. An alerter gets the end of an alert only after its beginning."""
        for state in outbox.alerts.values():
            for alerter in filter(state.concerns, self._alerters):
                yield from (
                    Waiting(state.notice(alerter, notice.state), alerter, delivery)
                    for notice in state.notices()
                    if not (delivery := state.delivery(notice.state, alerter)).delivered
                )
