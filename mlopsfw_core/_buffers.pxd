"""Imported Arrow columns, for the modules that read their buffers."""

from ._types cimport ArrowArray, ArrowSchema


cdef class Chunk:
    cdef object owner             # keeps the ArrowArray alive
    cdef const ArrowArray* array
    cdef readonly str format
    cdef Chunk dictionary         # None unless dictionary-encoded
    cdef readonly list children   # of nested values: a chunk each
    cpdef object valid(self)
    cpdef object numbers(self)


cdef class Column:
    cdef readonly str format      # Arrow's format string; that of the values where dictionary-encoded
    cdef readonly list chunks
    cdef readonly bint encoded    # dictionary-encoded
