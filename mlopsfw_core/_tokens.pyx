"""Hashed tokens of rows of any length, one after the other, and the compressed rows that they make."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, realloc

from ._sparse cimport place_any, sum_duplicates, token

cnp.import_array()


class Bags(NamedTuple):
    """What `torch.nn.EmbeddingBag(mode="sum")` takes, by `torch.from_numpy`: one bag a row, each token weighted by its signed value."""

    indices: object
    offsets: object
    per_sample_weights: object


class SparseRows(NamedTuple):
    """A sparse matrix by compressed rows: SciPy's `csr_array((data, indices, indptr), shape)`, duplicates summed, sorted."""

    data: object
    indices: object
    indptr: object
    shape: tuple

    def to_scipy(self):
        """Return the matrix as a `scipy.sparse.csr_array` over the same buffers."""
        from scipy.sparse import csr_array

        matrix = csr_array((self.data, self.indices, self.indptr), shape=self.shape)
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix

    def to_bags(self):
        """Return the rows as bags (int64, int64, float32): their weighted sum of embeddings is this matrix times the table's weights."""
        return Bags(
            np.asarray(self.indices, dtype=np.int64),
            np.asarray(self.indptr[: self.shape[0]], dtype=np.int64),
            np.asarray(self.data, dtype=np.float32),
        )


cdef class Tokens:
    """Slots and values of tokens, in the order in which they came; grows by doubling."""

    def __dealloc__(self):
        free(self.slots)
        free(self.values)

    cdef int reserve(self, int64_t more) except -1:
        """Make room for `more` tokens."""
        cdef int64_t room
        cdef void* slots
        cdef void* values
        if self.used + more <= self.room:
            return 0
        room = max(self.used + more, 2 * self.room + 1024)
        slots = realloc(self.slots, room * sizeof(int32_t))
        if slots != NULL:
            self.slots = <int32_t*> slots
        values = realloc(self.values, room * sizeof(double))
        if values != NULL:
            self.values = <double*> values
        if slots == NULL or values == NULL:
            raise MemoryError("no room for the tokens of the rows")
        self.room = room
        return 0

    cdef object compressed(self, cnp.ndarray ends, int64_t n_features, object dtype):
        """Sort each row's tokens by slot and add up equal ones, in the order in which they came.

        Args:
            ends: int64, one more than rows: where each row begins, and where the last one ends.
            n_features: columns of the matrix.
            dtype: of its values.
        """
        cdef int64_t rows = len(ends) - 1, row, begin, size, used = 0
        cdef cnp.ndarray indices = np.empty(self.used, dtype=np.int32), data = np.empty(self.used)
        cdef cnp.ndarray indptr = np.zeros(rows + 1, dtype=np.int64), room
        cdef const int64_t* end = <const int64_t*> cnp.PyArray_DATA(ends)
        cdef int64_t* starts = <int64_t*> cnp.PyArray_DATA(indptr)
        cdef int32_t* slots = <int32_t*> cnp.PyArray_DATA(indices)
        cdef double* values = <double*> cnp.PyArray_DATA(data)
        cdef token* sorting
        room = np.empty(2 * int(np.diff(ends).max(initial=0)) + 1)
        sorting = <token*> cnp.PyArray_DATA(room)
        with nogil:
            for row in range(rows):
                begin, size = end[row], end[row + 1] - end[row]
                place_any(self.slots + begin, self.values + begin, size, slots + used, values + used, sorting)
                used += sum_duplicates(slots + used, values + used, size)
                starts[row + 1] = used
        place = np.int32 if used <= 0x7FFFFFFF else np.int64
        return SparseRows(
            data[:used].astype(dtype, copy=False), indices[:used].astype(place, copy=False), indptr.astype(place), (rows, n_features)
        )
