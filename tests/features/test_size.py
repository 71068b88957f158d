"""What fits into memory is decided from rows and types, against the limit of the machine or of its container."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features.size import matrix_fits, plan_fits
from mlopsfw.kernel.roles import engine
from mlopsfw.kernel.roles.training import TrainingTask


@pytest.mark.parametrize("fits", [plan_fits, matrix_fits])
@pytest.mark.parametrize(("limit", "expected"), [("16000\n", False), ("max\n", True), (None, True)])
def test_rows_fit_into_a_quarter_of_the_containers_memory_where_it_has_a_limit(
    tmp_path, monkeypatch, fits, limit, expected
):
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(limit)
    monkeypatch.setattr(engine, "_CGROUP", file)
    rows = TableHandle.of(pl.DataFrame({"x": [0.0] * 500, "y": [0, 1] * 250}))  # 8,000 bytes as a matrix
    assert fits(rows, None, TrainingTask(task="binary", target="y"), "") is expected


@pytest.mark.parametrize(
    ("values", "encoded"),
    [
        (pl.Series([datetime(2026, 1, 1, tzinfo=UTC)] * 100), 6 * 4),
        (pl.Series([date(2026, 1, 1)] * 100), 4 * 4),
        (pl.Series([True] * 100), 2 * 4),
        (pl.Series(["a" * 200] * 100), 208 + 8),  # a text is read as its bytes and 16 more, all others as 8
    ],
)
def test_a_row_takes_its_values_and_the_numbers_that_a_plan_makes_of_them(values, encoded):
    rows = TableHandle.of(pl.DataFrame({"x": values, "y": [0, 1] * 50}))
    task, size = TrainingTask(task="binary", target="y"), 100 * (8 + 8 + encoded)
    assert plan_fits(rows, None, task, f"{size}B")
    assert not plan_fits(rows, None, task, f"{size - 1}B")


@pytest.mark.parametrize(("characters", "expected"), [(5, True), (500, False)])
def test_long_texts_count_as_long_as_the_first_rows_have_them(characters, expected):
    rows = TableHandle.of(pl.DataFrame({"x": ["t" * characters] * 1000, "y": [0, 1] * 500}))
    assert plan_fits(rows, None, TrainingTask(task="binary", target="y"), "200kB") is expected
