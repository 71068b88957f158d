"""ONNX files that were made elsewhere: the columns that a graph reads, and the output that a task asks for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.errors import BundleError, MissingExtra
from mlopsfw.roles import TASK_OUTPUTS, OutputColumn, SignatureColumn

if TYPE_CHECKING:
    import onnxruntime

    from mlopsfw.roles import TrainedModel, TrainingTask

_MATRIX, _TWO = 2, 2
_SQUASHING = ("Sigmoid", "Softmax", "Normalizer")
_SAME_VALUES = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
_SCALARS = {"float16": "number", "float32": "number", "float64": "number", "bool": "boolean", "object": "string"}


class Port(NamedTuple):
    """An input or an output of a graph.

    Args:
        name: Its name.
        dtype: The type of its elements, as NumPy names it; `object` for texts; empty for what is no tensor.
        shape: The sides of one row; None for any length.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def is_scalar(self) -> bool:
        """Whether a row has one value."""
        return self.shape in ((), (1,))

    def column(self, kind: type[Any]) -> Any:
        """Return the column of a signature."""
        if self.is_scalar:
            return kind(name=self.name, type=_SCALARS.get(self.dtype, "integer"))
        return kind(name=self.name, type="tensor", dtype=self.dtype, shape=self.shape)


def ports(values: Sequence[Any], types: dict[str, str], file: str) -> list[Port]:
    """Return the inputs, or the outputs, of a session. Raise `BundleError` for one that takes a fixed number of rows."""
    listed = []
    for value in values:
        first, *sides = value.shape or [None]
        if isinstance(first, int):
            raise BundleError(
                f"{file}: {value.name!r} has exactly {first} rows",
                hint="Export the model with a first axis of any length (dynamic_shapes, or dynamic_axes).",
            )
        shape = tuple(side if isinstance(side, int) else None for side in sides)
        listed.append(Port(value.name, types.get(value.type, ""), shape))
    return listed


def completed(
    session: onnxruntime.InferenceSession, types: dict[str, str], task: TrainingTask, model: TrainedModel
) -> tuple[TrainingTask, TrainedModel, Port | None]:
    """Return task and model as the graph says them, and the output that must first be made the task's.

    Args:
        session: Of the graph.
        types: ONNX Runtime's name of a type → NumPy's.
        task: Its word may be empty.
        model: Its inputs, outputs and classes may be empty.
    """
    file = model.formats["onnx"]
    takes, returns = (ports(each, types, file) for each in (session.get_inputs(), session.get_outputs()))
    if odd := [port.name for port in takes if not port.dtype or (port.dtype == "object" and not port.is_scalar)]:
        raise BundleError(f"{file} takes {odd[0]!r}, which is no tensor of numbers and no column of texts")
    model = msgspec.structs.replace(model, inputs=_inputs(takes, model.inputs, file))
    if model.outputs:
        return task, model, None
    word = task.task or _word(returns, len(model.classes))
    task = msgspec.structs.replace(task, task=word)
    if word not in TASK_OUTPUTS:
        outputs = tuple(port.column(OutputColumn) for port in returns if port.dtype)
        return task, msgspec.structs.replace(model, outputs=outputs), None
    port = _answer(returns, word, len(model.classes), file)
    if model.facts.get("logits") and word != "regression":
        return task, model, port
    if word == "binary" and not port.is_scalar:
        return task, model, port
    if word == "multiclass" and port.dtype != "float32":
        return task, model, port
    (declared,) = [msgspec.structs.replace(port.column(OutputColumn), name=port.name)]
    return task, msgspec.structs.replace(model, outputs=() if port.name == TASK_OUTPUTS[word] else (declared,)), None


def _inputs(takes: list[Port], given: tuple[SignatureColumn, ...], file: str) -> tuple[SignatureColumn, ...]:
    if not given:
        return tuple(port.column(SignatureColumn) for port in takes)
    by_name = {column.name: column for column in given}
    missing = [port for port in takes if port.name not in by_name]
    if missing:
        (first, *_) = missing
        names = ", ".join(port.name for port in takes)
        hint = f"It takes {names}. Without rows and signature these are the columns."
        if not first.is_scalar:
            hint = f"It takes {names}; {first.name} is an array a row: make it one column of arrays, or export an input a column."
        raise BundleError(
            f"{file} takes {first.name!r}, which is no column of the rows or the signature",
            hint=hint,
        )
    return tuple(by_name[port.name] for port in takes)


def _word(returns: list[Port], classes: int) -> str:
    """Return the task of a graph: by the number of classes, else regression for one number a row, else `custom`."""
    if classes:
        return "binary" if classes == _TWO else "multiclass"
    (port, *more) = returns
    return "regression" if not more and port.is_scalar and port.dtype.startswith("float") else "custom"


def _answer(returns: list[Port], word: str, classes: int, file: str) -> Port:
    """Return the output with the task's answer: called as the task calls it, else the only one of its form."""
    named = [port for port in returns if port.name == TASK_OUTPUTS[word]]
    wide = [port for port in returns if port.dtype.startswith("float") and port.shape == (classes,) and classes > 1]
    single = [port for port in returns if port.dtype.startswith("float") and port.is_scalar]
    for candidates in (named, wide if word != "regression" else [], single if word != "multiclass" else []):
        if len(candidates) == 1:
            return candidates[0]
    listed = ", ".join(f"{port.name} {list(port.shape)}" for port in returns)
    raise BundleError(
        f"{file} has no output, or more than one, that can be the answer of a {word} model: {listed}",
        hint="Name the right task and classes. A classifier of skl2onnx is exported with options={'zipmap': False}.",
    )


def with_answer(data: bytes, port: Port, word: str, *, logits: bool = False) -> bytes:
    """Return the graph with one output, which is the task's: of two probabilities the second, or all as float32.

    Args:
        data: The graph.
        port: Its output with the answer.
        word: The task.
        logits: Whether the answer is logits: a sigmoid makes a probability of a single one, else a softmax.

    Raises:
        BundleError: The answer is probabilities already, by the node that makes it.
        MissingExtra: The package `onnx` is not installed.
    """
    if find_spec("onnx") is None:
        raise MissingExtra("an ONNX classifier with this output", "sklearn")
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_model_from_string(data)
    graph, name = model.graph, TASK_OUTPUTS[word]
    if logits and (node := _squashes(graph, port.name)):
        raise BundleError(
            f"the output {port.name!r} has probabilities, no logits: {node} makes them",
            hint="Import it without --logits (log_model: logits=False).",
        )
    shares = "mlopsfw.float32"
    graph.node.append(helper.make_node("Cast", [port.name], [shares], to=TensorProto.FLOAT))
    if logits:
        kind, axis = ("Sigmoid", {}) if port.is_scalar else ("Softmax", {"axis": 1})
        node = helper.make_node(kind, [shares], ["mlopsfw.probabilities"], **axis)  # type: ignore[arg-type]
        graph.node.append(node)
        shares = "mlopsfw.probabilities"
    if word == "binary" and not port.is_scalar:
        second = helper.make_tensor("mlopsfw.second", TensorProto.INT64, [1], [1])
        graph.initializer.append(second)
        graph.node.append(helper.make_node("Gather", [shares, "mlopsfw.second"], [name], axis=1))
    else:
        graph.node.append(helper.make_node("Identity", [shares], [name]))
    shape = [None, *port.shape] if port.is_scalar else [None, 1 if word == "binary" else None]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _squashes(graph: Any, output: str) -> str:
    """Return the operator that makes probabilities of logits at the end of the graph; empty where none does."""
    makers = {name: node for node in graph.node for name in node.output}
    node = makers.get(output)
    while node is not None and node.op_type in _SAME_VALUES:
        node = makers.get(node.input[0])
    if node is None:
        return ""
    made = {attribute.s.decode() for attribute in node.attribute if attribute.name == "post_transform"}
    return str(node.op_type) if node.op_type in _SQUASHING or made & {"LOGISTIC", "SOFTMAX"} else ""


def write(file: Path, data: bytes) -> Path:
    """Write a file beside the given one, and return it."""
    place = file.with_name("model.onnx") if file.name != "model.onnx" else file.with_name("adopted.onnx")
    place.write_bytes(data)
    return place
