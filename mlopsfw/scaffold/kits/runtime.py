"""The runtime keeps the promises of its role."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mlopsfw.roles import Ability, Runtime, SignatureColumn, TrainedModel, TrainingContext, TrainingData, TrainingTask
from mlopsfw.scaffold.runtime import SampleRuntime
from mlopsfw.testing.runtime import RuntimeConformance


class MadeUp:
    """A trainer that learns nothing: its model doubles `x`."""

    tasks = frozenset({"regression"})
    abilities: tuple[Ability, ...] = ()

    def fit(
        self, task: TrainingTask, train: TrainingData, valid: TrainingData | None, context: TrainingContext
    ) -> TrainedModel:
        """Write the model's file."""
        file = context.scratch / "model.json"
        file.write_text('{"bias": 1.0, "weights": {"x": 2.0}}', encoding="utf-8")
        inputs = (SignatureColumn(name="x", type="number", nullable=True),)
        return TrainedModel(inputs=inputs, files={"model.json": file}, formats={"sample": "model.json"})


class TestSampleRuntime(RuntimeConformance):
    """The bundle is of a model that is made up."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Return the runtime."""
        return SampleRuntime()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return the folder of a bundle."""
        rows = pl.DataFrame({"x": [0.5 * n for n in range(64)], "y": [1.0 + n for n in range(64)]})
        task = TrainingTask(task="regression", target="y")
        return self.written(tmp_path / "bundle", MadeUp(), task, rows, SampleRuntime())
