"""The hash table of texts, for the modules that count and number them."""

from libc.stdint cimport int64_t, uint64_t


cdef extern from "mlopsfw_core/_table.h":
    ctypedef struct Key:
        int64_t size

    ctypedef struct Entry:
        Key key
        int64_t first
        int64_t count

    ctypedef struct Table:
        Entry* entries
        uint64_t mask
        uint64_t used

    Key key_of(const char* start, int64_t size, bint inlined) noexcept nogil
    const char* text_of_key(const Key* key) noexcept nogil
    Entry* slot_of_key(const Table* table, const Key* key) noexcept nogil
    int make_room(Table* table) noexcept nogil
    Entry* entry_of(Table* table, const Key* key, int64_t row) noexcept nogil
