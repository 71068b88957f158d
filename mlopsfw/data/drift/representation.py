"""Bring the columns of two files to one representation, so that equal meanings compare as equal.

Times become microseconds, whatever their unit. Booleans become `true` and `false`, whether a file holds them as booleans, as 1 and 0 or as
texts. Nothing else changes.

"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

Change = Callable[["pa.Array"], "pa.Array"]

_MICROS = {"s": 1e6, "ms": 1e3, "us": 1.0}
_DAY = 86_400e6
_TRUE, _FALSE = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")


@dataclass(frozen=True)
class Plan:
    """How to compare two files.

    Args:
        names: Columns of the reference that can be compared.
        left_out: Column → why it is not compared.
        before: How to convert columns of the reference.
        after: How to convert columns of the current file.
    """

    names: tuple[str, ...]
    left_out: Mapping[str, str]
    before: Mapping[str, Change]
    after: Mapping[str, Change]


def agree(before: pa.Schema, after: pa.Schema, names: Iterable[str]) -> Plan:
    """Return how to compare the columns `names` of the reference with those of the current file.

    Args:
        before: The reference's columns.
        after: The current file's.
        names: Which of them.
    """
    left_out: dict[str, str] = {}
    changes: tuple[dict[str, Change], dict[str, Change]] = {}, {}
    for name in names:
        kinds = [schema.field(name).type if name in schema.names else None for schema in (before, after)]
        if is_nested(kinds[0]):
            left_out[name] = f"it holds nested values ({kinds[0]})"
            continue
        for side, kind, other in ((0, kinds[0], kinds[1]), (1, kinds[1], kinds[0])):
            if kind is not None and (change := _change(kind, other, is_reference=side == 0)):
                changes[side][name] = change
    return Plan(tuple(name for name in names if name not in left_out), left_out, *changes)


def applied(batches: Iterable[pa.RecordBatch], changes: Mapping[str, Change]) -> Iterator[pa.RecordBatch]:
    """Yield `batches` with converted columns."""
    import pyarrow as pa

    for batch in batches:
        names = batch.schema.names
        columns = [
            changes[name](values) if name in changes else values
            for name, values in zip(names, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, names=names) if changes else batch


def is_nested(kind: pa.DataType | None) -> bool:
    """Whether a column has no distribution to compare."""
    import pyarrow.types as t

    return kind is not None and bool(t.is_nested(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts."""
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def _change(kind: pa.DataType, other: pa.DataType | None, *, is_reference: bool) -> Change | None:
    import pyarrow.types as t

    if t.is_temporal(kind):
        return _micros
    if other is None:
        return None
    if t.is_null(kind) and is_reference and (is_text(other) or t.is_boolean(other)):
        return _null_texts
    if t.is_boolean(other) and (is_text(kind) or (t.is_integer(kind) and not is_reference)):
        return _truths
    return None


def _micros(values: pa.Array) -> pa.Array:
    """Return times as microseconds, so that 2013-01-01 is one number in every unit. Drops everything below a microsecond."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    kind = values.type
    whole = values.cast(pa.int32()).cast(pa.int64()) if kind.bit_width == 32 else values.cast(pa.int64())  # noqa: PLR2004 - bits
    unit = None if t.is_date(kind) else kind.unit
    if unit == "ns":
        return pc.divide(whole, 1000).cast(pa.float64(), safe=False)
    factor = _MICROS[unit] if unit else _DAY if t.is_date32(kind) else _MICROS["ms"]
    return pc.multiply(whole.cast(pa.float64(), safe=False), factor)


def _null_texts(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(len(values), pa.string())


def _truths(values: pa.Array) -> pa.Array:
    """Return texts or whole numbers as texts, with booleans in lower case."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlopsfw.data.tables.logical import decoded

    texts = decoded(values).cast(pa.string())
    for truth, spelled in (("true", _TRUE), ("false", _FALSE)):
        texts = pc.if_else(pc.is_in(texts, pa.array(spelled)), truth, texts)
    return texts
