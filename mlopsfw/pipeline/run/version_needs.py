"""Which versions of a dataset the pipeline needs: those of runs that are going on, and those that steps of its file take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.data.datasets.needs import numbers_of
from mlopsfw.kernel.base.errors import InvalidReference
from mlopsfw.kernel.base.references import Reference, parse_reference

if TYPE_CHECKING:
    from mlopsfw.data.datasets.versions import History
    from mlopsfw.kernel.config.model import StepConfig
    from mlopsfw.pipeline.run.record import RunView
    from mlopsfw.pipeline.run.runs import Runs


class RunNeeds:
    """The needs of runs that are going on.

    Args:
        runs: The runs.
        used_by: Returns what the steps of a run took or returned so far, as exact references.
    """

    def __init__(self, runs: Runs, used_by: Callable[[str], Collection[str]]) -> None:
        self._runs, self._used_by = runs, used_by

    def of(self, history: History) -> Iterator[tuple[int, str]]:
        """Yield what runs that are going on took, made, or will take: what floats in their configuration was resolved after they began."""
        for run in self._runs.newest():
            if run.status != "running":
                continue
            reason = f"runs:/{run.id} is going on"
            made = [version.version for version in history.versions if version.run == run.id]
            for version in (*made, *numbers_of(history.name, self._used_by(run.id)), *self._floating(history, run)):
                yield version, reason

    def _floating(self, history: History, run: RunView) -> list[int]:
        named = [ref for ref in _inputs(self._runs.config(run.id)) if (ref.scheme, ref.name) == ("data", history.name)]
        exact = [ref.version for ref in named if ref.version is not None]
        if len(exact) == len(named):
            return exact
        before = [version.version for version in history.versions if version.time < run.started]
        return [*exact, *range(max(before, default=1), len(history.versions) + 1)]


class StepNeeds:
    """The needs of the steps of the pipeline's file.

    Args:
        steps: The steps by name.
    """

    def __init__(self, steps: Mapping[str, StepConfig]) -> None:
        self._steps = steps

    def of(self, history: History) -> Iterator[tuple[int, str]]:
        """Yield the versions that a step names exactly."""
        for name, step in self._steps.items():
            for ref in _inputs({"steps": {name: {"inputs": step.inputs}}}):
                if (ref.scheme, ref.name) == ("data", history.name) and ref.version is not None:
                    yield ref.version, f"the step {name!r} takes {ref}"


def _inputs(config: dict[str, Any]) -> Iterator[Reference]:
    """Yield the references that the steps of a configuration take."""
    for step in config.get("steps", {}).values():
        for text in step.get("inputs", {}).values():
            try:
                yield parse_reference(text)
            except InvalidReference:  # another step's output
                continue
