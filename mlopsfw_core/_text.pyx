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
from libc.stdlib cimport free

from ._buffers cimport Chunk, Column
from ._table cimport Entry, Key, Table, entry_of, key_of, text_of_key
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


cdef int _tally(const TextView* view, int64_t base, Table* table, int64_t* nulls) noexcept nogil:
    """Count the texts of a view, whose first row is `base`. Returns -1 when out of memory."""
    cdef const char* start = NULL
    cdef int64_t i, size
    cdef Key key
    cdef Entry* entry
    for i in range(view.length):
        size = text_at(view, i, &start)
        if size < 0:
            nulls[0] += 1
            continue
        key = key_of(start, size, view.layout == VIEWS)
        entry = entry_of(table, &key, base + i)
        if entry == NULL:
            return -1
        entry.count += 1
    return 0


cdef int64_t _count_direct(list segments, Table* table) except -1:
    """Count the texts of segments that are not encoded; returns their nulls."""
    cdef int64_t nulls = 0, base = 0
    cdef int failed
    cdef TextSegment segment
    for segment in segments:
        with nogil:
            failed = _tally(&segment.view, base, table, &nulls)
        if failed:
            raise MemoryError("no room to count the categories of a column")
        base += segment.view.length
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
    cdef int64_t nulls
    cdef uint64_t i
    cdef Table table = Table(NULL, 0, 0)
    cdef Entry* entry
    cdef list segments = text_segments(column)
    try:
        nulls = _count_direct([segment for segment in segments if segment.codes is None], &table)
        for i in range(table.mask + 1 if table.used else 0):
            entry = &table.entries[i]
            if entry.key.size >= 0:
                text = PyUnicode_DecodeUTF8(text_of_key(&entry.key), entry.key.size, "backslashreplace")
                counts[text] = counts.get(text, 0) + entry.count
    finally:
        free(table.entries)
    return counts, nulls + sum(_count_coded(segment, counts) for segment in segments if segment.codes is not None)


def distinct_texts(column) -> tuple:
    """Count a column's texts, and name each by a row that has it: many texts are cheap, as none is made a Python string.

    Args:
        column: texts, not dictionary-encoded, as `text_segments` reads them.

    Returns:
        (first, counts): int64 arrays with the first row of each distinct text, in no particular order, and how many rows have it.
    """
    cdef uint64_t i
    cdef int64_t n = 0
    cdef Table table = Table(NULL, 0, 0)
    cdef list segments = text_segments(column)
    cdef cnp.ndarray first, counts
    if any(segment.codes is not None for segment in segments):
        raise TypeError("an encoded column names its distinct texts itself")
    try:
        _count_direct(segments, &table)
        first, counts = np.empty(table.used, dtype=np.int64), np.empty(table.used, dtype=np.int64)
        for i in range(table.mask + 1 if table.used else 0):
            if table.entries[i].key.size >= 0:
                (<int64_t*> cnp.PyArray_DATA(first))[n] = table.entries[i].first
                (<int64_t*> cnp.PyArray_DATA(counts))[n] = table.entries[i].count
                n += 1
    finally:
        free(table.entries)
    return first, counts
