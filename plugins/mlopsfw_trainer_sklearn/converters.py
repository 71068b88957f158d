"""Converters in place of skl2onnx's own, where those lose precision that the estimator has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import numpy_helper
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import DoubleTensorType
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


def converters() -> Mapping[type, Any]:
    """Return a converter for each type whose own one is not exact in float64."""
    made: dict[type, Any] = {SimpleImputer: _imputer}
    for module, functions in ((ensemble, _FORESTS), (tree, _TREES)):
        for function, names in functions.items():
            made |= {getattr(module, name): _of_trees(function) for name in names.split()}
    return made


def _of_trees(function: Any) -> Any:
    """Return a converter of trees that writes thresholds and leaves in float64 where the inputs are."""

    def convert(scope: Any, operator: Any, container: Any) -> None:
        if isinstance(operator.inputs[0].type, DoubleTensorType):
            function(scope, operator, _Doubles(container), op_version=_VERSION_WITH_DOUBLES)
        else:
            function(scope, operator, _Integers(container))

    return convert


def _imputer(scope: Any, operator: Any, container: Any) -> None:
    """Convert an imputer of numbers in float64: ONNX Runtime has its node `Imputer` in float32 alone."""
    imputer, kind = operator.raw_operator, operator.inputs[0].type
    missing = imputer.missing_values
    if not isinstance(kind, DoubleTensorType) or not np.isscalar(missing) or not np.isnan(missing):
        get_converter(sklearn_operator_name_map[SimpleImputer])(scope, operator, container)
        return
    values = concatenate_variables(scope, operator.inputs, container)
    isnan, fill = scope.get_unique_variable_name("missing"), scope.get_unique_variable_name("fill")
    container.add_initializer(fill, 11, [1, imputer.statistics_.size], imputer.statistics_.astype(np.float64))
    container.add_node("IsNaN", values, isnan, name=scope.get_unique_operator_name("IsNaN"))
    container.add_node(
        "Where", [isnan, fill, values], operator.outputs[0].full_name, name=scope.get_unique_operator_name("Where")
    )


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
    """Also writes the numbers of trees in float64."""

    def add_node(self, kind: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        """Add a node."""
        if kind.startswith("TreeEnsemble"):
            for name in _DOUBLES:
                if name in attributes:
                    values = np.asarray(attributes.pop(name), dtype=np.float64).ravel()
                    attributes[f"{name}_as_tensor"] = numpy_helper.from_array(values, name)
        super().add_node(kind, inputs, outputs, **attributes)
