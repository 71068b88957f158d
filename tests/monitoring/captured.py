"""A clock that can be held, and predictions that an endpoint seems to have captured, for the tests of monitoring."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from mlopsfw.kernel.base.clock import SystemClock

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
TOML = '[[monitor]]\nuse = "drift"\n[monitor.drift]\nmin_rows = 50\n'


class HeldClock(SystemClock):
    """The clock of this machine until it is held: then it shows one moment."""

    held = None

    def hold(self, moment):
        self.held = moment.timestamp()

    def now(self):
        return super().now() if self.held is None else self.held

    def monotonic(self):
        return super().monotonic() if self.held is None else self.held


def numbers(rows, *, mean=0.0, seed=1):
    return np.random.default_rng(seed).normal(mean, 1, rows)


def capture(project, day, *, rows=200, mean=0.0, version=1, probability=None):
    times = [START + day * DAY + n * DAY / rows for n in range(rows)]
    frame = pl.DataFrame(
        {
            "prediction_id": [f"{day}-{version}-{n}" for n in range(rows)],
            "event_time": times,
            "processed_time": times,
            "model": "delay",
            "version": version,
            "bundle": "b",
            "revision": 1,
            "x": numbers(rows, mean=mean, seed=day),
            "probability": probability or [0.5] * rows,
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC"), "processed_time": pl.Datetime("us", "UTC")},
    )
    project.tables.append("captures/delay", frame)
