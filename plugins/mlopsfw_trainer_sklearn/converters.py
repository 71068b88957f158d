"""Converters in place of skl2onnx's own, where those lose precision that the estimator has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from skl2onnx.operator_converters.common import concatenate_variables
from skl2onnx.operator_converters.decision_tree import (
    convert_sklearn_decision_tree_classifier,
    convert_sklearn_decision_tree_regressor,
)
from skl2onnx.operator_converters.gradient_boosting import (
    convert_sklearn_gradient_boosting_classifier,
    convert_sklearn_gradient_boosting_regressor,
)
from skl2onnx.operator_converters.random_forest import (
    convert_sklearn_random_forest_classifier,
    convert_sklearn_random_forest_regressor_converter,
)
from sklearn import ensemble, tree
from sklearn.impute import SimpleImputer

_FORESTS = {
    convert_sklearn_random_forest_classifier: "RandomForestClassifier ExtraTreesClassifier HistGradientBoostingClassifier",
    convert_sklearn_random_forest_regressor_converter: "RandomForestRegressor ExtraTreesRegressor HistGradientBoostingRegressor",
    convert_sklearn_gradient_boosting_classifier: "GradientBoostingClassifier",
    convert_sklearn_gradient_boosting_regressor: "GradientBoostingRegressor",
}
_TREES = {
    convert_sklearn_decision_tree_classifier: "DecisionTreeClassifier ExtraTreeClassifier",
    convert_sklearn_decision_tree_regressor: "DecisionTreeRegressor ExtraTreeRegressor",
}
_DOUBLES = ("nodes_values", "nodes_hitrates", "class_weights", "target_weights", "base_values")
_VERSION_WITH_DOUBLES = 3


def converters(width: str) -> Mapping[type, Any]:
    """Return a converter for each type whose own one is not exact.

    Args:
        width: `float64` or `float32`: what the graph computes in.
    """
    made: dict[type, Any] = {SimpleImputer: _imputer} if width == "float64" else {}
    for module, functions in ((ensemble, _FORESTS), (tree, _TREES)):
        for function, names in functions.items():
            made |= {getattr(module, name): _of_trees(function, width) for name in names.split()}
    return made


def _of_trees(function: Any, width: str) -> Any:
    """Return a converter of trees that writes thresholds and leaves in float64 where the graph computes so."""

    def in_float32(scope: Any, operator: Any, container: Any) -> None:
        function(scope, operator, _Integers(container))

    def in_float64(scope: Any, operator: Any, container: Any) -> None:
        for values in operator.inputs:  # skl2onnx takes those behind a second transformer for float32
            values.set_type(DoubleTensorType(values.type.shape))
        function(scope, operator, _Doubles(container), op_version=_VERSION_WITH_DOUBLES)

    return in_float64 if width == "float64" else in_float32


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    """Convert an imputer of numbers in float64: ONNX Runtime has its node `Imputer` in float32 alone."""
    imputer = operator.raw_operator
    missing = imputer.missing_values
    if isinstance(operator.inputs[0].type, StringTensorType) or not isinstance(missing, float) or not np.isnan(missing):
        get_converter(sklearn_operator_name_map[SimpleImputer])(scope, operator, container)
        return
    kept = np.flatnonzero(~np.isnan(imputer.statistics_))  # scikit-learn drops a column without any value
    values, isnan, fill, filled, columns = (
        scope.get_unique_variable_name(name) for name in ("values", "missing", "fill", "filled", "columns")
    )
    container.add_initializer(
        fill, TensorProto.DOUBLE, [1, imputer.statistics_.size], imputer.statistics_.astype(float)
    )
    container.add_initializer(columns, TensorProto.INT64, [kept.size], kept)
    joined = concatenate_variables(scope, operator.inputs, container)
    for kind, inputs, output, more in (
        ("Cast", joined, values, {"to": TensorProto.DOUBLE}),
        ("IsNaN", values, isnan, {}),
        ("Where", [isnan, fill, values], filled, {}),
        ("Gather", [filled, columns], operator.outputs[0].full_name, {"axis": 1}),
    ):
        container.add_node(kind, inputs, output, name=scope.get_unique_operator_name(kind), **more)


class _Integers:
    """A container of skl2onnx whose nodes get integers for truth values, which onnx refuses."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, kind: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        """Add a node."""
        plain = {
            name: [int(each) if isinstance(each, bool | np.bool_) else each for each in value]
            if isinstance(value, list)
            else value
            for name, value in attributes.items()
        }
        self._container.add_node(kind, inputs, outputs, **plain)


class _Doubles(_Integers):
    """Also writes the numbers of trees in float64, and casts their answers, which are in float32 for any input."""

    def add_node(self, kind: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        """Add a node."""
        if not kind.startswith("TreeEnsemble"):
            super().add_node(kind, inputs, outputs, **attributes)
            return
        for name in _DOUBLES:
            if name in attributes:
                values = np.asarray(attributes.pop(name), dtype=np.float64).ravel()
                attributes[f"{name}_as_tensor"] = numpy_helper.from_array(values, name)
        (source,), (*others, answer) = ([each] if isinstance(each, str) else each for each in (inputs, outputs))
        wide, narrow = f"{answer}_from_float64", f"{answer}_in_float32"
        super().add_node("Cast", source, wide, name=wide, to=TensorProto.DOUBLE)
        super().add_node(kind, wide, [*others, narrow], **attributes)
        super().add_node("Cast", narrow, answer, name=narrow, to=TensorProto.DOUBLE)
