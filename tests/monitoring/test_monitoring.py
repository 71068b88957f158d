"""Windows are cut by event time and model version, reports are kept, alarms raise one alert and calm resolves it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, timedelta
from types import SimpleNamespace

import msgspec
import numpy as np
import polars as pl
import pytest
from captured import DAY, START, TOML, capture

from mlopsfw.capturelog.records import Header, LabelRows, Predictions, encode
from mlopsfw.capturelog.times import micros, now_micros
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.cli.monitor import _show
from mlopsfw.kernel.base.errors import ConfigError, DataError, NotFound, UsageError
from mlopsfw.kernel.base.spans import duration
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.monitoring import Number, Report, Signals
from mlopsfw.kernel.store.blobs import key_of
from mlopsfw.monitoring import past
from mlopsfw.monitoring.baseline import Baselines
from mlopsfw.monitoring.examination import Examined
from mlopsfw.monitoring.looks import LOOKS
from mlopsfw.monitoring.reasons import Reasons
from mlopsfw.monitoring.window_bounds import moment, stamp, tiles, time_zone
from mlopsfw.steps.monitor import MonitorParams, _run
from mlopsfw_monitor_drift.monitor import DriftMonitor


def alarms(project, days):
    return [
        e.report.alarm
        for d in days
        for e in project.monitoring.examine("delay", START + d * DAY, START + (d + 1) * DAY)
    ]


def test_a_window_takes_its_start_in_and_leaves_its_end_out(project):
    capture(project, 0)
    capture(project, 1)
    (one,) = project.monitoring.examine("delay", START, START + DAY)
    assert one.report.rows == 200
    assert (one.report.start, one.report.end) == ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")


def test_the_bounds_that_a_report_names_cut_the_same_window_again(project, verb):
    capture(project, 0)
    (first,) = json.loads(verb("monitor", "run", "delay", "--json")[1])
    bounds = ("--from", first["report"]["start"], "--to", first["report"]["end"])
    (again,) = json.loads(verb("monitor", "run", "delay", *bounds, "--json")[1])
    assert first["report"]["rows"] == again["report"]["rows"] == 200


def test_each_version_that_answered_is_examined_by_itself(project):
    capture(project, 0, mean=2.0)
    capture(project, 0, version=2)
    found = project.monitoring.examine("delay", START, START + DAY)
    assert [(e.report.version, e.report.alarm) for e in found] == [(1, True), (2, False)]


def test_the_report_and_the_page_are_kept_and_the_event_says_where(project):
    capture(project, 0, mean=2.0)
    (one,) = project.monitoring.examine("delay", START, START + DAY)
    (event,) = [e for e in project.ledger.stream("monitor/delay").events() if e.type == "window.examined"]
    assert msgspec.json.decode(project.blobs.get(event.body["report"]), type=Report) == one.report
    assert project.blobs.get(event.body["page"]).decode() == one.page.read_text()
    assert event.body["drifted"] == ["x"]
    json.dumps(event.body, allow_nan=False)


def test_an_alarm_raises_one_alert_and_two_calm_windows_resolve_it(project):
    for day, mean in enumerate([2.0, 2.0, 0.0, 2.0, 0.0, 0.0]):
        capture(project, day, mean=mean)
    seen = []
    for day in range(6):
        alarms(project, [day])
        seen.append([(a.open, a.repeats) for a in project.alerts.outbox().alerts.values()])
    assert seen == [[(True, 0)], [(True, 1)], [(True, 1)], [(True, 2)], [(True, 2)], [(False, 2)]]


def test_a_monitor_that_reports_findings_alone_resolves_its_alert_and_need_not_name_the_window(project, monkeypatch):
    def found_alone(self, window, state):
        return Signals(findings=signals(self, window, state).findings)

    signals = DriftMonitor.signals
    monkeypatch.setattr(DriftMonitor, "signals", found_alone)
    monkeypatch.setattr(DriftMonitor, "page", lambda *_: None)
    for day in range(3):
        capture(project, day, mean=3.0 if day == 0 else 0.0)
    assert alarms(project, range(1)) == [True]
    assert alerts_open(project) == {"delay/drift": 0}
    assert alarms(project, range(1, 3)) == [False, False]
    assert alerts_open(project) == {}
    (window, *_), body = project.monitoring.examine("delay", START, START + DAY), {"endpoint": "delay", "version": 1}
    assert {name: getattr(window.report, name) for name in body} == body
    assert window.report.start.startswith("2026-03-01T00:00:00")


def test_the_same_calm_window_examined_twice_is_one_window(project):
    for day, mean in enumerate([2.0, 0.0]):
        capture(project, day, mean=mean)
    alarms(project, [0, 1, 1, 1])
    assert [a.open for a in project.alerts.outbox().alerts.values()] == [True]


def test_an_old_calm_window_examined_again_resolves_nothing(project):
    for day, mean in enumerate([0.0, 0.0, 2.0]):
        capture(project, day, mean=mean)
    alarms(project, [0, 1, 2, 0, 1])
    assert [a.open for a in project.alerts.outbox().alerts.values()] == [True]


def test_windows_of_too_few_rows_say_nothing_and_resolve_nothing(project):
    capture(project, 0, mean=2.0)
    for day in (1, 2, 3):
        capture(project, day, rows=10)
    alarms(project, range(4))
    assert [a.open for a in project.alerts.outbox().alerts.values()] == [True]


def test_a_window_is_calm_when_every_version_in_it_is(project):
    capture(project, 0, mean=2.0)
    for day in (1, 2):
        capture(project, day, mean=2.0)
        capture(project, day, version=2)
    alarms(project, range(3))
    assert [a.open for a in project.alerts.outbox().alerts.values()] == [True]


def test_a_replay_resolves_nothing(project):
    for day, mean in enumerate([2.0, 0.0, 0.0]):
        capture(project, day, mean=mean)
    alarms(project, [0])
    list(project.monitoring.replay("delay", DAY))
    alarms(project, [1])
    assert [a.open for a in project.alerts.outbox().alerts.values()] == [True]


def test_an_alert_names_what_was_found_for_machines(project):
    capture(project, 0, mean=2.0)
    alarms(project, [0])
    (state,) = project.alerts.outbox().alerts.values()
    assert state.alert.facts["subjects"] == ["x"]


def test_a_replay_examines_every_whole_window_in_order_and_alerts_nobody(project):
    for day, mean in enumerate([0.0, 2.0, 0.0]):
        capture(project, day, mean=mean)
    found = list(project.monitoring.replay("delay", DAY, start=START))
    assert [e.report.alarm for e in found] == [False, True]  # the third day is not over
    assert project.alerts.outbox().alerts == {}


def test_the_baseline_has_the_models_own_metrics_and_importance(project):
    reasons = Reasons(project.services, project.registry, project.bundles, project.datasets)
    kept = Baselines(project.blobs, project.registry, project.datasets, reasons).of("delay", 1)
    assert kept.metrics == {"auc": 0.7}
    assert kept.importance == {"x": 0.9}
    assert kept.classes == (False, True)


def test_an_endpoint_without_predictions_says_so(project):
    with pytest.raises(NotFound, match="no prediction"):
        project.windows.span("delay")
    assert project.monitoring.examine("delay", START, START + DAY) == []


def test_a_project_without_a_monitor_says_how_to_add_one(make_project):
    with pytest.raises(ConfigError, match=r"\[\[monitor\]\]"):
        make_project().monitoring.examine("delay", START, START + DAY)


def examined(project):
    return [
        e.body["start"][:10] for e in project.ledger.stream("monitor/delay").events() if e.type == "window.examined"
    ]


class Beats(threading.Event):
    """Ends a watch after so many beats: the labels are counted at the first and the thirteenth."""

    def __init__(self, most):
        super().__init__()
        self._left = most

    def wait(self, timeout=None):
        self._left -= 1
        if self._left <= 0:
            self.set()
        return super().wait(timeout)


def run_watch(project, until, *, days, every=DAY, beats=2000, **options):
    """Watch until so many windows in all were examined (or for so many beats), then end it."""
    project.clock.hold(START + until * DAY)
    stop = Beats(beats)
    reports = []

    def report(one):
        reports.append(one)
        if len(examined(project)) >= days:
            stop.set()

    project.watcher.watch("delay", every, stop=stop, report=report, beat=0.01, **options)
    return reports


def test_a_watcher_examines_what_is_over_and_the_next_goes_on_where_it_left_off(project):
    for day in range(4):
        capture(project, day)
    run_watch(project, 2, days=2)
    assert examined(project) == ["2026-03-01", "2026-03-02"]
    run_watch(project, 4, days=4)
    assert examined(project) == ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]


def test_a_watcher_that_catches_up_with_much_keeps_its_lease(project):
    for day in range(6):
        capture(project, day)
    project.clock.hold(START + 6 * DAY)
    stop, seen = threading.Event(), []

    def report(one):  # so slow that each window alone takes more than half of the lease's patience
        seen.append(one)
        renewed = [e for e in project.ledger.stream("lease/monitor/delay").events() if e.type == "lease.renewed"]
        assert len(renewed) == len(seen)
        if len(seen) == 6:
            stop.set()

    project.watcher.watch("delay", DAY, stop=stop, report=report, beat=0.01)


def test_a_watcher_that_cannot_go_on_tells_somebody_and_says_when_it_does(project, monkeypatch):
    capture(project, 0)
    capture(project, 1)
    real = DriftMonitor.signals

    faults = ["out of order"]

    def examine_or_fail(*arguments):
        if faults:
            raise RuntimeError(faults.pop())
        return real(*arguments)

    monkeypatch.setattr(DriftMonitor, "signals", examine_or_fail)
    with pytest.raises(RuntimeError):
        run_watch(project, 2, days=2)
    (state,) = project.alerts.outbox().alerts.values()
    assert (state.alert.group, state.alert.severity, state.open) == ("delay/watch", "critical", True)
    assert "out of order" in state.alert.text
    project.ledger.stream("lease/monitor/delay").append(PlainRecord("lease.released", {}))  # as after the patience
    run_watch(project, 2, days=2)
    assert [a.open for a in project.alerts.outbox().alerts.values()] == [False]


NEW_YORK = time_zone("America/New_York")


def hourly(first, hours):
    return [first.astimezone(UTC) + timedelta(hours=n) for n in range(hours)]


def test_days_of_a_zone_follow_its_clock_through_the_change_to_summer_time():
    first = moment("2026-03-07", NEW_YORK)
    found = list(tiles(hourly(first, 72), first, moment("2026-03-10", NEW_YORK), every=DAY, zone=NEW_YORK))
    assert [stamp(low) for low, _ in found] == ["2026-03-07T05:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"]
    hours = [(high.astimezone(UTC) - low.astimezone(UTC)).total_seconds() / 3600 for low, high in found]
    assert hours == [24, 23, 24]


def test_spans_of_hours_go_by_the_clock_through_the_change_to_summer_time():
    first = moment("2026-03-08", NEW_YORK)
    end = first.astimezone(UTC) + timedelta(hours=18)
    found = list(tiles(hourly(first, 30), first, end, every=timedelta(hours=6), zone=NEW_YORK))
    assert [(high - low) / timedelta(hours=1) for low, high in found] == [6, 6, 6]


def test_a_watcher_cuts_days_of_its_zone(project):
    for day in range(3):
        capture(project, day)
    reports = run_watch(project, 3, days=3, zone=NEW_YORK)
    starts = [one.report.start for one in reports]
    assert starts == ["2026-02-28T05:00:00Z", "2026-03-01T05:00:00Z", "2026-03-02T05:00:00Z"]
    assert sum(one.report.rows for one in reports) == 2 * 200 + 42  # the third day, in New York, has just begun


# -- rows whose times are absurd -----------------------------------------------------------------------------------------

ABSURD = {"year 0": -62_167_219_200_000_000, "year 1": -62_135_596_800_000_000, "year 1700": -8_520_336_000_000_000,
          "year 1920": -1_577_923_200_000_000, "next year": 1_805_000_000_000_000, "year 10000": 253_402_300_800_000_000, "no year": 2**63 - 1}  # fmt: skip


def stray(project, event, *, rows=1, name="stray"):
    """Capture rows as a server wrote them before it refused such times: answered in March, said to be of another age."""
    inputs = (SignatureColumn(name="x", type="number"),)
    header = Header(
        endpoint="delay", revision=1, model="delay", version=1, bundle="b", inputs=inputs, outputs=("probability",)
    )
    ids, answered = [f"{name}-{n}" for n in range(rows)], micros(START)
    record = Predictions(
        ids=ids, event_times=[event] * rows, processed_time=answered, inputs={"x": [0.0] * rows}, outputs={"probability": [0.5] * rows}
    )  # fmt: skip
    writer = CaptureWriter(project.captures.folder("delay"), header)
    writer.write([(encode(record), rows)])
    writer.close()


def starts(text):
    return [one["start"][:10] for one in json.loads(text)]


@pytest.mark.parametrize(
    ("when", "zone"),
    [*((when, "America/New_York") for when in ABSURD), ("year 1", "UTC"), ("year 10000", "Asia/Tokyo")],
)
def test_a_row_with_an_absurd_time_is_set_aside_and_said_and_ends_nothing(project, verb, when, zone):
    for day in (0, 1):
        capture(project, day)
    stray(project, ABSURD[when])
    code, out, err = verb("monitor", "run", "delay", "--zone", zone, "--json")
    (said,) = json.loads(out)
    assert (code, said["report"]["rows"], err.startswith("One captured prediction is left out")) == (0, 400, True)
    code, out, err = verb("monitor", "replay", "delay", "--every", "6h", "--zone", zone, "--json")
    assert (code, "left out" in err) == (0, True)
    assert {"2026-03-01", "2026-03-02"} <= set(starts(out)) <= {"2026-02-28", "2026-03-01", "2026-03-02"}
    said = []
    run_watch(project, 2, days=7, every=timedelta(hours=6), zone=time_zone(zone), say=said.append)
    assert examined(project)[0] in ("2026-02-28", "2026-03-01")
    assert "One captured prediction is left out" in said[0]


@pytest.mark.parametrize("when", ABSURD)
def test_what_names_a_row_by_its_id_can_still_name_one_with_an_absurd_time(project, when):
    stray(project, ABSURD[when])
    assert project.captures.find("delay", "stray-0")["version"] == 1


@pytest.mark.parametrize("every", ["1m", "1h", "6h", "1d", "7d"])
def test_one_early_row_does_not_decide_where_a_first_watch_begins_nor_how_much_it_writes(project, every):
    for day in (0, 1, 2):
        capture(project, day, rows=50)
    stray(project, micros("1990-01-01T00:00:00Z"))  # plausible, and alone
    run_watch(project, 9, days=1, every=duration(every))
    assert examined(project)[0] >= "2026-02-28"
    assert len(list(project.ledger.stream("monitor/delay").events())) < 400


def test_windows_without_a_prediction_are_passed_over_in_one_go(project):
    capture(project, 0)
    capture(project, 200)
    run_watch(project, 300, days=2)
    assert examined(project) == ["2026-03-01", "2026-09-17"]
    run_watch(project, 300.5, days=2, beats=13)
    events = [e for e in project.ledger.stream("monitor/delay").events() if e.type == "watch.passed"]
    assert [e.body["until"][:10] for e in events] == ["2026-03-02", "2026-09-18", "2026-12-26"]


def test_a_watch_looks_at_so_many_windows_at_once_and_says_that_more_follow(project, monkeypatch):
    monkeypatch.setattr("mlopsfw.monitoring.watch.MOST_AT_ONCE", 2)
    for day in range(5):
        capture(project, day, rows=60)
    said = []
    run_watch(project, 5, days=5, say=said.append)
    assert len(examined(project)) == 5
    assert [text[:30] for text in said[1:]] == ["Examined 2 windows; the next o"] * 2


def test_a_watch_that_once_began_in_year_1_goes_on_with_what_was_captured(project):
    capture(project, 0)
    project.ledger.stream("monitor/delay").append(PlainRecord("watch.passed", {"until": "0001-03-01T05:00:00+00:00"}))
    run_watch(project, 1, days=1)
    assert examined(project) == ["2026-03-01"]


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "America", "/etc/localtime", "a\0b"])
def test_what_is_no_time_zone_is_refused(name):
    with pytest.raises(UsageError):
        time_zone(name)


@pytest.mark.parametrize("every", ["1d 12h", "1.5d", "36h", "2160m"])
def test_windows_of_one_length_are_the_same_however_the_length_is_written(project, verb, every):
    for day in range(3):
        capture(project, day)
    code, out, _ = verb("monitor", "replay", "delay", "--every", every, "--to", "2026-03-04", "--json")
    assert code == 0
    bounds = [(each["start"][5:13], each["end"][5:13]) for each in json.loads(out)]
    assert bounds == [("03-01T00", "03-02T12"), ("03-02T12", "03-04T00")]


def test_a_watch_takes_windows_of_a_day_and_a_half(project):
    for day in range(4):
        capture(project, day)
    run_watch(project, 4, days=2, every=duration("1d 12h"), delay=duration("6h 30m"))
    windows = [e.body for e in project.ledger.stream("monitor/delay").events() if e.type == "window.examined"]
    assert [body["end"][:13] for body in windows] == ["2026-03-02T12", "2026-03-04T00"]


@pytest.mark.parametrize("verb_", ["replay", "watch"])
@pytest.mark.parametrize("every", ["0d", "0.0000001s"])
def test_windows_of_no_length_are_refused(project, verb, verb_, every):
    capture(project, 0)
    code, _, err = verb("monitor", verb_, "delay", "--every", every)
    assert code == 2
    assert "longer than 0 seconds" in err


def test_moments_carry_a_zone_and_a_date_is_its_midnight_in_utc():
    assert moment("2026-03-01") == START
    assert moment("2026-03-01T00:00:00-05:00") == START + timedelta(hours=5)
    with pytest.raises(DataError, match="zone"):
        moment("2026-03-01T00:00:00")


def test_tiles_do_not_overlap_and_stay_within():
    assert list(tiles(hourly(START, 72), START, START + timedelta(days=2, hours=23), every=DAY)) == [
        (START, START + DAY),
        (START + DAY, START + 2 * DAY),
    ]


# -- labels that come late -----------------------------------------------------------------------------------------------


def capture_scored(project, day, *, rows=400, mean=0.0, falls=False):
    """Capture a day whose predictions rank as they did at evaluation (AUC about .7), or the other way round; return its labels."""
    random = np.random.default_rng(100 + day)
    label = random.random(rows) < 0.5
    score = random.normal(np.where(label, 0.74, 0.0) * (-1 if falls else 1), 1.0)
    capture(project, day, rows=rows, mean=mean, probability=list(1 / (1 + np.exp(-score))))
    return [{"prediction_id": f"{day}-1-{n}", "label": bool(truth)} for n, truth in enumerate(label)]


def by_file(project, labels, tmp_path):
    pl.DataFrame(labels).write_ndjson(tmp_path / "labels.jsonl")
    project.label_files.add("delay", tmp_path / "labels.jsonl")


def by_request(project, labels, _):
    """Keep the labels as an endpoint keeps those of `POST /labels`."""
    first = Header(endpoint="delay", revision=1, model="delay", version=1, bundle="b", inputs=(), outputs=())
    now = now_micros(project.clock.now())
    ids, values = [label["prediction_id"] for label in labels], [label["label"] for label in labels]
    writer = CaptureWriter(project.captures.folder("delay"), first)
    writer.write(
        [(encode(LabelRows(ids=ids, labels=values, label_times=[now] * len(ids), received_time=now)), len(ids))]
    )
    writer.close()


def looks(project):
    """Return day, look and alarm of each window that was examined."""
    found = [e.body for e in project.ledger.stream("monitor/delay").events() if e.type == "window.examined"]
    return [(body["start"][8:10], body["look"], body["alarm"]) for body in found]


def alerts_open(project):
    return {a.alert.group: a.repeats for a in project.alerts.outbox().alerts.values() if a.open}


@pytest.mark.parametrize("door", [by_file, by_request])
@pytest.mark.parametrize("falls", [True, False])
def test_a_watch_alerts_when_labels_that_come_days_later_show_a_worse_model(project, tmp_path, door, falls):
    labels = [label for day in range(3) for label in capture_scored(project, day, falls=falls)]
    run_watch(project, 3, days=3)
    assert alerts_open(project) == {}
    project.clock.hold(START + 4.5 * DAY)
    door(project, labels, tmp_path)
    run_watch(project, 4.5, days=6)
    assert looks(project)[3:] == [("01", 2, falls), ("02", 2, falls), ("03", 2, falls)]
    assert alerts_open(project) == ({"delay/drift/labels": 2} if falls else {})


def test_a_window_is_looked_at_again_at_stated_shares_and_ages_and_then_no_more(project, tmp_path):
    labels = capture_scored(project, 0)
    run_watch(project, 1, days=1)
    # day → share of labels by then: 5% and 30% of the way to the next step are no reason to look, 10, 50, 90% are, and 7 and 30 days
    given, seen = 0, []
    for day, share in [(2, 0.05), (3, 0.3), (4, 0.4), (5, 0.6), (6, 0.7), (8.1, 0.8), (9, 0.85), (31.1, 0.86), (31.2, 0.95), (40, 1.0)]:  # fmt: skip
        project.clock.hold(START + day * DAY)
        by_file(project, labels[given : int(share * 400)], tmp_path)
        given = int(share * 400)
        run_watch(project, day, days=99, beats=13)
        seen.append(len(looks(project)))
    assert seen == [1, 2, 2, 3, 3, 4, 4, 5, 6, 6]
    assert seen[-1] == LOOKS


def test_labels_that_come_late_do_not_alarm_again_on_drift_that_was_told(project, tmp_path):
    labels = capture_scored(project, 0, mean=2.0)
    run_watch(project, 1, days=1)
    assert alerts_open(project) == {"delay/drift": 0}
    project.clock.hold(START + 3 * DAY)
    by_file(project, labels, tmp_path)
    (again,) = [one for one in run_watch(project, 3, days=2)[-1:] if one.report.labelled]
    assert (again.report.alarm, again.report.columns) == (False, ())
    assert alerts_open(project) == {"delay/drift": 0}


def test_a_monitor_that_ignores_which_look_it_is_does_not_alarm_twice_on_drift(project, tmp_path, monkeypatch):
    real = DriftMonitor.signals
    monkeypatch.setattr(DriftMonitor, "signals", lambda self, w, s: real(self, msgspec.structs.replace(w, look=1), s))
    labels = capture_scored(project, 0, mean=2.0)
    run_watch(project, 1, days=1)
    project.clock.hold(START + 3 * DAY)
    by_file(project, labels, tmp_path)
    run_watch(project, 3, days=2)
    assert looks(project) == [("01", 1, True), ("01", 2, False)]


def test_a_watcher_that_starts_anew_goes_on_with_the_looks_where_the_last_was(project, tmp_path):
    labels = capture_scored(project, 0)
    run_watch(project, 1, days=1)
    project.clock.hold(START + 2 * DAY)
    by_file(project, labels[:100], tmp_path)
    run_watch(project, 2, days=2)
    run_watch(project, 2.1, days=3, beats=13)  # nothing has come since
    project.clock.hold(START + 3 * DAY)
    by_file(project, labels[100:], tmp_path)
    run_watch(project, 3, days=3)
    assert [look for _, look, _ in looks(project)] == [1, 2, 3]


def test_windows_that_have_no_labels_yet_do_not_end_an_alarm_of_labels_and_two_calm_ones_do(project, tmp_path):
    labels = {day: capture_scored(project, day, falls=day == 0) for day in range(6)}
    run_watch(project, 1, days=1)
    project.clock.hold(START + 2 * DAY)
    by_file(project, labels[0], tmp_path)
    run_watch(project, 6, days=7)
    assert alerts_open(project) == {"delay/drift/labels": 0}
    project.clock.hold(START + 6.5 * DAY)
    by_file(project, labels[1] + labels[2], tmp_path)
    run_watch(project, 6.5, days=9)
    assert alerts_open(project) == {}


# -- the verbs -----------------------------------------------------------------------------------------------------------


DAYS = ["--from", "2026-03-01", "--to", "2026-03-02"]


def test_run_prints_the_report_and_check_exits_with_4_on_an_alarm(project, verb):
    capture(project, 0, mean=2.0)
    assert verb("monitor", "run", "delay", *DAYS)[0] == 0
    code, out, err = verb("monitor", "run", "delay", *DAYS, "--check")
    assert code == 4
    assert out.startswith("ALARM: 1 of 1 columns drifted: x\n")
    assert "drifted: x" in err


def test_check_does_not_pass_where_nothing_was_compared(project, verb):
    capture(project, 0, rows=5)
    code, out, _ = verb("monitor", "run", "delay", *DAYS)
    assert (code, out.startswith("not compared: 5 rows are too few")) == (0, True)
    code, _, err = verb("monitor", "run", "delay", *DAYS, "--check")
    assert (code, "nothing was compared" in err) == (1, True)


def test_a_step_that_checks_does_not_pass_where_nothing_was_compared():
    idle = SimpleNamespace(examine=lambda *_: [], pump=lambda: SimpleNamespace(reasons={}))
    params = MonitorParams(endpoint="e", start="2026-03-01", end="2026-03-02", check=True)
    with pytest.raises(DataError, match="nothing was compared: there is no prediction"):
        _run(params, SimpleNamespace(step="watch", log=print), monitoring=idle, alerts=idle)


def test_a_window_that_ends_before_it_begins_is_refused(project, verb):
    capture(project, 0)
    code, _, err = verb("monitor", "run", "delay", "--from", "2026-03-02", "--to", "2026-03-01")
    assert (code, "begins at 2026-03-02" in err) == (2, True)


def test_run_as_json_is_one_document_that_is_the_report(project, verb):
    capture(project, 0, mean=2.0)
    (said,) = json.loads(verb("monitor", "run", "delay", *DAYS, "--json")[1])
    assert msgspec.convert(said["report"], Report).alarm
    assert project.blobs.get(said["digest"])


def seen_by_page(project, monkeypatch, *spans):
    """Examine a day, or from one day to another, each; return for each the days on which the windows before began that its page got."""
    seen = []
    monkeypatch.setattr(DriftMonitor, "page", lambda _, __, window: seen.append(window.past))
    for span in spans:
        start, end = span if isinstance(span, tuple) else (span, span + 1)
        project.monitoring.examine("delay", START + start * DAY, START + end * DAY)
    return [[int(each.start[8:10]) - 1 for each in past] for past in seen]


def test_a_page_gets_the_windows_before_and_no_later_one(project, monkeypatch):
    for day in range(3):
        capture(project, day)
    assert seen_by_page(project, monkeypatch, 0, 2, 1, 2) == [[], [0], [0], [0, 1]]


def test_the_signals_of_a_monitor_get_no_windows_before(project, monkeypatch):
    capture(project, 0)
    capture(project, 1)
    seen = []
    monkeypatch.setattr(DriftMonitor, "signals", lambda _, window, __: seen.append(window.past) or Signals())
    alarms(project, [0, 1])
    assert seen == [(), ()]


def test_windows_of_another_length_and_windows_that_overlap_are_left_out_of_the_trend(project, monkeypatch):
    for day in range(8):
        capture(project, day)
    assert seen_by_page(project, monkeypatch, (0, 5), (5.5, 6.5), 5, 6, 7)[-1] == [5, 6]


def test_a_page_gets_the_newest_thirty_windows(project, monkeypatch):
    monkeypatch.setattr(past, "MOST", 2)
    for day in range(4):
        capture(project, day)
    assert seen_by_page(project, monkeypatch, 0, 1, 2, 3)[-1] == [1, 2]


def test_a_window_whose_report_is_gone_stays_in_the_trend_with_what_its_event_says(project, monkeypatch):
    capture(project, 0, mean=3.0)
    got = []
    monkeypatch.setattr(DriftMonitor, "page", lambda _, __, window: got.extend(window.past))
    (first,) = project.monitoring.examine("delay", START, START + DAY)
    project.storage.delete(key_of(first.digest))
    capture(project, 1)
    project.monitoring.examine("delay", START + DAY, START + 2 * DAY)
    assert [(each.rows, each.alarm, each.columns) for each in got] == [(200, True, ())]


def test_the_trend_has_the_columns_of_the_first_look_and_the_metrics_of_the_last(project, monkeypatch):
    capture(project, 0)
    capture(project, 1)
    numbers = {
        1: Number(name="x", kind="drift", effect=0.1, threshold=0.2),
        2: Number(name="auc", kind="performance", value=0.6),
    }
    monkeypatch.setattr(DriftMonitor, "signals", lambda _, window, __: Signals(numbers=(numbers[window.look],)))
    got = []
    monkeypatch.setattr(DriftMonitor, "page", lambda _, __, window: got.extend(window.past))
    for look in (1, 2):
        project.monitoring.examine("delay", START, START + DAY, look=look, looks=6)
    project.monitoring.examine("delay", START + DAY, START + 2 * DAY)
    assert [([column["column"] for column in each.columns], each.metrics) for each in got] == [(["x"], {"auc": 0.6})]


def test_run_writes_the_page_where_it_is_told_to(project, verb, tmp_path):
    capture(project, 0)
    assert verb("monitor", "run", "delay", *DAYS, "--html", tmp_path / "page.html", "--check")[0] == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_run_says_of_an_alert_that_is_not_delivered_which_alerter_failed_and_why(monitored, verb, install_plugin):
    install_plugin(
        "import msgspec\nfrom mlopsfw import Provider, hookimpl\nfrom mlopsfw.errors import DeliveryFailed\n"
        "class C(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass\n"
        "class Bell:\n    def deliver(self, alert): raise DeliveryFailed('the rope is torn')\n"
        "@hookimpl\ndef mlopsfw_alerters(): yield Provider('bell', C, lambda config, host: Bell(), '')\n",
        "alerter.bell",
    )
    capture(monitored(f'{TOML}\n[[alerter]]\nuse = "bell"\nname = "tower"\n'), 0, mean=2.0)
    code, _, err = verb("monitor", "run", "delay", *DAYS)
    assert code == 0
    assert "An alert was raised and could not be delivered:" in err
    assert "tower" in err
    assert "the rope is torn" in err


def test_run_without_alert_raises_none(project, verb):
    capture(project, 0, mean=2.0)
    verb("monitor", "run", "delay", *DAYS, "--no-alert")
    assert project.alerts.outbox().alerts == {}


def test_dates_are_those_of_the_zone(project, verb):
    capture(project, 0)
    capture(project, 1)
    (said,) = json.loads(verb("monitor", "run", "delay", *DAYS, "--zone", "America/New_York", "--json")[1])
    assert (said["report"]["start"], said["report"]["end"]) == ("2026-03-01T05:00:00Z", "2026-03-02T05:00:00Z")


def test_a_window_without_predictions_a_wrong_time_and_a_wrong_zone_are_errors_that_say_so(project, verb):
    capture(project, 0)
    code, _, err = verb("monitor", "run", "delay", "--from", "2027-01-01", "--to", "2027-01-02")
    assert (code, "no prediction between" in err) == (1, True)
    code, _, err = verb("monitor", "run", "delay", "--from", "yesterday")
    assert (code, "is not a time with a zone" in err) == (1, True)
    assert verb("monitor", "run", "delay", "--zone", "Mars")[0] == 2


def test_a_window_has_the_columns_that_the_role_promises_and_no_other(project):
    capture(project, 0)
    start, end = project.windows.span("delay")
    (window,) = project.windows.cut("delay", start, end + timedelta(seconds=1))
    columns = set(window.rows.column_names)
    assert {"prediction_id", "event_time", "processed_time", "x", "probability"} <= columns
    assert not columns & {"model", "version", "bundle", "revision", "client_request_id", "client_request_row"}


def test_replay_and_report_list_the_windows_in_order(project, verb):
    for day, mean in enumerate([0.0, 2.0, 0.0]):
        capture(project, day, mean=mean)
    replayed = json.loads(verb("monitor", "replay", "delay", "--every", "1d", "--json")[1])
    assert [(w["start"][:10], w["alarm"]) for w in replayed] == [("2026-03-01", ""), ("2026-03-02", "ALARM")]
    reported = json.loads(verb("monitor", "report", "delay", "--json")[1])
    assert [w["report"] for w in reported] == [w["report"] for w in replayed]


def test_a_name_cannot_drive_the_terminal(capsys):
    report = Report(
        monitor="drift", endpoint="e", model="m", version=1, start="s", end="e", rows=1, alarm=True,
        summary="\x1b[2Jx", columns=({"column": "\x1b]0;t\a", "drifted": True},),
    )  # fmt: skip
    _show([Examined(report, "d", None)], as_json=False)
    out = capsys.readouterr().out
    assert "\\x1b[2Jx" in out
    assert "\\x1b]0;t\\x07" in out
    assert out.count("\x1b") == out.count("\x1b[0m") * 2  # none but our own colours


def test_alerts_are_listed_acknowledged_silenced_resolved_and_delivered(project, verb):
    alert = project.alerts.raise_("delay/drift", "warning", "Drift", "text")
    (listed,) = json.loads(verb("alerts", "list", "--json")[1])
    assert (listed["id"], listed["state"]) == (alert.id, "firing")
    assert alert.id[:8] in verb("alerts", "list")[1]
    assert verb("alerts", "ack", alert.id[:6])[0] == 0
    assert verb("alerts", "silence", "delay", "--for", "4h")[0] == 0
    assert verb("alerts", "silence", "delay", "--for", "soon")[0] == 2
    assert json.loads(verb("alerts", "pump", "--json")[1]) == {"delivered": 0, "failed": 0, "waiting": 0, "reasons": {}}
    assert verb("alerts", "resolve", "delay/drift")[0] == 0
    code, _, err = verb("alerts", "resolve", "delay/drfit")
    assert (code, "no alert of group" in err) == (2, True)
    assert json.loads(verb("alerts", "list", "--open", "--json")[1]) == []
