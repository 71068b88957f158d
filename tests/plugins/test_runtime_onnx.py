"""The runtime `onnx`: the contract."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from bundles import ROWS, TASK, _logistic

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features import FeaturePlan
from mlopsfw.kernel.base.errors import UnknownFormat
from mlopsfw.kernel.roles.training import TrainedModel
from mlopsfw.models import bundle
from mlopsfw.testing.runtime import RuntimeConformance
from mlopsfw_runtime_onnx.runtime import OnnxRuntime


class TestConformance(RuntimeConformance):
    @pytest.fixture
    def runtime(self):
        return OnnxRuntime()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        plan = FeaturePlan.fit(ROWS, TASK)
        (tmp_path / "made.onnx").write_bytes(_logistic(plan, 0.1))
        (tmp_path / "plan").write_bytes(plan.to_json())
        files = {"model.onnx": tmp_path / "made.onnx", "plan.json": tmp_path / "plan"}
        trained = TrainedModel(inputs=plan.inputs, files=files, formats={"onnx": "model.onnx"}, classes=(False, True))
        bundle.write(tmp_path / "bundle", trained, TASK, TableHandle.of(pl.DataFrame(ROWS)), {"onnx": OnnxRuntime()})
        return tmp_path / "bundle"


def test_the_project_selects_it_by_the_bundles_format(project):
    assert callable(project.providers.runtime("onnx").load)
    with pytest.raises(UnknownFormat, match="pickle"):
        project.providers.runtime("pickle")
