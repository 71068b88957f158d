"""The drift monitor names what changed, keeps its false-alarm budget, and draws a page that can harm nobody."""

from __future__ import annotations

import shutil
import subprocess

import msgspec
import numpy as np
import polars as pl
import pytest

from mlopsfw.contracts.monitoring import Baseline, Window
from mlopsfw.testing.monitor import MonitorContract
from mlopsfw_core import Reference
from mlopsfw_monitor_drift import DriftConfig
from mlopsfw_monitor_drift.monitor import DriftMonitor

ROWS, DAYS = 4000, 20


def make(rng, rows=ROWS, *, shift=0.0, mix=(0.5, 0.3, 0.2), missing=0.0, quality=2.0):
    """Rows of 20 days with a score that follows the label, so that the AUC is known up to sampling."""
    label = rng.random(rows) < 0.3
    score = 1 / (1 + np.exp(-(rng.normal(0, 1, rows) + quality * label - 1)))
    number = rng.normal(shift, 1, rows)
    return pl.DataFrame(
        {
            "prediction_id": [f"p{i}" for i in range(rows)],
            "event_time": pl.Series(np.sort(rng.integers(0, DAYS * 86_400, rows)) * 1_000_000 + 1_365_000_000_000_000)
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC"),
            "number": pl.Series(
                [None if m else x for m, x in zip(rng.random(rows) < missing, number.tolist(), strict=True)],
                dtype=pl.Float64,
            ),
            "kind": rng.choice(["a", "b", "c"], rows, p=mix),
            "probability": score,
            "label": label,
        }
    )


def baseline(frame, **more):
    profile = {c: Reference.fit(frame[c], name=c).to_dict() for c in ("number", "kind", "probability")}
    facts = {"task": "binary", "target": "late", "outputs": ("probability",), "classes": (False, True)}
    return Baseline(profile=profile, **facts, **more)


def window(frame, *, labelled=False):
    labels = frame.select("prediction_id", "label").to_arrow() if labelled else None
    rows = frame.drop("label").to_arrow()
    span = {"start": "2013-04-03T14:40:00Z", "end": "2013-04-24T00:00:00Z"}
    return Window(endpoint="e", model="m", version=1, rows=rows, labels=labels, **span)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


class TestDriftMonitor(MonitorContract):
    @pytest.fixture
    def monitor(self):
        return DriftMonitor(DriftConfig())

    @pytest.fixture
    def calm(self, rng):
        return window(make(rng)), baseline(make(rng))

    @pytest.fixture
    def changed(self, rng):
        return window(make(rng, shift=0.5, mix=(0.2, 0.3, 0.5))), baseline(make(rng))


def examine(current, reference, **config):
    return DriftMonitor(DriftConfig(**config)).examine(current, reference)


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


@pytest.mark.slow
@pytest.mark.parametrize("rows", [250, 1000, 5000])
def test_without_drift_windows_alarm_no_more_often_than_the_budget(rng, rows):
    kept = baseline(make(rng, 20_000))
    budget, trials = 0.05, 200
    alarms = sum(examine(window(make(rng, rows)), kept, alpha=budget, threshold=0.0).alarm for _ in range(trials))
    assert alarms / trials <= budget + 3 * np.sqrt(budget * (1 - budget) / trials)


PAYLOADS = [
    "<script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    '"><svg onload="document.title=\'pwned\'">',
    "</title><script>document.title='pwned'</script>",
    "${title}$plots",
]


def hostile_page(rng):
    frame = make(rng).with_columns(
        kind=pl.Series(rng.choice(PAYLOADS, ROWS)), **{p: pl.col("number") for p in PAYLOADS}
    )
    names = [*PAYLOADS, "kind"]
    kept = msgspec.structs.replace(
        baseline(make(rng)), profile={n: Reference.fit(frame[n], name=n).to_dict() for n in names}
    )
    moved = frame.with_columns(pl.col(p) + 2 for p in PAYLOADS).with_columns(kind=pl.lit(PAYLOADS[0]))
    current = msgspec.structs.replace(window(moved), endpoint=PAYLOADS[0], model=PAYLOADS[1])
    monitor = DriftMonitor(DriftConfig())
    return monitor.page(monitor.examine(current, kept), current, kept)


def test_names_and_categories_are_escaped(rng):
    page = hostile_page(rng)
    assert "<script" not in page
    assert "<img" not in page
    assert 'onload="document' not in page
    assert "${title}" in page  # a name is not a template


@pytest.mark.server
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Debian's chromium is not installed")
def test_a_real_browser_executes_nothing_that_a_name_or_category_holds(rng, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(hostile_page(rng), encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"
    out = subprocess.run(
        ["chromium", *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, check=True, timeout=100,
    ).stdout  # fmt: skip
    assert "<svg" in out
    title = out[out.index("<title>") + 7 : out.index("</title>")]
    assert title != "pwned"
    assert "&lt;script&gt;" in title


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
    page = monitor.page(monitor.examine(current, kept), current, kept)
    assert page.count("<figure") == 200
    assert len(page) < 1_500_000
