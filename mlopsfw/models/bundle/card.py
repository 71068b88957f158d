"""The model card in Markdown: what the model predicts, its inputs and outputs, and its quality. Escapes texts of users."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlopsfw.pages.values import number_text

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.bundle import Manifest, OutputColumn, SignatureColumn
    from mlopsfw.kernel.roles.training import TrainingTask

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&])")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
"""What a terminal would obey: control characters, and marks of the direction of writing."""
_MANY = 50
_TOLD_APART = ("attributions", "importance", "metrics", "settings", "versions")


def model_card(manifest: Manifest, task: TrainingTask, *, rows: int) -> str:
    """Return the card of a model.

    Args:
        manifest: Its signature, classes and facts.
        task: The learned task.
        rows: Training rows.
    """
    facts = manifest.facts
    trained = f"trained on {rows:,} rows (seed {task.seed})" if rows else "made elsewhere, on rows that are not known"
    summary = f"A {manifest.task} model that predicts `{_code(manifest.target)}` from {len(manifest.inputs)} columns, {trained}.\n"
    caution = (
        "Before you use it on other data, check that the data resemble the training rows. `profile.json` describes "
        "the training rows; the bundle does not hold the rows themselves.\n"
    )
    parts = [
        f"# {escape(manifest.target)}\n",
        summary,
        _section("Inputs", ("column", "type", "null"), _inputs(manifest)),
        _section("Derived by the model", ("column", "type", "derived from"), _derived(task)),
        _section("Outputs", ("output", "meaning"), _outputs(manifest)),
        _section("Metrics", ("metric", "value"), _numbers(facts.get("metrics"))),
        _section("Importance of columns", ("column", "share"), _numbers(facts.get("importance"))),
        _section("Attribution of answers to columns", ("column", "share"), _numbers(facts.get("attributions"))),
        _section("Training", ("fact", "value"), _plain(facts)),
        _section("Settings", ("setting", "value"), _plain(facts.get("settings"))),
        _section("Versions", ("package", "version"), _plain(facts.get("versions"))),
        caution,
    ]
    return "\n".join(filter(None, parts))


def escape(text: object) -> str:
    """Return text as one line without markup."""
    return _SPECIAL.sub(r"\\\1", CONTROL.sub(" ", str(text)))


def _code(text: str) -> str:
    return CONTROL.sub(" ", text).replace("`", "'")


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    listed = list(rows)
    if not listed:
        return ""
    lines = ["| " + " | ".join(map(escape, row)) + " |" for row in listed[:_MANY]]
    more = [f"\n{len(listed) - _MANY} more are not shown."] if len(listed) > _MANY else []
    rule = "|" + " --- |" * len(head)
    return "\n".join([f"## {title}\n", "| " + " | ".join(head) + " |", rule, *lines, *more, ""])


def _inputs(manifest: Manifest) -> list[tuple[str, str, str]]:
    return [(each.name, type_text(each), "may be" if each.nullable else "never") for each in manifest.inputs]


def _derived(task: TrainingTask) -> list[tuple[str, str, str]]:
    from mlopsfw.features.expressions import columns_of

    return [(each.name, each.type, ", ".join(sorted(columns_of(each.expression)))) for each in task.derived]


def _outputs(manifest: Manifest) -> list[tuple[str, str]]:
    if manifest.task == "binary":
        first = f"probability of {manifest.classes[1]!r}"
    elif manifest.task == "multiclass":
        first = f"probabilities of {', '.join(map(repr, manifest.classes[:_MANY]))}, in this order"
    else:
        first = f"expected {manifest.target}" if manifest.task == "regression" else _meaning(manifest.outputs[0])
    return [(manifest.outputs[0].name, first), *((each.name, _meaning(each)) for each in manifest.outputs[1:])]


def _meaning(output: OutputColumn) -> str:
    if output.quantile is not None:
        return f"quantile {output.quantile:g} of the target"
    return type_text(output)


def type_text(column: SignatureColumn) -> str:
    """Return the type of a column in words, such as `tensor float32[8, 8]`."""
    if column.type == "list":
        return f"list of {column.items}"
    sides = ", ".join("any" if side is None else str(side) for side in column.shape)
    return f"tensor {column.dtype}[{sides}]" if column.type == "tensor" else column.type


def _numbers(values: object) -> list[tuple[object, str]]:
    if not isinstance(values, Mapping):
        return []
    return [(name, number_text(value)) for name, value in values.items() if isinstance(value, int | float)]


def _plain(values: object) -> list[tuple[object, Any]]:
    if not isinstance(values, Mapping):
        return []
    return [
        (name, value) for name, value in values.items() if name not in _TOLD_APART and not isinstance(value, Mapping)
    ]
