"""What needs the versions of a dataset: tags, models, runs that are going on, steps of the pipeline file, bad rows not yet settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import InvalidReference
from mlopsfw.kernel.base.references import Reference, parse_reference
from mlopsfw.lineage import origins, used_by

if TYPE_CHECKING:
    from mlopsfw.data.datasets.versions import History
    from mlopsfw.pipeline.run.record import RunView
    from mlopsfw.project.facade import Project

Needs = dict[int, list[str]]
"""Version → what needs it, for people."""


def needs(project: Project, history: History) -> Needs:
    """Return what needs each version of a dataset; versions that nothing needs are not in it."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for tag, version in history.tags.items():
        found[version].append(f"the tag {tag!r}")
    for kind in (_models, _runs, _steps, _quarantine):
        for version, reason in kind(project, history):
            found[version].append(reason)
    return {version: list(dict.fromkeys(reasons)) for version, reasons in found.items()}


def _models(project: Project, history: History) -> Iterator[tuple[int, str]]:
    models = {version.ref: version for model in project.registry.models() for version in model.versions}
    for ref, made_from in origins(project, models).items():
        aliases = f" ({', '.join(models[ref].aliases)})" if models[ref].aliases else ""
        for version in _of(history.name, made_from):
            yield version, f"{ref}{aliases} was made from it"


def _of(name: str, refs: Iterable[str]) -> list[int]:
    """Return the numbers of the versions of a dataset among exact references."""
    prefix = f"data:/{name}@"
    return sorted(int(ref.removeprefix(prefix)) for ref in refs if ref.startswith(prefix))


def _runs(project: Project, history: History) -> Iterator[tuple[int, str]]:
    """Yield what runs that are going on took, made, or will take: what floats in their configuration was resolved after they began."""
    for run in project.runs.newest():
        if run.status != "running":
            continue
        reason = f"runs:/{run.id} is going on"
        made = [version.version for version in history.versions if version.run == run.id]
        for version in (*made, *_of(history.name, used_by(project, run.id)), *_floating(project, history, run)):
            yield version, reason


def _floating(project: Project, history: History, run: RunView) -> list[int]:
    named = [ref for ref in _inputs(project.runs.config(run.id)) if (ref.scheme, ref.name) == ("data", history.name)]
    exact = [ref.version for ref in named if ref.version is not None]
    if len(exact) == len(named):
        return exact
    before = [version.version for version in history.versions if version.time < run.started]
    return [*exact, *range(max(before, default=1), len(history.versions) + 1)]


def _inputs(config: dict[str, Any]) -> Iterator[Reference]:
    """Yield the references that the steps of a configuration take."""
    for step in config.get("steps", {}).values():
        for text in step.get("inputs", {}).values():
            try:
                yield parse_reference(text)
            except InvalidReference:  # another step's output
                continue


def _steps(project: Project, history: History) -> Iterator[tuple[int, str]]:
    for name, step in project.config.steps.items():
        for ref in _inputs({"steps": {name: {"inputs": step.inputs}}}):
            if (ref.scheme, ref.name) == ("data", history.name) and ref.version is not None:
                yield ref.version, f"the step {name!r} takes {ref}"


def _quarantine(project: Project, history: History) -> Iterator[tuple[int, str]]:
    """Yield the versions whose load set rows aside that are still there."""
    open_ = (version for version in history.versions if version.intake.get("batch") and "settled" not in version.intake)
    loads = {version.intake["batch"]: version.version for version in open_}
    if not loads:
        return
    waiting = {row.batch for row in project.datasets.quarantine(history.name)}
    for batch in sorted(loads.keys() & waiting):
        yield loads[batch], "rows of its load are in quarantine"
