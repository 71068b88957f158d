"""A monitor gives numbers, findings and a state; mlopsfw says of which window, whether it alarms, and keeps the state."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import msgspec
import polars as pl
import pytest
from captured import DAY, START, TOML, capture, numbers

from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.roles.monitoring import MOST_STATE, Finding, Number, Report, Signals
from mlopsfw.monitoring.alarms import Alarms
from mlopsfw.monitoring.decision import is_alarm
from mlopsfw.monitoring.settings import AlarmRule

BELL = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Finding, Monitor, Number, Signals

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    step: int = 1

class Bell(Monitor):
    given = []
    def __init__(self, config, host):
        self.step, self.host = config.step, host
    def signals(self, window, state):
        self.given.append((window.start[:10], window.version, window.look, state))
        SIGNALS

@hookimpl
def mlopsfw_monitors(): yield Provider("bell", Config, Bell, "")
"""
COUNTING = "return Signals(state=(state or 0) + self.step)"
USE = '[[monitor]]\nuse = "bell"\n'


@pytest.fixture
def bell(install_plugin, monitored):
    """Return a maker: a project with the monitor `bell`, and the list of what its calls were given."""

    def make(signals=COUNTING, toml=USE):
        module = install_plugin(BELL.replace("SIGNALS", signals), "monitor.bell")
        project = monitored(toml)
        assert project.providers.monitor("bell")  # imports the module
        return project, sys.modules[module].Bell.given

    return make


def look(project, day, **options):
    return project.monitoring.examine("delay", START + day * DAY, START + (day + 1) * DAY, **options)


def days(project, number, **options):
    for day in range(number):
        capture(project, day, **options)


# -- state ---------------------------------------------------------------------------------------------------------------------


def test_a_monitor_gets_what_it_returned_for_the_window_before(bell):
    project, given = bell()
    days(project, 3)
    for day in range(3):
        look(project, day)
    assert [state for *_, state in given] == [None, 1, 2]


def test_each_model_version_and_each_monitor_has_a_state_of_its_own(bell):
    project, given = bell(toml=USE + '[[monitor]]\nuse = "bell"\nname = "by_ten"\nstep = 10\n')
    days(project, 2)
    capture(project, 1, version=2)
    look(project, 0)
    look(project, 1)
    assert given == [
        ("2026-03-01", 1, 1, None), ("2026-03-01", 1, 1, None),
        ("2026-03-02", 1, 1, 1), ("2026-03-02", 1, 1, 10),
        ("2026-03-02", 2, 1, None), ("2026-03-02", 2, 1, None),
    ]  # fmt: skip


@pytest.mark.parametrize("again", ["examined", "without alerts", "looked at for labels", "replayed"])
def test_a_window_that_is_examined_again_gets_the_same_state_again(bell, again):
    project, given = bell()
    days(project, 3)
    for day in (0, 2):  # the second day is examined late: the third has had the state of the first
        look(project, day)
    look(project, 1)
    del given[:]
    if again == "replayed":
        list(project.monitoring.replay("delay", DAY, start=START, end=START + 3 * DAY))
    else:
        options = {"without alerts": {"alert": False}, "looked at for labels": {"look": 2, "looks": 6}}.get(again, {})
        for day in range(3):
            look(project, day, **options)
    assert [state for *_, state in given] == [None, 1, 1]


def test_a_state_outlives_the_process(bell, make_project):
    project, given = bell()
    days(project, 2)
    look(project, 0)
    again = type(project).open(project.root)
    look(again, 1)
    again.close()
    assert given[-1] == ("2026-03-02", 1, 1, 1)


@pytest.mark.parametrize("state", [b"\x00\xff", {"a": [1, 2.5, None, "\u2603"]}, "text", 0, False, [], b""])
def test_a_state_is_any_json_value_or_bytes(bell, state):
    project, given = bell(f"return Signals(state={state!r})")
    days(project, 2)
    look(project, 0)
    look(project, 1)
    assert given[-1][-1] == state
    assert type(given[-1][-1]) is type(state)


@pytest.mark.parametrize(
    ("signals", "says"),
    [
        (f"return Signals(state='x' * {MOST_STATE})", "the state takes"),
        ("return Signals(state=object())", "object"),
        ("return Signals(numbers=(Number(name='a', kind='drift', value=float('nan')),))", "None where it is undefined"),
        ("return Signals(numbers=(Number(name='a', kind='drift'),) * 2)", "two numbers 'a'"),
    ],
)
def test_signals_that_cannot_be_kept_are_the_monitors_fault(bell, signals, says):
    project, _ = bell(signals)
    days(project, 1)
    with pytest.raises((TypeError, ValueError), match=says) as caught:
        look(project, 0)
    assert "plugin 'monitor.bell' (acme-mlops-0 1.2) in Monitor.signals" in caught.value.__notes__[0]


# -- what the report says ------------------------------------------------------------------------------------------------------


def test_the_report_takes_the_window_from_mlopsfw_whatever_the_monitor_says(bell):
    facts = '{"endpoint": "other", "version": 99, "rows": -5, "labelled": 10**9}'
    finding = f'Finding(kind="bias", subject="gap", severity="warning", message="a gap", facts={facts})'
    number = f'Number(name="rows", kind="performance", value=-5.0, facts={facts})'
    project, _ = bell(f"return Signals(numbers=({number},), findings=({finding},))")
    days(project, 1)
    (examined,) = look(project, 0)
    report = examined.report
    assert (report.monitor, report.endpoint, report.model, report.version) == ("bell", "delay", "delay", 1)
    assert (report.rows, report.labelled, report.start) == (200, 0, "2026-03-01T00:00:00Z")
    (state,) = project.alerts.outbox().alerts.values()
    assert (state.alert.group, state.alert.facts["version"]) == ("delay/bell", 1)


def test_numbers_become_columns_and_metrics_of_the_report(bell):
    column = 'Number(name="x", kind="quality", value=0.5, pvalue=0.01, effect=0.3, threshold=0.1, changed=True)'
    metric = 'Number(name="gap", kind="bias", value=0.25, error=0.01)'
    project, _ = bell(f"return Signals(numbers=({column}, {metric}))")
    days(project, 1)
    (examined,) = look(project, 0)
    (row,) = examined.report.columns
    assert (row["column"], row["value"], row["pvalue"], row["effect"], row["drifted"]) == ("x", 0.5, 0.01, 0.3, True)
    assert examined.report.metrics == {"gap": 0.25, "gap_standard_error": 0.01}
    assert examined.report.alarm
    assert examined.report.summary


REPORT = {
    "monitor": "drift", "endpoint": "delay", "model": "delay", "version": 1, "start": "2026-03-01T00:00:00Z",
    "end": "2026-03-02T00:00:00Z", "rows": 10, "labelled": 0, "labels_aside": {}, "alarm": False, "compared": False,
    "summary": "10 rows are too few to compare (min_rows = 50)", "findings": [], "columns": [], "metrics": {},
}  # fmt: skip


def test_reports_and_windows_that_earlier_releases_stored_are_read(bell):
    project, given = bell()
    days(project, 2)
    report = msgspec.json.decode(json.dumps(REPORT), type=Report)
    assert (report.rows, report.compared) == (10, False)
    names = ("monitor", "model", "version", "start", "end", "rows", "alarm", "summary")
    body = {name: REPORT[name] for name in names} | {"monitor": "bell", "report": "", "page": ""}
    project.ledger.stream("monitor/delay").append(PlainRecord("window.examined", body))
    look(project, 1)
    assert given[-1][-1] is None


def test_what_the_title_of_an_alert_cuts_off_stands_in_its_text():
    raised = []
    alerts = SimpleNamespace(raise_=lambda *said, **_: raised.append(said))
    summary = f"the model is worse: {'auc 0.52, ' * 30}money -22,916 per 1,000 predictions"
    report = msgspec.convert(REPORT | {"alarm": True, "summary": summary}, Report)
    Alarms(None, alerts).apply(report, SimpleNamespace(look=1, looks=1), "", None)
    _, _, title, text = raised[0]
    assert (len(title), title[-1]) == (200, "…")
    assert summary in text.splitlines()


# -- the decision --------------------------------------------------------------------------------------------------------------


def drift(name, *, changed):
    return Number(name=name, kind="drift", changed=changed)


def finding(kind, severity="warning", subject="a"):
    return Finding(kind=kind, subject=subject, severity=severity, message="m")


@pytest.mark.parametrize(
    ("findings", "look_", "alarm"),
    [
        ((), 1, False),
        ((finding("drift", "info", "b"),), 1, False),
        ((finding("drift"),), 1, False),  # the rule judges the column a
        ((finding("drift", subject="b"),), 1, True),
        ((finding("quality", subject="b"),), 1, True),
        ((finding("performance"),), 1, True),
        ((finding("bias", "critical"),), 2, True),
        ((finding("drift", "critical", "b"),), 2, False),
    ],
)
def test_a_finding_alarms_unless_the_rule_judges_its_column(findings, look_, alarm):
    signals = Signals(numbers=(drift("a", changed=False),), findings=findings)
    assert is_alarm(signals, {}, AlarmRule(), look=look_) is alarm


@pytest.mark.parametrize(
    ("rule", "alarm"),
    [
        ({}, True),
        ({"alarm": "share"}, False),
        ({"alarm": "share", "share": 0.25}, True),
        ({"alarm": "importance"}, False),
        ({"alarm": "importance", "share": 0.1}, True),
    ],
)
def test_columns_alarm_by_the_rule_of_the_monitor_that_the_configuration_names(rule, alarm):
    numbers_ = tuple(drift(name, changed=name == "a") for name in "abcd")
    importance = {"a": 0.1, "b": 0.9}
    assert is_alarm(Signals(numbers=numbers_), importance, AlarmRule(**rule)) is alarm


# -- which windows, and what they are compared with ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "examined"),
    [
        ('models = ["delay"]', True),
        ('models = ["other", "delay"]', True),
        ('models = ["other"]', False),
        ('endpoints = ["delay"]', True),
        ('endpoints = ["canary"]', False),
        ('models = ["delay"]\nendpoints = ["canary"]', False),
    ],
)
def test_a_monitor_can_be_for_some_models_and_endpoints(bell, only, examined):
    project, given = bell(toml=f'{USE}{only}\n[[monitor]]\nuse = "bell"\nname = "all"\n')
    days(project, 1)
    found = [each.report.monitor for each in look(project, 0)]
    assert found == (["bell", "all"] if examined else ["all"])
    assert len(given) == len(found)


def test_predictions_that_no_monitor_is_for_are_an_error_that_says_so(bell, verb):
    project, _ = bell(toml=f'{USE}models = ["other"]\n')
    days(project, 1)
    with pytest.raises(ConfigError, match="no monitor examines delay at the endpoint delay"):
        look(project, 0)
    assert verb("monitor", "run", "delay")[0] == 2


@pytest.mark.parametrize("key", ['model = ["delay"]', 'models = "delay"', "share = 2.0", 'alarm = "sometimes"'])
def test_a_wrong_key_of_a_monitor_is_named_with_its_line(monitored, key):
    with pytest.raises(ConfigError) as caught:
        monitored(f"{USE.replace('bell', 'drift')}{key}\n").providers.watching()
    assert caught.value.line
    assert f"monitor.0.{key.partition(' ')[0]}" in str(caught.value)


def test_a_monitor_can_compare_with_a_dataset_of_its_own(monitored):
    project = monitored(TOML.replace("[monitor.drift]", 'reference = "data:/lately@1"\n[monitor.drift]'))
    rows = pl.DataFrame({"x": numbers(5000, mean=2.0), "unheard_of": ["a"] * 5000})
    project.datasets.commit("lately", rows)
    project.datasets.commit("lately", pl.DataFrame({"x": numbers(5000), "unheard_of": ["a"] * 5000}), "replace")
    capture(project, 0, mean=2.0)
    capture(project, 1, mean=0.0)
    assert [look(project, day)[0].report.alarm for day in (0, 1)] == [False, True]
    assert [column["column"] for column in look(project, 1)[0].report.columns] == ["x"]


def test_a_monitor_can_read_a_reference_by_its_host(bell):
    project, _ = bell(
        "rows = self.host.tables.read('captures/delay').read_all().num_rows\n"
        "        return Signals(numbers=(Number(name='rows', kind='performance', value=float(rows)),))"
    )
    days(project, 2)
    assert look(project, 0)[0].report.metrics == {"rows": 400.0}


# -- one that fails beside one that works -------------------------------------------------------------------------------------

FAILING = {
    "signals": ("raise ValueError('no')", ""),
    "type": ("return {}", ""),
    "exit": ("raise SystemExit(0)", ""),
    "page": ("return Signals()", "    def page(self, report, window): raise ValueError('no')\n"),
    "build": ("return Signals()", "    def __new__(cls, config, host): raise ValueError('no')\n"),
}
ALARMS = (
    'return Signals(findings=(Finding(kind="performance", subject="b", severity="warning", message="c", value=1.0),))'
)


@pytest.mark.parametrize("order", [("bell", "other"), ("other", "bell")], ids=["first", "last"])
@pytest.mark.parametrize(("signals", "method"), FAILING.values(), ids=FAILING)
def test_a_monitor_that_fails_keeps_no_other_from_its_report_and_its_alert(
    signals, method, order, install_plugin, monitored
):
    source = BELL.replace("SIGNALS", signals).replace("\n@hookimpl", f"{method}\n@hookimpl")
    install_plugin(source, "monitor.bell")
    install_plugin(BELL.replace("SIGNALS", ALARMS).replace('"bell"', '"other"'), "monitor.other")
    project = monitored("".join(f'[[monitor]]\nuse = "{name}"\n' for name in order))
    days(project, 1)
    with pytest.raises(Exception) as caught:
        look(project, 0)
    assert "monitor.bell" in "".join(caught.value.__notes__)
    (event,) = [e for e in project.ledger.stream("monitor/delay").events() if e.type == "window.examined"]
    assert (event.body["monitor"], event.body["alarm"]) == ("other", True)
    assert [state.alert.group for state in project.alerts.outbox().alerts.values()] == ["delay/other"]


def test_of_several_monitors_that_fail_the_error_of_the_first_names_the_others(install_plugin, monitored):
    for name in ("bell", "other"):
        source = BELL.replace("SIGNALS", f"raise ValueError('{name} fails')").replace('"bell"', f'"{name}"')
        install_plugin(source, f"monitor.{name}")
    project = monitored('[[monitor]]\nuse = "bell"\n[[monitor]]\nuse = "other"\n')
    days(project, 1)
    with pytest.raises(ValueError, match="bell fails") as caught:
        look(project, 0)
    assert "The monitor other failed too: ValueError: other fails" in caught.value.__notes__


def test_what_another_monitor_found_is_delivered_though_the_verb_fails(install_plugin, monitored, verb):
    install_plugin(BELL.replace("SIGNALS", "return {}"), "monitor.bell")
    install_plugin(BELL.replace("SIGNALS", ALARMS).replace('"bell"', '"other"'), "monitor.other")
    project = monitored('[[monitor]]\nuse = "bell"\n[[monitor]]\nuse = "other"\n[[alerter]]\nuse = "console"\n')
    days(project, 1)
    code, _, error = verb("monitor", "run", "delay")
    assert code == 5
    assert "plugin 'monitor.bell'" in error
    (state,) = project.alerts.outbox().alerts.values()
    assert state.deliveries["firing", "console"].delivered
