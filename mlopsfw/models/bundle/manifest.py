"""`bundle.json`: reading it, also as earlier versions wrote it, and the outputs that a known task asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import BundleError, UnknownFormat
from mlopsfw.kernel.roles.bundle import QUANTILE_OUTPUT, TASK_OUTPUTS, Manifest, OutputColumn, SignatureColumn

FORMAT = 2
_TWO = 2
_MOST_VALUES = 1 << 24  # of a row's tensor: golden rows hold some, and a file can claim more than fit into memory


class _Version(msgspec.Struct):
    format: int = 1


def decode_manifest(data: bytes) -> Manifest:
    """Return a manifest of this or an earlier version.

    Raises:
        BundleError: A later version wrote it, or its columns contradict each other.
        msgspec.DecodeError: It is no manifest.
    """
    version = msgspec.json.decode(data, type=_Version).format
    if version == 1:
        return msgspec.convert(_upcast(msgspec.json.decode(data)), Manifest)
    if version != FORMAT:
        raise UnknownFormat(
            f"the manifest has format {version}; this version reads formats 1 to {FORMAT}", hint="Upgrade mlopsfw."
        )
    manifest = msgspec.json.decode(data, type=Manifest)
    check_columns(manifest)
    return manifest


def _upcast(raw: Any) -> dict[str, Any]:
    """Return a manifest of format 1, whose outputs were names, in format 2."""
    names = msgspec.convert(raw.get("outputs"), tuple[str, ...])
    classes = msgspec.convert(raw.get("classes", ()), tuple[str | int | bool, ...])
    if raw.get("task") not in TASK_OUTPUTS or len(names) != 1:
        raise BundleError(f"a manifest of format 1 has no task {raw.get('task')!r} with {len(names)} outputs")
    declared = (OutputColumn(name=names[0], type="tensor" if raw["task"] == "multiclass" else "number"),)
    return {**raw, "format": FORMAT, "outputs": msgspec.to_builtins(outputs_for(raw["task"], classes, declared))}


def outputs_for(
    task: str,
    classes: Sequence[str | int | bool],
    declared: Sequence[OutputColumn] = (),
    quantiles: Sequence[float] = (),
) -> tuple[OutputColumn, ...]:
    """Return the outputs of a model: those declared, the first with what its task asks for; by default the task's own and the quantiles.

    Args:
        task: The task.
        classes: The label values.
        declared: The outputs that the trainer declares.
        quantiles: The levels that the trainer was asked for.

    Raises:
        BundleError: The classes do not suit the task, the first output is not what it asks for, another task declares none, or a quantile that
            was asked for is not among those declared.
    """
    if task not in TASK_OUTPUTS:
        if not declared:
            known = ", ".join(TASK_OUTPUTS)
            raise BundleError(
                f"the task {task!r} has no outputs of its own, and the trainer declares none",
                hint=f"Declare them in TrainedModel.outputs. Tasks with outputs of their own: {known}.",
            )
        return tuple(declared)
    first = _first(task, classes)
    if not declared:
        names = [(level, QUANTILE_OUTPUT.format(level)) for level in quantiles]
        return (first, *(OutputColumn(name=each, type="number", quantile=level) for level, each in names))
    if missing := set(quantiles) - {each.quantile for each in declared}:
        raise BundleError(
            f"the model was asked for the quantile {min(missing)} of the target, and declares no output with it"
        )
    named = msgspec.structs.replace(first, name=declared[0].name)
    if declared[0].type != first.type or declared[0].shape not in ((), first.shape):
        raise BundleError(f"the first output of a {task} model is {_described(first)}, not {_described(declared[0])}")
    return (named, *declared[1:])


def _first(task: str, classes: Sequence[str | int | bool]) -> OutputColumn:
    name = TASK_OUTPUTS[task]
    if task == "regression":
        if classes:
            raise BundleError(f"a regression model has no classes, not {len(classes)}", hint="Leave `classes` empty.")
        return OutputColumn(name=name, type="number")
    if not classes or (task == "binary" and len(classes) != _TWO):
        raise BundleError(f"a {task} model has {'two classes' if task == 'binary' else 'classes'}, not {len(classes)}")
    if task == "binary":
        return OutputColumn(name=name, type="number", minimum=0.0, maximum=1.0)
    shape = (len(classes),)
    return OutputColumn(name=name, type="tensor", dtype="float32", shape=shape, minimum=0.0, maximum=1.0, total=1.0)


def _described(column: SignatureColumn) -> str:
    return f"a tensor of shape {list(column.shape)}" if column.type == "tensor" else f"a {column.type}"


def check_columns(manifest: Manifest) -> None:
    """Raise `BundleError` where a manifest's columns contradict each other or its task."""
    for kind, columns in (("input", manifest.inputs), ("output", manifest.outputs)):
        names = [column.name for column in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not all(names):
            raise BundleError(
                f"the manifest names the {kind} {(twice or [''])[0]!r} twice, or has {kind}s without a name"
            )
        for column in columns:
            check_type(column, f"the {kind} {column.name!r}")
    if not manifest.task:
        raise BundleError("the manifest names no task", hint="Name one in a word, such as binary or ranking.")
    if not manifest.outputs:
        raise BundleError(f"the manifest of a {manifest.task} model lists no output")
    if manifest.outputs != outputs_for(manifest.task, manifest.classes, manifest.outputs):
        raise BundleError(
            f"the first output of a {manifest.task} model is not as the task asks for: {manifest.outputs[0].name!r}"
        )


def check_type(column: SignatureColumn, what: str) -> None:
    """Raise `BundleError` if the type of a column contradicts itself, or a row of it has too many values."""
    if (column.type == "list") != (column.items is not None):
        raise BundleError(f"{what} is a {column.type}: a list, and only a list, says the type of its items")
    if (column.type == "tensor") != (column.dtype is not None) or (column.type != "tensor" and column.shape):
        raise BundleError(f"{what} is a {column.type}: a tensor, and only a tensor, says its dtype and its shape")
    if any(side is not None and side < 0 for side in column.shape):
        raise BundleError(f"{what} has a shape with a negative side; write None for any length")
    if math.prod(side or 1 for side in column.shape) > _MOST_VALUES:
        raise BundleError(f"{what} has a shape of more than {_MOST_VALUES:,} values a row")
