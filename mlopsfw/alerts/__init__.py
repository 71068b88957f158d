"""Alerts: raised once per group, and delivered at least once to every alerter. The stream `alerts` is the outbox.

The ledger holds an alert before its first delivery, and the delivery only after the receiver has the alert. After a crash between the two,
the alert is delivered again under the same id.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mlopsfw.alerts.events import (
    AlertAcknowledged,
    AlertDelivered,
    AlertFailed,
    AlertRaised,
    AlertRepeated,
    AlertResolved,
    AlertSilenced,
)
from mlopsfw.alerts.state import SEVERITIES, AlertState, Delivery, Outbox, fold
from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import Conflict, MlopsfwError, UnknownName, text_of
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.alerting import Alert, Alerter

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Stream
    from mlopsfw.kernel.services import Services

__all__ = ["AlertState", "Alerts", "Pumped"]

STREAM = "alerts"
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 600.0


@dataclass(frozen=True)
class Pumped:
    """What one pass over the outbox did: notices delivered, failed, and waiting (silenced or not yet due).

    `reasons` says of each alerter that failed why.
    """

    delivered: int = 0
    failed: int = 0
    waiting: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)


class Alerts:
    """The alerts of one project.

    Args:
        services: The kernel's services.
        alerters: The names of the alerters that get every alert, in order.
        build: Builds an alerter by its name.
    """

    def __init__(self, services: Services, alerters: Sequence[str], build: Callable[[str], Alerter]) -> None:
        self._services, self._alerters, self._build = services, list(alerters), build
        self._built: dict[str, Alerter] = {}

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
            record: AlertRaised | AlertRepeated = AlertRaised(alert=alert, alerters=tuple(self._alerters))
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
        """Try every due delivery once. A failed delivery is tried again later; none is ever dropped.

        The first failure of an alerter ends its turn, so a receiver that hangs costs one time-out per pass.
        """
        outbox, now = self.outbox(), self._services.clock.now()
        failing: dict[str, str] = {}
        delivered = waiting = 0
        for notice, alerter, delivery in self._undelivered(outbox):
            if alerter in failing or not delivery.is_due(now) or outbox.silent(notice.group, now):
                waiting += 1
            elif self._deliver(notice, alerter, delivery):
                delivered += 1
            else:
                failing[alerter] = delivery.reason
        return Pumped(delivered, len(failing), waiting, failing)

    def _undelivered(self, outbox: Outbox) -> Iterator[tuple[Alert, str, Delivery]]:
        """Yield the due deliveries. An alerter gets the end of an alert only after its beginning."""
        for state in outbox.alerts.values():
            for alerter in filter(state.concerns, self._alerters):
                for notice in state.notices():
                    delivery = state.delivery(notice.state, alerter)
                    if not delivery.delivered:
                        yield notice, alerter, delivery
                    if not delivery.delivered:
                        break

    def _deliver(self, notice: Alert, alerter: str, delivery: Delivery) -> bool:
        attempt = delivery.attempts + 1
        delivered = AlertDelivered(id=notice.id, state=notice.state, alerter=alerter, attempt=attempt)
        try:
            self._alerter(alerter).deliver(deepcopy(notice))  # an alerter may change its copy
        except Exception as error:  # noqa: BLE001 - a failing alerter must not stop the others
            failed = AlertFailed(
                id=notice.id,
                state=notice.state,
                alerter=alerter,
                attempt=attempt,
                reason=_reason(error),
                retry_after=wait(attempt),
            )
            self._stream.append(failed)
            delivery.reason = failed.reason
            return False
        delivery.delivered = self._stream.append(delivered).time
        return True

    def _alerter(self, name: str) -> Alerter:
        """Return an alerter. Builds each alone: one that cannot be built must not keep the others from delivering."""
        if name not in self._built:
            self._built[name] = self._build(name)
        return self._built[name]


def wait(attempt: int) -> float:
    """Return the seconds to wait after attempt number `attempt`: doubling from 1 s to 10 min, plus up to 50% jitter."""
    return float(min(_FIRST_WAIT * 2 ** min(attempt - 1, 20), _LONGEST_WAIT)) * random.uniform(1.0, 1.5)  # noqa: S311


def _reason(error: Exception) -> str:
    message = error.message if isinstance(error, MlopsfwError) else text_of(error)
    hint = error.hint if isinstance(error, MlopsfwError) else ""
    return "\n".join(filter(None, [message, hint, *getattr(error, "__notes__", ())]))
