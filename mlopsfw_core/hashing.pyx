"""Feature hashing: MurmurHash3, scikit-learn's FeatureHasher matrix bit for bit, and bucket numbers for embeddings.

Texts are hashed as UTF-8; see `_text` for how other values are written. No randomness and no state: the same text has the same
hash on every platform and in every layout. Running text is `text_hashing`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

import numpy as np

cimport numpy as cnp
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from ._murmur cimport Murmur, murmur3, murmur_begin, murmur_finish
from ._sparse cimport NARROW, place_row, slot_of, sum_duplicates, token
from ._text cimport TextSegment, text_segments
from ._tokens cimport Tokens
from ._types cimport TextView, text_at

from ._buffers import column_kind, numeric_rows, speaks_arrow, table_columns
from ._crosses import crossed_hashes
from ._tokens import SparseRows

cnp.import_array()

NULL_BUCKET = 0
"""The bucket that `hash_indices` keeps for missing values; no text is ever put there."""


def murmurhash3_32(key, uint32_t seed=0, bint positive=False):
    """Hash a key with MurmurHash3 x86_32, with the name and arguments of scikit-learn's function.

    Args:
        key: bytes, a string (hashed as UTF-8) or a 32-bit integer (hashed as its four little-endian bytes).
        seed: an unsigned 32-bit seed.
        positive: whether to read the 32 bits as unsigned instead of signed.

    Returns:
        The hash, as a Python int.
    """
    cdef Py_ssize_t size = 0
    cdef const char* start
    cdef uint32_t h
    if isinstance(key, bytes):
        h = murmur3(<const char*> key, len(key), seed)
    elif isinstance(key, str):
        start = PyUnicode_AsUTF8AndSize(key, &size)
        h = murmur3(start, size, seed)
    elif isinstance(key, (int, np.integer)):
        raw = int(key).to_bytes(4, "little", signed=True)
        h = murmur3(<const char*> raw, 4, seed)
    else:
        raise TypeError(f"a key is bytes, str or int, not {type(key).__name__}")
    return h if positive else <int32_t> h


cdef inline int64_t _bucket(const char* start, int64_t size, uint32_t seed, uint32_t n_buckets) noexcept nogil:
    return 1 + <int64_t> (murmur3(start, size, seed) % (n_buckets - 1))


cdef void _buckets(const TextView* view, uint32_t seed, uint32_t n_buckets, int64_t* out) noexcept nogil:
    cdef int64_t i, size
    cdef const char* start = NULL
    for i in range(view.length):
        size = text_at(view, i, &start)
        out[i] = 0 if size < 0 else _bucket(start, size, seed, n_buckets)


cdef object _segment_buckets(TextSegment segment, uint32_t seed, uint32_t n_buckets):
    # One spare cell at the end holds the null bucket, so that code -1 finds it by Python's indexing.
    cdef cnp.ndarray out = np.zeros(segment.view.length + (segment.codes is not None), dtype=np.int64)
    with nogil:
        _buckets(&segment.view, seed, n_buckets, <int64_t*> cnp.PyArray_DATA(out))
    return out if segment.codes is None else out[segment.codes]


def hash_indices(column, int64_t n_buckets, uint32_t seed=0):
    """Give each row of a categorical column its bucket, for an embedding table of `n_buckets` rows.

    Bucket 0 (`NULL_BUCKET`) is for missing values alone; a text goes to 1 + MurmurHash3(UTF-8, seed) mod (n_buckets - 1),
    read as unsigned.

    Args:
        column: a sequence of strings and None, a NumPy array, or any Arrow column. A list with one string, which is what
            a request to a served model holds, takes a short path.
        n_buckets: rows of the table, from 2 to 2^32 - 1.
        seed: an unsigned 32-bit seed.

    Returns:
        An int64 array with one bucket per row.
    """
    cdef Py_ssize_t size = 0
    cdef const char* start
    cdef cnp.npy_intp one = 1
    cdef cnp.ndarray single
    if n_buckets < 2 or n_buckets > 0xFFFFFFFF:
        raise ValueError(f"n_buckets is from 2 to 2**32 - 1, not {n_buckets}: one bucket is for missing values")
    if type(column) is list and len(column) == 1 and type(column[0]) is str:
        start = PyUnicode_AsUTF8AndSize(column[0], &size)
        single = cnp.PyArray_SimpleNew(1, &one, cnp.NPY_INT64)
        (<int64_t*> cnp.PyArray_DATA(single))[0] = _bucket(start, size, seed, <uint32_t> n_buckets)
        return single
    parts = [_segment_buckets(segment, seed, <uint32_t> n_buckets) for segment in text_segments(column)]
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, dtype=np.int64), *parts])


cdef struct TokenColumn:
    const uint32_t* hashes    # one per row, or a single one where `numbers` is given
    const double* numbers     # values of a numeric column; NULL for text, where each token counts 1
    const uint8_t* present    # 0 where a text is null; NULL when none is


cdef int64_t _hash_run(const TextView* view, Murmur prefix, uint32_t* hashes, uint8_t* present) noexcept nogil:
    """Hash prefix + text for every text of a view; clears `present` where one is null, and returns how many are."""
    cdef int64_t i, size, nulls = 0
    cdef const char* start = NULL
    for i in range(view.length):
        size = text_at(view, i, &start)
        if size >= 0:
            hashes[i] = murmur_finish(prefix, start, size)
        else:
            present[i] = 0
            nulls += 1
    return nulls


cdef double* _SIGNS = [1.0, -1.0, 1.0, 1.0]  # by the hash's top bit; with alternate_sign, then without


cdef inline int64_t _gather_row(
    const TokenColumn* columns, int64_t width, int64_t row, uint32_t n_features, bint alternate_sign, int32_t* slots, double* values,
) noexcept nogil:
    """Collect one row's tokens; a value of 0 is no token. Returns their number."""
    cdef int64_t column, used = 0
    cdef uint32_t h
    cdef double value
    cdef const double* sign = _SIGNS if alternate_sign else _SIGNS + 2
    for column in range(width):
        if columns[column].numbers != NULL:
            h, value = columns[column].hashes[0], columns[column].numbers[row]
            if value == 0.0:
                continue
        else:
            if columns[column].present != NULL and not columns[column].present[row]:
                continue
            h, value = columns[column].hashes[row], 1.0
        slots[used] = slot_of(h, n_features)
        values[used] = value * sign[h >> 31]
        used += 1
    return used


cdef int64_t _build_rows(
    const TokenColumn* columns, int64_t width, int64_t rows, uint32_t n_features, bint alternate_sign,
    int32_t* slots, double* values, token* room, int32_t* indices, double* data, int64_t* indptr,
) noexcept nogil:
    """Write each row's tokens sorted and summed, one row after the other; `slots`, `values` and `room` hold one row."""
    cdef int64_t row, used, end = 0
    for row in range(rows):
        used = _gather_row(columns, width, row, n_features, alternate_sign, slots, values)
        place_row(slots, values, used, indices + end, data + end, room)
        end += sum_duplicates(indices + end, data + end, used)
        indptr[row + 1] = end
    return end


cdef object _sparse(TokenColumn* columns, int64_t width, int64_t rows, int64_t n_features, bint alternate_sign, dtype):
    cdef cnp.ndarray indices = np.empty(rows * width, dtype=np.int32), data = np.empty(rows * width)
    cdef cnp.ndarray indptr = np.zeros(rows + 1, dtype=np.int64)
    cdef cnp.ndarray slots = np.empty(width + NARROW, dtype=np.int32), values = np.empty(width), room = np.empty(2 * width)
    cdef int64_t used
    with nogil:
        used = _build_rows(
            columns, width, rows, <uint32_t> n_features, alternate_sign,
            <int32_t*> cnp.PyArray_DATA(slots), <double*> cnp.PyArray_DATA(values), <token*> cnp.PyArray_DATA(room),
            <int32_t*> cnp.PyArray_DATA(indices), <double*> cnp.PyArray_DATA(data), <int64_t*> cnp.PyArray_DATA(indptr),
        )
    place = np.int32 if used <= 0x7FFFFFFF else np.int64
    # Room for tokens that were not there is given back only when it is much: copying costs more than holding a little.
    if used < 0.75 * rows * width:
        data, indices = data[:used].copy(), indices[:used].copy()
    return SparseRows(
        data[:used].astype(dtype, copy=False), indices[:used].astype(place, copy=False), indptr.astype(place, copy=False), (rows, n_features)
    )


cdef tuple _hash_segment(TextSegment segment, Murmur prefix):
    """Return (hashes, present or None) of a segment's rows."""
    cdef int64_t n = segment.view.length, nulls
    cdef cnp.ndarray hashes = np.empty(n + 1, dtype=np.uint32), present = np.ones(n + 1, dtype=np.uint8)
    with nogil:
        nulls = _hash_run(&segment.view, prefix, <uint32_t*> cnp.PyArray_DATA(hashes), <uint8_t*> cnp.PyArray_DATA(present))
    if segment.codes is not None:
        # The spare last cell is "not present", so that code -1 finds it by Python's indexing.
        (<uint8_t*> cnp.PyArray_DATA(present))[n] = 0
        return hashes[segment.codes], present[segment.codes]
    return hashes[:n], present[:n] if nulls else None


cdef tuple _text_tokens(str name, list segments):
    """Hash a text column's rows as "name=text"; returns (hashes, None, present or None)."""
    cdef bytes prefix = f"{name}=".encode()
    cdef Murmur state = murmur_begin(prefix, len(prefix), 0)
    parts = [_hash_segment(segment, state) for segment in segments]
    if len(parts) == 1:
        return parts[0][0], None, parts[0][1]
    hashes = np.concatenate([np.zeros(0, dtype=np.uint32), *(part for part, _ in parts)])
    if all(present is None for _, present in parts):
        return hashes, None, None
    flags = [np.ones(len(part), dtype=np.uint8) if present is None else present for part, present in parts]
    return hashes, None, np.concatenate(flags)


cdef tuple _column_tokens(str name, object column):
    """Read one column as tokens: (hashes, numbers or None, present or None)."""
    if column_kind(column) == "categorical":
        return _text_tokens(name, text_segments(column))
    values, valid = numeric_rows(column)
    # A null is a key left out, and so is the number 0.
    values = values if valid is None else np.where(valid, values, 0.0)
    return np.array([murmurhash3_32(name, positive=True)], dtype=np.uint32), values, None


cdef object _hash_table(dict table, crosses, int64_t n_features, dtype, bint alternate_sign):
    """Hash a table of columns: text columns as "name=text", numeric ones as their name with the number as value."""
    cdef int64_t width, i
    cdef TokenColumn* columns
    tokens = [_column_tokens(name, column) for name, column in table.items()]
    tokens += [_crossed(names, table) for names in crosses]
    width = len(tokens)
    lengths = {len(hashes if numbers is None else numbers) for hashes, numbers, _ in tokens}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"the columns of a table have one length, at least 1; here: {sorted(lengths)}")
    columns = <TokenColumn*> malloc(width * sizeof(TokenColumn))
    if columns == NULL:
        raise MemoryError("no room for the columns of a table")
    try:
        for i, (hashes, numbers, present) in enumerate(tokens):
            columns[i].hashes = <const uint32_t*> cnp.PyArray_DATA(hashes)
            columns[i].numbers = NULL if numbers is None else <const double*> cnp.PyArray_DATA(numbers)
            columns[i].present = NULL if present is None else <const uint8_t*> cnp.PyArray_DATA(present)
        return _sparse(columns, width, lengths.pop(), n_features, alternate_sign, dtype)
    finally:
        free(columns)


cdef uint32_t _hash_name(name) except? 0:
    cdef Py_ssize_t size = 0
    cdef const char* start
    if isinstance(name, bytes):
        return murmur3(<const char*> name, len(name), 0)
    if not isinstance(name, str):
        raise TypeError(f"feature names are strings, not {type(name).__name__}")
    start = PyUnicode_AsUTF8AndSize(name, &size)
    return murmur3(start, size, 0)


cdef uint32_t _hash_pair(name, value) except? 0:
    """Hash "name=value"; the usual short pair without making that string."""
    cdef char token[256]
    cdef Py_ssize_t first = 0, second = 0
    cdef const char* left
    cdef const char* right
    if not isinstance(name, str):
        return _hash_name(f"{name}={value}")
    left, right = PyUnicode_AsUTF8AndSize(name, &first), PyUnicode_AsUTF8AndSize(value, &second)
    if first + second + 1 > 256:
        return _hash_name(f"{name}={value}")
    memcpy(token, left, first)
    token[first] = c"="
    memcpy(token + first + 1, right, second)
    return murmur3(token, first + 1 + second, 0)


cdef object _hash_rows(object rows, str input_type, int64_t n_features, dtype, bint alternate_sign):
    """Hash an iterable of rows as scikit-learn reads them, token by token."""
    cdef Tokens tokens = Tokens()
    cdef double number
    ends = [0]
    for row in rows:
        pairs = row.items() if input_type == "dict" else ((name, 1) for name in row) if input_type == "string" else row
        for name, value in pairs:
            tokens.reserve(1)
            if isinstance(value, str):
                tokens.put(_hash_pair(name, value), 1.0, <uint32_t> n_features, alternate_sign)
                continue
            number = value
            if number != 0:
                tokens.put(_hash_name(name), number, <uint32_t> n_features, alternate_sign)
        ends.append(tokens.used)
    if len(ends) == 1:
        raise ValueError("there is no row to hash")
    return tokens.compressed(np.array(ends, dtype=np.int64), n_features, dtype)


def _crossed(names, table):
    """Read a cross of columns as tokens."""
    if isinstance(names, str) or len(names) < 2:
        raise ValueError(f"a cross is of two or more columns, not {names!r}")
    if missing := [name for name in names if name not in table]:
        raise ValueError(f"a cross names column {missing[0]!r}; there are {', '.join(map(repr, table))}")
    hashes, present = crossed_hashes(list(names), [table[name] for name in names])
    return hashes, None, present


def hash_features(
    X, int64_t n_features=1 << 20, *, str input_type="dict", dtype=np.float64, bint alternate_sign=True, crosses=()
):
    """Hash features into a sparse matrix: the same as scikit-learn's `FeatureHasher(...).transform`, bit for bit.

    Args:
        X: a table, as a mapping of names to columns or anything that exports Arrow record batches, which is read as the
            dicts {name: value} of its rows (nulls are keys left out); or an iterable of rows as
            FeatureHasher takes them.
        n_features: columns of the matrix, from 1 to 2^31 - 1.
        input_type: how rows are read: "dict" (name to number or string), "pair" ((name, value) pairs) or "string" (names).
        dtype: of the matrix's values.
        alternate_sign: whether the hash's sign is given to the values.
        crosses: of a table, groups of columns such as [("carrier", "origin")]: each row also gets the token that the dict
            {"carrier\\x1forigin": "AA\\x1fJFK"} would give, joined by U+001F, unless one of them is missing there.

    Returns:
        SparseRows with sorted indices and no duplicates.

    Raises:
        ValueError: no rows, columns of unequal length, or a cross of fewer than two columns or of one that is not there.
        TypeError: a feature's name is not a string.
    """
    if not 1 <= n_features <= 0x7FFFFFFF:
        raise ValueError(f"n_features is from 1 to 2**31 - 1, not {n_features}")
    if input_type not in ("dict", "pair", "string"):
        raise ValueError(f"input_type is 'dict', 'pair' or 'string', not {input_type!r}")
    if isinstance(X, Mapping) or speaks_arrow(X):
        return _hash_table(table_columns(X), crosses, n_features, dtype, alternate_sign)
    if crosses:
        raise ValueError("crosses are of a table's columns; rows of tokens have none")
    if input_type == "string":
        X = iter(X)
        first = next(X, None)
        if isinstance(first, str):
            raise ValueError("a row is an iterable of strings, not one string")
        X = chain([] if first is None else [first], X)
    return _hash_rows(X, input_type, n_features, dtype, alternate_sign)
