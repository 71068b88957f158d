"""One row of a hashed matrix: which slot a hash takes, and how a row's tokens are put in order and added up. Header only."""

from libc.stdint cimport int32_t, int64_t, uint32_t


cdef inline int32_t slot_of(uint32_t h, uint32_t n_features) noexcept nogil:
    """scikit-learn's index: |h| mod n_features, and |INT_MIN| as if it could be written."""
    # |h| without a branch, which a hash's sign would mispredict every other time.
    cdef uint32_t negative = <uint32_t> -(<int32_t> (h >> 31)), size = (h ^ negative) - negative
    return <int32_t> (size & (n_features - 1)) if n_features & (n_features - 1) == 0 else <int32_t> (size % n_features)


cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
    #define WIDE __attribute__((target_clones("avx2", "default")))
    #else
    #define WIDE
    #endif
    #define NARROW 16
    typedef struct { int32_t slot; int32_t order; double value; } token;

    static int by_slot(const void *left, const void *right) {
      const token *a = left, *b = right;
      return a->slot != b->slot ? (a->slot > b->slot) - (a->slot < b->slot) : (a->order > b->order) - (a->order < b->order);
    }

    /* Sort tokens by slot, equal ones in the order given. Any width. */
    static void place_any(const int32_t *slots, const double *values, int64_t used, int32_t *indices, double *data, token *room) {
      for (int64_t i = 0; i < used; ++i) { room[i].slot = slots[i]; room[i].order = (int32_t)i; room[i].value = values[i]; }
      qsort(room, used, sizeof(token), by_slot);
      for (int64_t i = 0; i < used; ++i) { indices[i] = room[i].slot; data[i] = room[i].value; }
    }

    /* The same for up to NARROW tokens, without branches: each goes to the number of smaller slots. Slots are padded with
       INT32_MAX. Equal slots would collide, which the sum of the ranks shows: then, returns 0 with nothing written. */
    WIDE static int place_narrow(const int32_t *slots, const double *values, int64_t used, int32_t *indices, double *data) {
      int32_t rank[NARROW] = {0}, total = 0;
      for (int64_t j = 0; j < used; ++j)
        for (int i = 0; i < NARROW; ++i) rank[i] += slots[j] < slots[i];
      for (int64_t i = 0; i < used; ++i) total += rank[i];
      if (total != used * (used - 1) / 2) return 0;
      for (int64_t i = 0; i < used; ++i) { indices[rank[i]] = slots[i]; data[rank[i]] = values[i]; }
      return 1;
    }
    """
    const int NARROW
    ctypedef struct token:
        pass
    void place_any(const int32_t*, const double*, int64_t, int32_t*, double*, token*) noexcept nogil
    int place_narrow(const int32_t*, const double*, int64_t, int32_t*, double*) noexcept nogil


cdef inline void place_row(int32_t* slots, const double* values, int64_t used, int32_t* indices, double* data, token* room) noexcept nogil:
    """Write one row's tokens by slot; `slots` has room for NARROW."""
    cdef int64_t i
    if used <= NARROW:
        for i in range(used, NARROW):
            slots[i] = 0x7FFFFFFF
        if place_narrow(slots, values, used, indices, data):
            return
    place_any(slots, values, used, indices, data, room)


cdef inline int64_t sum_duplicates(int32_t* indices, double* data, int64_t used) noexcept nogil:
    """Add up neighbours of equal slot; returns how many are left."""
    cdef int64_t i, kept = 0
    for i in range(1, used):
        if indices[i] == indices[kept]:
            data[kept] += data[i]
        else:
            kept += 1
            indices[kept], data[kept] = indices[i], data[i]
    return kept + 1 if used else 0
