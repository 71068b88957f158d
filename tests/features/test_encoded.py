"""Rows for trees: those that are held out to stop a training."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features.encoded import held_out, training_rows
from mlopsfw.kernel.roles.training import TrainingTask

ROWS = pl.DataFrame(
    {
        "x": np.arange(10.0),
        "when": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=int(day)) for day in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0)],
        "weight": [0.0] * 3 + [1.0] * 7,
        "y": [0, 1] * 5,
    }
)


def held(share, **options):
    task, data = TrainingTask(task="binary", target="y", features=("x",), **options), TableHandle.of(ROWS)
    _, rows = training_rows(data, task)
    return held_out(rows, data, task, share)


def test_a_category_has_a_place_of_its_own_from_its_third_row_on():
    rows = pl.DataFrame({"name": ["often"] * 3 + ["seldom"] * 2, "y": [0.0, 1.0, 2.0, 3.0, 4.0]})
    columns, encoded = training_rows(TableHandle.of(rows), TrainingTask(task="regression", target="y"))
    assert columns.encodings[0].categories == ("often",)
    assert np.isnan(encoded.numbers[:, 0]).tolist() == [False] * 3 + [True] * 2


def test_the_latest_rows_are_held_out_where_there_is_an_event_time():
    learned, stopping = held(0.25, time="when")
    assert stopping.numbers[:, 0].tolist() == [0.0, 1.0]
    assert len(learned.labels) == 8


def test_without_an_event_time_rows_are_drawn_by_the_seed():
    drawn = {tuple(held(0.3, seed=seed)[1].numbers[:, 0]) for seed in range(5)}
    assert len(drawn) > 1
    assert all(len(each) == 3 for each in drawn)


def test_rows_without_weight_stop_no_training():
    learned, stopping = held(0.3, time="when", weight="weight")
    assert stopping is None
    assert len(learned.labels) == 10
    assert held(0.05)[1] is None
