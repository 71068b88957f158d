"""Alerts are raised once per group, delivered at least once, and survive the death of whoever delivers them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import msgspec
import pytest

from mlopsfw.alerts.delivery import wait
from mlopsfw.alerts.events import AlertDelivered, AlertRaised
from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.config import Selection
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.roles.alerting import Alert
from mlopsfw.project.facade import Project

PLUGIN = """
import json, os, pathlib, signal
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.errors import DeliveryFailed

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass

class File:
    def __init__(self, root): self.root = root
    def deliver(self, alert):
        if (self.root / "down").exists():
            raise DeliveryFailed("the file is down")
        if alert.title == "poison":
            raise DeliveryFailed("I do not like it")
        with (self.root / "got").open("a") as f:
            f.write(json.dumps([alert.id, alert.state, alert.title]) + "\\n")
        if (self.root / "die").exists():
            (self.root / "die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

@hookimpl
def mlopsfw_alerters():
    yield Provider("file", Config, lambda config, host: File(host.root), "")
"""


class HeldClock:
    def __init__(self):
        self.time = 1_800_000_000.0

    def now(self):
        return self.time

    def monotonic(self):
        return self.time


@pytest.fixture
def project(make_project, monkeypatch, tmp_path):
    made = make_project('[[alerter]]\nuse = "file"\n', file_plugin=PLUGIN)
    site = tmp_path / "site"
    info = site / "file_plugin-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: file-plugin\nVersion: 1\n\n")
    (info / "entry_points.txt").write_text("[mlopsfw.v1]\nalerter.file = file_plugin\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(made.root)
    made.clock = HeldClock()
    yield made
    sys.modules.pop("file_plugin", None)


def got(project):
    import json

    file = project.root / "got"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def raise_one(project, group="delay/drift", severity="warning", title="Drift"):
    return project.alerts.raise_(group, severity, title, "text")


def test_an_alert_is_delivered_once_however_often_the_outbox_is_pumped(project):
    alert = raise_one(project)
    assert [project.alerts.pump().delivered for _ in range(3)] == [1, 0, 0]
    assert got(project) == [[alert.id, "firing", "Drift"]]


def test_repeated_alarms_of_a_group_are_one_alert_until_it_is_resolved(project):
    first = raise_one(project)
    assert raise_one(project).id == first.id
    assert project.alerts.find(first.id).repeats == 1
    project.alerts.resolve("delay/drift")
    second = raise_one(project)
    assert second.id != first.id
    project.alerts.pump()
    assert [(i, s) for i, s, _ in got(project)] == [(first.id, "firing"), (first.id, "resolved"), (second.id, "firing")]


def test_a_graver_alarm_of_the_same_group_raises_the_same_alert_again(project):
    first = raise_one(project)
    project.alerts.pump()
    risen = raise_one(project, severity="critical", title="Worse")
    assert (risen.id, risen.rises, risen.severity, risen.title) == (first.id, 1, "critical", "Worse")
    assert raise_one(project, severity="warning").rises == 1  # as severe as it was, or less, is a repetition
    assert [project.alerts.pump().delivered for _ in range(2)] == [1, 0]
    assert got(project) == [[first.id, "firing", "Drift"], [first.id, "firing", "Worse"]]
    (state,) = project.alerts.outbox().alerts.values()
    assert (msgspec.structs.asdict(state.alert), state.repeats) == (msgspec.structs.asdict(risen), 1)


def test_an_alert_that_rises_before_its_first_delivery_is_delivered_once_as_it_is_now(project):
    alert = raise_one(project, severity="info")
    raise_one(project, severity="warning")
    raise_one(project, severity="critical", title="Worst")
    assert project.alerts.pump().delivered == 1
    assert got(project) == [[alert.id, "firing", "Worst"]]
    assert project.alerts.find(alert.id).alert.rises == 2


def test_a_delivery_that_was_on_its_way_when_the_alert_rose_leaves_the_new_one_to_be_delivered(project):
    alert = raise_one(project)
    raise_one(project, severity="critical")
    project.ledger.stream("alerts").append(AlertDelivered(id=alert.id, state="firing", alerter="file"))
    assert project.alerts.pump().delivered == 1


def test_nobody_takes_care_of_an_alert_that_rose_since(project):
    alert = raise_one(project)
    project.alerts.acknowledge(alert.id)
    assert project.alerts.find(alert.id).acknowledged
    raise_one(project, severity="critical")
    assert not project.alerts.find(alert.id).acknowledged


def test_two_open_alerts_of_a_group_in_an_older_ledger_both_end(project):
    first = raise_one(project)
    older = msgspec.structs.replace(first, id="0" * 32, severity="critical")
    project.ledger.stream("alerts").append(AlertRaised(alert=older))
    assert project.alerts.resolve("delay/drift").id == older.id
    assert not any(state.open for state in project.alerts.outbox().alerts.values())


def test_the_end_of_a_groups_trouble_ends_the_graver_alert_and_the_one_before(project):
    raise_one(project)
    graver = raise_one(project, severity="critical")
    assert project.alerts.resolve("delay/drift").id == graver.id
    assert project.alerts.resolve("delay/drift") is None
    assert not any(state.open for state in project.alerts.outbox().alerts.values())


def test_a_receiver_that_is_down_gets_everything_when_it_is_back_and_is_not_hammered(project):
    (project.root / "down").touch()
    alerts = [raise_one(project, group=f"g{n}") for n in range(5)]
    first = project.alerts.pump()
    assert (first.failed, first.waiting) == (1, 4)  # one failure ends the alerter's turn
    for _ in range(4):
        project.alerts.pump()
    assert project.alerts.pump().waiting == 5  # not due yet
    (project.root / "down").unlink()
    project.clock.time += 2
    assert project.alerts.pump().delivered == 5
    assert {i for i, _, _ in got(project)} == {a.id for a in alerts}


def test_a_notice_that_cannot_be_delivered_does_not_hold_up_the_others(project):
    poison = raise_one(project, title="poison")
    others = [raise_one(project, group=f"g{n}") for n in range(3)]
    project.alerts.pump()
    assert project.alerts.pump().delivered == 3
    assert {i for i, _, _ in got(project)} == {a.id for a in others}
    assert not project.alerts.find(poison.id).delivery("firing", "file").delivered


def test_nobody_hears_that_it_is_over_before_having_heard_of_it(project):
    (project.root / "down").touch()
    alert = raise_one(project)
    project.alerts.pump()
    project.alerts.resolve(alert.group)
    (project.root / "down").unlink()
    assert project.alerts.pump().delivered == 0  # the first notice is not due yet
    project.clock.time += 2
    assert project.alerts.pump().delivered == 2
    assert [(i, s) for i, s, _ in got(project)] == [(alert.id, "firing"), (alert.id, "resolved")]


def test_an_alerter_that_is_added_hears_of_what_is_open_and_not_of_what_is_over(project):
    before = Project.open(project.root, config=msgspec.structs.replace(project.config, selected={}))
    raise_one(before, group="over")
    before.alerts.resolve("over")
    still = raise_one(before, group="open")
    assert project.alerts.pump().delivered == 1
    assert [i for i, _, _ in got(project)] == [still.id]


def test_an_alerter_that_cannot_be_built_keeps_no_other_from_delivering(project):
    broken = Selection(use="webhook", options={"url": "no url"}, key="alerter.0")
    alerters = (broken, *project.config.selections("alerter"))
    project = Project.open(project.root, config=msgspec.structs.replace(project.config, selected={"alerter": alerters}))
    alert = raise_one(project)
    done = project.alerts.pump()
    assert (done.delivered, done.failed) == (1, 1)
    assert "alerter.webhook.url" in project.alerts.find(alert.id).delivery("firing", "webhook").reason


def test_a_pass_says_of_each_alerter_that_failed_why(project):
    (project.root / "down").touch()
    raise_one(project)
    assert "the file is down" in project.alerts.pump().reasons["file"]


def test_a_clock_that_is_set_back_holds_nothing_up(project):
    (project.root / "down").touch()
    raise_one(project)
    project.alerts.pump()
    (project.root / "down").unlink()
    project.clock.time -= 86_400
    assert project.alerts.pump().delivered == 1


def test_alerts_of_ledgers_that_do_not_say_who_was_selected_are_delivered(project):
    alert = Alert(id="0" * 32, group="g", severity="info", title="t", text="", time="2026-01-01T00:00:00Z", project="p")
    project.ledger.stream("alerts").append(PlainRecord("alert.raised", {"alert": msgspec.to_builtins(alert)}))
    project.alerts.resolve("g")
    assert project.alerts.pump().delivered == 2


def test_waits_double_up_to_ten_minutes_and_carry_jitter():
    for attempt in range(1, 40):
        base = min(2.0 ** (attempt - 1), 600.0)
        assert base <= wait(attempt) <= 1.5 * base
    assert len({wait(5) for _ in range(10)}) > 1


def test_a_silenced_group_waits_and_then_goes_out(project):
    project.alerts.silence("delay", 3600)
    raise_one(project)
    raise_one(project, group="other/drift")
    assert project.alerts.pump().delivered == 1
    project.clock.time += 3601
    assert project.alerts.pump().delivered == 1


def test_an_acknowledgement_names_who_did_it_and_takes_the_beginning_of_an_id(project):
    alert = raise_one(project)
    project.alerts.acknowledge(alert.id[:6])
    assert project.alerts.find(alert.id).acknowledged == project.actor
    with pytest.raises(UnknownName):
        project.alerts.acknowledge("zz")


def test_a_second_process_sees_the_same_outbox(project, make_project):
    raise_one(project)
    (project.root / "down").touch()
    project.alerts.pump()
    from mlopsfw.project.facade import Project

    other = Project.open(project.root)
    (state,) = other.alerts.outbox().alerts.values()
    assert state.deliveries["firing", "file"].reason.startswith("the file is down")


PUMP = "from mlopsfw.project.facade import Project; Project.open().alerts.pump()"


@pytest.mark.faults
def test_killed_between_delivery_and_its_record_it_delivers_again_under_the_same_id(project, tmp_path):
    alert = raise_one(project)
    (project.root / "die").touch()
    path = os.pathsep.join([str(project.root), str(tmp_path / "site"), *filter(None, sys.path)])
    env = os.environ | {"PYTHONPATH": path}
    killed = subprocess.run([sys.executable, "-c", PUMP], cwd=project.root, env=env, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(got(project)) == 1
    subprocess.run([sys.executable, "-c", PUMP], cwd=project.root, env=env, check=True)
    assert [(i, s) for i, s, _ in got(project)] == [(alert.id, "firing")] * 2
    subprocess.run([sys.executable, "-c", PUMP], cwd=project.root, env=env, check=True)
    assert len(got(project)) == 2


def test_of_many_that_raise_one_group_at_once_one_raises_it_and_the_others_are_counted(project):
    others = [Project.open(project.root) for _ in range(4)]
    together = threading.Barrier(len(others))

    def raise_often(other):
        together.wait()
        for _ in range(5):
            other.alerts.raise_("nightly", "warning", "late", "")

    threads = [threading.Thread(target=raise_often, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (state,) = project.alerts.outbox().alerts.values()
    assert (state.alert.group, state.repeats) == ("nightly", 19)


def test_an_alert_that_two_resolve_at_once_is_resolved_once(project):
    project.alerts.raise_("nightly", "warning", "late", "")
    others = [Project.open(project.root) for _ in range(4)]
    together, notices = threading.Barrier(len(others)), []

    def resolve(other):
        together.wait()
        notices.append(other.alerts.resolve("nightly"))

    threads = [threading.Thread(target=resolve, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(notice is None for notice in notices) == [False, True, True, True]
    assert [event.type for event in project.ledger.stream("alerts").events()] == ["alert.raised", "alert.resolved"]
