"""CSV text cut into blocks of whole records, so that they can be parsed side by side; knows where quotes are, takes no value out.

A record longer than a block's limit, or one whose quote is never closed, ends the cutting: `Blocks.left` then says what was left.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from mlopsfw_core._records import RecordScanner

SHOWN = 1 << 16  # bytes of a record that is left, so that it can be told


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A record that cannot be parsed, and all that follows it.

    Args:
        start: The byte of the text at which it begins.
        open: Whether it has a quote that is never closed. Otherwise it is too long.
        head: How it begins.
        size: Bytes to the end of the text, where it is open.
        lines: About how many lines that is.
    """

    start: int
    open: bool
    head: bytes
    size: int
    lines: int


class Blocks:
    """The blocks of a text, in order; the first one is what types are guessed from.

    Args:
        text: A file that reads as UTF-8.
        delimiter: What stands between fields.
        most: The bytes of the longest record, and of the first block.
        size: About the bytes of a later block.
    """

    def __init__(self, text: Any, delimiter: str, most: int, size: int) -> None:
        self._text, self._delimiter, self._most, self._size = text, delimiter, most, size
        self._scanner: RecordScanner | None = None
        self._begun: list[bytes] = []  # of a record whose end is not reached
        self._passed = self._waiting = 0
        self.left: Left | None = None

    def __iter__(self) -> Iterator[bytes]:
        data = self._fill(self._most)
        while data:
            end = self._end(data)
            if end >= 0:
                block = b"".join((*self._begun, memoryview(data)[:end]))
                self._begun, self._passed = [data[end:]], self._passed + len(block)
                self._waiting = len(data) - end
                if block:
                    yield block
            else:
                self._begun.append(data)
                self._waiting += len(data)
                if self._waiting > self._most:
                    self.left = self._drained()
                    return
            data = self._text.read(self._size)
        yield from self._last()

    def _fill(self, size: int) -> bytes:
        parts = []
        while size > 0 and (part := self._text.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _end(self, data: bytes) -> int:
        """Return where in `data` the last whole record ends, -1 where none does."""
        if self._scanner is None:
            if b'"' not in data:
                return max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1 or -1
            from mlopsfw_core._records import RecordScanner

            self._scanner = RecordScanner(self._delimiter.encode())
            for begun in self._begun:
                self._scanner.feed(begun)
        return self._scanner.feed(data)

    def _last(self) -> Iterator[bytes]:
        data = b"".join(self._begun)
        if self._scanner is not None and self._scanner.quoted:
            self.left = Left(
                start=self._passed, open=True, head=data[:SHOWN], size=len(data), lines=max(1, _lines(data))
            )
        elif data:
            self._passed += len(data)
            yield data

    def _drained(self) -> Left:
        """Read on to the end of the record that is too long, keeping how it begins."""
        size, lines = self._waiting, sum(map(_lines, self._begun))
        head = b"".join(self._begun)[:SHOWN]
        self._begun.clear()
        end = -1
        while end < 0 and (data := self._text.read(self._size)):
            end = self._end(data)
            size, lines = size + (len(data) if end < 0 else end), lines + _lines(data)
        is_open = end < 0 and self._scanner is not None and self._scanner.quoted
        return Left(start=self._passed, open=is_open, head=head, size=size, lines=lines)


def _lines(data: bytes) -> int:
    """Return about how many lines that is."""
    return data.count(b"\n") or data.count(b"\r")


def line_at(text: Any, start: int) -> int:
    """Return the line, from 1, on which byte `start` of `text` stands."""
    line, last = 1, b""
    while start > 0 and (data := text.read(min(start, io.DEFAULT_BUFFER_SIZE))):
        line += data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n") - (last == b"\r" and data[:1] == b"\n")
        start, last = start - len(data), data[-1:]
    return line
