"""Small real bundles, made without training: a logistic regression in ONNX over a fitted feature plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pyarrow as pa
from onnx import TensorProto, helper, numpy_helper

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features import FeaturePlan
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask
from mlopsfw.project.facade import Project

TASK = TrainingTask(task="binary", target="late")
ROWS = pa.table(
    {
        "distance": [100.0, 500.0, None, 2500.0] * 16,
        "hour": [6, 9, 14, 22] * 16,
        "carrier": ["UA", "AA", "B6", "DL"] * 16,
        "red_eye": [False, False, False, True] * 16,
        "late": [False, True, False, True] * 16,
    }
)


def write_bundle(project: Project, folder: Path, bias: float) -> str:
    """Write a bundle whose probability rises with `bias`, store it, and return its digest."""
    plan = FeaturePlan.fit(ROWS, TASK)
    made = folder.with_name(f"{folder.name}.onnx")
    made.write_bytes(_logistic(plan, bias))
    kept = folder.with_name(f"{folder.name}.plan")
    kept.write_bytes(plan.to_json())
    trained = TrainedModel(
        inputs=plan.inputs, files={"model.onnx": made, "plan.json": kept}, formats={"onnx": "model.onnx"}, classes=(False, True)
    )  # fmt: skip
    project.bundles.write(folder, trained, TASK, TableHandle.of(pl.DataFrame(ROWS)))
    return project.blobs.put_folder(folder)


def spec_of(project: Project, version: int) -> EndpointSpec:
    """Return what serves a version of the model `delay`; its revision is the version's number."""
    found = project.registry.resolve(f"models:/delay@{version}")
    return EndpointSpec(endpoint="delay", model="delay", version=version, bundle=found.bundle, revision=version)


def write_broken(project: Project, folder: Path) -> str:
    """Store a bundle whose weights were altered after it was made; return its digest."""
    write_bundle(project, folder, 0.0)
    model = folder / "model.onnx"
    data = bytearray(model.read_bytes())
    data[-20] ^= 1
    model.chmod(0o600)
    model.write_bytes(data)
    return project.blobs.put_folder(folder)


def _logistic(plan: FeaturePlan, bias: float) -> bytes:
    features = plan.numpy({name: ROWS[name].to_pylist() for name in ROWS.column_names})
    inputs, parts, weights = [], [], []
    for name, values in features.items():
        kind = TensorProto.FLOAT if values.dtype == np.float32 else TensorProto.INT64
        inputs.append(helper.make_tensor_value_info(name, kind, ["rows", values.shape[1]]))
        parts.append(helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT))
        weights.append(np.full(values.shape[1], 0.01, dtype=np.float32))
    names = [node.output[0] for node in parts]
    nodes = [
        *parts,
        helper.make_node("Concat", names, ["whole"], axis=1),
        helper.make_node("MatMul", ["whole", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    constants = [
        numpy_helper.from_array(np.concatenate(weights), "weights"),
        numpy_helper.from_array(np.array(bias, dtype=np.float32), "bias"),
    ]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["rows"])
    graph = helper.make_graph(nodes, "logistic", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
