"""Find the step that made a column: the caller of a model must make it in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from mlopsfw.lineage.references import parse_reference
from mlopsfw.pipeline.graph.model import Node, Output, Source

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.graph.model import Graph
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.pipeline.run.runs import Runs


class ColumnOrigins:
    """Finds the steps that made columns.

    Args:
        graph: Returns the pipeline.
        runs: Holds the results of the steps so far.
    """

    def __init__(self, graph: Callable[[], Graph], runs: Runs) -> None:
        self._graph, self._runs = graph, runs

    def made_upstream(self, context: StepContext, parameter: str, columns: Iterable[str]) -> dict[str, str]:
        """Return column → the step that made it, such as `weather (join)`, without columns that come unchanged from a dataset.

        A step made a column if none of its inputs has a column of that name. For tables of more than 200 columns only the first 200 count.

        Args:
            context: The context of the running step.
            parameter: The input with the columns.
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
        """Return the step that made a column of `source`, or None if it comes from a dataset."""
        if not isinstance(source, Output) or source.step not in self._nodes:
            return None
        node = self._nodes[source.step]
        if (made := self._outputs(source).get(source.name)) is not None and made.kind == "dataset":
            return None
        before = next((each for each in node.inputs.values() if column in self._columns(each)), None)
        return node if before is None else self.maker(before, column)

    def _columns(self, source: Source) -> Iterable[str]:
        if isinstance(source, Output):
            return _listed(self._outputs(source).get(source.name))
        if parse_reference(source).scheme == "data":
            return self._datasets.resolve(source).columns
        return ()

    def _outputs(self, source: Output) -> Mapping[str, Artifact]:
        return self._steps[source.step].outputs if source.step in self._steps else {}


def _listed(artifact: Artifact | None) -> Iterable[str]:
    columns: Iterable[str] = artifact.meta.get("columns", ()) if artifact else ()
    return columns


def _kind(node: Node) -> str:
    return node.config.use or "Python"
