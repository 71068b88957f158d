"""`AlerterConformance`: what every alerter promises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mlopsfw.kernel.base.errors import DeliveryFailed
from mlopsfw.kernel.roles.alerting import Alert, Alerter

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
    - `received`: a function that returns the ids that its receiver has, in order, repeats included.
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
    def broken(self) -> Alerter | None:
        """Override: an alerter whose receiver cannot be reached."""
        return None

    def test_the_receiver_has_the_alert_when_deliver_returns(
        self, alerter: Alerter, received: Callable[[], list[str]]
    ) -> None:
        alerter.deliver(ALERT)
        assert received() == [ALERT.id]

    def test_the_same_alert_can_be_delivered_again_under_the_same_id(
        self, alerter: Alerter, received: Callable[[], list[str]]
    ) -> None:
        alerter.deliver(ALERT)
        alerter.deliver(ALERT)
        assert set(received()) == {ALERT.id}

    def test_hostile_text_arrives_and_harms_nothing(self, alerter: Alerter, received: Callable[[], list[str]]) -> None:
        import msgspec

        nasty = msgspec.structs.replace(ALERT, title="\N{ESCAPE}[2J<script>\r\nX: y", text="\0\N{ESCAPE}]0;x\a\u202e")
        alerter.deliver(nasty)
        assert received() == [ALERT.id]

    def test_a_receiver_that_cannot_be_reached_is_a_failed_delivery(self, broken: Alerter | None) -> None:
        if broken is not None:
            with pytest.raises(DeliveryFailed):
                broken.deliver(ALERT)
