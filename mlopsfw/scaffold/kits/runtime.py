"""The runtime keeps the promises of its role."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mlopsfw.roles import Runtime, SignatureColumn, TrainedModel, TrainingTask
from mlopsfw.scaffold.runtime import SampleRuntime
from mlopsfw.testing.bundles import bundle_of
from mlopsfw.testing.runtime import RuntimeConformance


class TestSampleRuntime(RuntimeConformance):
    """The bundle is of a model that is made up: it doubles `x`."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Return the runtime."""
        return SampleRuntime()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return the folder of a bundle."""
        file = tmp_path / "model.json"
        file.write_text('{"bias": 1.0, "weights": {"x": 2.0}}', encoding="utf-8")
        inputs = (SignatureColumn(name="x", type="number", nullable=True),)
        trained = TrainedModel(inputs=inputs, files={"model.json": file}, formats={"sample": "model.json"})
        rows = pl.DataFrame({"x": [0.5 * n for n in range(64)], "y": [1.0 + n for n in range(64)]})
        task = TrainingTask(task="regression", target="y")
        return bundle_of(tmp_path / "bundle", SampleRuntime(), trained, task, rows)
