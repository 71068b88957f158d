"""Texts read once: each one's hash and length, and what characters they are made of."""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint64_t

from .._text cimport TextSegment
from .._types cimport TextView, text_at
from ._hash cimport hash_bytes

cnp.import_array()

CLASSES = ("control", "space", "digit", "lower", "upper", "punctuation", "two_bytes", "three_bytes", "four_bytes")
"""Classes of characters: of ASCII by what they are, of the others by how long UTF-8 writes them (Latin and its like, the rest of the
basic plane, emoji and its like)."""

cdef enum:
    CONTINUATION = 9

cdef uint8_t[256] _CLASS


cdef int _class_of(int byte) noexcept:
    if byte >= 0x80:
        return CONTINUATION if byte < 0xC0 else 6 if byte < 0xE0 else 7 if byte < 0xF0 else 8
    if byte == 32 or 9 <= byte <= 13:
        return 1
    if byte < 32 or byte == 127:
        return 0
    return 2 if 48 <= byte <= 57 else 3 if 97 <= byte <= 122 else 4 if 65 <= byte <= 90 else 5


for _byte in range(256):
    _CLASS[_byte] = _class_of(_byte)


cdef int64_t _read(
    const TextView* view, const int64_t* rows, uint64_t* hashes, double* lengths, uint8_t* valid, int64_t* made, int64_t* texts,
    bint characters,
) noexcept nogil:
    """Fill one entry for each text, count characters (`made`) and texts that hold a class (`texts`); returns how many are not null.

    `rows` says how many rows each text stands for, those of none being left out; NULL for one each.
    """
    cdef const char* start = NULL
    cdef int64_t i, j, size, weight = 1, present = 0
    cdef int64_t[10] here
    for i in range(view.length):
        size = text_at(view, i, &start)
        if rows != NULL:
            weight = rows[i]
        valid[i] = size >= 0 and weight > 0
        if not valid[i]:
            continue
        hashes[present] = hash_bytes(start, size)
        lengths[present] = <double> size
        if characters:
            for j in range(10):
                here[j] = 0
            for j in range(size):
                here[_CLASS[<uint8_t> start[j]]] += 1
            for j in range(CONTINUATION):
                made[j] += weight * here[j]
                texts[j] += weight if here[j] > 0 else 0
            lengths[present] = <double> (size - here[CONTINUATION])
        present += 1
    return present


def read_texts(TextSegment segment, bint characters, rows=None):
    """Read the texts of a segment's view.

    Args:
        segment: a run of texts.
        rows: int64, how many rows each text stands for where the segment has codes; those of none are left out.
        characters: whether they are UTF-8: lengths then count characters, and classes are counted; else lengths are bytes.

    Returns:
        (hashes, lengths, valid, characters by class, texts by class): the first two of the texts that are not null, `valid` of all.
    """
    cdef int64_t n = segment.view.length, present
    hashes, lengths, valid = np.empty(n, np.uint64), np.empty(n), np.empty(n, np.uint8)
    made, texts = np.zeros(CONTINUATION, np.int64), np.zeros(CONTINUATION, np.int64)
    cdef uint64_t[::1] h = hashes
    cdef double[::1] l = lengths
    cdef uint8_t[::1] v = valid
    cdef int64_t[::1] m = made, t = texts
    cdef const int64_t[::1] weights = rows
    if n == 0:
        return hashes, lengths, valid.view(bool), made, texts
    with nogil:
        present = _read(
            &segment.view, &weights[0] if weights is not None else NULL, &h[0], &l[0], &v[0], &m[0], &t[0], characters
        )
    return hashes[:present], lengths[:present], valid.view(bool), made, texts


def text_bytes(TextSegment segment, int64_t row, int64_t limit):
    """Return up to `limit` bytes of one text of a segment's view, and its whole size."""
    cdef const char* start = NULL
    cdef int64_t size = text_at(&segment.view, row, &start)
    return start[:min(size, limit)], size
