"""The kits of monitors, alerters and observers: the samples pass, and each mutant fails the test that is made for it."""

from __future__ import annotations

import json
import sys
import time
from copy import deepcopy

import msgspec
import pytest

from mlopsfw.errors import DeliveryFailed
from mlopsfw.roles import Baseline, Finding, Number, Receipt
from mlopsfw.scaffold.alerter import SampleAlerter
from mlopsfw.scaffold.kits.monitor import window
from mlopsfw.scaffold.monitor import SampleConfig, SampleMonitor
from mlopsfw.scaffold.observer import mlopsfw_event
from mlopsfw.testing.alerter import AlerterConformance
from mlopsfw.testing.host import FakeHost
from mlopsfw.testing.monitor import MonitorConformance
from mlopsfw.testing.observer import EVENTS, ObserverConformance

# -- monitors -------------------------------------------------------------------------------------------------------------


def monitor_fixtures(monitor):
    columns = ([1.0, None] * 50, [2.0] + [None] * 99)
    changed = msgspec.structs.replace(window(*columns), baseline=Baseline(importance={}))
    return lambda _: {
        "monitor": monitor, "calm": window([1.0] * 100, [2.0] * 100), "changed": changed, "state": None,
    }  # fmt: skip


class MutantMonitor(SampleMonitor):
    def __init__(self):
        super().__init__(SampleConfig())

    def change(self, signals, window):
        return signals

    def signals(self, window, state):
        return self.change(super().signals(window, state), window)


replace = msgspec.structs.replace


class BestFirst(MutantMonitor):
    def change(self, signals, window):
        return replace(signals, findings=signals.findings[::-1])


class InfoBeforeWarning(MutantMonitor):
    def change(self, signals, window):
        first = Finding(kind="quality", subject="all", severity="info", message="All is read.", value=1.0)
        return replace(signals, findings=(first, *signals.findings))


class CountsMoreLabels(MutantMonitor):
    def change(self, signals, window):
        more = Number(name="labelled", kind="performance", value=1e9)
        return replace(signals, numbers=(*signals.numbers, more))


class CountsMoreLabelsInFacts(MutantMonitor):
    def change(self, signals, window):
        return replace(signals, numbers=tuple(replace(n, facts={"labelled": 10**9}) for n in signals.numbers))


class CountsMoreRows(MutantMonitor):
    def change(self, signals, window):
        return replace(signals, numbers=(*signals.numbers, Number(name="rows", kind="performance", value=-5.0)))


class FindsNothing(MutantMonitor):
    def change(self, signals, window):
        return replace(signals, findings=(), numbers=())


class AlwaysAlarms(MutantMonitor):
    def change(self, signals, window):
        wrong = Finding(kind="performance", subject="it", severity="critical", message="It is bad.", value=1.0)
        return replace(signals, findings=(wrong, *signals.findings), compared=True)


class ReturnsADictionary(MutantMonitor):
    def signals(self, window, state):
        return {"findings": []}


class RemembersByItself(MutantMonitor):
    calls = 0

    def change(self, signals, window):
        self.calls += 1
        return replace(signals, summary=f"The {self.calls}. window.")


class KeepsAStateThatIsLost(MutantMonitor):
    """The keys of its state are numbers, which JSON makes texts."""

    def signals(self, window, state):
        signals = super().signals(window, None)
        return replace(signals, state={1: 2}, summary="known" if state == {1: 2} else "new")


class ChangesItsState(MutantMonitor):
    def signals(self, window, state):
        if state is not None:
            state["seen"] = state.get("seen", 0) + 1
        return super().signals(window, state)


class SaysNothingOfFewRows(MutantMonitor):
    def change(self, signals, window):
        return replace(signals, summary="") if not signals.compared else signals


class CannotBeWritten(MutantMonitor):
    def change(self, signals, window):
        return replace(signals, numbers=tuple(replace(n, facts={"why": object()}) for n in signals.numbers))


class RunsScripts(MutantMonitor):
    def page(self, report, window):
        return "<script>alert(1)</script>"


MONITORS = {
    BestFirst: "findings_are_worst_first",
    InfoBeforeWarning: "findings_are_worst_first",
    CountsMoreLabels: "no_count_goes_beyond_the_window",
    CountsMoreLabelsInFacts: "no_count_goes_beyond_the_window",
    CountsMoreRows: "no_count_goes_beyond_the_window",
    FindsNothing: "a_change_is_an_alarm_with_findings",
    AlwaysAlarms: "a_window_without_a_change_is_calm",
    ReturnsADictionary: "what_is_given_is_of_the_types_that_are_declared",
    RemembersByItself: "the_same_window_and_state_give_the_same_signals",
    KeepsAStateThatIsLost: "the_state_survives_being_stored",
    SaysNothingOfFewRows: "a_window_of_few_or_no_rows_is_no_alarm_and_says_so",
    CannotBeWritten: "a_report_survives_json",
    RunsScripts: "the_page_stands_alone",
}


@pytest.mark.parametrize(("mutant", "test"), MONITORS.items(), ids=[each.__name__ for each in MONITORS])
def test_a_monitor_that_breaks_a_promise_fails_its_test(mutant, test, failing):
    assert test in failing(MonitorConformance, monitor_fixtures(mutant()))


def test_a_monitor_that_changes_the_state_it_is_given_fails(failing):
    given = monitor_fixtures(ChangesItsState())
    failed = failing(MonitorConformance, lambda folder: given(folder) | {"state": {"distance": 0.0}})
    assert "the_rows_and_the_state_are_left_as_they_were" in failed


def test_a_sound_monitor_passes_all_of_it(failing):
    assert failing(MonitorConformance, monitor_fixtures(MutantMonitor())) == set()


# -- alerters -------------------------------------------------------------------------------------------------------------


def records(log):
    return [json.loads(line) for line in log.read_bytes().splitlines()]


def alerter_fixtures(make):
    def given(folder):
        log = folder / "log"
        return {
            "alerter": make(log),
            "received": lambda: [each["id"] for each in records(log) if "id" in each],
            "changes": lambda: [
                (json.loads(log.read_bytes()[int(each["about"]) :].splitlines()[0])["id"], each["change"]["kind"])
                for each in records(log)
                if "about" in each
            ],
            "shown": lambda: log.read_text(encoding="utf-8").replace("\\n", "\n") if log.exists() else "",
            "broken": make(folder / "absent" / "log"),
        }

    return given


class DropsResolved(SampleAlerter):
    def deliver(self, alert):
        return super().deliver(alert) if alert.state == "firing" else None


class DropsResolvedAndAllText(SampleAlerter):
    def deliver(self, alert):
        if alert.state == "firing":
            super().deliver(replace(alert, text="", title=""))


class DropsTheText(SampleAlerter):
    def deliver(self, alert):
        super().deliver(replace(alert, text=""))


class DropsTheSeverity(SampleAlerter):
    def deliver(self, alert):
        super().deliver(replace(alert, severity="info"))


class SendsEachIdOnce(SampleAlerter):
    def deliver(self, alert):
        if not self._log.exists() or alert.id not in self._log.read_text():
            super().deliver(alert)


class SendsLater(SampleAlerter):
    waiting = None

    def deliver(self, alert):
        if self.waiting is not None:
            super().deliver(self.waiting)
        self.waiting = alert


class MakesIdsOfItsOwn(SampleAlerter):
    number = 0

    def deliver(self, alert):
        self.number += 1
        super().deliver(replace(alert, id=str(self.number)))


class AnswersWithAText(SampleAlerter):
    def deliver(self, alert):
        super().deliver(alert)
        return "sent"


class ChangesTheFacts(SampleAlerter):
    def deliver(self, alert):
        alert.facts.clear()
        super().deliver(alert)


class CannotBeAcknowledged(SampleAlerter):
    def update(self, alert, change):
        raise NotImplementedError


class IgnoresAcknowledgements(SampleAlerter):
    def update(self, alert, change):
        return


class IgnoresReceipts(SampleAlerter):
    """Takes every change for one of the alert that was delivered last."""

    def deliver(self, alert):
        self.last = super().deliver(alert)
        return self.last

    def update(self, alert, change):
        super().update(replace(alert, receipt=self.last), change)


class GivesEveryAlertOneReceipt(SampleAlerter):
    def deliver(self, alert):
        super().deliver(alert)
        return Receipt(id="0")


class SaysThatAllIsAcknowledged(SampleAlerter):
    def update(self, alert, change):
        super().update(alert, replace(change, kind="acknowledged"))


class SendsToCheck(SampleAlerter):
    def check(self):
        self._log.write_bytes(self._log.read_bytes() + b'{"id": "test"}\n')


class RefusesHostileText(SampleAlerter):
    def deliver(self, alert):
        if not alert.title.isprintable():
            raise DeliveryFailed("the title is not printable")
        super().deliver(alert)


class SwallowsFailures(SampleAlerter):
    def deliver(self, alert):
        try:
            super().deliver(alert)
        except DeliveryFailed:
            return


class TellsOfADeliveryThatWasNone(SampleAlerter):
    def deliver(self, alert):
        return Receipt(id="1")


ALERTERS = {
    DropsResolved: "the_end_of_an_alert_arrives_and_says_that_it_is_the_end",
    DropsResolvedAndAllText: "people_read_what_happened_and_how_bad_it_is",
    DropsTheText: "people_read_what_happened_and_how_bad_it_is",
    DropsTheSeverity: "people_read_what_happened_and_how_bad_it_is",
    SendsEachIdOnce: "an_alert_that_rose_arrives_although_its_id_is_known",
    SendsLater: "the_receiver_has_the_alert_when_deliver_returns",
    MakesIdsOfItsOwn: "the_same_alert_can_be_delivered_again_under_the_same_id",
    AnswersWithAText: "a_receipt_is_a_receipt_or_nothing",
    ChangesTheFacts: "an_alert_is_left_as_it_was",
    CannotBeAcknowledged: "a_change_by_a_person_is_taken",
    IgnoresAcknowledgements: "a_change_by_a_person_reaches_the_receiver_under_its_alert",
    IgnoresReceipts: "a_change_by_a_person_reaches_the_receiver_under_its_alert",
    SaysThatAllIsAcknowledged: "a_change_by_a_person_reaches_the_receiver_under_its_alert",
    GivesEveryAlertOneReceipt: "receipts_tell_alerts_apart",
    SendsToCheck: "a_check_of_one_that_works_passes_and_sends_nothing",
    RefusesHostileText: "hostile_text_arrives_and_harms_nothing",
    SwallowsFailures: "a_receiver_that_cannot_be_reached_is_a_failed_delivery",
    TellsOfADeliveryThatWasNone: "both_the_beginning_and_the_end_are_received",
}


@pytest.mark.parametrize(("mutant", "test"), ALERTERS.items(), ids=[each.__name__ for each in ALERTERS])
def test_an_alerter_that_breaks_a_promise_fails_its_test(mutant, test, failing):
    assert test in failing(AlerterConformance, alerter_fixtures(mutant))


def test_a_sound_alerter_passes_all_of_it(failing):
    assert failing(AlerterConformance, alerter_fixtures(SampleAlerter)) == set()


def test_an_alerter_with_an_update_of_its_own_must_show_the_kit_what_becomes_of_it(failing):
    given = alerter_fixtures(IgnoresAcknowledgements)
    failed = failing(AlerterConformance, lambda folder: {**given(folder), "changes": None})
    assert failed == {"a_change_by_a_person_reaches_the_receiver_under_its_alert"}


# -- observers ------------------------------------------------------------------------------------------------------------


def raises_on_a_type_that_it_does_not_know(event):
    {"run.started": 1, "step.finished": 2, "run.finished": 3}[event.type]


def needs_a_field(event):
    return None if event.type != "step.finished" else event.body["duration"] and None


def prints(event):
    sys.stdout.write(event.type)


def takes_its_time(event):
    time.sleep(0.3)


def changes_the_event(event):
    event.body["seen"] = True


def changes_the_options(event, options):
    options["seen"] = True


def answers(event):
    return event.type


class Loose(msgspec.Struct):
    a: int = 0


def takes_unknown_keys(event, options: Loose | None):
    return None


def names_an_argument_of_its_own(event, project=None):
    return None


class OnlyOnce:
    def __init__(self):
        self.seen = set()

    def __call__(self, event):
        if (event.stream, event.seq) in self.seen:
            raise ValueError("again")
        self.seen.add((event.stream, event.seq))


TAKES = "it_takes_every_event_in_time_and_prints_nothing"
LEAVES = "it_leaves_events_and_options_as_they_were"
OBSERVERS = [
    (raises_on_a_type_that_it_does_not_know, TAKES),
    (needs_a_field, TAKES),
    (prints, TAKES),
    (takes_its_time, TAKES),
    (answers, TAKES),
    (changes_the_event, LEAVES),
    (changes_the_options, LEAVES),
    (takes_unknown_keys, "its_options_refuse_unknown_keys"),
    (names_an_argument_of_its_own, "it_names_only_arguments_of_the_hook"),
    (OnlyOnce(), "it_can_see_an_event_again"),
]


def observer_fixtures(observe, capsys):
    def given(folder):
        host = FakeHost(folder, "observer.acme")
        return {
            "observe": observe, "key": "observer.acme", "host": host, "options": {}, "events": deepcopy(EVENTS), "capsys": capsys,
        }  # fmt: skip

    return given


@pytest.mark.parametrize(("mutant", "test"), OBSERVERS)
def test_an_observer_that_breaks_a_promise_fails_its_test(mutant, test, failing, capsys, monkeypatch):
    monkeypatch.setattr("mlopsfw.testing.observer.PATIENCE", 0.25)
    assert test in failing(ObserverConformance, observer_fixtures(mutant, capsys))


def test_a_sound_observer_passes_all_of_it(failing, capsys):
    assert failing(ObserverConformance, observer_fixtures(mlopsfw_event, capsys)) == set()


@pytest.mark.parametrize(
    ("kit", "caught"),
    [
        (MonitorConformance, {*MONITORS.values(), "the_rows_and_the_state_are_left_as_they_were"}),
        (AlerterConformance, set(ALERTERS.values())),
        (ObserverConformance, {test for _, test in OBSERVERS}),
    ],
)
def test_each_test_of_a_kit_catches_a_mutant(kit, caught, uncaught):
    """What the kernel itself fills in, or refuses, no plugin can break."""
    filled_in = {"the_report_says_of_the_window_what_is_so", "it_writes_in_its_own_name_only"}
    assert uncaught(kit, caught) <= filled_in
