"""The C structures that the core shares: Arrow's C data interface, and a view of a run of UTF-8 texts.

Declarations only. Who owns what: an ArrowArray belongs to the `_Owner` that imported it and lives as long as any view
of it; a TextView owns nothing, and the TextSegment that holds it keeps its buffers alive.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t


cdef extern from "mlopsfw_core/_arrow.h":
    struct ArrowSchema:
        const char* format
        const char* name
        int64_t n_children
        ArrowSchema** children
        ArrowSchema* dictionary
        void (*release)(ArrowSchema*) noexcept

    struct ArrowArray:
        int64_t length
        int64_t null_count
        int64_t offset
        int64_t n_buffers
        int64_t n_children
        const void** buffers
        ArrowArray** children
        ArrowArray* dictionary
        void (*release)(ArrowArray*) noexcept

    struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream*, ArrowSchema*) noexcept
        int (*get_next)(ArrowArrayStream*, ArrowArray*) noexcept
        const char* (*get_last_error)(ArrowArrayStream*) noexcept
        void (*release)(ArrowArrayStream*) noexcept


cdef enum TextLayout:
    OFFSETS32 = 0   # Arrow string and binary
    OFFSETS64 = 1   # Arrow large_string and large_binary
    VIEWS = 2       # Arrow string_view and binary_view
    POINTERS = 3    # Python strings, by their cached UTF-8


cdef struct TextView:
    TextLayout layout
    int64_t length
    int64_t offset            # of the first text, in elements, into offsets and bitmap
    const uint8_t* valid      # bitmap, or NULL when there are no nulls
    const void* index         # offsets, views, or pointers
    const char* data          # bytes, for the two offset layouts
    const void** blocks       # data blocks, for VIEWS
    const int64_t* lengths    # byte lengths, for POINTERS; -1 is a null


cdef inline int64_t text_at(const TextView* view, int64_t i, const char** start) noexcept nogil:
    """Point `start` at text i and return its length in bytes, or -1 where it is null."""
    cdef int64_t at = i + view.offset
    cdef int64_t begin, size
    cdef const int32_t* cell
    if view.layout == POINTERS:
        start[0] = (<const char* const*> view.index)[i]
        return view.lengths[i]
    if view.valid != NULL and not (view.valid[at >> 3] >> (at & 7)) & 1:
        return -1
    if view.layout == OFFSETS32:
        begin = (<const int32_t*> view.index)[at]
        size = (<const int32_t*> view.index)[at + 1] - begin
        start[0] = view.data + begin
        return size
    if view.layout == OFFSETS64:
        begin = (<const int64_t*> view.index)[at]
        size = (<const int64_t*> view.index)[at + 1] - begin
        start[0] = view.data + begin
        return size
    # A view is 16 bytes: length, then either 12 bytes of text, or a prefix, a block number and an offset into it.
    cell = (<const int32_t*> view.index) + 4 * at
    if cell[0] <= 12:
        start[0] = <const char*> (cell + 1)
    else:
        start[0] = (<const char*> view.blocks[cell[2]]) + cell[3]
    return cell[0]
