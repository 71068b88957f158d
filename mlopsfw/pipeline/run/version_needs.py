"""The dataset versions that the pipeline needs: those of active runs, and those that steps of its file take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlopsfw.data.datasets.removal.needs import numbers_of
from mlopsfw.kernel.base.errors import InvalidReference
from mlopsfw.lineage.references import Reference, parse_reference

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.data.datasets.versions import History
    from mlopsfw.kernel.config.model import StepConfig
    from mlopsfw.kernel.index import Index
    from mlopsfw.pipeline.run.record import RunView
    from mlopsfw.pipeline.run.runs import Runs


class RunNeeds:
    """The needs of active runs.

    Args:
        runs: The runs.
        store: The versions of datasets.
        index: Says which runs are going on.
    """

    def __init__(self, runs: Runs, store: VersionStore, index: Index) -> None:
        self._runs, self._store, self._index = runs, store, index

    def of(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the versions that active runs took, made or will take. Their floating references were resolved after they began."""
        history = self._store.history(name)
        for row in self._index.query("SELECT run FROM runs WHERE status = 'running' ORDER BY run DESC"):
            run = self._runs.get(row["run"])
            reason = f"runs:/{run.id} is unfinished"
            made = [version.version for version in history.versions if version.run == run.id]
            for version in (*made, *numbers_of(name, self._runs.flow(run.id).used), *self._floating(history, run)):
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

    def of(self, dataset: str) -> Iterator[tuple[int, str]]:
        """Yield the versions that a step names exactly."""
        for name, step in self._steps.items():
            for ref in _inputs({"steps": {name: {"inputs": step.inputs}}}):
                if (ref.scheme, ref.name) == ("data", dataset) and ref.version is not None:
                    yield ref.version, f"the step {name!r} takes {ref}"


def _inputs(config: dict[str, Any]) -> Iterator[Reference]:
    """Yield the references in the inputs of a configuration's steps."""
    for step in config.get("steps", {}).values():
        for text in step.get("inputs", {}).values():
            try:
                yield parse_reference(text)
            except InvalidReference:  # another step's output
                continue
