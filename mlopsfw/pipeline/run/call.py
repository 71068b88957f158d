"""Call a Python step: the function by its name, values by parameter name, the representation by annotation, outputs by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.pipeline.graph.import_path import import_object
from mlopsfw.pipeline.values.codec import type_name

if TYPE_CHECKING:
    from mlopsfw.pipeline.graph.model import Node
    from mlopsfw.pipeline.graph.step import StepContext

CONTEXT = "context"


def call_function(node: Node, context: StepContext) -> Any:
    """Import the step's function and call it with its inputs, params and, if it asks, the context."""
    function = import_object(node.config.python, "python")
    signature = inspect.signature(function)
    wanted = {name: annotated_type(function, p.annotation) for name, p in signature.parameters.items()}
    arguments: dict[str, Any] = {name: context.load(name, wanted.get(name)) for name in node.inputs}
    arguments |= node.params
    if CONTEXT in signature.parameters and CONTEXT not in arguments:
        arguments[CONTEXT] = context
    return function(**arguments)


def annotated_type(function: Callable[..., Any], annotation: Any) -> str:
    """Return `library.Class` for an annotation that chooses the type of a value, or nothing.

    Annotations are often strings, and may name what is only imported for type checkers: then the text itself decides.
    """
    if annotation is inspect.Parameter.empty:
        return ""
    if not isinstance(annotation, str):
        return type_name(annotation)
    first, *rest = annotation.split("|")[0].strip().split(".")
    found = inspect.unwrap(function).__globals__.get(first)
    for part in rest:
        found = getattr(found, part, None)
    return type_name(found) or _BY_TEXT.get(annotation.strip(), "")


_BY_TEXT = {
    "pl.DataFrame": "polars.DataFrame",
    "polars.DataFrame": "polars.DataFrame",
    "pl.LazyFrame": "polars.LazyFrame",
    "polars.LazyFrame": "polars.LazyFrame",
    "LazyFrame": "polars.LazyFrame",
    "pa.Table": "pyarrow.Table",
    "pyarrow.Table": "pyarrow.Table",
    "pd.DataFrame": "pandas.DataFrame",
    "pandas.DataFrame": "pandas.DataFrame",
    "TrainingData": "mlopsfw.kernel.roles.training.TrainingData",
}


def named_outputs(value: Any, outputs: tuple[str, ...], function: str) -> Mapping[str, object]:
    """Name the results of a function by the step's outputs.

    Raises:
        DataError: Several outputs are declared, and it returned neither a dict with these keys nor as many values.
    """
    if len(outputs) == 1:
        return {outputs[0]: value}
    if isinstance(value, Mapping) and set(value) == set(outputs):
        return value
    if isinstance(value, tuple) and len(value) == len(outputs):
        return dict(zip(outputs, value, strict=True))
    got = f"a dict with {sorted(map(str, value))}" if isinstance(value, Mapping) else f"a {type(value).__name__}"
    raise DataError(
        f"{function} returned {got}", hint=f"Return a dict with {list(outputs)}, or a tuple of {len(outputs)}."
    )
