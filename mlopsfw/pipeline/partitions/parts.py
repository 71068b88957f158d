"""Steps by parts: cut a table into ranges of rows, or a list into its items, and join the results of the parts.

The cache key of a part equals that of a step with only the part as its input, so unchanged rows are not computed again. The coordinator cuts;
joining is an attempt like any other, on some worker.

"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.pipeline.graph.partnames import part_name

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.data.datasets import Datasets
    from mlopsfw.data.datasets.comparison.ranges import Range
    from mlopsfw.pipeline.graph.model import Node
    from mlopsfw.pipeline.values.codec import Values

MOST_PARTS = 10_000
"""The most parts of a step. Each is an attempt of its own, with events and a turn of a worker."""


class Parts:
    """Cuts values into parts, and joins the results of the parts.

    Args:
        values: Reads and stores values.
        datasets: Versions of datasets, whose files tell ranges apart.
    """

    def __init__(self, values: Values, datasets: Datasets) -> None:
        self._values, self._datasets = values, datasets

    def cut(self, node: Node, inputs: Mapping[str, Artifact]) -> list[Node]:
        """Return a node for each part of the input by which `node` runs. A table without rows is one part.

        Args:
            node: The step.
            inputs: Its inputs.

        Raises:
            DataError: The input has no parts, or more than 10,000.
        """
        name = node.config.each
        parts = list(itertools.islice(self._parts(node, inputs[name]), MOST_PARTS + 1))
        if len(parts) > MOST_PARTS:
            hint = f"Raise steps.{node.name}.part_rows, or pass fewer items."
            raise DataError(f"step {node.name} would run on more than {MOST_PARTS:,} parts of {name!r}", hint=hint)
        return [
            replace(node, name=part_name(node.name, number), taken={**inputs, name: part})
            for number, part in enumerate(parts)
        ]

    def _parts(self, node: Node, whole: Artifact) -> Iterable[Artifact]:
        what = f"step {node.name}, each {node.config.each!r}"
        if whole.kind == "json" and isinstance(items := self._values.load(whole), list):
            return (self._values.store(item, what) for item in items)
        if whole.kind not in ("table", "dataset"):
            found = "value that is not a list" if whole.kind == "json" else whole.kind
            raise DataError(
                f"{what}: a {found} has no parts", hint="Wire a table, a dataset or a list of values to it."
            )
        return (
            Artifact(
                kind=whole.kind, digest=found.digest, blob=whole.blob, ref=whole.ref, rows=(found.start, found.stop)
            )
            for found in self._ranges(whole, node.config.part_rows)
        )

    def _ranges(self, whole: Artifact, rows: int) -> Iterator[Range]:
        from mlopsfw.data.datasets.comparison import ranges

        if whole.kind == "dataset" and (version := self._datasets.resolve(whole)).manifest:
            return ranges.of_version(self._datasets, version, rows)
        return ranges.of_batches(self._values.load(whole, "polars.LazyFrame"), rows)

    def join(self, step: str, outputs: Sequence[str], results: Mapping[str, Artifact]) -> dict[str, Artifact]:
        """Join the results of the parts: tables below one another, JSON values as a list.

        Args:
            step: The step's name, for errors.
            outputs: Names of what each part returned.
            results: `output[number]` → a part's result.

        Raises:
            DataError: An output is neither, or its tables differ in their columns.
        """
        count = len(results) // max(len(outputs), 1)
        return {
            name: self._joined(f"{step}.{name}", [results[part_name(name, n)] for n in range(count)])
            for name in outputs
        }

    def _joined(self, what: str, parts: Sequence[Artifact]) -> Artifact:
        kinds = {part.kind for part in parts}
        if kinds <= {"json"}:
            return self._values.store([self._values.load(part) for part in parts], what)
        if kinds != {"table"}:
            found = " and ".join(sorted(kinds))
            raise DataError(
                f"{what}: parts that are {found} cannot be put together", hint="Return tables, or JSON values."
            )
        return parts[0] if len(parts) == 1 else self._concatenated(what, parts)

    def _concatenated(self, what: str, parts: Sequence[Artifact]) -> Artifact:
        import pyarrow as pa

        from mlopsfw.data.tables.digest import record_batches

        tables = _alike((self._values.load(part, "pyarrow.Table") for part in parts), what)
        first = next(tables)
        together = itertools.chain([first], tables)
        if any(pa.types.is_dictionary(field.type) for field in first.schema):  # each part has a dictionary of its own
            return self._values.store(pa.concat_tables(together), what)
        return self._values.store_batches(record_batches(together))


def results_by_name(parts: Iterable[Mapping[str, Artifact]]) -> dict[str, Artifact]:
    """Name the results of the parts, in their order, as `join` takes them."""
    return {part_name(name, number): artifact for number, part in enumerate(parts) for name, artifact in part.items()}


def _alike(tables: Iterator[Any], what: str) -> Iterator[Any]:
    """Yield tables. Raise `DataError` if one has other columns than the first."""
    first = next(tables)
    yield first
    for number, table in enumerate(tables, 1):
        yield _checked(table, first.schema, what, number)


def _checked(table: Any, schema: pa.Schema, what: str, number: int) -> Any:
    if table.schema.equals(schema):
        return table
    ours, first = (
        dict(zip(table.schema.names, table.schema.types, strict=True)),
        dict(zip(schema.names, schema.types, strict=True)),
    )
    wrong = [name for name in [*first, *ours] if first.get(name) != ours.get(name)] or ["the order of columns"]
    raise DataError(
        f"{what}: part {number} differs from part 0 in {wrong[0]!r}: {ours.get(wrong[0], 'none')} and {first.get(wrong[0], 'none')}",
        hint="Give the column the same type in every part. Cast it if a part may be all null.",
    )
