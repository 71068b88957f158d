"""A fitted estimator as ONNX, and whether that answers as the estimator does."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import polars as pl
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from mlopsfw.roles import TASK_OUTPUTS
from mlopsfw_trainer_sklearn.converters import converters

if TYPE_CHECKING:
    from mlopsfw.roles import SignatureColumn

_TOLERANCE = 1e-5
_ERRORS_ONLY = 4
_NUMBERS = ("number", "integer", "boolean")
_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64"}


class ConversionRefused(Exception):
    """The model cannot be kept as ONNX. The text says why."""


def versions() -> dict[str, str]:
    """Return what a server of the file needs."""
    return {"onnxruntime": onnxruntime.__version__}


def convert(estimator: Any, task: str, inputs: Sequence[SignatureColumn], width: str) -> bytes:
    """Return the estimator as an ONNX model with an input for each column, and the task's output.

    Args:
        estimator: It is fitted.
        task: Names the output.
        inputs: The signature.
        width: `float64` or `float32`: what the graph computes in.

    Raises:
        ConversionRefused: skl2onnx does not convert it.
    """
    types = [(column.name, _type(column, width)([None, 1])) for column in inputs]
    options = None if task == "regression" else {"zipmap": False}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            model = skl2onnx.convert_sklearn(
                _by_column(estimator, [column.name for column in inputs]),
                "model",
                types,
                options=options,
                custom_conversion_functions=converters(width),
            )
    except Exception as error:  # skl2onnx's errors share no base
        raise ConversionRefused(f"skl2onnx does not convert it: {_first_line(error)}") from error
    if any(node.op_type == "StringNormalizer" for node in model.graph.node):
        raise ConversionRefused("it lowers the case of texts by a locale that a server may lack")
    data: bytes = _with_output(model, task).SerializeToString(deterministic=True)
    return data


def answers(data: bytes, frame: pl.DataFrame, inputs: Sequence[SignatureColumn]) -> np.ndarray:
    """Return what the model answers for the rows of a frame. Raise `ConversionRefused` if ONNX Runtime cannot."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, _ERRORS_ONLY
    numbers = {column.name for column in inputs if column.type in _NUMBERS}
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        feed = {}
        for each in session.get_inputs():
            values = frame[each.name].to_numpy() if each.name in numbers else _texts(frame[each.name])
            with np.errstate(over="ignore"):
                feed[each.name] = values.astype(_DTYPES.get(each.type, "object"))[:, None]
        (returned,) = session.run(None, feed)
    except Exception as error:  # ONNX Runtime's errors share no base
        raise ConversionRefused(f"ONNX Runtime does not compute it: {_first_line(error)}") from error
    flat: np.ndarray = returned[:, 0] if returned.ndim > 1 and returned.shape[1] == 1 else returned
    return flat


def max_difference(expected: np.ndarray, returned: np.ndarray, task: str) -> float:
    """Return the largest difference of two answers.

    Raises:
        ConversionRefused: A probability differs by more than 1e-5, or a value by more than 1e-5 of the largest one. So a row can have
            another label only where two are within 2e-5 of each other.
    """
    if expected.shape != returned.shape:
        raise ConversionRefused(f"its answers have the shape {list(returned.shape)}, not {list(expected.shape)}")
    difference = float(np.abs(expected - returned).max(initial=0.0))
    allowed = _TOLERANCE * (max(1.0, float(np.abs(expected).max(initial=0.0))) if task == "regression" else 1.0)
    if not difference <= allowed:
        raise ConversionRefused(
            f"its answers differ from scikit-learn's by {difference:.1e}, and {allowed:.1e} are allowed"
        )
    return difference


def _type(column: SignatureColumn, width: str) -> Any:
    if column.type in _NUMBERS:
        return DoubleTensorType if width == "float64" else FloatTensorType
    if column.type == "string":
        return StringTensorType
    raise ConversionRefused(f"the input {column.name!r} is a {column.type}")


def _by_column(estimator: Any, names: list[str]) -> Any:
    """Return the estimator behind a step that selects all columns, where it has none: skl2onnx joins the inputs there."""
    first = estimator
    while isinstance(first, Pipeline):
        first = first.steps[0][1]
    if isinstance(first, ColumnTransformer):
        return estimator
    columns = ColumnTransformer([("columns", "passthrough", names)]).fit(pl.DataFrame({name: [0.0] for name in names}))
    return Pipeline([("columns", columns), ("model", estimator)])


def _with_output(model: onnx.ModelProto, task: str) -> onnx.ModelProto:
    """Return the model with the task's output alone: of a binary one, the probability of the second class."""
    graph, name = model.graph, TASK_OUTPUTS[task]
    made = graph.output[-1].name
    for node in graph.node:  # the graph's own name may be the output's
        for names in (node.input, node.output):
            names[:] = ["raw" if each == made else each for each in names]
    kind, shape = graph.output[-1].type.tensor_type.elem_type, [None, 1]
    if task == "binary":
        graph.initializer.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "second"))
        graph.node.append(helper.make_node("Gather", ["raw", "second"], ["chosen"], axis=1))
    elif task == "multiclass":
        kind, shape = TensorProto.FLOAT, [None, None]
    # Nodes of trees and support vectors answer in float32, although skl2onnx declares the type of the inputs.
    graph.node.append(helper.make_node("Cast", ["chosen" if task == "binary" else "raw"], [name], to=kind))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(name, kind, shape))
    return model


def _texts(series: pl.Series) -> np.ndarray:
    return np.array(series.to_list(), dtype=object)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
