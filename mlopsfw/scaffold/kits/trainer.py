"""The trainer and its runtime keep the promises of their roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlopsfw.roles import Bundle, Runtime, Trainer, TrainingTask
from mlopsfw.scaffold.trainer import SampleRuntime, SampleTrainer
from mlopsfw.testing.runtime import RuntimeConformance
from mlopsfw.testing.trainer import TrainerConformance

TRAINER = SampleTrainer(penalty=1e-3)


class TestSampleTrainer(TrainerConformance):
    """Models come in the trainer's own format."""

    @pytest.fixture
    def trainer(self) -> Trainer:
        """Return the trainer."""
        return TRAINER

    @pytest.fixture
    def runtimes(self) -> Mapping[str, Runtime]:
        """Return the runtime of its format."""
        return {"sample": SampleRuntime()}

    def test_it_finds_the_coefficients(self, train_and_open: Callable[..., Bundle]) -> None:
        x = np.linspace(0, 1, 400)
        rows = pl.DataFrame({"x": x, "y": 3 * x + 1})
        model = train_and_open(TrainingTask(task="regression", target="y"), rows)
        assert model.predict({"x": [0.25, 0.75]})["value"] == pytest.approx([1.75, 3.25], abs=0.01)


class TestSampleRuntime(RuntimeConformance):
    """The bundle is of a model that the trainer makes."""

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Return the runtime."""
        return SampleRuntime()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return the folder of a bundle."""
        rows = pl.DataFrame({"x": np.linspace(0, 1, 64), "kind": ["a", "b"] * 32, "y": np.linspace(1, 4, 64)})
        task = TrainingTask(task="regression", target="y")
        return self.written(tmp_path / "bundle", TRAINER, task, rows, SampleRuntime())
