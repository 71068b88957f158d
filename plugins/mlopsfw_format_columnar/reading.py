"""Reading Parquet and Arrow IPC files; every batch is checked before it is handed on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from mlopsfw.errors import DataError
from mlopsfw.formats import Allowance, read_ipc, sound
from mlopsfw_format_columnar.parquet import read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

    from mlopsfw.roles import ReadRequest

_MEDIA_TYPES = {
    "parquet": ("application/vnd.apache.parquet",),
    "ipc": ("application/vnd.apache.arrow.file", "application/vnd.apache.arrow.stream"),
}


class Columnar:
    """Reads files of one kind.

    Args:
        kind: Which.
    """

    typed = True

    def __init__(self, kind: Literal["parquet", "ipc"]) -> None:
        self._kind, self.media_types = kind, _MEDIA_TYPES[kind]

    def read(self, request: ReadRequest) -> Iterator[pa.RecordBatch]:
        """Yield the rows, as `mlopsfw.roles.Format` has it."""
        import pyarrow as pa

        path, allowance = request.path, Allowance(request.path, request.options.max_ratio)
        try:
            for batch in read_parquet(path, allowance) if self._kind == "parquet" else read_ipc(path):
                allowance.spend(batch.nbytes)
                yield sound(batch)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise DataError(f"{path} cannot be read as {self._kind}: {error}") from None
