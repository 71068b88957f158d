"""Record batches as files hold them: checked before anyone looks into them, and the batch without rows that stands for columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def read_ipc(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield a batch without rows, which has the columns, then the rows of an Arrow IPC file or stream, as they are. Raise Arrow's errors."""
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


def without_rows(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch that has the columns alone, dictionaries of views of texts among them."""
    import pyarrow as pa

    chunks = [
        column.chunk(0) if column.num_chunks else column.combine_chunks() for column in schema.empty_table().columns
    ]
    return pa.RecordBatch.from_arrays(chunks, schema=schema)


def sound(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch if its buffers are what they should be: a stranger's offsets may point anywhere, his text be no text."""
    batch.validate(full=True)
    return batch
