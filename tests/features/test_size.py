"""What fits into memory is decided from rows and types, against the limit of the machine or of its container."""

from __future__ import annotations

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
