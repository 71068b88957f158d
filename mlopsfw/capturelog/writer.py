"""The server's side of capture: never raises, never waits for the disk's cache, counts what it could not keep."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mlopsfw.capturelog.appendlog import Segment
from mlopsfw.capturelog.records import Header, encode

_ROTATE = 32 << 20  # bytes; a closed segment can be deleted once it is compacted
_RETRY = 1.0  # seconds until a folder without room is tried again


class CaptureWriter:
    """Writes the records of one server process.

    Args:
        folder: The endpoint's append-log, `<project>/.mlopsfw/captures/<endpoint>`.
        header: What serves.
        rotate: Bytes after which a new segment begins.
    """

    def __init__(self, folder: Path, header: Header, *, rotate: int = _ROTATE) -> None:
        self._folder, self._header, self._rotate = folder, encode(header), rotate
        self._segment: Segment | None = None
        self._next_try = 0.0
        self._vanished = False
        self.captured = self.lost = 0
        self.error = ""
        self._open()

    def write(self, records: Sequence[tuple[bytes, int]]) -> None:
        """Append `(payload, rows)` records with one system call, before their answers leave.

        Where that fails they are counted as lost and the answers go on; it is tried again with later records.
        """
        rows = sum(count for _, count in records)
        try:
            segment = self._current()
            segment.append([payload for payload, _ in records])
        except OSError as error:
            self.lost += rows
            self.error = str(error)
        else:
            self.captured += rows
            self.error = ""

    def _current(self) -> Segment:
        if self._segment is not None and (self._vanished or self._segment.size > self._rotate):
            segment, self._segment, self._vanished = self._segment, None, False
            segment.close()
        if self._segment is None and time.monotonic() >= self._next_try:
            self._open()
        if self._segment is None:
            raise OSError(self.error or "no segment is open")
        return self._segment

    def _open(self) -> None:
        try:
            self._segment = Segment(self._folder, self._header)
        except OSError as error:
            self.error = str(error)
            self._next_try = time.monotonic() + _RETRY

    def sync(self) -> None:
        """Make what was written outlive a loss of power; called once a second, from any thread."""
        segment = self._segment
        if segment is not None:
            try:
                segment.sync()
            except OSError as error:
                self.error = str(error)
            self._vanished = not segment.path.exists()  # deleted under us: what goes there, nobody will find

    def close(self) -> None:
        """Sync and close; readers then know that nothing follows."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()
