"""Columns as the rows of features that a network reads: numbers scaled, flagged or placed in intervals.

Every value is made in float64 and rounded to float32 once, one row like the next, so that a row alone has the bits that it has among others.
"""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc

from ._buffers cimport Chunk

from ._buffers import arrow_column

cnp.import_array()

cdef extern from "mlopsfw_core/_encoding.h":
    enum:
        _RAMP "RAMP"
    ctypedef struct Step:
        int64_t kind, source, at, count, first
    ctypedef struct Numbers:
        const double* values
        const uint8_t* valid
        int64_t offset
    void encode_rows(
        const Step* steps, int64_t n_steps, const double* low, const double* factor, const Numbers* columns,
        int64_t rows, float* out, int64_t stride,
    ) noexcept nogil

SCALE, MISSING, RAMP = range(3)
"""The kinds of a step."""

STEP = np.dtype(
    [(name, np.int64) for name in ("kind", "source", "at", "count", "first")] + [(name, np.float64) for name in ("mean", "factor", "limit")]
)
"""One step: `kind` makes `count` floats of the column `source`, and puts them at `at`. Those that a kind does not need are not read.

`SCALE` makes (x - mean) * factor, clipped to ±limit, and 0 of a missing x. `MISSING` makes 1 of a missing x, else 0. `RAMP` makes
(x - low) * factor, clipped to 0 and 1, for `count` intervals from `first` on, and 0 of a missing x. NaN and null are missing.
"""


cdef int _check(cnp.ndarray steps, int64_t intervals, int64_t columns, int64_t width) except -1:
    cdef const Step* step = <const Step*> cnp.PyArray_DATA(steps)
    cdef int64_t i, last
    if steps.dtype != STEP or steps.ndim != 1 or not steps.flags.c_contiguous:
        raise TypeError("steps are a contiguous array of the dtype STEP")
    for i in range(steps.shape[0]):
        last = intervals - step[i].count if step[i].kind == _RAMP else step[i].first
        if not (
            0 <= step[i].kind <= _RAMP and 0 <= step[i].source < columns and 0 <= step[i].count and 0 <= step[i].at
            and step[i].at + step[i].count <= width and 0 <= step[i].first <= last
        ):
            raise ValueError(f"step {i} reads or writes beyond its columns")
    return 0


cdef int _matrix_numbers(cnp.ndarray matrix, int64_t rows, Numbers* columns) except -1:
    cdef int64_t i
    if matrix.ndim != 2 or matrix.dtype != np.float64 or matrix.shape[1] != rows or (rows > 1 and len(matrix) and matrix.strides[1] != 8):
        raise TypeError("a matrix of numbers is float64, a contiguous row for each column")
    for i in range(matrix.shape[0]):
        columns[i] = Numbers(<const double*> (<char*> cnp.PyArray_DATA(matrix) + i * matrix.strides[0]), NULL, 0)
    return 0


cdef int _arrow_numbers(list chunks, int64_t rows, Numbers* columns) except -1:
    cdef int64_t i
    cdef Chunk chunk
    for i, chunk in enumerate(chunks):
        if chunk.format != "g" or chunk.array.length != rows:
            raise TypeError("a column of numbers is float64, in one chunk with a value for each row")
        columns[i] = Numbers(<const double*> chunk.array.buffers[1], NULL, chunk.array.offset)
        if chunk.array.null_count != 0:
            columns[i].valid = <const uint8_t*> chunk.array.buffers[0]
    return 0


def encode_numbers(cnp.ndarray steps, cnp.ndarray intervals, columns, cnp.ndarray out):
    """Fill rows of features from columns of numbers. Runs without the GIL; steps of one column should follow one another.

    Args:
        steps: what to make, of the dtype `STEP`.
        intervals: float64 `[2, n]`, contiguous: the lower end of each interval of a ramp, and one over its width.
        columns: float64 `[columns, rows]`, or a list of Arrow columns of float64 in one chunk each.
        out: float32 `[rows, k]`, each row contiguous.

    Raises:
        TypeError: an array has another layout.
        ValueError: a step reads or writes beyond its columns.
    """
    cdef bint matrix = isinstance(columns, np.ndarray)
    cdef list chunks = [] if matrix else [chunk for column in columns for chunk in arrow_column(column).chunks]
    cdef int64_t count = len(columns), rows = out.shape[0], stride = out.strides[0] // 4, n = intervals.shape[1]
    cdef const double* low = <const double*> cnp.PyArray_DATA(intervals)
    cdef Numbers* numbers
    if rows == 0:
        return
    if out.ndim != 2 or out.dtype != np.float32 or (out.shape[1] > 1 and out.strides[1] != 4) or out.strides[0] % 4:
        raise TypeError("features are float32, with contiguous rows")
    if intervals.ndim != 2 or intervals.shape[0] != 2 or intervals.dtype != np.float64 or not intervals.flags.c_contiguous:
        raise TypeError("intervals are float64, two contiguous rows")
    _check(steps, n, count, out.shape[1])
    if not matrix and len(chunks) != count:
        raise TypeError("a column of numbers is float64, in one chunk with a value for each row")
    numbers = <Numbers*> malloc((count + 1) * sizeof(Numbers))
    if numbers == NULL:
        raise MemoryError("no room for the columns of a table")
    try:
        if matrix:
            _matrix_numbers(columns, rows, numbers)
        else:
            _arrow_numbers(chunks, rows, numbers)
        with nogil:
            encode_rows(
                <const Step*> cnp.PyArray_DATA(steps), steps.shape[0], low, low + n, numbers,
                rows, <float*> cnp.PyArray_DATA(out), stride,
            )
    finally:
        free(numbers)
