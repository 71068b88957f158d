"""Runs of texts, for the modules that hash and count them."""

from ._types cimport TextView


cdef class TextSegment:
    cdef TextView view
    cdef object owner             # whatever keeps the view's buffers alive
    cdef readonly object codes    # int64 indices into the view, -1 for null; None where row i is text i


cdef TextSegment segment_of_strings(list strings, object codes)
cpdef list text_segments(object column)
