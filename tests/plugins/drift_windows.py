"""Windows of captured predictions, and the baselines to compare them with, for the tests of the drift monitor."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl

from mlopsfw.kernel.roles.monitoring import Baseline, Window
from mlopsfw.monitoring.reporting import examine as report_on
from mlopsfw.monitoring.settings import AlarmRule
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


def against(current, reference):
    """Return the window with its baseline."""
    return msgspec.structs.replace(current, baseline=reference)


def examine(current, reference, **options):
    """Return the report: the signals of the monitor, and the decision, as every verb makes it."""
    rule = AlarmRule(**{name: options.pop(name) for name in ("alarm", "share") if name in options})
    report, _ = report_on("drift", DriftMonitor(DriftConfig(**options)), against(current, reference), rule)
    return report
