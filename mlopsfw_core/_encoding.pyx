"""Columns as the rows that a network reads: numbers scaled, flagged or placed in intervals, and texts as codes.

Every float is made in float64 and rounded to float32 once, one row like the next, so that a row alone has the bits that it has among others.
"""

from __future__ import annotations

import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free, malloc

from ._buffers cimport Chunk
from ._table cimport Entry, Key, Table, entry_of, key_of, make_room, slot_of_key
from ._text cimport TextSegment, segment_of_strings, text_segments
from ._types cimport VIEWS, TextView, text_at

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
    int64_t copy_finite(const Numbers* values, int64_t rows, double* out) noexcept nogil
    double pairwise_sum(const double* v, int64_t n, double centre, bint square) noexcept nogil

SCALE, MISSING, RAMP = range(3)
"""The kinds of a step."""

STEP = np.dtype(
    [(name, np.int64) for name in ("kind", "source", "at", "count", "first")] + [(name, np.float64) for name in ("mean", "factor", "limit")]
)
"""One step: `kind` makes `count` floats of the column `source`, and puts them at `at`. Those that a kind does not need are not read.

`SCALE` makes (x - mean) * factor, clipped to ±limit, and 0 of a missing x. `MISSING` makes 1 of a missing x, else 0. `RAMP` makes
(x - low) * factor, clipped to 0 and 1, for `count` intervals from `first` on, and 0 of a missing x. NaN and null are missing.
"""


cdef int64_t _stride(cnp.ndarray out, dtype) except -1:
    """Return how many items lie between two rows of what is filled. Raise where its rows are not contiguous."""
    cdef int64_t size = out.dtype.itemsize
    if out.ndim != 2 or out.dtype != dtype or (out.size > 1 and out.shape[1] > 1 and out.strides[1] != size) or out.strides[0] % size:
        raise TypeError(f"what is filled is {np.dtype(dtype)}, with contiguous rows")
    return out.strides[0] // size


cdef int _check(cnp.ndarray steps, int64_t intervals, int64_t columns, int64_t width) except -1:
    cdef const Step* step = <const Step*> cnp.PyArray_DATA(steps)
    cdef int64_t i, last, least
    if steps.dtype != STEP or steps.ndim != 1 or not steps.flags.c_contiguous:
        raise TypeError("steps are a contiguous array of the dtype STEP")
    for i in range(steps.shape[0]):
        last = intervals - step[i].count if step[i].kind == _RAMP else step[i].first
        least = 0 if step[i].kind == _RAMP else 1  # the others write one number
        if not (
            0 <= step[i].kind <= _RAMP and 0 <= step[i].source < columns and least <= step[i].count and 0 <= step[i].at
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
    cdef int64_t count = len(columns), rows = len(out), stride = _stride(out, np.float32), n
    cdef const double* low = <const double*> cnp.PyArray_DATA(intervals)
    cdef Numbers* numbers
    if rows == 0:
        return
    if intervals.ndim != 2 or intervals.shape[0] != 2 or intervals.dtype != np.float64 or not intervals.flags.c_contiguous:
        raise TypeError("intervals are float64, two contiguous rows")
    n = intervals.shape[1]
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


def moments(column) -> tuple:
    """Return how many values are finite, their mean, and the sum of squares about it; all 0 where none is. Nulls and NaN are left out.

    The bits are those of NumPy's `mean` and `var`, which add by pairs; neither copies are made nor is the GIL held meanwhile.

    Args:
        column: an Arrow column of float64, in one chunk.

    Raises:
        TypeError: the column has another layout.
    """
    cdef Numbers numbers
    cdef list chunks = arrow_column(column).chunks
    cdef int64_t rows = len(column), n = 0
    cdef double mean = 0, squares = 0
    cdef double* finite
    if rows == 0:
        return 0, 0.0, 0.0
    _arrow_numbers(chunks[:1], rows, &numbers)
    with nogil:
        finite = <double*> malloc(rows * sizeof(double))
        if finite != NULL:
            n = copy_finite(&numbers, rows, finite)
            if n:
                mean = pairwise_sum(finite, n, 0.0, False) / n
                squares = pairwise_sum(finite, n, mean, True)
            free(finite)
    if finite == NULL:
        raise MemoryError("no room for the values of a column")
    return n, mean, squares


cdef int64_t _CODED = 2048  # rows of all columns that are coded together: their codes stay in the second cache


@cython.final
cdef class Vocabulary:
    """Distinct texts, of which each has a code: 1, 2, and so on. May be used by many threads.

    Args:
        texts: the texts, in order.
    """

    cdef Table table
    cdef TextSegment texts  # whose bytes the table points at

    def __cinit__(self, texts):
        cdef int64_t i, size
        cdef const char* start = NULL
        cdef Key key
        cdef int failed = make_room(&self.table)
        self.texts = segment_of_strings(list(texts), None)
        for i in range(self.texts.view.length):
            size = text_at(&self.texts.view, i, &start)
            key = key_of(start, size, False)
            failed = failed or entry_of(&self.table, &key, i + 1) == NULL
        if failed:
            raise MemoryError("no room for the texts of a vocabulary")

    def __dealloc__(self):
        free(self.table.entries)

    def __len__(self):
        return self.texts.view.length


cdef struct Coding:
    const Table* table
    TextView view
    int64_t other, at


cdef void _encode(const Coding* coding, int64_t start, int64_t stop, int64_t* out, int64_t stride) noexcept nogil:
    """Code rows of one column; `out` is its place in row 0."""
    cdef const char* text = NULL
    cdef int64_t i, size
    cdef Key key
    cdef const Entry* entry
    for i in range(start, stop):
        size = text_at(&coding.view, i, &text)
        if size < 0:
            out[i * stride] = 0
            continue
        key = key_of(text, size, coding.view.layout == VIEWS)
        entry = slot_of_key(coding.table, &key)
        out[i * stride] = entry.first if entry.key.size >= 0 else coding.other


cdef void _encode_all(const Coding* codings, int64_t count, int64_t rows, int64_t* out, int64_t stride) noexcept nogil:
    cdef int64_t start = 0, i
    while start < rows:
        for i in range(count):
            _encode(&codings[i], start, min(start + _CODED, rows), out + codings[i].at, stride)
        start += _CODED


cdef int _prepare(Coding* coding, Vocabulary vocabulary, TextSegment texts, int64_t at, int64_t rows, int64_t width) except -1:
    if vocabulary is None or texts.codes is not None or texts.view.length != rows:
        raise TypeError("a column of texts has a vocabulary, is not encoded, and in one chunk with a value for each row")
    if not 0 <= at < width:
        raise ValueError(f"there is no column {at} of codes")
    coding.table, coding.view, coding.other, coding.at = &vocabulary.table, texts.view, len(vocabulary) + 1, at
    return 0


def encode_texts(list vocabularies, columns, places, cnp.ndarray out):
    """Fill columns of codes: 0 where a text is missing, its code in the vocabulary, or one more than there are codes. Runs without the GIL.

    Args:
        vocabularies: one for each column.
        columns: Arrow columns of texts, in one chunk each.
        places: the column of `out` of each.
        out: int64 `[rows, k]`, each row contiguous; its other columns are left alone.

    Raises:
        TypeError: an array or a column has another layout.
        ValueError: there is no such place.
    """
    cdef int64_t rows = len(out), count = len(vocabularies), stride = _stride(out, np.int64), i
    cdef list texts = [segment for column in columns for segment in text_segments(column)]
    cdef int64_t* codes = <int64_t*> cnp.PyArray_DATA(out)
    cdef Coding* codings
    if rows == 0:
        return
    if len(texts) != count or len(places) != count:
        raise TypeError("a column of texts is not encoded, and in one chunk with a value for each row")
    codings = <Coding*> malloc((count + 1) * sizeof(Coding))
    if codings == NULL:
        raise MemoryError("no room for the columns of a table")
    try:
        for i in range(count):
            _prepare(&codings[i], vocabularies[i], texts[i], places[i], rows, out.shape[1])
        with nogil:
            _encode_all(codings, count, rows, codes, stride)
    finally:
        free(codings)
