"""Read any column as texts, the form in which categories are hashed and counted.

One text per value, whatever holds it: a Python string, a NumPy string of any kind and an Arrow string of any layout give the same
UTF-8 bytes. Numbers are written as Python writes them, a float that is a whole number as that number, so that 3 and 3.0
are one category; booleans are "true" and "false"; None, NaN and null are missing. Nothing here knows of statistics.
"""

from __future__ import annotations

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from ._buffers cimport Chunk, Column
from ._types cimport OFFSETS32, OFFSETS64, POINTERS, VIEWS, TextLayout, TextView, text_at

from ._buffers import arrow_column, speaks_arrow

cnp.import_array()

cdef dict _LAYOUTS = {"u": OFFSETS32, "z": OFFSETS32, "U": OFFSETS64, "Z": OFFSETS64, "vu": VIEWS, "vz": VIEWS}


@cython.final
cdef class TextSegment:
    """A run of rows: a view of texts, and for encoded columns which text each row holds."""

    def __len__(self):
        return self.view.length if self.codes is None else len(self.codes)

    @property
    def texts(self):
        """How many texts the view holds, whichever rows refer to them."""
        return self.view.length


def text_of(value) -> str | None:
    """Write one scalar as the category it stands for; None where it is missing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, (float, np.floating)):
        if value != value:
            return None
        return str(int(value)) if abs(value) < 2.0**53 and value == int(value) else str(value)
    return str(value)


cdef TextSegment segment_of_strings(list strings, object codes):
    """View Python strings (None is null) through their cached UTF-8, which lives as long as the list does."""
    cdef TextSegment segment = TextSegment.__new__(TextSegment)
    cdef Py_ssize_t i, size = 0, n = len(strings)
    cdef cnp.ndarray pointers = np.zeros(n, dtype=np.uintp), lengths = np.empty(n, dtype=np.int64)
    cdef const char** pointer = <const char**> cnp.PyArray_DATA(pointers)
    cdef int64_t* length = <int64_t*> cnp.PyArray_DATA(lengths)
    for i in range(n):
        if strings[i] is None:
            length[i] = -1
        else:
            pointer[i] = PyUnicode_AsUTF8AndSize(strings[i], &size)
            length[i] = size
    segment.view.layout, segment.view.length, segment.view.offset = POINTERS, n, 0
    segment.view.valid, segment.view.index, segment.view.lengths = NULL, pointer, length
    segment.owner, segment.codes = (strings, pointers, lengths), codes
    return segment


cdef TextSegment _segment_of_chunk(Chunk chunk):
    """View an Arrow chunk of strings in place."""
    cdef TextSegment segment = TextSegment.__new__(TextSegment)
    cdef TextLayout layout = _LAYOUTS[chunk.format]
    segment.view.layout, segment.view.length, segment.view.offset = layout, chunk.array.length, chunk.array.offset
    segment.view.valid = <const uint8_t*> chunk.array.buffers[0] if chunk.array.null_count != 0 else NULL
    segment.view.index = chunk.array.buffers[1]
    if layout == VIEWS:
        segment.view.blocks = &chunk.array.buffers[2]
    else:
        segment.view.data = <const char*> chunk.array.buffers[2]
    segment.owner, segment.codes = chunk, None
    return segment


cdef TextSegment _segment_of_uniques(object values, object valid):
    """Write each distinct value of an array once, and refer to it by code."""
    distinct, codes = np.unique(values, return_inverse=True)
    strings = [text_of(value) for value in distinct]
    missing = np.fromiter((text is None for text in strings), dtype=bool, count=len(strings))
    codes = np.where(missing[codes], -1, codes).astype(np.int64)
    if valid is not None:
        codes[~valid] = -1
    return segment_of_strings(strings, codes)


cdef TextSegment _chunk_texts(Chunk chunk):
    cdef TextSegment segment
    if chunk.dictionary is not None and chunk.dictionary.format in _LAYOUTS:
        segment = _segment_of_chunk(chunk.dictionary)
        segment.codes = chunk.codes()
        return segment
    if chunk.dictionary is None and chunk.format in _LAYOUTS:
        return _segment_of_chunk(chunk)
    valid = chunk.valid() if chunk.dictionary is None else chunk.codes() >= 0
    return _segment_of_uniques(chunk.numbers(), valid)


cpdef list text_segments(object column):
    """Read a column as segments of texts.

    Args:
        column: a sequence or NumPy array of any scalars, a masked array, or any Arrow column that is not nested.
    """
    if isinstance(column, Column) or speaks_arrow(column):
        return [_chunk_texts(chunk) for chunk in arrow_column(column).chunks]
    if isinstance(column, np.ndarray) and column.dtype.kind in "biufmM":
        valid = ~np.ma.getmaskarray(column).ravel() if isinstance(column, np.ma.MaskedArray) else None
        return [_segment_of_uniques(np.asarray(column).ravel(), valid)]
    values = column.ravel().tolist() if isinstance(column, np.ndarray) else list(column)
    for i, value in enumerate(values):
        if type(value) is not str:
            values[i] = text_of(value)
    return [segment_of_strings(values, None)]


cdef struct _Entry:
    const char* start
    int64_t size      # -1 marks a free slot
    int64_t count
    uint64_t hash


cdef inline uint64_t _mix(const char* start, int64_t size) noexcept nogil:
    """Hash bytes for the counting table: eight at a time, multiply and fold. Not stable across versions; never stored."""
    cdef uint64_t h = <uint64_t> size * 0x9E3779B97F4A7C15u, word
    cdef int64_t i = 0
    while i + 8 <= size:
        memcpy(&word, start + i, 8)
        h = (h ^ word) * 0xBF58476D1CE4E5B9u
        h ^= h >> 29
        i += 8
    word = 0
    memcpy(&word, start + i, size - i)
    h = (h ^ word) * 0x94D049BB133111EBu
    return h ^ (h >> 31)


cdef inline _Entry* _slot(_Entry* table, uint64_t mask, const char* start, int64_t size, uint64_t h) noexcept nogil:
    """Find the slot of a text by linear probing; the table always keeps free slots."""
    cdef uint64_t at = h & mask
    while table[at].size >= 0:
        if table[at].hash == h and table[at].size == size and memcmp(table[at].start, start, size) == 0:
            break
        at = (at + 1) & mask
    return &table[at]


cdef _Entry* _grown(_Entry* old, uint64_t* mask) noexcept nogil:
    """Move entries to a table four times as large (from none: 256 slots); frees the old one. NULL when out of memory."""
    cdef uint64_t capacity = 256 if old == NULL else 4 * (mask[0] + 1), i
    cdef _Entry* table = <_Entry*> calloc(capacity, sizeof(_Entry))
    cdef _Entry* entry
    if table == NULL:
        free(old)
        return NULL
    for i in range(capacity):
        table[i].size = -1
    if old != NULL:
        for i in range(mask[0] + 1):
            if old[i].size >= 0:
                entry = _slot(table, capacity - 1, old[i].start, old[i].size, old[i].hash)
                entry[0] = old[i]
    free(old)
    mask[0] = capacity - 1
    return table


cdef _Entry* _tally(const TextView* view, uint64_t* mask, int64_t* nulls) noexcept nogil:
    """Count the texts of a view into a fresh table, which the caller frees."""
    cdef _Entry* table = _grown(NULL, mask)
    cdef _Entry* entry
    cdef const char* start = NULL
    cdef int64_t i, size
    cdef uint64_t used = 0, h
    for i in range(view.length):
        if table == NULL:
            return NULL
        size = text_at(view, i, &start)
        if size < 0:
            nulls[0] += 1
            continue
        h = _mix(start, size)
        entry = _slot(table, mask[0], start, size, h)
        if entry.size < 0:
            entry.start, entry.size, entry.hash, entry.count = start, size, h, 0
            used += 1
        entry.count += 1
        if 2 * used > mask[0]:
            table = _grown(table, mask)
    return table


cdef int64_t _count_direct(TextSegment segment, dict counts) except -1:
    """Add a segment's texts to `counts`; returns its nulls."""
    cdef uint64_t mask = 0, i
    cdef int64_t nulls = 0
    cdef _Entry* table
    with nogil:
        table = _tally(&segment.view, &mask, &nulls)
    if table == NULL:
        raise MemoryError("no room to count the categories of a column")
    try:
        for i in range(mask + 1):
            if table[i].size >= 0:
                text = PyUnicode_DecodeUTF8(table[i].start, table[i].size, "backslashreplace")
                counts[text] = counts.get(text, 0) + table[i].count
    finally:
        free(table)
    return nulls


cdef int64_t _count_coded(TextSegment segment, dict counts) except -1:
    """Add an encoded segment's texts to `counts`; returns its nulls."""
    cdef const char* start = NULL
    cdef int64_t size
    codes = segment.codes
    present = codes[codes >= 0]
    tally = np.bincount(present, minlength=0)
    for code in np.flatnonzero(tally):
        size = text_at(&segment.view, code, &start)
        text = PyUnicode_DecodeUTF8(start, size, "backslashreplace")
        counts[text] = counts.get(text, 0) + int(tally[code])
    return len(codes) - len(present)


def category_counts(column) -> tuple:
    """Count a column's categories.

    Args:
        column: anything that `text_segments` reads.

    Returns:
        (counts, nulls): a dict of text to number of rows, in no particular order, and the number of missing values.
    """
    cdef dict counts = {}
    cdef int64_t nulls = 0
    cdef TextSegment segment
    for segment in text_segments(column):
        nulls += _count_direct(segment, counts) if segment.codes is None else _count_coded(segment, counts)
    return counts, nulls
