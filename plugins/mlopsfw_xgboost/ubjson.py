"""Universal Binary JSON (https://ubjson.org, draft 12), as XGBoost writes its models: read without a library, bounds checked."""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

_DEEPEST = 64
_NUMBERS: Final = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
_ARRAYS: Final = {"i": "i1", "U": "u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_WORDS: Final[dict[str, bool | None]] = {"T": True, "F": False, "Z": None}


def is_json(data: bytes) -> bool:
    """Return whether an object is in JSON rather than in UBJ: there, a length follows its brace."""
    return data[:1] == b"{" and data[1:2] in (b'"', b" ", b"\n", b"\r", b"\t", b"}")


def decode(data: bytes) -> Any:
    """Return the value of a document. Raise `ValueError` where it is none."""
    reader = _Reader(data)
    try:
        value = reader.value(reader.marker(), 0)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"it ends early or holds no text: {error}") from None
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes follow its end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def marker(self) -> str:
        return chr(self.take(1)[0])

    def take(self, size: int) -> bytes:
        part = self.data[self.at : self.at + size]
        if size < 0 or len(part) != size:
            raise ValueError("it ends early")
        self.at += size
        return part

    def value(self, marker: str, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")
        if marker in _NUMBERS:
            return struct.unpack(_NUMBERS[marker], self.take(struct.calcsize(_NUMBERS[marker])))[0]
        if marker == "S":
            return self.text()
        if marker == "{":
            return self.members(depth)
        if marker == "[":
            return self.items(depth)
        if marker in _WORDS:
            return _WORDS[marker]
        raise ValueError(f"the marker {marker!r} at byte {self.at - 1} is unknown")

    def length(self) -> int:
        marker = self.marker()
        if marker not in _NUMBERS or marker in "dD":
            raise ValueError(f"there is no length at byte {self.at - 1}")
        if (length := int(self.value(marker, 0))) < 0:
            raise ValueError(f"a length before byte {self.at} is below 0")
        return length

    def text(self) -> str:
        return self.take(self.length()).decode()

    def members(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while self.data[self.at : self.at + 1] != b"}":
            name = self.text()
            members[name] = self.value(self.marker(), depth + 1)
        self.at += 1
        return members

    def items(self, depth: int) -> list[Any]:
        following = self.data[self.at : self.at + 1]
        if following == b"$":
            self.at += 1
            kind = self.marker()
            if kind not in _ARRAYS or self.marker() != "#":
                raise ValueError(f"the array at byte {self.at} is of an unknown kind")
            width = np.dtype(_ARRAYS[kind])
            numbers: list[Any] = np.frombuffer(self.take(self.length() * width.itemsize), width).tolist()
            return numbers
        if following == b"#":
            self.at += 1
            return [self.value(self.marker(), depth + 1) for _ in range(min(self.length(), len(self.data)))]
        items = []
        while self.data[self.at : self.at + 1] != b"]":
            items.append(self.value(self.marker(), depth + 1))
        self.at += 1
        return items
