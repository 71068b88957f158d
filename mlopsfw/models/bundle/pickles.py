"""Tell a pickle by its bytes, whatever its file is called, also inside archives. Nothing is built or called on the way.

The opcodes are read as `pickletools` lists them, with the depth of the stack they would leave: honest binary data stops to be a
valid program after a few bytes. What is packed is unpacked within limits.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

_FIRST_BYTES = 512
_MOST_OPCODES = 1_000_000
_MOST_BYTES = 1 << 30  # read of one file, unpacked
_DEEPEST = 4
_PROTOCOLS = range(2, 6)
_SURE = 3  # valid opcodes after a protocol header: only a pickle has them
_CALLS = frozenset({
    "GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID",
})  # fmt: skip

_PACKED: dict[bytes, Any] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


def holds_pickle(stream: IO[bytes], depth: int = 0) -> bool:
    """Return whether a seekable file is a pickle, or an archive or array that holds one.

    What cannot be looked into (a damaged archive, one nested or unpacked beyond the limits) counts as a pickle.
    """
    head = stream.read(_FIRST_BYTES)
    stream.seek(0)
    if depth > _DEEPEST:
        return True
    if head.startswith(b"\x93NUMPY"):
        return b"'|O'" in head or b"('O')" in head or b"'O'" in head
    if _is_program(_Limited(stream)):
        return True
    stream.seek(0)
    try:
        return any(holds_pickle(part, depth + 1) for part in _parts(stream, head))
    except (
        OSError,
        EOFError,
        ValueError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        tarfile.TarError,
        RuntimeError,
    ):
        return True


def _parts(stream: IO[bytes], head: bytes) -> Iterator[IO[bytes]]:
    """Yield what an archive holds; nothing of what is none."""
    is_zip = zipfile.is_zipfile(stream)
    stream.seek(0)
    if is_zip:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                with archive.open(member) as part:
                    yield _whole(part)
    elif head[257:262] == b"ustar":
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                if content is not None:
                    yield _whole(content)
    elif head.startswith(tuple(_PACKED)):
        unpack = next(unpack for magic, unpack in _PACKED.items() if head.startswith(magic))
        with unpack(stream) as part:
            yield _whole(part)
    elif head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0:
        yield from _inflated(stream)


def _whole(part: Any) -> IO[bytes]:
    data = part.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError("it unpacks to more than is looked into")
    return io.BytesIO(data)


def _inflated(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    unpack = zlib.decompressobj()
    try:
        yield io.BytesIO(unpack.decompress(stream.read(_MOST_BYTES), _MOST_BYTES))
    except zlib.error:
        return  # two bytes that look like zlib are common


class _Limited:
    """A file for `pickletools`, which asks for as many bytes as the file claims to hold.

    Args:
        stream: The file.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        start = stream.tell()
        self._end = stream.seek(0, io.SEEK_END)
        stream.seek(start)

    def read(self, count: int) -> bytes:
        """Return at most what is left."""
        return self._stream.read(min(count, self._end - self._stream.tell()))

    def readline(self) -> bytes:
        """Return a line of at most 1 MB."""
        return self._stream.readline(1 << 20)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()


def _is_program(file: _Limited) -> bool:
    import pickletools  # lists opcodes, and runs none

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a text with an escape that Python does not know
        return _steps(file, pickletools.genops, pickletools.markobject)


def _steps(file: _Limited, opcodes: Callable[[Any], Iterator[Any]], mark: Any) -> bool:

    stack: list[Any] = []
    has_header = calls = False
    try:
        for number, (opcode, argument, _) in enumerate(opcodes(file)):
            has_header = has_header or (number == 0 and opcode.name == "PROTO" and argument in _PROTOCOLS)
            calls = calls or opcode.name in _CALLS
            if not _applied(stack, opcode, mark):
                return False
            if (has_header and number >= _SURE) or number > _MOST_OPCODES:
                return True
            if opcode.name == "STOP":
                return has_header or calls
    except (ValueError, IndexError, OverflowError, MemoryError, UnicodeDecodeError):
        return False
    return False


def _applied(stack: list[Any], opcode: Any, mark: Any) -> bool:
    """Apply an opcode to the stack of kinds; return false where it would fail."""
    before = opcode.stack_before
    if mark in before:
        if mark not in stack:
            return False
        while stack.pop() is not mark:
            pass
        before = before[: before.index(mark)]
    elif opcode.name == "POP" and stack:
        before = before[:1]
    if len(stack) < len(before):
        return False
    del stack[len(stack) - len(before) :]
    stack.extend(opcode.stack_after)
    return True
