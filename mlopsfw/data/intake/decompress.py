"""How far a file may grow as it is unpacked: a few kilobytes of archive, or of a Parquet column, can stand for terabytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Any

from mlopsfw.kernel.base.errors import DataError

_HARMLESS = 128 << 20  # bytes: whatever the ratio, so much may come of any file


class Allowance:
    """The bytes that may come of one file.

    Args:
        path: The file, or what errors call it.
        max_ratio: Bytes unpacked for each byte of the file.
        size: Bytes of the file, where `path` is none.

    Attributes:
        most: How many bytes may come in all.
    """

    def __init__(self, path: Path | str, max_ratio: float, size: int | None = None) -> None:
        self._path, self._ratio = path, max_ratio
        self._size = Path(path).stat().st_size if size is None else size
        self.most = max(_HARMLESS, int(self._size * max_ratio))
        self._spent = 0

    def spend(self, size: int) -> None:
        """Count `size` bytes more. Raise `DataError` where the file has unpacked to more than it may."""
        self._spent += size
        self.check(self._spent)

    def check(self, size: int) -> None:
        """Raise `DataError` if `size` bytes in all are more than may come of the file."""
        if size > self.most:
            raise DataError(
                f"{self._path} has {self._size:,} bytes and unpacks to {size:,} or more, over {self._ratio:g} times its size",
                hint=f"If the file is correct, allow a higher ratio: --max-ratio {size // max(self._size, 1) * 2 + 1}.",
            )


class Bounded(io.RawIOBase):
    """What comes out of an archive, as long as its allowance lasts.

    Args:
        raw: The unpacked bytes.
        allowance: How many there may be.
    """

    def __init__(self, raw: IO[bytes], allowance: Allowance) -> None:
        self._raw, self._allowance = raw, allowance

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read on into `buffer`, and return how many bytes that were, 0 at the end."""
        data = self._raw.read(len(buffer))
        self._allowance.spend(len(data))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the archive's member too."""
        self._raw.close()
        super().close()
