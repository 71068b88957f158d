"""Values that are compared: what is within a tolerance, and how the first difference beyond it is named."""

from __future__ import annotations

import math

import polars as pl
import pytest

from mlopsfw.pipeline.values.likeness import Likeness


@pytest.fixture
def difference(project):
    """Return what tells the difference between two values as they are stored."""

    def tell(old, new, tolerance: float = 1e-6) -> str:
        stored = [project.values.store(value) for value in (old, new)]
        return Likeness(project.values, tolerance).difference(*stored)

    return tell


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"auc": 0.7}, {"auc": 0.7 + 1e-7}, ""),
        ({"auc": 0.7}, {"auc": 0.71}, "auc: 0.7 became 0.71"),
        ({"loss": 1e6}, {"loss": 1e6 + 0.5}, ""),
        ({"a": [1, {"b": math.nan}]}, {"a": [1, {"b": math.nan}]}, ""),
        ({"a": [1, {"b": math.inf}]}, {"a": [1, {"b": -math.inf}]}, "a[1].b: inf became -inf"),
        ({"a": 1}, {"b": 1}, "a is gone"),
        ({"a": True}, {"a": 1}, "a differs"),
        ([1, 2], [1], "the list: 2 items became 1"),
        ([1], pl.DataFrame({"x": [1]}), "a json became a table"),
    ],
)
def test_json_values_are_compared_number_by_number(difference, old, new, found):
    assert difference(old, new) == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ([1.0, None, math.nan, math.inf], [1.0 + 1e-9, None, math.nan, math.inf], ""),
        ([1.0, None], [1.1, 0.0], "column 'x': 2 of 2 values differ"),
        ([0.0, math.nan], [0.0, 0.0], "column 'x': 1 of 2 values differ"),
        (["a", None], ["a", "b"], "column 'x': 1 of 2 values differ"),
        ([1, 2], [1, 3], "column 'x': 1 of 2 values differ"),
        ([[0.5], [1.0]], [[0.5], [2.0]], "column x[1][0]: 1 became 2"),
        ([1.0], [1], "the table has other columns"),
        ([1.0], [1.0, 2.0], "1 rows became 2"),
    ],
)
def test_tables_are_compared_cell_by_cell(difference, old, new, found):
    assert difference(pl.DataFrame({"x": old}), pl.DataFrame({"x": new})) == found


def test_a_tolerance_of_zero_asks_for_equal_numbers(difference):
    assert difference([0.5], [0.5 + 1e-12], 0.0)
    assert not difference([0.5], [0.5], 0.0)


def test_files_must_be_equal(difference, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    assert difference(tmp_path / "a", tmp_path / "b") == "the file has another content"


def test_models_are_compared_by_their_answers_to_the_golden_rows(project, tmp_path):
    from onnx import TensorProto, helper

    import mlopsfw
    from mlopsfw.kernel.roles.artifact import Artifact

    rows = pl.DataFrame({"x": [1.0, 2.0], "y": [2.0, 4.0]})
    artifacts = []
    for factor in (2.0, 2.0 + 1e-9, 3.0):
        weight = helper.make_tensor("w", TensorProto.DOUBLE, [1], [factor])
        ends = [[helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"])] for name in ("x", "value")]
        graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["value"])], "g", *ends, [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        with mlopsfw.start_run(project=project) as run:
            version = run.log_model("m", tmp_path / "m.onnx", rows=rows, target="y")
        artifacts.append(Artifact(kind="bundle", digest=version.bundle, blob=version.bundle))
    likeness = Likeness(project.values, 1e-6)
    assert len({artifact.blob for artifact in artifacts}) == 3
    assert likeness.difference(artifacts[0], artifacts[1]) == ""
    assert likeness.difference(artifacts[0], artifacts[2]).startswith("golden.outputs.value[0]")
