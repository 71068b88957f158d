"""Take in columns: NumPy arrays, sequences, and whatever speaks Arrow's C data interface, without a copy where the layout allows.

This module decides what a column's numbers, nulls and kind are. It computes no statistic, and needs no Arrow library.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset

from ._types cimport ArrowArray, ArrowArrayStream, ArrowSchema

cnp.import_array()

cdef dict _NUMPY_OF_FORMAT = {
    "c": np.int8, "C": np.uint8, "s": np.int16, "S": np.uint16, "i": np.int32, "I": np.uint32,
    "l": np.int64, "L": np.uint64, "e": np.float16, "f": np.float32, "g": np.float64,
    "tdD": np.int32, "tdm": np.int64, "tts": np.int32, "ttm": np.int32, "ttu": np.int64, "ttn": np.int64,
}
cdef tuple _TEXT_FORMATS = ("u", "U", "vu", "z", "Z", "vz")


cdef class _ArrayOwner:
    """Owns one imported ArrowArray and releases it once, when the last view of it is gone."""

    cdef ArrowArray array

    def __cinit__(self):
        memset(&self.array, 0, sizeof(ArrowArray))

    def __dealloc__(self):
        if self.array.release != NULL:
            self.array.release(&self.array)


cdef class _SchemaOwner:
    """Owns one imported ArrowSchema."""

    cdef ArrowSchema schema

    def __cinit__(self):
        memset(&self.schema, 0, sizeof(ArrowSchema))

    def __dealloc__(self):
        if self.schema.release != NULL:
            self.schema.release(&self.schema)


@cython.final
cdef class Chunk:
    """One contiguous piece of an Arrow column; a window onto buffers that `owner` keeps alive."""

    def __len__(self):
        return self.array.length

    cpdef object valid(self):
        """Say which rows hold a value: a boolean array, or None when all do."""
        cdef int64_t n = self.array.length, offset = self.array.offset
        if self.format == "n":
            return np.zeros(n, dtype=bool)
        if n == 0 or self.array.null_count == 0 or self.array.n_buffers == 0 or self.array.buffers[0] == NULL:
            return None
        size = ((offset & 7) + n + 7) >> 3
        packed = _view(<char*> self.array.buffers[0] + (offset >> 3), size, cnp.NPY_UINT8, self.owner)
        return np.unpackbits(packed, bitorder="little")[offset & 7:][:n].view(bool)

    cpdef object numbers(self):
        """Return the values as a NumPy array of their own dtype, undefined where null; a view unless packed or encoded."""
        cdef int64_t n = self.array.length, offset = self.array.offset
        if self.dictionary is not None:
            codes, values = self.codes(), self.dictionary.numbers()
            return values[np.maximum(codes, 0)] if len(values) else np.zeros(n)
        if self.format == "n" or n == 0:
            return np.zeros(n)
        if self.format == "b":
            size = ((offset & 7) + n + 7) >> 3
            packed = _view(<char*> self.array.buffers[1] + (offset >> 3), size, cnp.NPY_UINT8, self.owner)
            return np.unpackbits(packed, bitorder="little")[offset & 7:][:n].view(bool)
        if self.format.startswith("d:"):
            return self._decimals()
        return _stored(self, _dtype_of(self.format), 1)

    def codes(self):
        """Return a dictionary-encoded chunk's indices as int64, with -1 where the row or its dictionary value is null."""
        cdef int64_t n = self.array.length
        if n == 0:
            return np.zeros(0, dtype=np.int64)
        codes = _stored(self, np.dtype(_NUMPY_OF_FORMAT[self.format]), 1).astype(np.int64)
        valid = self.valid()
        if valid is not None:
            codes[~valid] = -1
        known = self.dictionary.valid()
        if known is not None:
            codes[codes >= 0] = np.where(known, np.arange(len(known)), -1)[codes[codes >= 0]]
        return codes

    def lists(self):
        """Return a list chunk's (starts, lengths) in its child, one for each row; undefined where null."""
        cdef int64_t n = self.array.length, offset = self.array.offset, width
        if self.format.startswith("+w:"):
            width = int(self.format[3:])
            return (np.arange(n) + offset) * width, np.full(n, width)
        if n == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        typenum, width = (cnp.NPY_INT64, 8) if self.format in ("+L", "+vL") else (cnp.NPY_INT32, 4)
        start = <char*> self.array.buffers[1] + offset * width
        if self.format in ("+vl", "+vL"):
            sizes = <char*> self.array.buffers[2] + offset * width
            return (_view(start, n, typenum, self.owner).astype(np.int64), _view(sizes, n, typenum, self.owner).astype(np.int64))
        bounds = _view(start, n + 1, typenum, self.owner).astype(np.int64)
        return bounds[:-1], np.diff(bounds)

    def _decimals(self):
        """Return decimals as float64: the integer they hold, over ten to the scale."""
        precision_scale_bits = self.format[2:].split(",")
        bits = int(precision_scale_bits[2]) if len(precision_scale_bits) > 2 else 128
        if bits > 128:
            raise TypeError(f"decimals of {bits} bits are not read; cast the column to float64 first")
        words = bits // 32
        raw = _stored(self, np.dtype(np.uint32), words).reshape(-1, words)
        total = raw[:, words - 1].view(np.int32).astype(np.float64)
        for word in range(words - 2, -1, -1):
            total = total * 4294967296.0 + raw[:, word]
        return total / 10.0 ** int(precision_scale_bits[1])


@cython.final
cdef class Column:
    """A column read through Arrow's C data interface: its value format and its chunks."""

    def __len__(self):
        return sum(len(chunk) for chunk in self.chunks)

    @property
    def is_text(self):
        """Whether the values are strings or bytes."""
        return self.format in _TEXT_FORMATS


cdef object _view(void* start, int64_t n, int typenum, object owner):
    """Wrap n values at `start` as a read-only array that keeps `owner` alive."""
    cdef cnp.npy_intp size = n
    array = cnp.PyArray_SimpleNewFromData(1, &size, typenum, start)
    cnp.set_array_base(array, owner)
    array.flags.writeable = False
    return array


cdef object _stored(Chunk chunk, object dtype, int64_t words):
    """View a chunk's value buffer: `words` items of a dtype for each row."""
    cdef int64_t width = dtype.itemsize * words
    cdef char* start = <char*> chunk.array.buffers[1] + chunk.array.offset * width
    return _view(start, chunk.array.length * words, dtype.num, chunk.owner)


cdef object _dtype_of(str format):
    """Name the NumPy dtype in which Arrow stores a numeric or temporal format."""
    if format in _NUMPY_OF_FORMAT:
        return np.dtype(_NUMPY_OF_FORMAT[format])
    if format[:2] in ("ts", "tD"):
        return np.dtype(np.int64)
    raise TypeError(f"an Arrow column of format {format!r} holds no numbers; give a numeric, boolean, temporal or text column")


cdef Chunk _chunk(object owner, const ArrowArray* array, const ArrowSchema* schema):
    cdef Chunk chunk = Chunk.__new__(Chunk)
    chunk.owner, chunk.array, chunk.format = owner, array, schema.format.decode()
    if schema.dictionary != NULL:
        chunk.dictionary = _chunk(owner, array.dictionary, schema.dictionary)
    chunk.children = [_chunk(owner, array.children[i], schema.children[i]) for i in range(array.n_children)]
    return chunk


cdef Column _column(list owners, _SchemaOwner schema_owner, int64_t child):
    """Gather one column from imported arrays: the whole arrays, or (child >= 0) one child of each record batch."""
    cdef const ArrowSchema* schema = &schema_owner.schema if child < 0 else schema_owner.schema.children[child]
    cdef const ArrowArray* array
    cdef _ArrayOwner owner
    cdef Column column = Column.__new__(Column)
    column.encoded = schema.dictionary != NULL
    column.format = (schema.dictionary.format if column.encoded else schema.format).decode()
    column.chunks = []
    for owner in owners:
        array = &owner.array if child < 0 else owner.array.children[child]
        column.chunks.append(_chunk(owner, array, schema))
    return column


def table_batches(table):
    """Yield the record batches of what has `__arrow_c_stream__` one at a time, as columns by name; the first, empty, tells the columns."""
    capsule = table.__arrow_c_stream__()
    cdef ArrowArrayStream* stream = <ArrowArrayStream*> PyCapsule_GetPointer(capsule, "arrow_array_stream")
    cdef _SchemaOwner schema = _SchemaOwner()
    cdef _ArrayOwner owner
    if stream.get_schema(stream, &schema.schema) != 0:
        raise ValueError(_stream_error(stream))
    yield _table_of([], schema, table)
    while True:
        owner = _ArrayOwner()
        if stream.get_next(stream, &owner.array) != 0:
            raise ValueError(_stream_error(stream))
        if owner.array.release == NULL:
            return
        yield _table_of([owner], schema, table)


cdef dict _table_of(list owners, _SchemaOwner schema, object table):
    cdef _ArrayOwner owner
    if schema.schema.format != b"+s":
        raise TypeError(f"a table is wanted, but {type(table).__name__} exports a single column")
    for owner in owners:
        if owner.array.null_count > 0 or owner.array.offset:
            raise TypeError("a struct column with nulls or an offset is no table; flatten it first")
    return {schema.schema.children[i].name.decode(): _column(owners, schema, i) for i in range(schema.schema.n_children)}


cdef tuple _import_stream(object capsule):
    """Move every array out of a stream capsule; returns the owners and their schema."""
    cdef ArrowArrayStream* stream = <ArrowArrayStream*> PyCapsule_GetPointer(capsule, "arrow_array_stream")
    cdef _SchemaOwner schema = _SchemaOwner()
    cdef _ArrayOwner owner
    owners = []
    if stream.get_schema(stream, &schema.schema) != 0:
        raise ValueError(_stream_error(stream))
    while True:
        owner = _ArrayOwner()
        if stream.get_next(stream, &owner.array) != 0:
            raise ValueError(_stream_error(stream))
        if owner.array.release == NULL:
            return owners, schema
        owners.append(owner)


cdef str _stream_error(ArrowArrayStream* stream):
    cdef const char* text = stream.get_last_error(stream)
    return "reading an Arrow stream failed: " + (text.decode(errors="replace") if text != NULL else "no reason given")


cdef tuple _import(object source):
    """Import through whichever of Arrow's two doors the object has."""
    cdef ArrowSchema* schema
    cdef ArrowArray* array
    cdef _SchemaOwner schema_owner
    cdef _ArrayOwner owner
    if hasattr(source, "__arrow_c_stream__"):
        return _import_stream(source.__arrow_c_stream__())
    schema_capsule, array_capsule = source.__arrow_c_array__()
    schema = <ArrowSchema*> PyCapsule_GetPointer(schema_capsule, "arrow_schema")
    array = <ArrowArray*> PyCapsule_GetPointer(array_capsule, "arrow_array")
    schema_owner, owner = _SchemaOwner(), _ArrayOwner()
    # Moving means copying the struct and clearing the source's release, as the interface's specification has it.
    schema_owner.schema, owner.array = schema[0], array[0]
    schema.release, array.release = NULL, NULL
    return [owner], schema_owner


def speaks_arrow(source) -> bool:
    """Say whether an object exports Arrow data through the C data interface."""
    return hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")


def arrow_column(source, nested=False):
    """Import one column through the C data interface.

    Args:
        source: anything with `__arrow_c_stream__` or `__arrow_c_array__`, or an already imported `Column`.
        nested: whether lists and structs may come.

    Raises:
        TypeError: the column holds nested values that are not wanted.
    """
    column = source
    if not isinstance(source, Column):
        owners, schema = _import(source)
        column = _column(owners, schema, -1)
    if column.format[:1] == "+" and not nested:
        raise TypeError(f"a column is wanted, but {type(source).__name__} holds nested values (Arrow format {column.format!r})")
    return column


def table_columns(table) -> dict:
    """Split a table into columns by name, in the table's order.

    Args:
        table: a mapping of names to columns, or anything that exports Arrow record batches (a Polars data frame, a
            PyArrow table or record batch, ...).
    """
    if isinstance(table, Mapping):
        return dict(table)
    if not speaks_arrow(table):
        raise TypeError(f"a table is a mapping of columns or exports Arrow data; {type(table).__name__} does neither")
    owners, schema = _import(table)
    return _table_of(owners, schema, table)


def column_kind(column) -> str:
    """Tell a column's kind by its type: "numeric" (numbers and times) or "categorical" (text, booleans, encoded text)."""
    if isinstance(column, Column) or speaks_arrow(column):
        imported = arrow_column(column)
        return "categorical" if imported.is_text or imported.format == "b" else "numeric"
    if not isinstance(column, np.ndarray):
        return _kind_of_objects(column)
    if column.dtype.kind == "O":
        return _kind_of_objects(column.ravel())
    return "numeric" if column.dtype.kind in "iufmM" else "categorical"


cdef str _kind_of_objects(object values):
    """Tell the kind of Python scalars by the set of their types; nothing but None counts as numeric."""
    if hasattr(values, "__array__") and not isinstance(values, np.ndarray):
        return column_kind(np.asarray(values))
    for scalar in set(map(type, values)) - {type(None)}:
        if not issubclass(scalar, (int, float, np.number, np.datetime64, np.timedelta64)) or issubclass(scalar, bool):
            return "categorical"
    return "numeric"


def numeric_rows(column) -> tuple:
    """Read a column's numbers, one for each row.

    Args:
        column: a NumPy array of any numeric dtype and stride (masked arrays too), a sequence of numbers and None, or
            an Arrow column of a numeric, boolean, decimal or temporal type (times count in their own unit).

    Returns:
        (values, valid): contiguous float64, undefined where null; and a boolean array of the rows that are not null, or
        None when all are. The values are the caller's own buffer when that is float64 already: not to be written to.

    Raises:
        TypeError: the column holds no numbers.
    """
    if isinstance(column, Column) or speaks_arrow(column):
        values, valid = _arrow_numbers(arrow_column(column))
    else:
        values, valid = _array_numbers(column)
    with np.errstate(invalid="ignore"):  # a signalling NaN of fewer bits is a NaN like any other
        numbers = np.ascontiguousarray(values, dtype=np.float64)
    return numbers, None if valid is None or valid.all() else valid


def numeric_values(column) -> tuple:
    """Read a column's numbers, as `numeric_rows` does; return those that are not null (NaN kept), and the number of nulls."""
    values, valid = numeric_rows(column)
    if valid is None:
        return values, 0
    present = values[valid]
    return present, len(values) - len(present)


cdef object _object_numbers(object values):
    """Turn Python scalars into float64. A text is no number, though float() would read some of them."""
    if any(issubclass(scalar, (str, bytes)) for scalar in set(map(type, values))):
        raise TypeError("a column that holds texts holds no numbers; read it as categorical")
    try:
        return values.astype(np.float64)
    except (ValueError, OverflowError) as error:
        raise TypeError(f"a column of Python objects holds no float64 numbers: {error}") from error


cdef tuple _array_numbers(object column):
    valid = ~np.ma.getmaskarray(column).ravel() if isinstance(column, np.ma.MaskedArray) else None
    try:
        array = np.asarray(column).ravel()
    except ValueError as error:  # rows of unequal length, bytes beside texts
        raise TypeError(f"a {type(column).__name__} that NumPy cannot lay out holds no numbers: {error}") from error
    if array.dtype.kind in "mM":
        present = ~np.isnat(array)
        return array.view(np.int64), present if valid is None else valid & present
    if array.dtype.kind == "O":
        present = np.fromiter((value is not None for value in array), dtype=bool, count=array.size)
        return _object_numbers(np.where(present, array, 0)), present if valid is None else valid & present
    if array.dtype.kind not in "biuf":
        raise TypeError(f"a column of dtype {array.dtype} holds no numbers")
    return array, valid


cdef tuple _arrow_numbers(Column column):
    if column.is_text:
        raise TypeError("a text column holds no numbers; read it as categorical")
    values, flags = [], []
    for chunk in column.chunks:
        values.append(chunk.numbers())
        flags.append(chunk.codes() >= 0 if column.encoded else chunk.valid())
    if len(values) == 1:
        return values[0], flags[0]
    joined = np.concatenate([np.zeros(0), *values])
    if all(valid is None for valid in flags):
        return joined, None
    filled = (np.ones(len(part), dtype=bool) if valid is None else valid for part, valid in zip(values, flags))
    return joined, np.concatenate([np.zeros(0, dtype=bool), *filled])
