"""Bring the columns of two files to one representation, so that equal meanings compare as equal.

Times become microseconds, whatever their unit. Booleans become `true` and `false`, whether a file holds them as booleans, as 1 and 0 or as
texts. Encodings and types of other names are read as what they hold. Nothing else changes, but for the texts of a column of numbers that has
words among them: they become the numbers.

"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlopsfw.data.tables.exact import is_number
from mlopsfw.data.tables.logical import plain_type

if TYPE_CHECKING:
    import pyarrow as pa

Change = Callable[["pa.Array"], "pa.Array"]

_MICROS = {"s": 1e6, "ms": 1e3, "us": 1.0}
_DAY = 86_400e6
_NUMBER = r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
_CLOCK = r"^(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?$"
_TIME = (
    r"^(?P<day>\d{4}-\d\d-\d\d)(?:[T ](?P<h>[01]\d|2[0-3]):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d(?:\.\d+)?))?)?"
    r"(?:Z|(?P<sign>[-+])(?P<zh>\d\d):?(?P<zm>\d\d))?$"
)
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


def agree(before: pa.Schema, after: pa.Schema, names: Iterable[str], measures: Mapping[str, str] | None = None) -> Plan:
    """Return how to compare the columns `names` of the reference with those of the current file.

    Args:
        before: The reference's columns.
        after: The current file's.
        names: Which of them.
        measures: Columns of which the `numbers` or `times` are compared where they are texts; any other text is missing.
    """
    left_out: dict[str, str] = {}
    changes: tuple[dict[str, Change], dict[str, Change]] = {}, {}
    for name in names:
        kinds = [schema.field(name).type if name in schema.names else None for schema in (before, after)]
        first, second = (None if kind is None else plain_type(kind) for kind in kinds)
        if reason := _incomparable(first):
            left_out[name] = f"it holds {reason} ({kinds[0]})"
            continue
        for side, kind, plain, other in ((0, kinds[0], first, second), (1, kinds[1], second, first)):
            if kind is None or plain is None:
                continue
            spelled = (measures or {}).get(name) if is_text(plain) else None
            change = _SPELLED[spelled] if spelled else _change(plain, other, is_reference=side == 0)
            if change or (plain != kind and not is_text(plain)):
                changes[side][name] = _of_plain(change)
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


def _incomparable(kind: pa.DataType | None) -> str:
    """Return why a column has no distribution to compare; empty if it has one."""
    import pyarrow.types as t

    if kind is None:
        return ""
    if t.is_nested(kind):
        return "nested values"
    return "lengths of time that have no order" if t.is_interval(kind) else ""


def _of_plain(change: Change | None) -> Change:
    """Return `change` for values in any encoding."""

    def changed(values: pa.Array) -> pa.Array:
        from mlopsfw.data.tables.logical import decoded

        plain = decoded(values)
        return change(plain) if change else plain

    return changed


def is_text(kind: pa.DataType) -> bool:
    """Whether values are texts."""
    import pyarrow.types as t

    if t.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def _change(kind: pa.DataType, other: pa.DataType | None, *, is_reference: bool) -> Change | None:
    import pyarrow.types as t

    if (change := _by_itself(kind)) or other is None:
        return change
    if t.is_null(kind) and is_reference and (is_text(other) or t.is_boolean(other)):
        return _null_texts
    if t.is_time(other) and is_text(kind):
        return _clocks
    if t.is_boolean(other) and (is_text(kind) or (is_number(kind) and not is_reference)):
        return _truths
    return None


def _by_itself(kind: pa.DataType) -> Change | None:
    """Return how to convert values of a type, whatever the other file holds."""
    import pyarrow.types as t

    if t.is_temporal(kind) and not t.is_interval(kind):
        return _micros
    if t.is_decimal256(kind):
        return _floats
    return _bytes if t.is_fixed_size_binary(kind) else None


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


def _floats(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    return values.cast(pa.float64())


def _bytes(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    return values.cast(pa.binary())


def _numbers(texts: pa.Array) -> pa.Array:
    """Return the numbers that texts spell; any other text is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    spelled = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.match_substring_regex(spelled, _NUMBER), spelled, None).cast(pa.float64())


def _times(texts: pa.Array) -> pa.Array:
    """Return the dates and times that texts spell, in microseconds and UTC; any other text is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(texts, _TIME)

    def number(name: str) -> pa.Array:
        part = pc.struct_field(parts, name)
        return pc.if_else(pc.equal(part, ""), "0", part).cast(pa.float64())

    day = (
        pc.strptime(pc.struct_field(parts, "day"), "%Y-%m-%d", "us", error_is_null=True)
        .cast(pa.int64())
        .cast(pa.float64())
    )
    east = pc.if_else(pc.equal(pc.struct_field(parts, "sign"), "-"), -1.0, 1.0)
    offset = pc.multiply(east, pc.add(pc.multiply(number("zh"), 60.0), number("zm")))
    minutes = pc.subtract(pc.add(pc.multiply(number("h"), 60.0), number("m")), offset)
    return pc.add(day, pc.multiply(pc.add(pc.multiply(minutes, 60.0), number("s")), 1e6))


def _clocks(texts: pa.Array) -> pa.Array:
    """Return the times of day that texts spell, in microseconds; any other text is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    spelled = pc.if_else(pc.match_substring_regex(texts, _CLOCK), texts, None)
    day, between = (pa.scalar(text, texts.type) for text in ("1970-01-01", " "))
    return _micros(pc.binary_join_element_wise(day, spelled, between).cast(pa.timestamp("us")))


def _null_texts(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    return pa.nulls(len(values), pa.string())


def _truths(values: pa.Array) -> pa.Array:
    """Return texts or whole numbers as texts, with booleans in lower case."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = values.cast(pa.string())
    for truth, spelled in (("true", _TRUE), ("false", _FALSE)):
        texts = pc.if_else(pc.is_in(texts, pa.array(spelled)), truth, texts)
    return texts


_SPELLED = {"numbers": _numbers, "times": _times}
