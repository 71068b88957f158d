"""Reading Parquet and Arrow IPC files; every batch is checked before it is handed on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlopsfw.errors import DataError
from mlopsfw.formats import Allowance, ipc_schema, read_ipc, sound
from mlopsfw.roles import FileFacts
from mlopsfw_format_columnar.parquet import parquet_facts, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadRequest

_MEDIA_TYPES = {
    "parquet": ("application/vnd.apache.parquet",),
    "ipc": ("application/vnd.apache.arrow.file", "application/vnd.apache.arrow.stream"),
}


_LONG = "Arrow has no such integers. Write the column as text or as decimals: in Polars, pl.col(NAME).cast(pl.String)."


class Columnar:
    """Reads files of one kind.

    Args:
        kind: Which.
    """

    typed = True
    options = ()

    def __init__(self, kind: Literal["parquet", "ipc"]) -> None:
        self._kind, self.media_types = kind, _MEDIA_TYPES[kind]

    def describe(self, request: ReadRequest) -> FileFacts:
        """Return the columns, and of Parquet the number of rows."""
        with _readable(request.path, self._kind):
            if self._kind == "parquet":
                return parquet_facts(request.path)
            return FileFacts(schema=ipc_schema(request.path))

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, as `mlopsfw.roles.Format` has it."""
        path, allowance, names = request.path, Allowance(request.path, request.options.max_ratio), list(request.columns)
        with _readable(path, self._kind):
            if self._kind == "parquet":
                batches = read_parquet(path, allowance, names)
            else:
                batches = (batch.select(names) if names else batch for batch in read_ipc(path))
            for batch in batches:
                allowance.spend(batch.nbytes)
                yield sound(batch)


@contextlib.contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Turn what Arrow says of a file into a `DataError` that names it."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, OSError) as error:
        hint = _LONG if "more than 64 bits" in str(error) else ""
        raise DataError(f"{path} cannot be read as {kind}: {error}", hint=hint) from None
