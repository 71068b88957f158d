"""Model files from elsewhere are loaded in a process of its own, which has a deadline and a limit on memory."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from mlopsfw.errors import BundleError, UsageError
from mlopsfw.project import bundle_subprocess
from mlopsfw.project.logged_model import load_model
from mlopsfw.project.model_import import ModelFacts, import_file

pytest.importorskip("onnx")
from onnx import TensorProto, helper

_FLOAT, _INT, _BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def _constant(name, values, kind=_INT):
    shape = np.shape(values)
    return helper.make_tensor(name, kind, shape, np.ravel(values))


def _graph(path, nodes, initializers=()):
    """Write a model that takes `x` and returns `value`, both float32 `[rows, 1]`."""
    takes, returns = (helper.make_tensor_value_info(name, _FLOAT, [None, 1]) for name in ("x", "value"))
    graph = helper.make_graph(nodes, "g", [takes], [returns], initializer=list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def _endless(path):
    """A loop of 2^62 iterations."""
    ports = [
        helper.make_tensor_value_info("n", _INT, []),
        helper.make_tensor_value_info("go", _BOOL, []),
        helper.make_tensor_value_info("v", _FLOAT, None),
    ]
    ends = [helper.make_tensor_value_info("on", _BOOL, []), helper.make_tensor_value_info("w", _FLOAT, None)]
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Sin", ["v"], ["w"])], "b", ports, ends
    )
    node = helper.make_node("Loop", ["most", "yes", "x"], ["value"], body=body)
    return _graph(path, [node], [_constant("most", 1 << 62), _constant("yes", np.array(True), _BOOL)])


def _wide(path):
    """A tensor of 4 TiB, made of one row: expanded, summed, and added to the answer."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["one"], keepdims=0),
        helper.make_node("Expand", ["one", "shape"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["value"]),
    ]
    return _graph(path, nodes, [_constant("shape", [1 << 20, 1 << 20])])


def test_a_file_is_loaded_in_another_process_and_answers_here(project, tmp_path, monkeypatch):
    monkeypatch.setattr(project.bundles.__class__, "write", None)  # this process makes no bundle of it
    file = _graph(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["value"])])
    rows = pl.DataFrame({"x": [1.0, 2.0], "y": [0.0, 1.0]})
    project.datasets.commit("rows", rows)
    version = import_file(project, file, "m", ModelFacts(like="data:/rows", target="y"))
    with load_model(version.ref, project=project) as model:
        assert model.predict(rows)["value"].to_list() == [-1, -2]
    with pytest.raises(UsageError, match="no column 'z'") as caught:
        import_file(project, file, "m", ModelFacts(like="data:/rows", target="z"))
    assert caught.value.exit_code == 2
    assert list(project.private_folder("scratch").iterdir()) == []


def test_a_loop_without_end_is_stopped_at_the_deadline(project, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_subprocess, "SECONDS", 5)
    with pytest.raises(BundleError, match=r"m\.onnx did not load and answer within 5 s"):
        import_file(project, _endless(tmp_path / "m.onnx"), "m", ModelFacts())
    assert project.registry.names() == []


def test_a_tensor_larger_than_the_limit_of_memory_is_refused(project, tmp_path):
    with pytest.raises(BundleError, match=r"m\.onnx needs more than .* GiB of memory"):
        import_file(project, _wide(tmp_path / "m.onnx"), "m", ModelFacts())


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        ((-9, ""), "needs more than .* GiB of memory"),
        ((1, "what():  std::bad_alloc\n"), "needs more than .* GiB of memory"),
        ((-11, ""), r"crashes the process that loads it \(signal 11\)"),
        ((1, "Traceback\nRuntimeError: Reshape failed\n"), "its answers: RuntimeError: Reshape failed"),
    ],
)
def test_how_the_process_ended_is_said_in_words(project, tmp_path, monkeypatch, ended, says):
    monkeypatch.setattr(bundle_subprocess, "_run_process", lambda *_: ended)
    with pytest.raises(BundleError, match=f"m.onnx.* {says}"):
        import_file(project, _wide(tmp_path / "m.onnx"), "m", ModelFacts())
