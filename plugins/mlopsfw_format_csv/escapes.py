"""Bytes that are no UTF-8, written as characters that stand nowhere else, for a reader that wants text, and taken back from what it read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_BYTES = range(0x80, 0x100)
_LONE = 0xDC00  # Python's surrogate escapes of bytes begin here
_PRIVATE = range(0xF0000, 0x10FF00, 0x100)  # where Unicode has given no meaning


class ByteText:
    """A text of which some bytes may be no UTF-8.

    Args:
        data: The text.
    """

    def __init__(self, data: bytes) -> None:
        self.text = data
        self._back: dict[int, int] = {}
        try:
            data.decode()
        except UnicodeDecodeError:
            lone = data.decode(errors="surrogateescape")
            base = next(base for base in _PRIVATE if not re.search(f"[{chr(base)}-{chr(base + 0xFF)}]", lone))
            self.text = lone.translate({_LONE + byte: base + byte for byte in _BYTES}).encode()
            self._back = {base + byte: _LONE + byte for byte in _BYTES}

    def original(self, text: str) -> bytes:
        """Return the bytes of a part that was read."""
        return text.translate(self._back).encode(errors="surrogateescape")

    def originals(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows that were read as bytes, each value as it stood."""
        import pyarrow as pa

        if not self._back:
            return batch
        columns = [
            pa.array(
                [None if value is None else self.original(value.decode()) for value in values.to_pylist()], values.type
            )
            for values in batch.columns
        ]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
