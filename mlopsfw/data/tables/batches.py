"""Record batches from files: validated before use, and the empty batch that carries the columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")


def read_ipc(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield an empty batch, which has the columns, then the rows of an Arrow IPC file or stream, unchanged. Raise Arrow's errors."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as raw:
        is_file = raw.read(6) == b"ARROW1"
        raw.seek(0)
        if is_file:
            file = pa.ipc.open_file(raw)
            batches = (file.get_batch(index) for index in range(file.num_record_batches))
            schema = file.schema
        else:
            batches = pa.ipc.open_stream(raw)
            schema = batches.schema
        yield without_rows(schema)
        yield from batches


def ipc_schema(path: Path) -> pa.Schema:
    """Return the columns of an Arrow IPC file or stream. Raise Arrow's errors."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as raw:
        is_file = raw.read(6) == b"ARROW1"
        raw.seek(0)
        return (pa.ipc.open_file if is_file else pa.ipc.open_stream)(raw).schema


def without_rows(schema: pa.Schema) -> pa.RecordBatch:
    """Return an empty batch with these columns."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch if its buffers are valid: in a stranger's file offsets may point anywhere, and texts may be no UTF-8."""
    batch.validate(full=True)
    return batch
