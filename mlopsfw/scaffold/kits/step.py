"""The step keeps the promises of its role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from mlopsfw.roles import Provider, Step
from mlopsfw.scaffold.step import mlopsfw_steps
from mlopsfw.testing.step import Bench, StepConformance


class TestSampleStep(StepConformance):
    """The step runs on three rows, one of which lacks a value."""

    @pytest.fixture
    def provider(self) -> Provider[Step]:
        """Return what the plugin offers."""
        return next(iter(mlopsfw_steps()))

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        """Return the step's options."""
        return {"column": "delay"}

    @pytest.fixture
    def inputs(self) -> Mapping[str, Any]:
        """Return the step's inputs."""
        return {"rows": pl.DataFrame({"carrier": ["AA", "DL", "UA"], "delay": [1.0, None, 3.0]})}

    def test_it_leaves_out_what_lacks_a_value(self, bench: Bench, inputs: Mapping[str, Any]) -> None:
        (artifact,) = bench.run(inputs).values()
        assert bench.load(artifact).rows() == [("AA", 1.0), ("UA", 3.0)]
