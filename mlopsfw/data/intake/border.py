"""The border at which batches come from a format or a table of a source: their shape is checked, and what the user declared is applied."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from mlopsfw.data.tables.columns import plain_rows
from mlopsfw.data.tables.declared import as_type, type_of, without_texts
from mlopsfw.kernel.base.errors import DataError, PluginError
from mlopsfw.kernel.plugins.blame import blame_built
from mlopsfw.kernel.roles.reading import FileFacts

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.kernel.roles.reading import Format, ReadOptions, RejectSink
    from mlopsfw.kernel.roles.source import SourceTable

FORMAT_OPTIONS = ("separator", "encoding", "sheet")
"""What `Format.options` may hold."""


def check_format(reader: Format, suffix: str) -> Format:
    """Return a format. Raise `PluginError` that blames its plugin if it lacks what every format has."""
    for name in ("typed", "media_types", "options", "describe", "read"):
        if not hasattr(reader, name):
            raise _fault(reader, name, f"the format {suffix} has no `{name}`")
    if not isinstance(reader.typed, bool):
        raise _fault(reader, "typed", f"the format {suffix} has a `typed` that is a {type(reader.typed).__name__}")
    for name, what, known in (("media_types", reader.media_types, None), ("options", reader.options, FORMAT_OPTIONS)):
        if isinstance(what, str) or not all(isinstance(text, str) for text in what):
            raise _fault(reader, name, f"the format {suffix} has {name} that are no collection of texts: {what!r}")
        if known and (unknown := sorted(set(what) - set(known))):
            raise _fault(reader, name, f"the format {suffix} takes an option that there is not: {unknown[0]!r}")
    if not reader.typed and not hasattr(reader, "header"):
        raise _fault(reader, "header", f"the format {suffix} infers types (`typed` is false) and has no `header`")
    return reader


def check_facts(reader: Format, facts: Any, place: str) -> FileFacts:
    """Return what a format says of a file. Raise `PluginError` that blames its plugin if it is something else."""
    import pyarrow as pa

    if (
        isinstance(facts, FileFacts)
        and isinstance(facts.schema, pa.Schema | None)
        and isinstance(facts.rows, int | None)
    ):
        return facts
    raise _fault(reader, "describe", f"{place}: `describe` returned {facts!r}, not FileFacts")


def _fault(reader: object, method: str, message: str) -> PluginError:
    error = PluginError(
        message, hint="Upgrade or disable the plugin; its author finds the rules in docs/writing-plugins.md."
    )
    blame_built(reader, error, method)
    return error


def sound_batches(
    reader: Format | SourceTable, batches: Any, place: str, *, is_file: bool
) -> Generator[pa.RecordBatch, None, None]:
    """Yield what `reader` made of `place`: batches with the same columns, of a file first one without rows.

    Raises:
        PluginError: It is something else; the plugin is blamed.
        DataError: Two columns have one name.
    """
    import pyarrow as pa

    if not isinstance(batches, Iterator):
        raise _fault(reader, "read", f"{place}: `read` returned a {type(batches).__name__}, not an iterator of batches")
    schema: pa.Schema | None = None
    with _closing(batches):
        for batch in batches:
            if not isinstance(batch, pa.RecordBatch):
                raise _fault(reader, "read", f"{place}: `read` yielded a {type(batch).__name__}, not a record batch")
            if schema is None:
                if is_file and batch.num_rows:
                    raise _fault(reader, "read", f"{place}: the first batch of `read` has rows")
                schema = batch.schema
                _check_names(place, schema)
            elif not batch.schema.equals(schema):
                was, now = (", ".join(f"{f.name} {f.type}" for f in each) for each in (schema, batch.schema))
                raise _fault(
                    reader, "read", f"{place}: the columns of `read` changed within the file: {was}; then {now}"
                )
            yield batch
    if schema is None:
        raise _fault(reader, "read", f"{place}: `read` yielded no batch, but the first one has the columns")


def _closing(batches: Iterator[Any]) -> contextlib.AbstractContextManager[Any]:
    return contextlib.closing(batches) if hasattr(batches, "close") else contextlib.nullcontext()


def _check_names(place: str, schema: pa.Schema) -> None:
    names = schema.names
    if twice := next((name for index, name in enumerate(names) if name in names[:index]), None):
        raise DataError(f"{place}: two columns are called {twice!r}", hint="Give each column a unique name.")


class Declared:
    """Gives batches whose values have types of their own the declared types, without the texts that mean a missing value.

    Args:
        options: `types` and `null`.
        place: The file or table, for errors.
        source: What a row that is set aside names as its source.
        rejects: Gets rows with a value that does not fit, by their number; without it such a value is an error.
    """

    def __init__(self, options: ReadOptions, place: str, source: str, rejects: RejectSink | None) -> None:
        self._kinds = {name: type_of(kind, name) for name, kind in options.types.items()}
        self._options, self._place, self._source, self._rejects = options, place, source, rejects
        self._passed = 0  # rows

    def batches(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the batches. Raise `DataError` where there is no such column, or a value does not fit."""
        if not self._kinds and not self._options.null:
            yield from batches
            return
        for batch in batches:
            if unknown := sorted(self._kinds.keys() - set(batch.schema.names)):
                there = ", ".join(batch.schema.names)
                raise DataError(f"{self._place} has no column {unknown[0]!r}", hint=f"It has: {there}.")
            yield self._converted(batch)
            self._passed += batch.num_rows

    def _converted(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        columns, bad = [], dict[int, str]()
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            plain = without_texts(values, self._options.null)
            if name in self._kinds:
                most = 0 if self._rejects is None else batch.num_rows
                plain, wrong = as_type(plain, self._kinds[name], self._options.null, most)
                if wrong and self._rejects is None:
                    raise self._misfit(name, *next(iter(wrong.items())))
                bad = {row: f"column {name!r}: {reason}" for row, reason in wrong.items()} | bad
            columns.append(plain)
        done = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
        if not bad or self._rejects is None:
            return done
        for row in sorted(bad):
            text = json.dumps(plain_rows(batch.slice(row, 1))[0], default=str, ensure_ascii=False)
            self._rejects.add(self._source, self._passed + row + 1, bad[row], text)
        return done.filter(pa.array([row not in bad for row in range(batch.num_rows)]))

    def _misfit(self, name: str, row: int, reason: str) -> DataError:
        return DataError(
            f"{self._place}: column {name!r} is not all {self._options.types[name]}: row {self._passed + row + 1}: {reason}",
            hint=f"Correct the row, name the text that means a missing value (--null TEXT), or read the column as text (--type {name}=string).",
        )
