"""An alerter has a deadline, returns a receipt, hears of what people do, and says whether it can work. None holds up another."""

from __future__ import annotations

import json
import sys
import threading
import time

import pytest

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.roles.alerting import Receipt
from mlopsfw.project.config import load_config
from mlopsfw.project.facade import Project

HEAD = """
import threading, time
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.errors import ConfigError, DeliveryFailed
from mlopsfw.roles import Alerter, Receipt

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""

calls = []
class Bell(Alerter):
    def __init__(self, config, host): self.config = config
    def deliver(self, alert):
        calls.append((self.config.name, alert))
        DELIVER
    REST

@hookimpl
def mlopsfw_alerters(): yield Provider("bell", Config, Bell, "")
"""
HANG = "time.sleep(3600) if self.config.name == 'hangs' else None"
BELLS = """
[[alerter]]
use = "bell"
name = "hangs"
timeout = 0.2
[alerter.bell]
name = "hangs"

[[alerter]]
use = "bell"
name = "works"
[alerter.bell]
name = "works"
"""
BELL = '[[alerter]]\nuse = "bell"\n'


@pytest.fixture
def bell(install_plugin, make_project):
    """Return a maker: a project with the alerter `bell`, and the list of what was delivered."""

    def make(deliver="return None", toml=BELL, rest="pass"):
        source = HEAD.replace("DELIVER", deliver).replace("REST", rest)
        module = install_plugin(source, "alerter.bell")
        project = make_project(toml)
        project.providers.alerter(project.config.selections("alerter")[0].called)
        return project, sys.modules[module].calls

    return make


def raise_one(project, severity="warning", group="g"):
    return project.alerts.raise_(group, severity, "Title", "text")


def bodies(project, kind):
    return [event.body for event in project.texts.clear(project.ledger.stream("alerts").events()) if event.type == kind]


# -- deadlines -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["beside", "in a table of its own"])
def test_an_alerter_that_hangs_ends_with_a_blamed_error_and_holds_up_no_other(bell, place):
    toml = BELLS
    if place == "beside":
        toml = '[[alerter]]\nuse = "bell"\ntimeout = 0.2\n' + BELL + 'name = "works"\n'
    else:
        toml = toml.replace("timeout = 0.2\n[alerter.bell]\n", "[alerter.bell]\ntimeout = 0.2\n")
    deliver = HANG if place != "beside" else "time.sleep(3600) if len(calls) % 2 else None"
    project, _ = bell(deliver, toml)
    raise_one(project)
    began = time.monotonic()
    pumped = project.alerts.pump()
    assert time.monotonic() - began < 10
    assert (pumped.delivered, pumped.failed) == (1, 1)
    (failed,) = bodies(project, "alert.failed")
    assert "did not return within 1.2 s" in failed["reason"]
    assert "raised by plugin 'alerter.bell' (acme-mlops-0 1.2) in Alerter.deliver" in failed["reason"]
    assert failed["reason"].splitlines() == [failed["reason"]]  # `alerts list` shows it in a cell


def test_what_another_alerter_delivered_is_recorded_while_one_still_hangs(bell):
    """The one that hangs goes on once the ledger has the delivery of the other."""
    project, _ = bell("gate.wait(60) if self.config.name == 'hangs' else None", BELLS.replace("0.2", "60"))
    gate = threading.Event()
    module = next(module for name, module in sys.modules.items() if name.startswith("acme_mlops_0"))
    module.gate = gate
    seen = []

    def observe(event):
        if event.type == "alert.delivered":
            seen.append(event.body["alerter"])
            gate.set()

    config = load_config(project.root / "mlopsfw.toml")
    watched = Project(project.root, config, observe=observe)
    raise_one(watched)
    assert watched.alerts.pump().delivered == 2
    assert seen == ["works", "hangs"]
    watched.close()


@pytest.mark.parametrize("timeout", ["0", "-1", '"soon"', "true"])
def test_a_timeout_that_is_no_time_is_refused_with_its_line(make_project, install_plugin, timeout):
    install_plugin(HEAD.replace("DELIVER", "pass").replace("REST", "pass"), "alerter.bell")
    project = make_project(f"{BELL}timeout = {timeout}\n")
    with pytest.raises(ConfigError, match="seconds above 0") as caught:
        project.providers.alerter("bell")
    assert caught.value.line


def test_an_alerter_that_still_hangs_fails_at_once_the_next_time(bell):
    project, calls = bell(HANG, BELLS)
    raise_one(project)
    project.alerts.pump()
    raise_one(project, group="other")
    began = time.monotonic()
    pumped = project.alerts.pump()
    assert time.monotonic() - began < 1.0
    assert "has not returned yet" in pumped.reasons["hangs"]
    assert [name for name, _ in calls].count("hangs") == 1


def test_an_alerter_with_a_timeout_of_its_own_keeps_it(make_project):
    project = make_project('[[alerter]]\nuse = "webhook"\nurl = "https://example.org"\ntimeout = 3.5\n')
    assert project.providers.alerter("webhook")._built._config.timeout == 3.5


# -- receipts ------------------------------------------------------------------------------------------------------------------


def test_the_receipt_is_kept_with_the_delivery_and_handed_back_with_the_end(bell, capsys):
    project, calls = bell('return Receipt(id="INC-7", link="https://incidents/7")')
    alert = raise_one(project)
    project.alerts.pump()
    (delivered,) = bodies(project, "alert.delivered")
    assert delivered["receipt"] == {"id": "INC-7", "link": "https://incidents/7"}
    raise_one(project, "critical")
    project.alerts.pump()
    project.alerts.resolve("g")
    project.alerts.pump()
    receipt = Receipt(id="INC-7", link="https://incidents/7")
    assert [(each.state, each.rises, each.receipt) for _, each in calls] == [
        ("firing", 0, None), ("firing", 1, receipt), ("resolved", 1, receipt),
    ]  # fmt: skip
    assert {each.id for _, each in calls} == {alert.id}
    capsys.readouterr()
    assert run(["--project", str(project.root), "alerts", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["receipts"] == {"bell": "https://incidents/7"}


@pytest.mark.parametrize("answer", ['"INC-7"', "{'id': 'INC-7'}", "7", "Receipt(id=7)", "Receipt(id='a', link=None)"])
def test_a_receipt_of_another_type_is_a_failed_delivery_that_names_the_plugin(bell, answer):
    project, _ = bell(f"return {answer}")
    raise_one(project)
    assert project.alerts.pump().failed == 1
    (failed,) = bodies(project, "alert.failed")
    assert "it returned a" in failed["reason"]
    assert "plugin 'alerter.bell'" in failed["reason"]


# -- what people do ------------------------------------------------------------------------------------------------------------

UPDATE = "def update(self, alert, change): calls.append((alert.group, alert.receipt, change.kind, change.actor, change.until))"


def test_an_alerter_hears_of_acknowledgement_and_silence_of_what_it_delivered(bell):
    project, calls = bell('return Receipt(id="INC-7")', rest=UPDATE)
    alert = raise_one(project, group="g/a")
    project.alerts.acknowledge(alert.id)  # not delivered yet: the receiver knows of no alert
    project.alerts.pump()
    del calls[:]
    project.alerts.acknowledge(alert.id)
    project.alerts.silence("g", 3600)
    project.alerts.silence("other", 3600)
    actor = project.actor
    assert [call[:4] for call in calls] == [
        ("g/a", Receipt(id="INC-7"), "acknowledged", actor), ("g/a", Receipt(id="INC-7"), "silenced", actor),
    ]  # fmt: skip
    assert calls[1][4].endswith("Z")


def test_an_alerter_without_the_method_hears_nothing_and_nothing_fails(bell):
    project, calls = bell()
    alert = raise_one(project)
    project.alerts.pump()
    project.alerts.acknowledge(alert.id)
    project.alerts.silence("g", 60)
    assert len(calls) == 1


def test_an_alerter_that_fails_to_hear_is_a_warning_and_the_acknowledgement_stands(bell):
    project, _ = bell(rest="def update(self, alert, change): raise OSError('full')")
    alert = raise_one(project)
    project.alerts.pump()
    with pytest.warns(RuntimeWarning, match=r"(?s)'bell' was not told that g is acknowledged.*full.*alerter\.bell"):
        project.alerts.acknowledge(alert.id)
    assert project.alerts.find(alert.id).acknowledged


# -- what waits, and what failed -----------------------------------------------------------------------------------------------


def listed(project, capsys, *options):
    capsys.readouterr()
    assert run(["--project", str(project.root), "alerts", "list", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_list_shows_what_waits_also_before_the_first_attempt_and_after_resolve(bell, capsys):
    project, _ = bell()
    raise_one(project)
    assert listed(project, capsys)[0]["waiting"] == ["bell (firing): not tried yet"]
    project.alerts.pump()
    assert listed(project, capsys)[0]["waiting"] == []
    assert run(["--project", str(project.root), "alerts", "resolve", "g"]) == 0
    assert listed(project, capsys)[0]["waiting"] == ["bell (resolved): not tried yet"]
    project.alerts.pump()
    (row,) = listed(project, capsys)
    assert (row["waiting"], row["delivered"]) == ([], ["bell (firing)", "bell (resolved)"])


def test_the_list_says_why_a_delivery_waits(bell, capsys):
    project, _ = bell("raise DeliveryFailed('the line is cut')")
    raise_one(project)
    project.alerts.pump()
    project.alerts.resolve("g")
    firing, resolved = listed(project, capsys)[0]["waiting"]
    assert firing.startswith("bell (firing): the line is cut")
    assert resolved == "bell (resolved): not tried yet"


def test_the_end_of_an_alert_waits_for_its_beginning(bell):
    project, calls = bell("if len(calls) == 1: raise DeliveryFailed('once')")
    raise_one(project)
    project.alerts.pump()
    project.alerts.resolve("g")
    assert project.alerts.pump().delivered == 0  # the beginning is not due yet
    assert [each.state for _, each in calls] == ["firing"]


# -- doctor --------------------------------------------------------------------------------------------------------------------

CHECK = "def check(self):\n        if self.config.name == 'broken': raise ConfigError('no path', hint='Make it.')"


def diagnoses(project):
    return [(each.level, each.message) for each in project.doctor.examine() if each.check == "alerters"]


def test_doctor_asks_each_alerter_and_sends_nothing(bell):
    toml = BELL + 'name = "broken"\n[alerter.bell]\nname = "broken"\n' + BELL
    project, calls = bell(toml=toml, rest=CHECK)
    assert diagnoses(project) == [("error", "alerter 'broken' cannot deliver: no path")]
    assert calls == []


def test_doctor_gives_up_on_an_alerter_that_hangs(bell):
    toml = BELL + "timeout = 0.2\n" + BELL + 'name = "other"\n'
    project, _ = bell(
        toml=toml,
        rest="def check(self):\n        if len(asked) == 0:\n            asked.append(1); time.sleep(3600)\nasked = []",
    )
    ((level, message),) = diagnoses(project)  # doctor leaves out what is well where something is wrong
    assert (level, message[:30]) == ("error", "alerter 'bell' cannot deliver:")
    assert "did not return within 1.2 s" in message


@pytest.mark.parametrize(
    "options", ['url = "env:ACME_NO_SUCH_URL"', 'url = "https://example.org"\nsecret = "env:ACME_NO_SUCH"']
)
def test_doctor_names_the_variable_that_a_webhook_lacks(make_project, options):
    project = make_project(f'[[alerter]]\nuse = "webhook"\n{options}\n')
    ((level, message),) = diagnoses(project)
    assert level == "error"
    assert "ACME_NO_SUCH" in message
