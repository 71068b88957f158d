"""The drift monitor names what changed, keeps its false-alarm budget, and draws a page that can harm nobody."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from drift_windows import ROWS, against, baseline, examine, make, window
from scipy import stats

from mlopsfw.kernel.roles.monitoring import Baseline
from mlopsfw.testing.monitor import MonitorConformance
from mlopsfw_core import Reference, design_effect
from mlopsfw_monitor_drift import DriftConfig
from mlopsfw_monitor_drift.groups import clustering, concentration, days, design_effects, student_quantile, student_tail
from mlopsfw_monitor_drift.monitor import DriftMonitor, columns_alpha
from mlopsfw_monitor_drift.shapes import shape_of
from mlopsfw_monitor_drift.timeline import by_day
from mlopsfw_monitor_drift.trend import columns, metrics


@pytest.fixture
def rng():
    return np.random.default_rng(20)


class TestDriftMonitor(MonitorConformance):
    @pytest.fixture
    def monitor(self):
        return DriftMonitor(DriftConfig())

    @pytest.fixture
    def calm(self, rng):
        return against(window(make(rng)), baseline(make(rng)))

    @pytest.fixture
    def changed(self, rng):
        return against(window(make(rng, shift=0.5, mix=(0.2, 0.3, 0.5))), baseline(make(rng)))


CHANGES = {
    "a shift": ({"shift": 0.4}, "number", "ks"),
    "another mix": ({"mix": (0.3, 0.3, 0.4)}, "kind", "chisquare"),
    "missing values": ({"missing": 0.3}, "number", "missing"),
}


@pytest.mark.parametrize(("change", "column", "statistic"), CHANGES.values(), ids=CHANGES.keys())
def test_the_column_that_changed_is_named_first_and_alone(rng, change, column, statistic):
    report = examine(window(make(rng, **change)), baseline(make(rng)))
    assert [f.subject for f in report.findings] == [column]
    assert (report.columns[0]["column"], report.columns[0]["statistic"]) == (column, statistic)
    assert repr(column) in report.findings[0].message


def test_two_swapped_columns_are_named_first(rng):
    frame = make(rng).with_columns(other=pl.lit(5.0) + pl.Series(rng.exponential(3, ROWS)))
    kept = baseline(frame)
    kept = msgspec.structs.replace(kept, profile={**kept.profile, "other": Reference.fit(frame["other"]).to_dict()})
    swapped = make(rng).with_columns(other=pl.lit(5.0) + pl.Series(rng.exponential(3, ROWS)))
    swapped = swapped.rename({"number": "other", "other": "number"})
    assert {f.subject for f in examine(window(swapped), kept).findings[:2]} == {"number", "other"}


def test_a_column_that_disappears_or_changes_type_is_critical(rng):
    kept = baseline(make(rng))
    gone = examine(window(make(rng).drop("number")), kept).findings[0]
    retyped = examine(window(make(rng).with_columns(pl.lit("text").alias("number"))), kept).findings[0]
    assert [(f.subject, f.severity) for f in (gone, retyped)] == [("number", "critical")] * 2


def test_findings_are_ranked_by_drift_times_importance(rng):
    current = window(make(rng, shift=1.0, mix=(0.3, 0.3, 0.4)))
    kept = baseline(make(rng), importance={"number": 0.01, "kind": 0.99})
    assert [f.subject for f in examine(current, kept).findings] == ["kind", "number"]


def test_an_alarm_can_ask_for_columns_that_carry_the_model(rng):
    current = window(make(rng, shift=1.0))
    kept = baseline(make(rng), importance={"number": 0.1, "kind": 0.9})
    assert examine(current, kept).alarm
    assert not examine(current, kept, alarm="importance").alarm
    assert not examine(current, kept, alarm="share").alarm


def test_a_model_that_has_grown_worse_is_found_by_its_labels_although_no_column_moved(rng):
    kept = baseline(make(rng), metrics={"auc": 0.92, "rows": ROWS})
    worse = examine(window(make(rng, quality=1.0), labelled=True), msgspec.structs.replace(kept, profile={}))
    assert worse.alarm
    assert [(f.kind, f.subject) for f in worse.findings] == [("performance", "auc")]
    assert worse.metrics["auc"] < 0.85
    assert worse.labelled == ROWS


def test_a_base_rate_that_moved_is_found_by_the_log_loss_although_the_ranking_holds(rng):
    def rate(share):
        frame = make(rng).with_columns(probability=pl.lit(0.2) + 0.2 * pl.Series(rng.random(ROWS)))
        return frame.with_columns(label=pl.Series(rng.random(ROWS)) < share * pl.col("probability") / 0.3)

    kept = msgspec.structs.replace(
        baseline(rate(0.3)), profile={}, metrics={"auc": 0.58, "log_loss": 0.61, "rows": ROWS}
    )
    assert not examine(window(rate(0.3), labelled=True), kept).alarm
    report = examine(window(rate(0.6), labelled=True), kept)
    assert [f.subject for f in report.findings] == ["log_loss"]


def test_a_drop_that_sampling_explains_is_no_alarm(rng):
    kept = msgspec.structs.replace(baseline(make(rng)), profile={}, metrics={"auc": 0.92})
    alarms = [examine(window(make(rng, 250), labelled=True), kept).alarm for _ in range(60)]
    assert sum(alarms) <= 3  # at alpha = .01


def test_the_probabilities_of_several_classes_are_compared_class_by_class(rng):
    def frame(tilt):
        raw = rng.dirichlet([2 + tilt, 2, 2], ROWS)
        return make(rng).with_columns(probabilities=pl.Series(raw.tolist())), raw

    (_, before), (now, _) = frame(0), frame(3)
    profile = {f"probabilities[{c}]": Reference.fit(before[:, i]).to_dict() for i, c in enumerate("xyz")}
    kept = Baseline(profile=profile, task="multiclass", target="t", outputs=("probabilities",), classes=("x", "y", "z"))
    report = examine(window(now), kept)
    assert report.columns[0]["column"] == "probabilities[x]"
    assert {c["statistic"] for c in report.columns} == {"ks"}


TRIALS = [pytest.param(40, id="push"), pytest.param(200, id="nightly", marks=pytest.mark.nightly)]
"""Windows that are examined, where at most one in twenty may alarm."""


@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("rows", [250, 1000, 5000])
def test_without_drift_windows_alarm_no_more_often_than_the_budget(rng, rows, trials):
    kept, budget = baseline(make(rng, 20_000)), 0.05
    alarms = sum(examine(window(make(rng, rows)), kept, alpha=budget, threshold=0.0).alarm for _ in range(trials))
    assert alarms / trials <= budget + 3 * np.sqrt(budget * (1 - budget) / trials)


def clustered(rng, days, per_day, likeness):
    """Rows of so many days, of which a share `likeness` of the variance is the day's."""
    day = np.repeat(np.arange(days), per_day)
    rows = day.size

    def draw():
        return np.sqrt(likeness) * rng.normal(size=days)[day] + np.sqrt(1 - likeness) * rng.normal(size=rows)

    numbers = {f"n{i}": draw() for i in range(4)}
    kinds = {f"k{i}": np.array(["a", "b", "c"])[np.digitize(draw(), [-0.5, 0.8])] for i in range(4)}
    moments = 1_364_947_200_000_000 + (day * 86_400 + rng.integers(0, 86_400, rows)) * 1_000_000
    times = pl.Series(moments).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.DataFrame({"prediction_id": [str(i) for i in range(rows)], "event_time": times, **numbers, **kinds})


def clustered_baseline(frame):
    profile = {c: Reference.fit(frame[c], name=c).to_dict() for c in frame.columns[2:]}
    return Baseline(profile=profile, task="binary", target="t", outputs=())


@pytest.mark.slow
@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("likeness", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("days_", [5, 7, 30])
def test_rows_that_are_alike_by_day_alarm_no_more_often_than_the_budget(rng, days_, likeness, trials):
    budget, alarms = 0.05, 0
    for _ in range(trials):
        kept = clustered_baseline(clustered(rng, 90, 60, likeness))
        current = clustered(rng, days_, 60, likeness).with_columns(label=pl.lit(0))
        alarms += examine(window(current), kept, alpha=budget, threshold=0.0).alarm
    assert alarms / trials <= budget + 3 * np.sqrt(budget * (1 - budget) / trials)


def by_mood(rng, days_, per_day, kinds, likeness):
    """Categories cut from one number: whatever a day's mood is, all of them move with it."""
    day = np.repeat(np.arange(days_), per_day)
    number = np.sqrt(likeness) * rng.normal(size=days_)[day] + np.sqrt(1 - likeness) * rng.normal(size=day.size)
    weights = np.cumsum(1 / np.arange(1, kinds + 1))
    return np.digitize(number, stats.norm.ppf((weights / weights[-1])[:-1]))


def by_mix(rng, days_, per_day, kinds, likeness):
    """Categories of which every day has a mix of its own (Dirichlet)."""
    weights = 1 / np.arange(1, kinds + 1)
    mixes = rng.dirichlet(weights / weights.sum() * (1 - likeness) / likeness, size=days_).cumsum(axis=1)
    drawn = rng.random((days_, per_day, 1)) > mixes[:, None, :]
    return np.minimum(drawn.sum(axis=2), kinds - 1).ravel()


@pytest.mark.slow
@pytest.mark.parametrize("trials", TRIALS)
@pytest.mark.parametrize("kind", [(by_mood, 10, 0.1), (by_mix, 10, 0.2), (by_mix, 40, 0.05)])
@pytest.mark.parametrize("days_", [7, 14])
def test_many_categories_that_are_alike_by_day_keep_the_budget(rng, days_, kind, trials):
    draw, kinds, likeness = kind

    def frame(days_):
        times = clustered(rng, days_, 60, 0.0).select("prediction_id", "event_time")
        names = np.array([f"kind {k}" for k in range(kinds)])
        return times.with_columns(**{f"c{i}": names[draw(rng, days_, 60, kinds, likeness)] for i in range(5)})

    budget, alarms = 0.05, 0
    for _ in range(trials):
        kept = clustered_baseline(frame(90))
        alarms += examine(window(frame(days_).with_columns(label=pl.lit(0))), kept, alpha=budget, threshold=0.0).alarm
    assert alarms / trials <= budget + 3 * np.sqrt(budget * (1 - budget) / trials)


def test_categories_move_in_as_many_dimensions_as_they_do(rng):
    groups = np.repeat(np.arange(50), 200)
    one = pa.chunked_array([np.char.add("k", by_mood(rng, 50, 200, 8, 0.5).astype(str))])
    many = pa.chunked_array([np.char.add("k", by_mix(rng, 50, 200, 8, 0.2).astype(str))])
    holes = pa.chunked_array([pa.array([None, "a"] * 5000)])
    found = [clustering(column, groups) for column in (one, many, holes)]
    assert [each.cells for each in found] == [7, 7, 1]
    assert found[0].moving < 2.5 < found[1].moving <= 7
    reference = Reference.fit(pl.Series(pl.from_arrow(one)))
    assert found[0].mean == pytest.approx(design_effect(reference, one, groups))
    assert concentration(7, 7.0, 0.01) == pytest.approx(1)
    assert concentration(7, 1.0, 0.01) == pytest.approx(7 * stats.chi2.isf(0.01, 1) / stats.chi2.isf(0.01, 7), rel=0.03)


def test_days_that_are_more_alike_than_chance_cost_nothing(rng):
    timetable = [f"to {k}" for k in range(50) for _ in range(8)]
    groups = np.repeat(np.arange(28), 400)
    flown = np.array(timetable * 28)
    flown[rng.integers(0, flown.size, 28)] = "to 7"  # hardly ever is one diverted
    column = pa.chunked_array([flown])
    assert clustering(column, groups).mean < 0.1
    effects = design_effects({"to": Reference.fit(timetable, name="to")}, pa.table({"to": column}), groups, 1.0, 0.05)
    assert effects == {"to": 1.0}


def test_what_is_known_of_grouping_counts_where_a_window_is_too_short_to_show_it(rng):
    kept = clustered_baseline(clustered(rng, 90, 200, 0.1))
    today = window(clustered(rng, 1, 400, 0.1).with_columns(label=pl.lit(0)))
    assert examine(today, kept, alpha=0.05).alarm
    assert not examine(today, kept, alpha=0.05, design_effect=40.0).alarm


@pytest.mark.parametrize(
    ("days_", "config", "said"), [(1, {}, True), (4, {}, True), (5, {}, False), (1, {"group": "none"}, False)]
)
def test_a_window_of_too_few_days_to_learn_from_says_so(rng, days_, config, said):
    current = clustered(rng, days_, 300, 0.0)
    report = examine(window(current.with_columns(label=pl.lit(0))), clustered_baseline(current), **config)
    assert [(f.subject, f.severity) for f in report.findings] == [("event_time", "info")] * said
    assert not report.alarm


@pytest.mark.parametrize(
    ("days_", "group", "says"),
    [
        (1, "day", "One day of data cannot show how strongly rows of the same day correlate."),
        (3, "day", "3 days of data cannot show how strongly rows of the same day correlate."),
        (1, "who", "One value of 'who' cannot show how strongly rows of the same who correlate."),
    ],
)
def test_the_caveat_of_a_short_window_is_a_plain_sentence(rng, days_, group, says):
    current = clustered(rng, days_, 300, 0.0)
    seen = window(current.with_columns(who=pl.lit("a"), label=pl.lit(0)))
    (finding,) = examine(seen, clustered_baseline(current), group=group).findings
    assert finding.message.startswith(says)


def test_the_looks_at_a_window_share_the_level_of_what_labels_say(rng):
    frame = make(rng, 400)
    kept = msgspec.structs.replace(baseline(make(rng)), profile={})
    seen = window(of_one_day(frame), labelled=True)
    worse = next(
        found
        for auc in np.linspace(0.8, 1.0, 200)
        if (found := examine(seen, msgspec.structs.replace(kept, metrics={"auc": auc, "rows": ROWS}))) and found.alarm
    )
    assert 0.001 < worse.findings[0].pvalue <= 0.005
    later = msgspec.structs.replace(seen, look=2, looks=6)
    before = {"auc": worse.findings[0].threshold + 0.02, "rows": ROWS}
    assert not examine(later, msgspec.structs.replace(kept, metrics=before)).alarm


def test_a_window_whose_labels_may_come_later_keeps_half_of_its_level_for_them():
    early = window(make(np.random.default_rng(1), 50))
    assert columns_alpha(msgspec.structs.replace(early, labels=None), DriftConfig()) == 0.01
    assert columns_alpha(msgspec.structs.replace(early, labels=None, looks=6), DriftConfig()) == 0.005


def test_students_t_is_scipys():
    for freedom in (1, 2, 3, 4, 6, 9, 29, 200):
        for level in (0.5, 0.05, 1e-3, 1e-6):
            assert student_quantile(level, freedom) == pytest.approx(stats.t.isf(level / 2, freedom), rel=1e-6)
        for t in (-3.0, 0.0, 0.5, 2.0, 8.0):
            assert student_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-9, abs=1e-14)


def of_one_day(frame):
    return frame.with_columns(event_time=pl.col("event_time").min())


def test_a_day_of_labels_has_a_sampling_error_too(rng):
    kept = msgspec.structs.replace(baseline(make(rng)), profile={}, metrics={"auc": 0.92, "rows": ROWS})
    reports = [examine(window(of_one_day(make(rng, 300)), labelled=True), kept) for _ in range(100)]
    assert min(r.metrics["auc_standard_error"] for r in reports) > 0
    assert sum(r.alarm for r in reports) <= 3  # at alpha = .01
    worse = examine(window(of_one_day(make(rng, quality=1.0)), labelled=True), kept)
    assert [f.subject for f in worse.findings if f.kind == "performance"] == ["auc"]


def test_a_metric_that_some_part_leaves_undefined_raises_no_alarm(rng):
    frame = make(rng, 300).with_columns(label=pl.Series([True] + [False] * 299), probability=pl.lit(0.1))
    report = examine(
        window(frame, labelled=True), Baseline(profile={}, task="binary", target="t", outputs=("probability",),
        classes=(False, True), metrics={"auc": 0.99}),
    )  # fmt: skip
    assert not report.alarm
    assert "auc_standard_error" not in report.metrics


def test_an_input_called_label_is_not_taken_for_the_label(rng):
    frame = make(rng)
    current = window(frame, labelled=True)
    named = msgspec.structs.replace(current, rows=frame.with_columns(label=pl.lit("input")).to_arrow())
    kept = baseline(make(rng), metrics={"auc": 0.92})
    assert examine(named, kept).metrics == examine(current, kept).metrics


def test_a_prediction_without_an_output_is_left_out_of_the_metrics(rng):
    frame = make(rng).with_columns(probability=pl.when(pl.int_range(ROWS) < ROWS - 100).then("probability"))
    assert examine(window(frame, labelled=True), baseline(make(rng))).labelled == ROWS - 100


def test_a_class_of_the_prediction_is_ranked_as_a_prediction(rng):
    raw = rng.dirichlet([2, 2, 2], ROWS)
    before = make(rng).with_columns(probabilities=pl.Series(raw.tolist()))
    names = [f"probabilities[{c}]" for c in "xyz"]
    profile = {n: Reference.fit(raw[:, i]).to_dict() for i, n in enumerate(names)}
    profile["number"] = Reference.fit(before["number"]).to_dict()
    kept = Baseline(
        profile=profile, task="multiclass", target="t", outputs=("probabilities",), classes=("x", "y", "z"),
        importance={"number": 0.1},
    )  # fmt: skip
    now = make(rng, shift=0.5).with_columns(probabilities=pl.Series(rng.dirichlet([5, 2, 2], ROWS).tolist()))
    first, *_ = examine(window(now), kept).findings
    assert first.subject == "probabilities[x]"
    assert first.message.startswith("the prediction")


def test_days_are_those_of_the_zone():
    times = pl.Series(["2013-04-01T03:59:00Z", "2013-04-01T04:00:00Z"]).str.to_datetime("%+", time_unit="us")
    rows = pl.DataFrame({"event_time": times}).to_arrow()
    assert np.diff(days(rows, "America/New_York")).tolist() == [1]
    assert np.diff(days(rows, "UTC")).tolist() == [0]


def test_the_page_shows_the_window_day_by_day_with_labels_where_they_came(rng):
    frame = make(rng)
    daily = by_day(window(frame, labelled=True), baseline(frame), "UTC")
    assert daily["rows"].sum() == daily["labelled"].sum() == ROWS
    assert np.average(daily["label"], weights=daily["rows"]) == pytest.approx(frame["label"].mean())
    monitor = DriftMonitor(DriftConfig())
    pages = [
        monitor.page(examine(w, baseline(frame)), against(w, baseline(frame)))
        for w in (window(frame, labelled=True), window(frame))
    ]
    assert ["mean label" in page for page in pages] == [True, False]
    assert all("Day by day" in page for page in pages)
    assert by_day(window(of_one_day(frame)), baseline(frame), "UTC") is None


def test_whole_numbers_are_plotted_without_combs(rng):
    values = pl.Series(rng.integers(5, 25, 4000))
    shape = shape_of(Reference.fit(values).to_dict(), values)
    assert (shape.labels[0], shape.labels[-1], len(shape.labels)) == ("5", "24", 21)
    assert shape.current.min() > 0.03
    assert shape.current.sum() == pytest.approx(1)


def weeks(rng, config, counts=(False, True, True)):
    """Examine a week after the other, the last with a worse model and a shift; return the last window with those before."""
    kept, past = baseline(make(rng), metrics={"auc": 0.9, "log_loss": 0.4, "rows": ROWS}), []
    for week, labelled in enumerate(counts):
        last = week == len(counts) - 1
        frame = make(rng, shift=0.5 * last, quality=0.5 if last else 2.0)
        span = {"start": f"2026-03-{1 + 7 * week:02}T00:00:00Z", "end": f"2026-03-{8 + 7 * week:02}T00:00:00Z"}
        current = against(msgspec.structs.replace(window(frame, labelled=labelled), **span), kept)
        past.append(examine(current, kept))
    return past[-1], msgspec.structs.replace(current, past=tuple(past[:-1])), config


def test_the_trend_has_every_metric_and_column_of_the_windows_with_its_bound(rng):
    report, current, config = weeks(rng, DriftConfig(metric_drop=0.03))
    reports = (*current.past, report)
    (auc,) = [each for each in metrics(reports, current, config) if each.name == "auc"]
    assert [point.value for point in auc.points] == [each.metrics.get("auc") for each in reports]
    assert [point.limit for point in auc.points] == [pytest.approx(0.87)] * 3
    assert [point.beyond for point in auc.points] == [False, False, True]
    number, *others = columns(reports)
    assert (number.name, [point.beyond for point in number.points]) == ("number", [False, False, True])
    assert {each.name for each in others} == {"kind", "probability"}
    assert number.points[2].limit == config.threshold


def test_a_bound_of_a_metric_ends_where_another_version_begins(rng):
    report, current, config = weeks(rng, DriftConfig())
    past = tuple(msgspec.structs.replace(each, version=7) for each in current.past)
    (auc,) = [each for each in metrics((*past, report), current, config) if each.name == "auc"]
    assert [point.limit is None for point in auc.points] == [True, True, False]


@pytest.mark.server
def test_a_real_browser_shows_the_trend_with_its_alarms_and_as_a_table(rng, browser):
    report, current, config = weeks(rng, DriftConfig())
    page = browser.open(DriftMonitor(config).page(report, current))
    section = page.partition("Trend over 3 windows")[2].partition("Day by day")[0]
    auc = section.partition("<figcaption>auc</figcaption>")[2].partition("</svg>")[0]
    assert auc.count("<circle") == 2  # the first week has no labels
    assert auc.count('class="lim"') == auc.count('class="out"') == auc.count('class="mark"') == 1
    assert section.count('<th scope="row">2026-03-') == 3
    assert f"<td>{report.metrics['auc']:.4g} !</td>" in section


def test_the_first_window_has_no_trend(rng):
    report, current, config = weeks(rng, DriftConfig(), counts=(True,))
    page = DriftMonitor(config).page(report, current)
    assert "Trend" not in page
    assert "<th>bound</tr>" in page


PAYLOADS = [
    "<script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    '"><svg onload="document.title=\'pwned\'">',
    "</title><script>document.title='pwned'</script>",
    "${title}$plots",
]
FETCHES = [
    "<img src=MARK/img>",
    "<script src=MARK/script></script>",
    "<link rel=stylesheet href=MARK/link>",
    "</style><style>@import 'MARK/import'; * { background: url(MARK/background) }",
    "<meta http-equiv=refresh content='0;url=MARK/refresh'>",
    '"><iframe src=MARK/frame></iframe>',
    "<svg><image href=MARK/image /></svg>",
]


def hostile_page(rng, payloads=PAYLOADS):
    frame = make(rng).with_columns(
        kind=pl.Series(rng.choice(payloads, ROWS)), **{p: pl.col("number") for p in payloads}
    )
    names = [*payloads, "kind"]
    kept = msgspec.structs.replace(
        baseline(make(rng)), profile={n: Reference.fit(frame[n], name=n).to_dict() for n in names}
    )
    moved = frame.with_columns(pl.col(p) + 2 for p in payloads).with_columns(kind=pl.lit(payloads[0]))
    current = msgspec.structs.replace(window(moved), endpoint=payloads[0], model=payloads[1])
    monitor, report = DriftMonitor(DriftConfig()), examine(current, kept)
    return monitor.page(report, msgspec.structs.replace(against(current, kept), past=(report,)))


def test_names_and_categories_are_escaped(rng):
    page = hostile_page(rng)
    assert "<script" not in page
    assert "<img" not in page
    assert 'onload="document' not in page
    assert "${title}" in page  # a name is not a template


@pytest.mark.server
def test_a_real_browser_executes_nothing_that_a_name_or_category_holds(rng, browser):
    out = browser.open(hostile_page(rng))
    assert "<svg" in out
    title = out[out.index("<title>") + 7 : out.index("</title>")]
    assert title != "pwned"
    assert "&lt;script&gt;" in title


@pytest.mark.server
def test_a_real_browser_fetches_nothing_that_a_name_or_category_holds(rng, browser):
    assert "<svg" in browser.open(hostile_page(rng, [payload.replace("MARK", browser.url) for payload in FETCHES]))
    assert browser.asked == []


def test_two_hundred_columns_make_a_page(rng):
    frame = pl.DataFrame({f"c{i}": rng.normal(size=500) for i in range(200)})
    kept = Baseline(
        profile={c: Reference.fit(frame[c], name=c).to_dict() for c in frame.columns},
        task="binary",
        target="t",
        outputs=(),
    )
    current = window(make(rng, 500).hstack(pl.DataFrame({f"c{i}": rng.normal(size=500) for i in range(200)})))
    monitor = DriftMonitor(DriftConfig())
    page = monitor.page(examine(current, kept), against(current, kept))
    assert page.count("<figure") == 200
    assert len(page) < 1_500_000


def test_every_option_is_documented_with_its_default():
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for field in msgspec.structs.fields(DriftConfig):
        (line,) = [
            line for line in page.splitlines() if line.startswith("| ") and f"`{field.name}`" in line.split("|")[1]
        ]
        if not isinstance(field.default_factory, type):
            assert json.dumps(field.default) in line, field.name
