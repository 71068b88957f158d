"""The protocol between the engine and a worker over pipes: frames of JSON, each after its length as 4 bytes, big-endian."""

from __future__ import annotations

import struct
from typing import IO

_LENGTH = struct.Struct(">I")


def send(pipe: IO[bytes], frame: bytes) -> None:
    """Write one frame. Raise `OSError` if the other side is gone."""
    pipe.write(_LENGTH.pack(len(frame)) + frame)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """Read one frame; None if the other side is gone, even in the middle of a frame."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    length: int = _LENGTH.unpack(head)[0]
    frame = pipe.read(length)
    return frame if len(frame) == length else None
