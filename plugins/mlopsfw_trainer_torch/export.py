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
from mlopsfw.roles import QUANTILE_OUTPUT, TASK_OUTPUTS
from mlopsfw_trainer_torch.tabm import MemberNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from mlopsfw_trainer_torch.network import CategoryTable, TabularNetwork
    from mlopsfw_trainer_torch.rows import Rows, Target

    Network = TabularNetwork | MemberNetwork

_OPSET, _IR = 17, 8  # read by every ONNX Runtime since 1.13
_TOLERANCE = 1e-5


def export_weights(network: torch.nn.Module, file: Path) -> None:
    """Write the network's parameters as safetensors."""
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}, file)


def export_onnx(networks: Sequence[tuple[Network, Target]], file: Path) -> None:
    """Write networks as one ONNX file, with the layers that turn their logits into probabilities or values.

    Args:
        networks: That of the task's own output, and that of quantiles, if there is one. They read the same inputs.
        file: The file.
    """
    graph = _Graph()
    for network, target in networks:
        graph.prefix = "quantiles." if target.quantiles else ""
        members = isinstance(network, MemberNetwork)
        result = _of_members(graph, network) if isinstance(network, MemberNetwork) else _of_one(graph, network)
        _ending(graph, result, target, members=members)
    onnx_graph = helper.make_graph(graph.nodes, "mlopsfw", graph.inputs, graph.outputs, graph.weights)
    model = helper.make_model(
        onnx_graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR, producer_name="mlopsfw"
    )
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(model.SerializeToString(deterministic=True))


class _Graph:
    """A graph under construction. A node has the name of its output, and `prefix` stands before it."""

    def __init__(self) -> None:
        self.prefix = ""
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, name: str, kind: int, width: int) -> str:
        if name not in {each.name for each in self.inputs}:
            self.inputs.append(helper.make_tensor_value_info(name, kind, ["rows", width]))
        return name

    def output(self, result: str, name: str, shape: list[str | int]) -> None:
        self.nodes.append(helper.make_node("Identity", [result], [name], name=f"{name}_identity"))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def weight(self, name: str, value: Tensor | np.ndarray) -> str:
        name = self.prefix + name
        array = value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        name = self.prefix + name
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}_{kind.lower()}", **attributes))
        return name

    def dense(self, x: str, layer: torch.nn.Linear, name: str) -> str:
        weights = [self.weight(f"{name}.weight", layer.weight), self.weight(f"{name}.bias", layer.bias)]
        return self.node("Gemm", [x, *weights], name, transB=1)


def _categories(graph: _Graph, categories: CategoryTable | None) -> list[str]:
    """Add the embedding of all codes; return the name of the result, if there are codes."""
    if categories is None:
        return []
    codes = graph.input(CATEGORICAL, TensorProto.INT64, len(categories.offsets))
    rows = graph.node("Add", [codes, graph.weight("offsets", categories.offsets)], "rows_of_table")
    embedded = graph.node("Gather", [graph.weight("table", categories.table.weight), rows], "embedded", axis=0)
    flat = graph.weight("flat", np.array([0, categories.width], dtype=np.int64))
    return [graph.node("Reshape", [embedded, flat], "embeddings")]


def _whole(graph: _Graph, parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else graph.node("Concat", parts, "whole", axis=1)


def _of_members(graph: _Graph, network: MemberNetwork) -> str:
    """Add the operations of `MemberNetwork.forward` in evaluation; return the name of the result, `[members, rows, outputs]`."""
    parts = []
    if network.numbers is not None:
        weights = network.number_weights
        numeric = graph.input(NUMERIC, TensorProto.FLOAT, len(weights))
        parts.append(graph.node("MatMul", [numeric, graph.weight("numbers", weights)], "embedded_numbers"))
    parts += _categories(graph, network.categories)
    deep = graph.node("Mul", [_whole(graph, parts), graph.weight("scaling", network.scaling)], "scaled_rows")
    for number, layer in enumerate(_dense(network.hidden)):
        name = f"hidden.{number}"
        product = graph.node("MatMul", [deep, graph.weight(f"{name}.weight", layer.weight.T)], f"{name}.product")
        deep = graph.node("Add", [product, graph.weight(f"{name}.bias", layer.bias)], name)
        deep = graph.node("Relu", [deep], f"relu.{number}")
    result = graph.node("MatMul", [deep, graph.weight("head", network.head)], "heads")
    return graph.node("Add", [result, graph.weight("bias", network.bias)], "logits")


def _dense(layers: torch.nn.ModuleList) -> Iterator[torch.nn.Linear]:
    for layer in layers:
        if not isinstance(layer, torch.nn.Linear):
            raise TypeError(type(layer))
        yield layer


def _of_one(graph: _Graph, network: TabularNetwork) -> str:
    """Add the operations of `TabularNetwork.forward` in evaluation; return the name of the result, `[rows, outputs]`."""
    numeric = network.linear.in_features - (0 if network.categories is None else network.categories.width)
    parts = [graph.input(NUMERIC, TensorProto.FLOAT, numeric)] if numeric else []
    whole = _whole(graph, parts + _categories(graph, network.categories))
    result = graph.dense(whole, network.linear, "linear")
    if network.head is None:
        return result
    deep = whole
    for number, layer in enumerate(_dense(network.hidden)):
        deep = graph.node("Relu", [graph.dense(deep, layer, f"hidden.{number}")], f"relu.{number}")
    return graph.node("Add", [result, graph.dense(deep, network.head, "head")], "logits")


def _ending(graph: _Graph, result: str, target: Target, *, members: bool) -> None:
    """Add what makes probabilities or values of logits, the mean over the members, and the outputs."""
    name = TASK_OUTPUTS[target.task]
    kinds = {"multiclass": ("Softmax", {"axis": -1}), "binary": ("Sigmoid", {})}
    if target.task in kinds:
        kind, attributes = kinds[target.task]
        result = graph.node(kind, [result], kind.lower(), **attributes)
    result = _mean(graph, result, members=members)
    if target.task == "multiclass":
        graph.output(result, name, ["rows", target.outputs])
        return
    if target.quantiles:
        _quantiles(graph, _scaled(graph, result, target), target)
        return
    result = graph.node("Squeeze", [result, graph.weight("last", np.array([1], dtype=np.int64))], "squeezed")
    graph.output(_scaled(graph, result, target) if target.task == "regression" else result, name, ["rows"])


def _scaled(graph: _Graph, result: str, target: Target) -> str:
    result = graph.node("Mul", [result, graph.weight("scale", np.array([target.scale], dtype=np.float32))], "scaled")
    return graph.node("Add", [result, graph.weight("mean", np.array([target.mean], dtype=np.float32))], "shifted")


def _quantiles(graph: _Graph, result: str, target: Target) -> None:
    """Add the outputs of two quantiles: where they cross, in order."""
    for level, kind in zip(target.quantiles, ("ReduceMin", "ReduceMax"), strict=True):
        name = QUANTILE_OUTPUT.format(level)
        graph.output(graph.node(kind, [result], f"of_{level}", axes=[1], keepdims=0), name, ["rows"])


def _mean(graph: _Graph, result: str, *, members: bool) -> str:
    return graph.node("ReduceMean", [result], "answer", axes=[0], keepdims=0) if members else result


def outputs_of(logits: Tensor, target: Target) -> np.ndarray:
    """Return the expected output of the exported model for a network's logits: of quantiles `[rows, levels]`, the lowest first."""
    if target.task == "multiclass":
        return torch.softmax(logits, dim=1).cpu().numpy()
    if target.task == "binary":
        return torch.sigmoid(logits)[:, 0].cpu().numpy()
    if target.quantiles:
        return (logits.sort(dim=1).values * target.scale + target.mean).cpu().numpy()
    return (logits[:, 0] * target.scale + target.mean).cpu().numpy()


def check_export(file: Path, rows: Rows, expected: Sequence[np.ndarray], spread: float) -> float:
    """Return the largest difference between the exported model and torch, relative to the spread of the outputs.

    Args:
        file: The exported model.
        rows: The rows to compare with.
        expected: Each of its outputs, as torch computes it.
        spread: Of the outputs.

    Raises:
        BundleError: It is more than 1e-5.
    """
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    numeric, codes = rows.inputs
    arrays = {NUMERIC: numeric.cpu().numpy(), CATEGORICAL: codes.cpu().numpy()}
    outputs = session.run(None, {each.name: arrays[each.name] for each in session.get_inputs()})
    differences = [float(np.abs(a - b).max()) for a, b in zip(outputs, expected, strict=True)]
    difference = max(differences) / max(1.0, spread)
    if not difference <= _TOLERANCE:
        raise BundleError(f"the exported model differs from the trained one by {difference:.2e}")
    return difference
