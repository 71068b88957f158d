"""A model of any kind is served over REST v2 and captured: images as tensors, texts, lists, bytes, quantiles."""

from __future__ import annotations

import base64
import json
import time

import numpy as np
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper
from serving import RunningServer

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.roles.bundle import OutputColumn, SignatureColumn
from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask
from mlopsfw.models import bundle
from mlopsfw_runtime_onnx.runtime import OnnxRuntime

IMAGES = np.random.default_rng(0).random((40, 8, 8)).astype(np.float32)
URL = "/v2/models/delay/infer"


def digits():
    """Return an ONNX model of images: flatten, multiply, softmax."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    weights = np.random.default_rng(1).normal(0, 1, (64, 3)).astype(np.float32)
    graph = helper.make_graph(
        nodes, "digits", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 3])], [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


class Counting:
    """A runtime whose model counts: the words of a text, the items of a list, the bytes of a file."""

    def load(self, _folder, _manifest):
        return self

    def predict(self, columns):
        sizes = sum(np.array([len(value) for value in columns[name]], dtype=float) for name in columns)
        return {"low": sizes - 1.0, "high": sizes + 1.0}


def made(tmp_path, trained, task, rows, runtime):
    for name, data in trained.pop("contents").items():
        (tmp_path / name).write_bytes(data)
        trained.setdefault("files", {})[name] = tmp_path / name
    (form,) = trained["formats"]
    bundle.write(tmp_path / "bundle", TrainedModel(**trained), task, TableHandle.of(rows), {form: runtime})
    return bundle.open_bundle(tmp_path / "bundle", lambda _: runtime)


@pytest.fixture
def images(tmp_path):
    rows = pl.DataFrame({"image": IMAGES.tolist(), "digit": [0, 1, 2, 1] * 10})
    column = SignatureColumn(name="image", type="tensor", dtype="float32", shape=(8, 8))
    trained = {
        "inputs": (column,),
        "contents": {"m.onnx": digits()},
        "formats": {"onnx": "m.onnx"},
        "classes": (0, 1, 2),
    }
    return made(tmp_path, trained, TrainingTask(task="multiclass", target="digit"), rows, OnnxRuntime())


@pytest.mark.parametrize("flat", [True, False], ids=["flat", "nested"])
def test_an_image_is_a_tensor_of_rest_v2(images, tmp_path, flat):
    sent = IMAGES[:2].ravel().tolist() if flat else IMAGES[:2].tolist()
    with RunningServer(tmp_path / "captures", bundle=images) as server:
        meta = server.ask("GET", "/v2/models/delay")[1]
        body = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [2, 8, 8], "data": sent}]}
        status, answer, _ = server.ask("POST", URL, body)
        wrong = (
            server.ask("POST", URL, {"inputs": [body["inputs"][0] | {"shape": [2, 8, 9]}]})
            if flat
            else (400, None, None)
        )
    assert (meta["inputs"][0]["datatype"], meta["inputs"][0]["shape"]) == ("FP32", [-1, 8, 8])
    assert meta["outputs"][0]["shape"] == [-1, 3]
    assert status == 200, answer
    expected = images.predict({"image": IMAGES[:2]})["probabilities"]
    assert answer["outputs"][0]["data"] == pytest.approx(expected.ravel().tolist())
    assert wrong[0] == 400


ABSURD = {
    "many empty rows": {"shape": [10**21, 0, 8], "data": []},
    "empty rows": {"shape": [10**6, 8, 0], "data": []},
    "no side": {"shape": [], "data": []},
    "a thousand sides": {"shape": [1] * 1000, "data": [1.0]},
    "negative": {"shape": [-1, 8, 8], "data": []},
    "deep": {"shape": [1, 8, 8], "data": json.loads("[" * 900 + "1" + "]" * 900)},
    "too large": {"shape": [1, 8, 8], "data": [1e300] * 64},
}


def test_a_tensor_that_makes_no_sense_is_a_400_at_once_and_the_server_goes_on(images, tmp_path):
    with RunningServer(tmp_path / "captures", bundle=images) as server:
        for name, absurd in ABSURD.items():
            tensor = {"name": "image", "datatype": "FP32", **absurd}
            began = time.monotonic()
            status, answer, _ = server.ask("POST", URL, {"inputs": [tensor]})
            assert (status, time.monotonic() - began < 2) == (400, True), (name, answer)
        rows = [[[1e308] * 8] * 8]
        status, answer, _ = server.ask("POST", "/invocations", {"inputs": {"image": rows}})
        assert (status, "does not fit float32" in answer["error"]) == (400, True)
        sent = {"name": "image", "datatype": "FP32", "shape": [2, 8, 8], "data": IMAGES[:2].ravel().tolist()}
        assert server.ask("POST", URL, {"inputs": [sent]})[0] == 200


def test_the_profile_has_each_class_and_no_image(images):
    assert set(images.profile()) == {"probabilities[0]", "probabilities[1]", "probabilities[2]"}


def test_texts_lists_bytes_and_quantiles_are_served_and_captured(tmp_path):
    inputs = (
        SignatureColumn(name="text", type="string"),
        SignatureColumn(name="tokens", type="list", items="integer"),
        SignatureColumn(name="file", type="binary"),
    )
    outputs = tuple(OutputColumn(name=n, type="number", quantile=q) for n, q in (("low", 0.1), ("high", 0.9)))
    examples = {"text": ["a", "bc"], "tokens": [[1], []], "file": [b"x", b""]}
    rows = pl.DataFrame(examples | {"y": [1.0, 2.0]}, schema_overrides={"tokens": pl.List(pl.Int64)})
    trained = {
        "inputs": inputs,
        "outputs": outputs,
        "examples": examples,
        "contents": {"m.any": b"any"},
        "formats": {"any": "m.any"},
    }
    loaded = made(tmp_path, trained, TrainingTask(task="quantile", target="y"), rows, Counting())
    assert set(loaded.profile()) == {"text", "low", "high"}
    row = {"text": "abc", "tokens": [1, 2], "file": base64.b64encode(b"\0\xff").decode()}
    tensors = [
        {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["abc"]},
        {"name": "tokens", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]},
        {"name": "file", "datatype": "BYTES", "shape": [1], "data": [row["file"]]},
    ]
    with RunningServer(tmp_path / "captures", bundle=loaded) as server:
        status, answer, _ = server.ask("POST", URL, {"inputs": tensors})
        second = server.ask("POST", "/invocations", {"dataframe_records": [row]})
        refused = server.ask("POST", "/invocations", {"dataframe_records": [row | {"file": "no base64!"}]})
    assert status == 200, answer
    assert {each["name"]: each["data"] for each in answer["outputs"]} == {"low": [6.0], "high": [8.0]}
    assert second[1]["predictions"] == [{"low": 6.0, "high": 8.0}]
    assert refused[0] == 400
    assert "column 'file', row 0" in refused[1]["error"]
