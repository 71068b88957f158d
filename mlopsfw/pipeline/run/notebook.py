"""A run as a notebook shows it: tables of its parameters, metrics and results."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.run.record import RunView


def run_html(view: RunView) -> str:
    """Return a run as HTML without a frame. Every text in it is escaped."""
    seconds = f"{view.seconds:.2f} s" if view.finished else ""
    head = " · ".join(filter(None, (f"run {view.id}", view.pipeline, view.status, seconds)))
    tables = (("parameter", view.params), ("metric", view.metrics), ("result", results_of(view)))
    return f"<p><b>{escape(head)}</b></p>" + "".join(_table(title, rows) for title, rows in tables if rows)


def results_of(view: RunView) -> dict[str, str]:
    """Return what each result of a run is, by `step.output`, or by the name that a script gave it."""
    of_steps = {f"{step.name}.{name}": value for step in view.steps.values() for name, value in step.outputs.items()}
    return {name: _reference(value) for name, value in {**of_steps, **view.artifacts}.items()}


def _reference(artifact: Artifact) -> str:
    return artifact.ref or f"{artifact.kind} {artifact.digest[:12]}"


def _table(title: str, rows: Mapping[str, Any]) -> str:
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table><thead><tr><th>{title}</th><th>value</th></tr></thead><tbody>{cells}</tbody></table>"
