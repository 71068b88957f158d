"""Where an alert goes: to each alerter of the configuration, beside the others, at least once, again after a failure.

The ledger holds an alert before its first delivery, and the delivery only after the receiver has the alert. After a crash between the two,
the alert is delivered again under the same id. What an alerter does with an alert is its plugin's, such as `mlopsfw_alerter_webhook`.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from copy import deepcopy
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from mlopsfw.alerts.events import AlertDelivered, AlertFailed
from mlopsfw.kernel.base.errors import MlopsfwError, text_of

if TYPE_CHECKING:
    from mlopsfw.alerts.events import AlertRecord
    from mlopsfw.alerts.state import Delivery
    from mlopsfw.kernel.ledger import Ledger, Stream
    from mlopsfw.kernel.roles.alerting import Alert, AlertChange, Alerter, Receipt
    from mlopsfw.kernel.roles.event import Event

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 600.0


class Pumped(msgspec.Struct, frozen=True):
    """What one pass over the outbox did: notices delivered, failed, and waiting (silenced or not yet due).

    `reasons` says of each alerter that failed why.
    """

    delivered: int = 0
    failed: int = 0
    waiting: int = 0
    reasons: Mapping[str, str] = {}


class Waiting(NamedTuple):
    """An alert that waits for its delivery by one alerter."""

    alert: AlertRecord
    alerter: str
    delivery: Delivery


class Words(Protocol):
    """Free text, which events hold by reference."""

    def clear(self, events: Iterable[Event]) -> list[Event]:
        """Return events with their words in clear."""
        ...

    def read(self, texts: Iterable[str]) -> Mapping[str, str]:
        """Return each of `texts` with the words that it leads to; a text that is no reference leads to itself."""
        ...


class Deliveries:
    """The deliveries of one project.

    Args:
        ledger: Keeps what came of each attempt.
        build: Builds an alerter by its name. Its calls have a deadline.
        words: Reads the words of alerts, which alerters get in clear.
    """

    def __init__(self, ledger: Ledger, build: Callable[[str], Alerter], words: Words) -> None:
        self._ledger, self._build, self._words = ledger, build, words
        self._built: dict[str, Alerter] = {}

    def run(self, due: Mapping[str, Sequence[Waiting]]) -> Pumped:
        """Have each alerter deliver what is due to it, in order, until its first failure."""
        if not due:
            return Pumped()
        turns = {name: list(reversed(each)) for name, each in due.items()}
        running = {future: waiting for turn in turns.values() for future, waiting in self._next(turn)}
        delivered, reasons = 0, dict[str, str]()
        while running:
            for future in futures.wait(running, return_when="FIRST_COMPLETED").done:
                waiting = running.pop(future)
                if reason := self._record(waiting, future):
                    reasons[waiting.alerter] = reason
                else:
                    delivered += 1
                    running |= self._next(turns[waiting.alerter])
        return Pumped(delivered, len(reasons), sum(map(len, turns.values())), reasons)

    def _next(self, turn: list[Waiting]) -> list[tuple[futures.Future[Receipt | None], Waiting]]:
        """Start the next delivery of an alerter, if there is one."""
        if not turn:
            return []
        waiting = turn.pop()
        future: futures.Future[Receipt | None] = futures.Future()
        try:
            deliver, alert = self._alerter(waiting.alerter).deliver, self.clear(waiting.alert)
        except Exception as error:  # noqa: BLE001 - an alerter that cannot be built must not stop the others
            future.set_exception(error)
        else:  # an alerter may change its copy
            Thread(target=_fulfil, args=(future, deliver, deepcopy(alert)), daemon=True).start()
        return [(future, waiting)]

    def _record(self, waiting: Waiting, future: futures.Future[Receipt | None]) -> str:
        """Record what came of a delivery; return why it failed, or an empty text."""
        alert, alerter, attempt = waiting.alert, waiting.alerter, waiting.delivery.attempts + 1
        error = future.exception()
        if error is None:
            record = AlertDelivered(
                id=alert.id, state=alert.state, alerter=alerter, attempt=attempt, rises=alert.rises,
                receipt=future.result(),
            )  # fmt: skip
            self._stream.append(record)
            return ""
        if not isinstance(error, Exception):
            raise error
        reason = _reason(error)
        failed = AlertFailed(
            id=alert.id, state=alert.state, alerter=alerter, attempt=attempt, reason=reason,
            retry_after=wait(attempt),
        )  # fmt: skip
        self._stream.append(failed)
        return reason

    def update(self, alerter: str, alert: AlertRecord, change: AlertChange) -> None:
        """Tell an alerter what a person did about an alert. A failure is a warning: the ledger has the change."""
        try:
            self._alerter(alerter).update(deepcopy(self.clear(alert)), change)
        except Exception as error:  # noqa: BLE001 - the ledger has the change already
            text = f"the alerter {alerter!r} was not told that {alert.group} is {change.kind}: {_reason(error)}"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    def check(self, alerter: str) -> Exception | None:
        """Return why an alerter cannot deliver, as far as it can tell; None where it can."""
        try:
            self._alerter(alerter).check()
        except Exception as error:  # noqa: BLE001 - each alerter is asked, whatever another one raises
            return error
        return None

    def clear(self, alert: AlertRecord) -> Alert:
        """Return an alert with its words in clear."""
        return alert.clear(self._words.read((alert.title, alert.text)))

    @property
    def _stream(self) -> Stream:
        return self._ledger.stream("alerts")

    def _alerter(self, name: str) -> Alerter:
        """Return an alerter. Builds each alone: one that cannot be built must not keep the others from delivering."""
        if name not in self._built:
            self._built[name] = self._build(name)
        return self._built[name]


def _fulfil(future: futures.Future[Receipt | None], deliver: Callable[[Alert], Receipt | None], alert: Alert) -> None:
    try:
        future.set_result(deliver(alert))
    except BaseException as error:  # noqa: BLE001 - `future.exception()` hands it to `_record`
        future.set_exception(error)


def wait(attempt: int) -> float:
    """Return the seconds to wait after attempt number `attempt`: doubling from 1 s to 10 min, plus up to 50% jitter."""
    return float(min(_FIRST_WAIT * 2 ** min(attempt - 1, 20), _LONGEST_WAIT)) * random.uniform(1.0, 1.5)  # noqa: S311


def _reason(error: Exception) -> str:
    """Return why a delivery failed, as people read it in one line."""
    message = error.message if isinstance(error, MlopsfwError) else text_of(error)
    hint = error.hint if isinstance(error, MlopsfwError) else ""
    said = ". ".join(filter(None, [message.rstrip("."), hint.rstrip(".")]))
    return "; ".join([said, *getattr(error, "__notes__", ())])
