"""What watching costs: a window of 100,000 rows examined, beside the bare comparison of its columns; its page; alerts delivered.

Peers are the parts: what grouping by day and the report add to `compare_table`, asserted to come to the same statistics.
"""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

from mlopsfw.kernel.roles.monitoring import Baseline, Window
from mlopsfw.monitoring.reporting import examine
from mlopsfw.monitoring.settings import AlarmRule
from mlopsfw.project.facade import Project
from mlopsfw_core import Reference, compare_table
from mlopsfw_monitor_drift import DriftConfig
from mlopsfw_monitor_drift.monitor import DriftMonitor

ROWS, NUMBERS, KINDS, DAYS = 100_000, 20, 5, 28


def draw(rng):
    moments = np.sort(rng.integers(0, DAYS * 86_400, ROWS)) * 1_000_000 + 1_365_000_000_000_000
    columns = {f"n{i:02}": rng.normal(size=ROWS) for i in range(NUMBERS)}
    columns |= {f"c{i}": rng.choice([f"category {k}" for k in range(40)], ROWS) for i in range(KINDS)}
    times = pl.Series(moments).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.DataFrame({"prediction_id": [str(i) for i in range(ROWS)], "event_time": times, **columns})


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    profile = {column.name: Reference.fit(column, name=column.name).to_dict() for column in draw(rng).iter_columns()}
    kept = {name: found for name, found in profile.items() if name not in {"prediction_id", "event_time"}}
    span = {"start": "2013-04-03T14:40:00Z", "end": "2013-05-01T14:40:00Z"}
    window = Window(endpoint="e", model="m", version=1, rows=draw(rng).to_arrow(), **span)
    return window, Baseline(profile=kept, task="binary", target="t", outputs=())


def best_of(function, rounds=3):
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


@pytest.mark.parametrize("group", ["none", "day"])
def test_a_window_of_100k_rows_by_25_columns(benchmark, case, group):
    window, baseline = case
    monitor, rule = DriftMonitor(DriftConfig(group=group)), AlarmRule()
    references = {name: Reference.from_dict(kept) for name, kept in baseline.profile.items()}
    report, _ = benchmark.pedantic(lambda: examine("drift", monitor, window, rule), rounds=3, warmup_rounds=1)
    bare = {drift.column: drift.value for drift in compare_table(references, window.rows)}
    if group == "none":
        assert {c["column"]: c["value"] for c in report.columns} == bare
    floor = best_of(lambda: compare_table(references, window.rows))
    print(
        f"\n    grouped by {group}: {benchmark.stats.stats.min * 1e3:.0f} ms; compare_table alone {floor * 1e3:.0f} ms"
    )


def test_its_page(benchmark, case):
    window, _ = case
    monitor = DriftMonitor(DriftConfig())
    report, _ = examine("drift", monitor, window, AlarmRule())
    page = benchmark.pedantic(lambda: monitor.page(report, window), rounds=3, warmup_rounds=1)
    print(f"\n    page: {benchmark.stats.stats.min * 1e3:.0f} ms, {len(page) // 1000} kB")


def test_a_hundred_alerts_raised_and_delivered(benchmark, tmp_path, capsys):
    (tmp_path / "mlopsfw.toml").write_text(
        '[project]\nname = "bench"\n[[alerter]]\nuse = "console"\n', encoding="utf-8"
    )
    with Project.open(tmp_path) as project:

        def run():
            for number in range(100):
                project.alerts.raise_(f"group {number}", "info", "title", "text")
            return project.alerts.pump()

        assert benchmark.pedantic(run, rounds=1).delivered == 100
        capsys.readouterr()
    print(f"\n    100 alerts raised and delivered, each twice durable: {benchmark.stats.stats.min:.2f} s")
