"""Texts that a column of numbers would not preserve: codes such as 007, and whole numbers with more digits than the type holds.

A text is a number only if the number can be written back as the same value. `007`, `+7`, `0x1F` and `00.5` are codes: as numbers they would lose
their zeros, plus or base. `9007199254740993` among fractions, or 2^63, would lose digits. `0`, `-0`, `0.5` and `1e5` are numbers.

"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_CODE = re.compile(rb"[ \t]*(?:[-+]?0[0-9xX]|\+[0-9]+[ \t]*$)")
_WHOLE = re.compile(rb"[ \t]*[-+]?[0-9]+[ \t]*$")
_FINITE = re.compile(rb"[^a-zA-Z]*[0-9]")
_KEPT = float(1 << 53)  # a float64 represents every whole number up to here
_INT64 = 1 << 63
_BLANKS = b" \t"
_SIGNS = b"+-" + _BLANKS
_PART = 1 << 18
_ZERO, _PLUS, _POINT = b"0+."


def is_number(kind: pa.DataType) -> bool:
    """Return whether this is a type of numbers for which a text can have too many digits."""
    import pyarrow.types as t

    return bool(t.is_integer(kind) or t.is_floating(kind))


def is_code(text: str | bytes) -> bool:
    """Return whether a text looks like a number but is a code: 007, +7, 0x1F."""
    return bool(_CODE.match(_bytes(text)))


def losses(texts: pa.Array, numbers: pa.Array) -> dict[int, str]:
    """Return the texts that their `numbers` do not preserve, by position, with the reason.

    Args:
        texts: The original texts or bytes; any value beside a null number.
        numbers: The numbers read from them, of the same length.
    """
    import pyarrow as pa

    positions = _odd(texts.cast(pa.large_binary()), numbers)
    reasons = {position: _loss(texts[position].as_py(), numbers[position].as_py()) for position in positions}
    return {position: reason for position, reason in reasons.items() if reason}


def is_long(numbers: pa.Array) -> bool:
    """Return whether any of these floats is so large that a whole number may have lost digits."""
    import pyarrow.compute as pc
    import pyarrow.types as t

    if not t.is_floating(numbers.type):
        return False
    ends = pc.min_max(numbers).as_py()
    return ends["max"] is not None and (ends["max"] >= _KEPT or ends["min"] <= -_KEPT)


def may_hold_codes(block: bytes, delimiter: str) -> bool:
    """Return whether a field of this CSV text may begin like a code. For most texts one search excludes it, without splitting."""
    import numpy as np

    data = np.frombuffer(b"".join((b"\n", block, b"\n")), np.uint8)
    letters = (_ZERO, _PLUS) if b"+" in block else (_ZERO,)
    parts = (
        data[max(at - 2, 0) : at + _PART] for at in range(0, len(data), _PART)
    )  # they stay in the processor's cache
    hexes = b"x" in block or b"X" in block
    return any(_begins(part, letter, delimiter, hexes=hexes) for part in parts for letter in letters)


def _begins(data: np.ndarray, letter: int, delimiter: str, *, hexes: bool) -> bool:
    """Return whether a field begins with `letter` and a digit (or an x), perhaps after blanks and a sign."""
    import numpy as np

    before = data[:-2]
    low = (before < _ZERO) & (before != _POINT)  # blanks, signs, quotes, line ends and commas
    if ord(delimiter) > _ZERO:
        low |= before == ord(delimiter)
    low &= data[1:-1] == letter
    digits = data[2:] - np.uint8(_ZERO) < 10  # noqa: PLR2004 - digits, the others wrap around
    low &= digits | (data[2:] | 0x20 == ord("x")) if hexes else digits
    positions = np.flatnonzero(low)
    if not len(positions):
        return False
    edges, signs = (np.isin(np.arange(256), list(some)) for some in (delimiter.encode() + b'"\r\n', _SIGNS))
    before, further = data[positions], data[positions - 1]
    return bool((edges[before] | (signs[before] & (edges | signs)[further])).any())


def _odd(texts: pa.Array, numbers: pa.Array) -> list[int]:
    """Return the positions of texts that may be lost: those that do not begin like a plain number, and long ones."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = np.frombuffer(texts.buffers()[1], np.int64, len(texts) + 1, texts.offset * 8)
    data = np.frombuffer(texts.buffers()[2] or b"\0", np.uint8)
    first = data[np.minimum(offsets[:-1], len(data) - 1)]
    suspect = ((first == _ZERO) & (np.diff(offsets) > 1)) | np.isin(first, list(_SIGNS))
    if pa.types.is_floating(numbers.type):
        great = pc.greater_equal(
            pc.abs(numbers.cast(pa.float64())), 0.0 if pa.types.is_float32(numbers.type) else _KEPT
        )
        suspect |= great.fill_null(False).to_numpy(zero_copy_only=False)  # noqa: FBT003 - Arrow names no argument
    suspect &= numbers.is_valid().to_numpy(zero_copy_only=False)
    return [int(position) for position in np.flatnonzero(suspect)]


def _loss(text: str | bytes, number: float) -> str:
    raw = _bytes(text)
    if _CODE.match(raw):
        return (
            f"{raw.decode(errors='backslashreplace')!r} is a code, not a number: as a number it would become {number}"
        )
    if isinstance(number, float) and _is_shortened(raw, number):
        return f"{raw.decode(errors='backslashreplace')!r} has more digits than a number can keep: it would become {number!r}"
    return ""


def _bytes(text: str | bytes) -> bytes:
    return text.encode(errors="surrogateescape") if isinstance(text, str) else text


def _is_shortened(raw: bytes, number: float) -> bool:
    """Return whether a float differs from the whole number in its text, or is infinite although the text has digits."""
    from decimal import Decimal

    if number in {float("inf"), float("-inf")}:
        return bool(_FINITE.match(raw))
    if not _WHOLE.match(raw):
        return False
    whole = int(raw)
    return not -_INT64 <= whole < _INT64 or Decimal(repr(number)) != whole
