"""Quantiles of a regression's target: the estimator once more for each, with the loss of a quantile, and one ONNX graph of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import helper
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import QuantileRegressor
from sklearn.pipeline import Pipeline

_LOSSES: dict[type, tuple[str, dict[str, str]]] = {
    HistGradientBoostingRegressor: ("quantile", {"loss": "quantile"}),
    GradientBoostingRegressor: ("alpha", {"loss": "quantile"}),
    QuantileRegressor: ("quantile", {}),
}
"""Estimator → its parameter for the level, and those that make it learn a quantile."""


def learns_quantiles(estimator: Any) -> bool:
    """Return whether an estimator, or the last step of a pipeline, has the loss of a quantile."""
    return type(_last(estimator)) in _LOSSES


def set_quantile(estimator: Any, level: float) -> None:
    """Make an estimator that is not fitted yet learn a quantile in place of the value."""
    last = _last(estimator)
    name, others = _LOSSES[type(last)]
    last.set_params(**others, **{name: level})


def joined(value: bytes, quantiles: Mapping[str, bytes]) -> bytes:
    """Return one ONNX model with the output of the first and those of two quantiles, in ascending order.

    Args:
        value: The model of the value, which is returned where there are no quantiles.
        quantiles: Output → the model of the quantile, with the same inputs; the lower first.
    """
    if not quantiles:
        return value
    model = onnx.load_model_from_string(value)
    graph = model.graph
    parts = [_added(graph, onnx.load_model_from_string(data).graph, f"{name}.") for name, data in quantiles.items()]
    for name, kind in zip(quantiles, ("Min", "Max"), strict=True):
        graph.node.append(helper.make_node(kind, parts, [name]))
        made = helper.make_tensor_value_info(name, graph.output[0].type.tensor_type.elem_type, [None, 1])
        graph.output.append(made)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _added(graph: onnx.GraphProto, part: onnx.GraphProto, prefix: str) -> str:
    """Add the nodes of another graph under names of their own, and return the name of its output. Inputs are shared."""
    shared = {"", *(each.name for each in part.input)}

    def own(names: Sequence[str]) -> list[str]:
        return [name if name in shared else prefix + name for name in names]

    for node in part.node:
        node.name = prefix + node.name
        node.input[:], node.output[:] = own(node.input), own(node.output)
    for weight in part.initializer:
        weight.name = prefix + weight.name
    graph.node.extend(part.node)
    graph.initializer.extend(part.initializer)
    output: str = part.output[0].name
    return prefix + output


def _last(estimator: Any) -> Any:
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return estimator
