"""An append-only log on a local disk: whole records, each with its length and checksum, in segments of one writer each.

A record is `length (4 bytes, little endian) · crc32 of the payload (4 bytes) · payload`. A reader stops at the first record
that is not whole, so a torn tail costs what was being written and nothing before it. What the payloads mean is their owner's.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlopsfw.capturelog.durable import sync

_FRAME = struct.Struct("<II")
_LARGEST = 1 << 30  # bytes; a longer length is noise
SUFFIX = ".log"


def frame(payload: bytes) -> bytes:
    """Return `payload` as a record."""
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


class Segment:
    """A segment being written: locked for as long as its writer lives, so that a reader can tell.

    Args:
        folder: Where segments lie; made if need be, with mode 0700.
        header: The payload of the first record, which says what the others mean.
    """

    def __init__(self, folder: Path, header: bytes) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{time.time_ns():020d}-{os.getpid()}{SUFFIX}"
        self.size = self._synced = 0
        new = self.path.with_suffix(".new")  # seen by readers only once it is locked and says what it holds
        self._file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _lock(self._file, wait=True)
            self.append([header])
            new.rename(self.path)
        except OSError:
            os.close(self._file)
            new.unlink(missing_ok=True)
            raise
        sync(folder)

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write the records with one system call: once it returns, they outlive this process.

        Raises:
            OSError: There is no room, or the disk failed. None of them is kept: the segment still ends at a whole record.
        """
        data = b"".join(map(frame, payloads))
        try:
            written = os.write(self._file, data)
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Make what was written outlive a loss of power. Callable from another thread."""
        size = self.size
        if size != self._synced:
            os.fsync(self._file)
            self._synced = size

    def close(self) -> None:
        """Sync, and let readers know that nothing follows."""
        try:
            self.sync()
        finally:
            os.close(self._file)


def segments(folder: Path) -> list[Path]:
    """Return the segments of `folder`, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read(path: Path, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield `(offset behind the record, payload)` of each record from `offset` on, up to the first that is not whole.

    Where the last offset falls short of the file's size, what follows was being written when its writer or the power went.
    """
    with path.open("rb") as file:
        file.seek(offset)
        while len(prefix := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(prefix)
            if not 0 < length <= _LARGEST:
                return  # zeros: pages that were allocated but never reached the disk
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            offset += _FRAME.size + length
            yield offset, payload


def is_open(path: Path) -> bool:
    """Return whether the segment's writer still lives and may append."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not _lock(file, wait=False)
    finally:
        os.close(file)


def _lock(file: int, *, wait: bool) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
