"""Which step made a column: what a model's caller must make in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.references import parse_reference
from mlopsfw.pipeline.graph.model import Node, Output, Source

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.graph.model import Graph
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.pipeline.run.runs import Runs


class ColumnOrigins:
    """Tells which step made a column.

    Args:
        graph: Returns the pipeline.
        runs: Has what the steps returned so far.
    """

    def __init__(self, graph: Callable[[], Graph], runs: Runs) -> None:
        self._graph, self._runs = graph, runs

    def made_upstream(self, context: StepContext, parameter: str, columns: Iterable[str]) -> dict[str, str]:
        """Return column → the step that made it and what that is, such as `weather (join)`; without those that come from a dataset as they are.

        A column is taken to be made where no input of a step has one of its name. Tables of more than 200 columns tell of their first 200.

        Args:
            context: Of the running step.
            parameter: The input whose columns are asked about.
            columns: Their names.
        """
        nodes = self._graph().nodes
        if context.step not in nodes:
            return {}
        found = _Origins(context, self._runs, dict(nodes))
        makers = {column: found.maker(nodes[context.step].inputs[parameter], column) for column in columns}
        return {column: f"{node.name} ({_kind(node)})" for column, node in makers.items() if node is not None}


class _Origins:
    def __init__(self, context: StepContext, runs: Runs, nodes: dict[str, Node]) -> None:
        self._datasets, self._nodes = context.datasets, nodes
        self._steps = runs.get(context.run).steps

    def maker(self, source: Source, column: str) -> Node | None:
        """Return the step that made a column which `source` has, None where it lies in a dataset."""
        if not isinstance(source, Output) or source.step not in self._nodes:
            return None
        node = self._nodes[source.step]
        before = next((each for each in node.inputs.values() if column in self._columns(each)), None)
        return node if before is None else self.maker(before, column)

    def _columns(self, source: Source) -> Iterable[str]:
        if isinstance(source, Output):
            outputs = self._steps[source.step].outputs if source.step in self._steps else {}
            return _listed(outputs.get(source.name))
        if parse_reference(source).scheme == "data":
            return self._datasets.resolve(source).columns
        return ()


def _listed(artifact: Artifact | None) -> Iterable[str]:
    columns: Iterable[str] = artifact.meta.get("columns", ()) if artifact else ()
    return columns


def _kind(node: Node) -> str:
    return node.config.use or "Python"
