"""Check an ONNX file before anything loads it: one file that holds all its weights, with standard operators.

It reads the file's Protocol Buffers without a library, so that a server needs none. Fields have the numbers of onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). The runtime checks whether the graph makes sense.

"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mlopsfw.kernel.base.errors import BundleError

# message → field number → the message in that field; other fields hold no tensor
_WITHIN: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "opset": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_OPSET_DOMAIN = 1
_DOMAINS = frozenset({b"", b"ai.onnx", b"ai.onnx.ml", b"com.microsoft"})
_DEEPEST = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 70


def check_onnx(data: bytes, name: str) -> None:
    """Check that a model is well formed, keeps no data in other files, and needs only known operators.

    Raises:
        BundleError: It is not, does, or needs some.
    """
    try:
        parts = _walk(memoryview(data), "model", 0)
    except (IndexError, ValueError) as error:
        raise BundleError(f"{name} is not an ONNX model: {error}") from None
    if "graph" not in parts:
        raise BundleError(f"{name} is not an ONNX model: it holds no graph")
    if "outside" in parts:
        raise BundleError(
            f"{name} keeps its weights in another file, which a bundle never opens", hint="Save it as one file."
        )
    if "domain" in parts:
        raise BundleError(f"{name} needs operators that are not standard, and a bundle holds no code")


def _walk(data: memoryview, kind: str, depth: int) -> set[str]:
    """Return which of `graph`, `outside` and `domain` a message holds."""
    if depth > _DEEPEST:
        raise ValueError(f"graphs are nested more than {_DEEPEST} deep")
    parts: set[str] = set()
    for number, wire, value in _fields(data):
        inner = _WITHIN[kind].get(number)
        if inner is not None:
            if not isinstance(value, memoryview):
                raise ValueError(f"field {number} of a {kind} is not a message")
            parts |= _walk(value, inner, depth + 1)
            parts |= {"graph"} if inner == "graph" else set()
        elif kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
            parts.add("outside")
        elif kind == "opset" and number == _OPSET_DOMAIN and (wire != _BYTES or bytes(value) not in _DOMAINS):
            parts.add("domain")
    return parts


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yield number, wire type and value of each field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, wire, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} is not used in ONNX")
        if at + length > len(data):
            raise ValueError("a field extends beyond the end")
        yield key >> 3, wire, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift >= _LONGEST_VARINT:
            raise ValueError("a number has more than ten bytes")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - the high bit says that more follows
            return value, at
        shift += 7
