"""Arrow values by content: the name of a type without its encoding, and the running sums of a column, independent of batches.

`mlopsfw.data.tables.digest` computes a table's digest from these. Arrow and NumPy are imported on first use.

"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


_LONGEST_NAME = 16 << 20  # characters; each level of objects doubles the escapes of those in it


@functools.lru_cache(maxsize=1024)
def logical_type(kind: pa.DataType) -> str:
    """Return the name of a type without its encoding: `utf8` for all kinds of text, the value type for a dictionary."""
    import pyarrow.types as t

    kind = plain_type(kind)
    if t.is_union(kind):
        raise DataError(f"a column of type {kind} cannot be digested", hint="Split the union into one column per type.")
    if t.is_nested(kind):
        return _nested_type(kind)
    if _is_text(kind):
        return "utf8"
    return "binary" if _is_bytes(kind) else str(kind)


def _nested_type(kind: pa.DataType) -> str:
    import pyarrow.types as t

    if t.is_struct(kind):
        name = f"struct{json.dumps([[f.name, logical_type(f.type)] for f in kind])}"
        if len(name) > _LONGEST_NAME:
            raise DataError("a column's objects are nested too deeply to be digested", hint="Flatten the column.")
        return name
    if t.is_map(kind):
        return f"map[{logical_type(kind.key_type)},{logical_type(kind.item_type)}]"
    size = f":{kind.list_size}" if t.is_fixed_size_list(kind) else ""
    return f"list{size}[{logical_type(kind.value_type)}]"


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of what `decoded` returns, but for views."""
    import pyarrow.types as t

    while True:
        if isinstance(kind, _arrow().BaseExtensionType):
            kind = kind.storage_type
        elif t.is_dictionary(kind) or t.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def _arrow() -> Any:
    import pyarrow as pa

    return pa


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow.types as t

    return bool(t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind))


def decoded(values: pa.Array) -> pa.Array:
    """Return the values without extension, dictionary, run-end encoding or views."""
    import pyarrow.compute as pc
    import pyarrow.types as t

    while True:
        if isinstance(values.type, _arrow().BaseExtensionType):
            values = values.storage
        elif t.is_dictionary(values.type):
            values = decoded(values.dictionary).take(values.indices)
        elif t.is_run_end_encoded(values.type):
            values = pc.run_end_decode(values)
        elif t.is_string_view(values.type):  # few kernels take views
            values = values.cast(_arrow().large_string())
        elif t.is_binary_view(values.type):
            values = values.cast(_arrow().large_binary())
        else:
            return _decoded_within(values) if _is_coded_within(values.type) else values


def _is_coded_within(kind: pa.DataType) -> bool:
    """Return whether objects or lists hold categories, whose texts few kernels take."""
    import pyarrow.types as t

    if t.is_struct(kind):
        return any(t.is_dictionary(field.type) or _is_coded_within(field.type) for field in kind)
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return bool(t.is_dictionary(kind.value_type)) or _is_coded_within(kind.value_type)
    return False


def _decoded_within(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_struct(values.type):
        columns = [decoded(values.field(index)) for index in range(values.type.num_fields)]
        return pa.StructArray.from_arrays(columns, names=[field.name for field in values.type], mask=values.is_null())
    lengths = pc.list_value_length(values).fill_null(0).cast(pa.int64())
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
    return pa.LargeListArray.from_arrays(offsets, decoded(values.flatten()), mask=values.is_null())


def column_sums(kind: pa.DataType) -> ColumnSums:
    """Return new sums for a column of this type."""
    import pyarrow.types as t

    kind = plain_type(kind)
    if _is_text(kind) or _is_bytes(kind):
        return _Variable()
    if t.is_struct(kind):
        return _Struct([column_sums(field.type) for field in kind])
    if t.is_nested(kind):
        return _List(column_sums(kind.value_type if not t.is_map(kind) else _entries(kind)))
    return _Null() if t.is_null(kind) else _Fixed()


def _entries(kind: pa.DataType) -> pa.DataType:
    return _arrow().struct([("key", kind.key_type), ("value", kind.item_type)])


class ColumnSums:
    """The running sums of one column: the number of rows, the positions of nulls, and those of the subclasses."""

    def __init__(self) -> None:
        self.rows = 0
        self.nulls = hashlib.sha256()
        self.sums = [hashlib.sha256()]

    def update(self, values: pa.Array) -> None:
        """Add values, in order, in any encoding."""
        import pyarrow.compute as pc

        values = decoded(values)
        if nulls := values.null_count:
            positions = pc.indices_nonzero(values.is_null(nan_is_null=False)).to_numpy()
            self.nulls.update((positions + self.rows).data.cast("B"))
        self.rows += len(values)
        if len(values) > nulls:
            self.add(values.drop_null() if nulls else values)

    def add(self, values: pa.Array) -> None:
        """Add values without nulls."""

    def parts(self) -> list[Any]:
        """Return the digests of the values, and of nested values."""
        return [total.hexdigest() for total in self.sums]

    def hexdigest(self) -> str:
        """Return the digest of the values added so far."""
        return hashlib.sha256(json.dumps([self.rows, self.nulls.hexdigest(), *self.parts()]).encode()).hexdigest()


class _Null(ColumnSums):
    """A column of the null type: its length is its content."""

    def update(self, values: pa.Array) -> None:
        self.rows += len(values)


class _Fixed(ColumnSums):
    """Values of fixed width: numbers, booleans, times, decimals."""

    def add(self, values: pa.Array) -> None:
        import pyarrow.types as t

        if t.is_boolean(values.type):  # bit-packed: a slice may begin within a byte
            values = values.cast("uint8")
        elif t.is_floating(values.type):
            values = _one_nan(values)
        width = values.type.bit_width // 8
        start = values.offset * width
        self.sums[0].update(memoryview(values.buffers()[1])[start : start + len(values) * width])


def _one_nan(values: pa.Array) -> pa.Array:
    """Return the floats with the same bits for every NaN."""
    import numpy as np

    numbers = values.to_numpy()
    is_nan = np.isnan(numbers)
    if not is_nan.any():
        return values
    return _arrow().array(np.where(is_nan, numbers.dtype.type(np.nan), numbers), values.type)


class _Variable(ColumnSums):
    """Text and bytes: their lengths, and their bytes without the offsets, which depend on chunking."""

    def __init__(self) -> None:
        super().__init__()
        self.sums.append(hashlib.sha256())

    def add(self, values: pa.Array) -> None:
        import numpy as np

        pa = _arrow()
        values = values.cast(pa.large_string() if _is_text(values.type) else pa.large_binary())
        _, offset_buffer, data = values.buffers()
        offsets = np.frombuffer(offset_buffer, np.int64, len(values) + 1, values.offset * 8)
        self.sums[0].update(np.diff(offsets).data.cast("B"))
        if data is not None:
            self.sums[1].update(memoryview(data)[int(offsets[0]) : int(offsets[-1])])


class _List(ColumnSums):
    """Lists: their lengths, and all their items as one column."""

    def __init__(self, items: ColumnSums) -> None:
        super().__init__()
        self.items = items

    def add(self, values: pa.Array) -> None:
        import pyarrow.compute as pc
        import pyarrow.types as t

        if t.is_map(values.type):
            values = values.cast(_arrow().list_(_entries(values.type)))
        lengths = pc.list_value_length(values).cast("int64").to_numpy()
        self.sums[0].update(lengths.data.cast("B"))
        self.items.update(values.flatten())

    def parts(self) -> list[Any]:
        return [*super().parts(), self.items.hexdigest()]


class _Struct(ColumnSums):
    """Structs: each field as a column of the rows whose struct is not null."""

    def __init__(self, fields: list[ColumnSums]) -> None:
        super().__init__()
        self.fields = fields

    def add(self, values: pa.Array) -> None:
        for column, field in zip(self.fields, values.flatten(), strict=True):
            column.update(field)

    def parts(self) -> list[Any]:
        return [field.hexdigest() for field in self.fields]
