"""The drift monitor and the decision together answer as they did when the monitor itself decided: reports of then are kept as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from drift_windows import baseline, examine, make, window

KEPT = Path(__file__).with_name("drift_reports.json")
IMPORTANCE = {"importance": {"number": 0.1, "kind": 0.9}}
METRICS = {"metrics": {"auc": 0.92, "log_loss": 0.4, "rows": 4000}}
CASES = {
    "calm": ({}, {}, {}, {}),
    "a shift": ({"shift": 0.4}, {}, {}, {}),
    "a shift by share": ({"shift": 0.4}, {}, {"alarm": "share"}, {}),
    "two of three by share": ({"shift": 0.4, "mix": (0.2, 0.3, 0.5)}, {}, {"alarm": "share", "share": 0.6}, {}),
    "a shift by importance": ({"shift": 0.4}, IMPORTANCE, {"alarm": "importance"}, {}),
    "another mix by importance": ({"mix": (0.3, 0.3, 0.4)}, IMPORTANCE, {"alarm": "importance"}, {}),
    "no importance known": ({"shift": 0.4}, {}, {"alarm": "importance"}, {}),
    "missing values": ({"missing": 0.3}, {}, {}, {}),
    "an absent column": ({}, {}, {}, {"drop": "number"}),
    "an absent column by share": ({}, {}, {"alarm": "share"}, {"drop": "number"}),
    "few rows": ({"rows": 20}, {}, {}, {}),
    "labels as good": ({}, METRICS, {}, {"labelled": True}),
    "labels show a worse model": ({"quality": 1.0}, METRICS, {}, {"labelled": True}),
    "worse by share": ({"quality": 1.0, "shift": 0.4}, METRICS, {"alarm": "share"}, {"labelled": True}),
    "a later look": ({"quality": 1.0, "shift": 0.9}, METRICS, {}, {"labelled": True, "look": 2}),
    "a later look at a good model": ({"shift": 0.9}, METRICS, {}, {"labelled": True, "look": 3}),
    "one day": ({"shift": 0.4}, {}, {}, {"day": True}),
}


def answer(name):
    made, known, config, seen = CASES[name]
    rng = np.random.default_rng(7)
    kept = baseline(make(rng), **known)
    frame = make(rng, **made)
    frame = frame.with_columns(event_time=pl.lit(frame["event_time"][0])) if seen.get("day") else frame
    frame = frame.drop(seen.get("drop", ()))
    current = window(frame, labelled=seen.get("labelled", False))
    look = seen.get("look", 1)
    current = msgspec.structs.replace(current, look=look, looks=6 if look > 1 else 1)
    report = msgspec.to_builtins(examine(current, kept, **config))
    return json.loads(
        json.dumps({key: report[key] for key in sorted(report) if key not in {"monitor", "labels_aside"}})
    )


def near(value):
    """Return the value with numbers that may differ in their last digits, as on another processor."""
    if isinstance(value, dict):
        return {key: _close(inner) if key == "pvalue" else near(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [near(inner) for inner in value]
    return pytest.approx(value, rel=1e-9, abs=1e-300) if isinstance(value, float) else value


def _close(value):
    """Return a p-value with fewer digits: of a tiny one, the processor's rounding changes the seventh."""
    return value if value is None else pytest.approx(value, rel=1e-6, abs=1e-300)


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_that_of_before(name):
    assert answer(name) == near(json.loads(KEPT.read_text())[name])
