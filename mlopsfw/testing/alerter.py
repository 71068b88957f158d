"""`AlerterConformance`: what every alerter promises."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import msgspec
import pytest

from mlopsfw.kernel.base.errors import DeliveryFailed
from mlopsfw.kernel.roles.alerting import Alert, AlertChange, Alerter, Receipt

ALERT = Alert(
    id="0" * 32,
    group="delay/drift",
    severity="warning",
    title="Drift in carrier",
    text="carrier has moved.\nLook at the page.",
    time="2026-01-01T00:00:00.000000Z",
    project="flights",
    links={"page": "report.html"},
    facts={"value": 0.25},
)


class AlerterConformance:
    """Subclass it, and override the fixtures.

    - `alerter`: one whose receiver listens.
    - `received`: a function that returns the ids that its receiver has, in order, repeats and resolved ones included.
    - `shown`: a function that returns all that its receiver has, as one text that people read.
    - `changes`: a function that returns what its receiver knows of what people did, in order: pairs of an alert's id and
      `acknowledged` or `silenced`. None for an alerter without an `update` of its own.
    - `broken`: one whose receiver cannot be reached, or None where that cannot happen.
    """

    @pytest.fixture
    def alerter(self) -> Alerter:
        """Override: an alerter whose receiver listens."""
        raise NotImplementedError

    @pytest.fixture
    def received(self) -> Callable[[], list[str]]:
        """Override: what the receiver has."""
        raise NotImplementedError

    @pytest.fixture
    def shown(self) -> Callable[[], str]:
        """Override: what people read at the receiver."""
        raise NotImplementedError

    @pytest.fixture
    def changes(self) -> Callable[[], list[tuple[str, str]]] | None:
        """Override: what the receiver knows of what people did."""
        return None

    @pytest.fixture
    def broken(self) -> Alerter | None:
        """Override: an alerter whose receiver cannot be reached."""
        return None

    def test_the_receiver_has_the_alert_when_deliver_returns(
        self, alerter: Alerter, received: Callable[[], list[str]]
    ) -> None:
        alerter.deliver(_fresh())
        assert received() == [ALERT.id]

    def test_the_same_alert_can_be_delivered_again_under_the_same_id(
        self, alerter: Alerter, received: Callable[[], list[str]]
    ) -> None:
        alerter.deliver(_fresh())
        alerter.deliver(_fresh())
        assert set(received()) == {ALERT.id}

    def test_people_read_what_happened_and_how_bad_it_is(self, alerter: Alerter, shown: Callable[[], str]) -> None:
        alerter.deliver(_fresh())
        text = shown()
        for part in (ALERT.title, *ALERT.text.splitlines(), ALERT.severity, ALERT.group):
            assert part in text

    def test_the_end_of_an_alert_arrives_and_says_that_it_is_the_end(
        self, alerter: Alerter, shown: Callable[[], str]
    ) -> None:
        alerter.deliver(_fresh())
        assert "resolved" not in shown().lower()
        over = msgspec.structs.replace(_fresh(), state="resolved", text="It is calm again.")
        alerter.deliver(over)
        text = shown()
        assert "resolved" in text.lower()
        assert over.text in text

    def test_both_the_beginning_and_the_end_are_received(
        self, alerter: Alerter, received: Callable[[], list[str]]
    ) -> None:
        alerter.deliver(_fresh())
        alerter.deliver(msgspec.structs.replace(_fresh(), state="resolved"))
        assert received() == [ALERT.id, ALERT.id]

    def test_an_alert_that_rose_arrives_although_its_id_is_known(
        self, alerter: Alerter, shown: Callable[[], str]
    ) -> None:
        receipt = alerter.deliver(_fresh())
        risen = msgspec.structs.replace(_fresh(), severity="critical", title="Worse", rises=1, receipt=receipt)
        alerter.deliver(risen)
        text = shown()
        assert "Worse" in text
        assert "critical" in text

    def test_a_receipt_is_a_receipt_or_nothing(self, alerter: Alerter) -> None:
        receipt = alerter.deliver(_fresh())
        assert receipt is None or msgspec.convert(msgspec.to_builtins(receipt), Receipt) == receipt

    def test_an_alert_is_left_as_it_was(self, alerter: Alerter) -> None:
        alert = _fresh()
        alerter.deliver(alert)
        assert alert == ALERT

    def test_receipts_tell_alerts_apart(self, alerter: Alerter) -> None:
        receipts = [alerter.deliver(alert) for alert in (_fresh(), _another())]
        ids = {receipt.id for receipt in receipts if receipt is not None}
        assert len(ids) in (0, len(receipts)), "a receipt has the receiver's own id of that one alert"

    def test_a_change_by_a_person_is_taken(self, alerter: Alerter) -> None:
        for known, change in _changed(alerter):
            alerter.update(known, change)

    def test_a_change_by_a_person_reaches_the_receiver_under_its_alert(
        self, alerter: Alerter, changes: Callable[[], list[tuple[str, str]]] | None
    ) -> None:
        if changes is None:
            inherited = getattr(type(alerter), "update", Alerter.update) is Alerter.update
            assert inherited, "it has an `update` of its own: override the fixture `changes`"
            pytest.skip("it passes on nothing of what people do")
        changed = _changed(alerter)
        assert changes() == []
        for known, change in changed:
            alerter.update(known, change)
        assert changes() == [(known.id, change.kind) for known, change in changed]

    def test_a_check_of_one_that_works_passes_and_sends_nothing(
        self, alerter: Alerter, received: Callable[[], list[str]]
    ) -> None:
        alerter.deliver(_fresh())
        alerter.check()
        assert received() == [ALERT.id]

    def test_hostile_text_arrives_and_harms_nothing(self, alerter: Alerter, received: Callable[[], list[str]]) -> None:
        nasty = msgspec.structs.replace(
            _fresh(), title="\N{ESCAPE}[2J<script>\r\nX: y", text="\0\N{ESCAPE}]0;x\a\u202e"
        )
        alerter.deliver(nasty)
        assert received() == [ALERT.id]

    def test_a_receiver_that_cannot_be_reached_is_a_failed_delivery(self, broken: Alerter | None) -> None:
        if broken is not None:
            with pytest.raises(DeliveryFailed):
                broken.deliver(_fresh())


def _fresh() -> Alert:
    """Return the alert, of which no alerter has changed anything."""
    return deepcopy(ALERT)


def _another() -> Alert:
    return msgspec.structs.replace(_fresh(), id="1" * 32, group="delay/quality")


def _changed(alerter: Alerter) -> list[tuple[Alert, AlertChange]]:
    """Deliver two alerts; return each as the alerter gets it again, with what a person did: first about the later one."""
    first, second = (msgspec.structs.replace(alert, receipt=alerter.deliver(alert)) for alert in (_fresh(), _another()))
    until = "2026-01-02T00:00:00Z"
    return [
        (second, AlertChange(kind="acknowledged", actor="user:1", time=ALERT.time)),
        (first, AlertChange(kind="silenced", actor="user:1", time=ALERT.time, until=until)),
    ]
