"""Crossed columns: the texts of a row, joined and hashed as one category."""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ._murmur cimport Murmur, murmur_begin, murmur_finish
from ._text cimport TextSegment, text_segments
from ._types cimport TextView, text_at

cnp.import_array()

cdef char JOINT = 0x1F  # U+001F, the unit separator, which no category holds by accident


cdef void _locate(const TextView* view, uint64_t* starts, int64_t* sizes) noexcept nogil:
    cdef int64_t i
    cdef const char* start = NULL
    for i in range(view.length):
        sizes[i] = text_at(view, i, &start)
        starts[i] = <uint64_t> start


cdef tuple _located(TextSegment segment):
    """Return where each row's text is and how long, -1 where it is missing."""
    cdef int64_t n = segment.view.length
    cdef cnp.ndarray starts = np.zeros(n + 1, dtype=np.uint64), sizes = np.full(n + 1, -1, dtype=np.int64)
    with nogil:
        _locate(&segment.view, <uint64_t*> cnp.PyArray_DATA(starts), <int64_t*> cnp.PyArray_DATA(sizes))
    if segment.codes is None:
        return starts[:n], sizes[:n]
    return starts[segment.codes], sizes[segment.codes]  # code -1 finds the spare last cell, which is missing


cdef tuple _rows(list segments):
    parts = [_located(segment) for segment in segments]
    starts = np.concatenate([np.zeros(0, dtype=np.uint64), *(start for start, _ in parts)])
    return starts, np.concatenate([np.zeros(0, dtype=np.int64), *(size for _, size in parts)])


cdef void _hash_rows(
    const uint64_t* starts, const int64_t* sizes, int64_t width, int64_t rows, Murmur name, char* room, uint32_t* hashes, uint8_t* present,
) noexcept nogil:
    """Hash name + joined texts of each row; starts and sizes are row by row, `room` holds the longest."""
    cdef int64_t row, part, used, size
    for row in range(rows):
        used, present[row] = 0, 1
        for part in range(width):
            size = sizes[row * width + part]
            if size < 0:
                present[row] = 0
                break
            if part:
                room[used] = JOINT
                used += 1
            if size:  # an empty text may have no address
                memcpy(room + used, <const char*> starts[row * width + part], size)
            used += size
        hashes[row] = murmur_finish(name, room, used) if present[row] else 0


def crossed_hashes(names, columns):
    """Hash the cross of columns as the pair (names joined, texts joined).

    Args:
        names: of the columns, at least two.
        columns: of equal length; numbers count as the texts that Python writes.

    Returns:
        (uint32 hashes, uint8 flags, 0 where one of the texts is missing), a row each.

    Raises:
        ValueError: the columns are not of one length.
    """
    segments = [text_segments(column) for column in columns]  # kept while their texts are pointed at
    located = [_rows(runs) for runs in segments]
    lengths = {len(sizes) for _, sizes in located}
    if len(lengths) != 1:
        raise ValueError(f"crossed columns have one length; here: {sorted(lengths)}")
    cdef int64_t rows = lengths.pop(), width = len(columns)
    cdef cnp.ndarray starts = np.column_stack([start for start, _ in located])
    cdef cnp.ndarray sizes = np.column_stack([size for _, size in located])
    cdef cnp.ndarray hashes = np.empty(rows, dtype=np.uint32), present = np.empty(rows, dtype=np.uint8)
    cdef cnp.ndarray room = np.empty(int(np.clip(sizes, 0, None).sum(axis=1).max(initial=0)) + width, dtype=np.uint8)
    cdef bytes prefix = f"{chr(JOINT).join(names)}=".encode()
    cdef Murmur name = murmur_begin(prefix, len(prefix), 0)
    starts, sizes = np.ascontiguousarray(starts), np.ascontiguousarray(sizes)
    with nogil:
        _hash_rows(
            <const uint64_t*> cnp.PyArray_DATA(starts), <const int64_t*> cnp.PyArray_DATA(sizes), width, rows, name,
            <char*> cnp.PyArray_DATA(room), <uint32_t*> cnp.PyArray_DATA(hashes), <uint8_t*> cnp.PyArray_DATA(present),
        )
    return hashes, present
