"""The trained network as ONNX and safetensors. The graph is built from the layers themselves and checked against torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from mlopsfw.errors import BundleError
from mlopsfw.features.plan import CATEGORICAL, NUMERIC
from mlopsfw.roles import TASK_OUTPUTS

if TYPE_CHECKING:
    from torch import Tensor

    from mlopsfw_trainer_torch.network import TabularNetwork
    from mlopsfw_trainer_torch.rows import Rows, Target

_OPSET, _IR = 17, 8  # read by every ONNX Runtime since 1.13
_TOLERANCE = 1e-5


def export_weights(network: TabularNetwork, file: Path) -> None:
    """Write the network's parameters as safetensors."""
    save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, file)


def export_onnx(network: TabularNetwork, target: Target, file: Path) -> None:
    """Write the network as one ONNX file, with the layers that turn its logits into probabilities or values."""
    graph = _Graph()
    result = _network(graph, network)
    result, shape = _ending(graph, result, target)
    graph.node("Identity", [result], TASK_OUTPUTS[target.task])
    onnx_graph = helper.make_graph(
        graph.nodes,
        "mlopsfw",
        graph.inputs,
        [helper.make_tensor_value_info(TASK_OUTPUTS[target.task], TensorProto.FLOAT, shape)],
        graph.weights,
    )
    model = helper.make_model(
        onnx_graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR, producer_name="mlopsfw"
    )
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(model.SerializeToString(deterministic=True))


class _Graph:
    """A graph under construction. A node has the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []

    def input(self, name: str, kind: int, width: int) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["rows", width]))
        return name

    def weight(self, name: str, value: Tensor | np.ndarray) -> str:
        array = value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}_{kind.lower()}", **attributes))
        return name

    def dense(self, x: str, layer: torch.nn.Linear, name: str) -> str:
        weights = [self.weight(f"{name}.weight", layer.weight), self.weight(f"{name}.bias", layer.bias)]
        return self.node("Gemm", [x, *weights], name, transB=1)


def _network(graph: _Graph, network: TabularNetwork) -> str:
    """Add the operations of `TabularNetwork.forward` in evaluation; return the name of the result."""
    numeric = network.linear.in_features
    parts: list[str] = []
    if network.embedding is not None:
        columns, each = len(network.offsets), network.embedding.embedding_dim
        numeric -= columns * each
        codes = graph.input(CATEGORICAL, TensorProto.INT64, columns)
        rows = graph.node("Add", [codes, graph.weight("offsets", network.offsets)], "rows_of_table")
        table = graph.weight("embedding.weight", network.embedding.weight)
        embedded = graph.node("Gather", [table, rows], "embedded", axis=0)
        flat = graph.weight("flat", np.array([0, columns * each], dtype=np.int64))
        parts.append(graph.node("Reshape", [embedded, flat], "embeddings"))
    if numeric:
        parts.insert(0, graph.input(NUMERIC, TensorProto.FLOAT, numeric))
    whole = parts[0] if len(parts) == 1 else graph.node("Concat", parts, "whole", axis=1)
    result = graph.dense(whole, network.linear, "linear")
    if network.head is None:
        return result
    deep = whole
    for number, layer in enumerate(network.hidden):
        if not isinstance(layer, torch.nn.Linear):
            raise TypeError(type(layer))
        deep = graph.node("Relu", [graph.dense(deep, layer, f"hidden.{number}")], f"relu.{number}")
    return graph.node("Add", [result, graph.dense(deep, network.head, "head")], "logits")


def _ending(graph: _Graph, result: str, target: Target) -> tuple[str, list[str | int]]:
    if target.task == "multiclass":
        return graph.node("Softmax", [result], "softmax", axis=1), ["rows", target.outputs]
    result = graph.node("Squeeze", [result, graph.weight("last", np.array([1], dtype=np.int64))], "squeezed")
    if target.task == "binary":
        return graph.node("Sigmoid", [result], "sigmoid"), ["rows"]
    scaled = graph.node("Mul", [result, graph.weight("scale", np.array([target.scale], dtype=np.float32))], "scaled")
    return graph.node("Add", [scaled, graph.weight("mean", np.array([target.mean], dtype=np.float32))], "shifted"), [
        "rows"
    ]


def outputs_of(logits: Tensor, target: Target) -> np.ndarray:
    """Return the expected output of the exported model for a network's logits."""
    if target.task == "multiclass":
        return torch.softmax(logits, dim=1).cpu().numpy()
    if target.task == "binary":
        return torch.sigmoid(logits)[:, 0].cpu().numpy()
    return (logits[:, 0] * target.scale + target.mean).cpu().numpy()


def check_export(file: Path, rows: Rows, expected: np.ndarray, spread: float) -> float:
    """Return the largest difference between the exported model and torch, relative to the spread of the output.

    Raises:
        BundleError: It is more than 1e-5.
    """
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    arrays = {NUMERIC: rows.numeric.cpu().numpy(), CATEGORICAL: rows.codes.cpu().numpy()}
    outputs = session.run(None, {each.name: arrays[each.name] for each in session.get_inputs()})[0]
    difference = float(np.abs(outputs - expected).max()) / max(1.0, spread)
    if not difference <= _TOLERANCE:
        raise BundleError(f"the exported model differs from the trained one by {difference:.2e}")
    return difference
