"""Text columns over raw buffers, of any layout that Arrow calls valid: one count and one hash for the same text, whatever holds it."""

from __future__ import annotations

from collections import Counter

import atheris
import numpy as np
import pyarrow as pa

from mlopsfw_core import hash_indices
from mlopsfw_core._text import category_counts


def laid_out(data: atheris.FuzzedDataProvider) -> pa.Array:
    """Lay a string array over fuzzed offsets, bytes and bitmap."""
    wide, offset, rows = data.ConsumeBool(), data.ConsumeIntInRange(0, 9), data.ConsumeIntInRange(0, 20)
    size = data.ConsumeIntInRange(0, 60)
    starts = sorted(data.ConsumeIntListInRange(offset + rows + 1, 0, size))
    index = np.array(starts, dtype=np.int64 if wide else np.int32).tobytes()
    bits = data.ConsumeBytes((offset + rows + 7) // 8).ljust((offset + rows + 7) // 8, b"\xaa")
    text = data.ConsumeBytes(size).ljust(size, b"x")
    buffers = [pa.py_buffer(bits) if data.ConsumeBool() else None, pa.py_buffer(index), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_string() if wide else pa.string(), rows, buffers, offset=offset)


def test_one(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    column = laid_out(data)
    try:
        column.validate(full=True)  # what crosses a boundary of trust is validated before it comes here
    except pa.ArrowInvalid:
        column = column.cast(pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary())
        assert sum(category_counts(column)[0].values()) == len(column) - column.null_count
        return
    texts = column.to_pylist()
    expected = Counter(text for text in texts if text is not None)
    hashed = hash_indices(texts, 1000, 7)
    for layout in (column, column.cast(pa.string_view()), column.dictionary_encode(), column[len(column) // 3 :]):
        skipped = len(column) - len(layout)
        assert np.array_equal(hash_indices(layout, 1000, 7), hashed[skipped:])
        if not skipped:
            assert category_counts(layout) == (expected, column.null_count)
