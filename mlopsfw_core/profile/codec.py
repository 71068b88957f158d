"""Profiles as bytes: little-endian, versioned, checked by a CRC. Reading is strict: nothing is allocated by a length that was not checked.

The layout is documented in docs/core-profile.md, and golden vectors in the tests hold it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any
from zlib import crc32

import numpy as np

from ._sketches import hash_numbers
from .column import ColumnProfile, Kind
from .distinct import HIGHEST, REGISTERS, Distinct
from .frequent import KEPT, Frequent, Label
from .moments import Numbers, Sums
from .quantiles import CAPACITY, Quantiles
from .vectors import DIRECTIONS, WIDEST, Vectors

COLUMN, TABLE, VERSION = b"MLCP", b"MLTP", 1
KINDS: tuple[Kind, ...] = ("number", "boolean", "time", "text", "binary", "list", "vector", "other")
PARTS = ("numbers", "distinct_values", "frequent", "characters", "clock", "vectors")
LABEL = 40
_HEAD = struct.Struct("<4sHHII")
_SUMS = struct.Struct("<Q6d")
_SIGN = 1 << 62


class ProfileError(ValueError):
    """Stored profile bytes that cannot be read: damaged, foreign, or of a later version."""


class Reader:
    """Walks over bytes; every read is checked against what is left."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        if size > len(self.data) - self.at:
            raise ProfileError(f"a stored profile is damaged: it ends at byte {len(self.data)}, within a field")
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, layout: str) -> tuple[int, ...]:
        """Return the next fields."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def count(self) -> int:
        """Return a number of rows."""
        return self.below(self.unpack("Q")[0], _SIGN)

    def below(self, value: int, limit: int) -> int:
        """Return a value that a reader may rely on being smaller than `limit`."""
        if value >= limit:
            raise ProfileError(f"a stored profile is damaged: {value} before byte {self.at} is out of range")
        return value

    def floats(self, size: int) -> np.ndarray:
        """Return the next float64 values."""
        return np.frombuffer(self.take(8 * size), "<f8").astype(np.float64)


def seal(magic: bytes, body: bytes) -> bytes:
    """Put a head before a body."""
    return _HEAD.pack(magic, VERSION, 0, len(body), crc32(body)) + body


def unseal(magic: bytes, data: bytes) -> Reader:
    """Check a head and return a reader of the body.

    Raises:
        ProfileError: it is not what was written.
    """
    if len(data) < _HEAD.size or data[:4] != magic:
        raise ProfileError(f"these {len(data)} bytes are no stored profile: they do not begin with {magic.decode()}")
    _, version, reserved, size, check = _HEAD.unpack_from(data)
    if version != VERSION:
        raise ProfileError(f"a profile of version {version} is not read here; this release reads version {VERSION}")
    body = bytes(data[_HEAD.size :])
    if reserved or len(body) != size or crc32(body) != check:
        raise ProfileError(
            "a stored profile is damaged: its length or checksum does not match; take it from its source again"
        )
    return Reader(body)


def write_column(profile: ColumnProfile) -> bytes:
    """Return a column's profile as bytes."""
    parts = [getattr(profile, name) for name in PARTS]
    present = sum(1 << at for at, part in enumerate(parts) if part is not None)
    body = [struct.pack("<BBQQ", KINDS.index(profile.kind), present, profile.rows, profile.nulls)]
    writers = (_write_numbers, _write_distinct, _write_frequent, _write_counts, _write_counts, _write_vectors)
    body += [write(part) for write, part in zip(writers, parts, strict=True) if part is not None]  # type: ignore[operator]
    return seal(COLUMN, b"".join(body))


def read_column(data: bytes) -> ColumnProfile:
    """Read a column's profile."""
    reader = unseal(COLUMN, data)
    kind, present = reader.unpack("BB")
    rows, nulls = reader.count(), reader.count()
    reader.below(kind, len(KINDS)), reader.below(present, 1 << len(PARTS)), reader.below(nulls, rows + 1)
    parts: list[Any] = [read(reader) if present >> at & 1 else None for at, read in enumerate(_READERS)]
    if reader.at != len(reader.data):
        raise ProfileError("a stored profile is damaged: it goes on after its last part")
    return ColumnProfile(KINDS[kind], rows, nulls, *parts)


def _write_numbers(numbers: Numbers) -> bytes:
    sketch = numbers.quantiles
    sizes = [level.size for level in sketch.levels]
    head = struct.pack("<QQQ", numbers.nan, numbers.neg_inf, numbers.pos_inf) + _SUMS.pack(*numbers.sums)
    tail = struct.pack("<dQHB", sketch.variance, sketch.seed, sketch.capacity, len(sizes))
    values = b"".join(level.astype("<f8").tobytes() for level in sketch.levels)
    return head + tail + struct.pack(f"<{len(sizes)}H", *sizes) + values


def _read_sums(reader: Reader) -> Sums:
    count, *sums = _SUMS.unpack(reader.take(_SUMS.size))
    reader.below(count, _SIGN)
    if count and not (isfinite(sums[0]) and isfinite(sums[1]) and sums[0] <= sums[1]):
        raise ProfileError("a stored profile is damaged: its smallest value is above its largest, or one is not finite")
    return (count, *sums)


def _read_numbers(reader: Reader) -> Numbers:
    outside = reader.count(), reader.count(), reader.count()
    sums = _read_sums(reader)
    variance, seed, capacity, height = reader.unpack("dQHB")
    reader.below(capacity, CAPACITY + 1), reader.below(height, 63)
    sizes = reader.unpack(f"{height}H")
    if sum(sizes) > capacity or not variance >= 0 or sum(size << h for h, size in enumerate(sizes)) != sums[0]:
        raise ProfileError("a stored profile is damaged: its quantiles do not stand for its rows")
    levels = tuple(reader.floats(size) for size in sizes)
    for level in levels:
        if (
            not np.isfinite(level).all()
            or (level[1:] < level[:-1]).any()
            or (level.size and (level[0] < sums[1] or level[-1] > sums[2]))
        ):
            raise ProfileError("a stored profile is damaged: its quantiles are not in order, or outside its extremes")
    return Numbers(*outside, sums, Quantiles(levels, variance, seed, capacity))


def _write_distinct(distinct: Distinct) -> bytes:
    bits = np.unpackbits(np.frombuffer(distinct.registers, np.uint8)[:, None], axis=1, bitorder="little")[:, :6]
    return np.packbits(bits.ravel(), bitorder="little").tobytes()


def _read_distinct(reader: Reader) -> Distinct:
    packed = np.frombuffer(reader.take(REGISTERS * 6 // 8), np.uint8)
    bits = np.unpackbits(packed, bitorder="little").reshape(REGISTERS, 6)
    registers = np.packbits(bits, axis=1, bitorder="little").ravel()
    reader.below(int(registers.max()), HIGHEST + 1)
    return Distinct(registers.tobytes())


def _write_frequent(frequent: Frequent) -> bytes:
    body = [struct.pack("<QB", frequent.lost, len(frequent.items))]
    for key, count, label in frequent.items:
        if isinstance(label, bytes):
            body.append(struct.pack("<QBQ", count, len(label) + 1, key) + label)
        else:
            body.append(struct.pack("<QBd", count, 0, label))
    return b"".join(body)


def _read_frequent(reader: Reader) -> Frequent:
    lost, size = reader.count(), reader.unpack("B")[0]
    items = [_read_item(reader) for _ in range(reader.below(size, KEPT + 1))]
    ranks = [(-count, key) for key, count, _ in items]
    if (
        ranks != sorted(ranks)
        or len({key for key, _, _ in items}) != len(items)
        or any(not count for _, count, _ in items)
    ):
        raise ProfileError("a stored profile is damaged: its frequent items are not in order")
    return Frequent(tuple(items), lost)


def _read_item(reader: Reader) -> tuple[int, int, Label]:
    count, size = reader.count(), reader.unpack("B")[0]
    if not size:
        value = reader.floats(1)
        return int(hash_numbers(value)[0]), count, float(value[0])
    key = reader.unpack("Q")[0]
    return key, count, reader.take(reader.below(size - 1, LABEL + 1))


def _write_counts(counts: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(counts)}Q", *counts)


def _read_counts(reader: Reader, size: int) -> tuple[int, ...]:
    return tuple(reader.count() for _ in range(size))


def _write_vectors(vectors: Vectors) -> bytes:
    head = struct.pack("<IQQB", vectors.width, vectors.count, vectors.odd, len(vectors.sums))
    return (
        head
        + struct.pack(f"<{len(vectors.sums)}d", *vectors.sums)
        + b"".join(_SUMS.pack(*sums) for sums in vectors.projections)
    )


def _read_vectors(reader: Reader) -> Vectors:
    width, count, invalid, size = reader.unpack("IQQB")
    reader.below(count, _SIGN), reader.below(invalid, _SIGN)
    if size != (width if count and width <= WIDEST else 0):
        raise ProfileError("a stored profile is damaged: its vectors' means do not fit their length")
    sums = tuple(reader.floats(size).tolist())
    return Vectors(width, count, invalid, sums, tuple(_read_sums(reader) for _ in range(DIRECTIONS)))


_READERS: tuple[Callable[[Reader], object], ...] = (
    _read_numbers,
    _read_distinct,
    _read_frequent,
    lambda reader: _read_counts(reader, 18),
    lambda reader: _read_counts(reader, 31),
    _read_vectors,
)
