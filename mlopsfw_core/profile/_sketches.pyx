"""The loops under distinct counts, frequent items and quantiles: everything here works on arrays and keeps no state of its own."""

from __future__ import annotations

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from ._hash cimport hash_number, mix64

cnp.import_array()


cdef extern from "mlopsfw_core/profile/_bits.h":
    int leading_zeros64(uint64_t x) noexcept nogil

cdef enum:
    CELL_BITS = 12     # cells in which a block's hashes are counted before any is looked at


def hash_numbers(const double[::1] values):
    """Hash each number; returns uint64."""
    cdef int64_t i, n = values.shape[0]
    hashes = np.empty(n, dtype=np.uint64)
    cdef uint64_t[::1] out = hashes
    with nogil:
        for i in range(n):
            out[i] = hash_number(values[i])
    return hashes


def mix(value: int) -> int:
    """Spread the low 64 bits of an integer."""
    return mix64(<uint64_t> (value & 0xFFFFFFFFFFFFFFFF))


def observe(const uint64_t[::1] hashes, uint8_t[::1] registers, int precision):
    """Raise HyperLogLog registers: the first `precision` bits of a hash name one, the zeros after them plus one are offered to it."""
    cdef int64_t i
    cdef uint64_t h, at, limit = <uint64_t> 1 << (precision - 1)
    cdef uint8_t rank
    with nogil:
        for i in range(hashes.shape[0]):
            h = hashes[i]
            at = h >> (64 - precision)
            rank = leading_zeros64((h << precision) | limit) + 1
            if rank > registers[at]:
                registers[at] = rank


cdef struct _Slot:
    uint64_t hash
    uint32_t count    # 0 marks a free slot
    uint32_t first    # position of the first occurrence


cdef struct _Table:
    _Slot* slots
    uint64_t mask
    uint64_t used


cdef inline _Slot* _find(_Table* table, uint64_t h) noexcept nogil:
    cdef uint64_t at = h & table.mask
    while table.slots[at].count and table.slots[at].hash != h:
        at = (at + 1) & table.mask
    return &table.slots[at]


cdef bint _grow(_Table* table) noexcept nogil:
    """Double the table, or make it; False when out of memory."""
    cdef _Table larger
    cdef uint64_t i, size = 2 * (table.mask + 1) if table.slots != NULL else 4096
    larger.slots, larger.mask, larger.used = <_Slot*> calloc(size, sizeof(_Slot)), size - 1, table.used
    if larger.slots == NULL:
        return False
    if table.slots != NULL:
        for i in range(table.mask + 1):
            if table.slots[i].count:
                _find(&larger, table.slots[i].hash)[0] = table.slots[i]
        free(table.slots)
    table[0] = larger
    return True


cdef bint _tally(const uint64_t[::1] hashes, const uint32_t* cells, uint32_t least, _Table* table) noexcept nogil:
    """Count the hashes whose cell holds at least `least`; False when out of memory."""
    cdef int64_t i
    cdef _Slot* slot
    for i in range(hashes.shape[0]):
        if cells[hashes[i] >> (64 - CELL_BITS)] < least:
            continue
        if 2 * table.used >= table.mask and not _grow(table):
            return False
        slot = _find(table, hashes[i])
        if slot.count == 0:
            slot.hash, slot.first = hashes[i], <uint32_t> i
            table.used += 1
        slot.count += 1
    return True


cdef tuple _contents(_Table* table):
    """Return the table's (hashes, counts, first positions)."""
    cdef uint64_t i, at = 0
    found, times, places = np.empty(table.used, np.uint64), np.empty(table.used, np.int64), np.empty(table.used, np.int64)
    cdef uint64_t[::1] hashes = found
    cdef int64_t[::1] counts = times, firsts = places
    if table.used:
        for i in range(table.mask + 1):
            if table.slots[i].count:
                hashes[at], counts[at], firsts[at] = table.slots[i].hash, table.slots[i].count, table.slots[i].first
                at += 1
    return found, times, places


def heavy(const uint64_t[::1] hashes, int64_t least, int64_t few):
    """Count the hashes that may occur `least` times or more in a block of fewer than 2^32.

    Cells of hashes are counted first; only those that hold `least` can hold such a hash, and where none does nothing is looked up.
    A block that fills no more than `few` cells is counted whole.

    Returns:
        (hashes, counts, first positions, lost): the counted ones, and the most rows that any other hash can have.
    """
    cdef _Table table = _Table(NULL, 0, 0)
    cdef int64_t i, filled = 0
    cdef uint32_t lost = 0, threshold = 1
    cdef bint done
    cell_counts = np.zeros(1 << CELL_BITS, dtype=np.uint32)
    cdef uint32_t[::1] cells = cell_counts
    with nogil:
        for i in range(hashes.shape[0]):
            cells[hashes[i] >> (64 - CELL_BITS)] += 1
        for i in range(1 << CELL_BITS):
            filled += cells[i] > 0
        if filled > few:
            threshold = <uint32_t> max(least, 1)
            for i in range(1 << CELL_BITS):
                if lost < cells[i] < threshold:
                    lost = cells[i]
        done = _tally(hashes, &cells[0], threshold, &table)
    try:
        if not done:
            raise MemoryError("no room to count a column's frequent items")
        return *_contents(&table), int(lost)
    finally:
        free(table.slots)


def sample(const double[::1] values, int64_t width, uint64_t seed):
    """Draw one value of each whole window of `width` (a power of two) values."""
    cdef int64_t i, n = values.shape[0] // width
    cdef uint64_t mask = <uint64_t> width - 1
    drawn = np.empty(n)
    cdef double[::1] out = drawn
    with nogil:
        for i in range(n):
            out[i] = values[i * width + <int64_t> (mix64(seed + <uint64_t> i * 0x9E3779B97F4A7C15u) & mask)]
    return drawn
