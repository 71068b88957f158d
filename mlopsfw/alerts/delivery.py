"""Where an alert goes: to each alerter of the configuration, at least once, again after a failure.

The ledger holds an alert before its first delivery, and the delivery only after the receiver has the alert. After a crash between the two,
the alert is delivered again under the same id. What an alerter does with an alert is its plugin's, such as `mlopsfw_alerter_webhook`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlopsfw.alerts.events import AlertDelivered, AlertFailed
from mlopsfw.alerts.state import Delivery, Outbox
from mlopsfw.kernel.base.errors import MlopsfwError, text_of
from mlopsfw.kernel.roles.alerting import Alert, Alerter

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Stream

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


class Deliveries:
    """Delivers alerts.

    Args:
        alerters: The names of the alerters that get every alert, in order.
        build: Builds an alerter by its name.
    """

    def __init__(self, alerters: Sequence[str], build: Callable[[str], Alerter]) -> None:
        self.alerters, self._build = tuple(alerters), build
        self._built: dict[str, Alerter] = {}

    def pump(self, stream: Stream, outbox: Outbox, now: float) -> Pumped:
        """Try every due delivery once. A failed delivery is tried again later; none is ever dropped.

        The first failure of an alerter ends its turn, so a receiver that hangs costs one time-out per pass.
        """
        failing: dict[str, str] = {}
        delivered = waiting = 0
        for notice, alerter, delivery in self._undelivered(outbox):
            if alerter in failing or not delivery.is_due(now) or outbox.silent(notice.group, now):
                waiting += 1
            elif self._deliver(stream, notice, alerter, delivery):
                delivered += 1
            else:
                failing[alerter] = delivery.reason
        return Pumped(delivered, len(failing), waiting, failing)

    def _undelivered(self, outbox: Outbox) -> Iterator[tuple[Alert, str, Delivery]]:
        """Yield the due deliveries. An alerter gets the end of an alert only after its beginning."""
        for state in outbox.alerts.values():
            for alerter in filter(state.concerns, self.alerters):
                for notice in state.notices():
                    delivery = state.delivery(notice.state, alerter)
                    if not delivery.delivered:
                        yield notice, alerter, delivery
                    if not delivery.delivered:
                        break

    def _deliver(self, stream: Stream, notice: Alert, alerter: str, delivery: Delivery) -> bool:
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
            stream.append(failed)
            delivery.reason = failed.reason
            return False
        delivery.delivered = stream.append(delivered).time
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
