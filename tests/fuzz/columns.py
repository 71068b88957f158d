"""Arrow and NumPy columns over raw buffers, of any type, offset, bitmap and stride: the numbers that PyArrow and NumPy read there."""

from __future__ import annotations

import atheris
import numpy as np
import pyarrow as pa

from mlopsfw_core._buffers import numeric_rows

TYPES = [pa.from_numpy_dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)]
TYPES += [pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"), pa.time32("s")]


def arrow(data: atheris.FuzzedDataProvider, dtype: pa.DataType) -> pa.Array:
    """Lay an array over bytes: as many rows as fit, after an offset, under a bitmap that begins anywhere."""
    offset, length = data.ConsumeIntInRange(0, 70), data.ConsumeIntInRange(0, 70)
    values = data.ConsumeBytes(((offset + length) * dtype.bit_width + 7) // 8)
    fits = max(0, min(length, len(values) * 8 // dtype.bit_width - offset))
    bits = data.ConsumeBytes((offset + fits + 7) // 8)
    bitmap = pa.py_buffer(bits) if len(bits) * 8 >= offset + fits else None
    return pa.Array.from_buffers(dtype, fits, [bitmap, pa.py_buffer(values)], offset=offset)


def strided(data: atheris.FuzzedDataProvider) -> np.ndarray:
    """View bytes as an array of any numeric dtype, byte order and stride."""
    dtype = np.dtype(data.PickValueInList(["i1", "<i2", ">i2", "<u4", ">u4", "<i8", ">i8", "<f2", "<f4", ">f8", "<f8"]))
    step = data.PickValueInList([1, 2, 3, -1, -2])
    skip = data.ConsumeIntInRange(0, 7)
    raw = data.ConsumeBytes(400)[skip:]  # not aligned to the dtype
    return np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype=dtype)[::step]


def test_one(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    if data.ConsumeBool():
        column = strided(data)
        with np.errstate(all="ignore"):
            expected = column.astype(np.float64)
        assert np.array_equal(numeric_rows(column)[0], expected, equal_nan=True)
        return
    dtype = data.PickValueInList(TYPES)
    pieces = [arrow(data, dtype) for _ in range(data.ConsumeIntInRange(1, 3))]
    for column in (pieces[0], pa.chunked_array(pieces)):
        values, valid = numeric_rows(column)
        present = np.ones(len(column), dtype=bool) if valid is None else valid
        assert present.tolist() == column.is_valid().to_pylist()
        assert values.size == len(column)
        if pa.types.is_floating(dtype):
            expected = np.array(column.drop_null().to_pylist(), dtype=np.float64)
            assert np.array_equal(values[present], expected, equal_nan=True)
