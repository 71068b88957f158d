"""A file of the user's, opened to read, unpacked on the way where its name says so (`.gz`, `.zip` with one member)."""

from __future__ import annotations

import contextlib
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import IO, cast

from mlopsfw.data.intake.decompress import Allowance, Bounded
from mlopsfw.kernel.base.errors import DataError

_BUFFER = 1 << 16
_PACKED = (".gz", ".zip")
_METHODS = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
)  # zipfile unpacks the others by the piece, however large that gets


@contextlib.contextmanager
def open_bytes(path: Path, max_ratio: float) -> Iterator[IO[bytes]]:
    """Open `path` for reading bytes.

    Raises:
        DataError: It cannot be opened, is cut short, is no such archive, or unpacks to more than `max_ratio` times its size.
    """
    try:
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(_open(path, stack))
            yield _bounded(raw, path, max_ratio) if path.suffix in _PACKED else raw
    except (EOFError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the archive is damaged or incomplete: {error}") from None
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _open(path: Path, stack: contextlib.ExitStack) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    if path.suffix != ".zip":
        return path.open("rb")
    archive = stack.enter_context(zipfile.ZipFile(path))
    members = [info for info in archive.infolist() if not info.is_dir()]
    if len(members) != 1:
        raise DataError(
            f"{path} holds {len(members)} files, not one", hint="Unpack it, and name the file that you mean."
        )
    if members[0].compress_type not in _METHODS:
        raise DataError(
            f"{path} does not use the deflate method", hint="Unpack it, or pack it again with `zip FILE.zip FILE`."
        )
    return archive.open(members[0])


def _bounded(raw: IO[bytes], path: Path, max_ratio: float) -> IO[bytes]:
    return io.BufferedReader(Bounded(raw, Allowance(path, max_ratio)), _BUFFER)


def inner_suffix(path: PurePath) -> str:
    """Return the suffix that says what is in a file: that of `x.csv.gz` is `.csv`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes and suffixes[-1] in _PACKED
    return (suffixes[-2] if len(suffixes) > 1 else ".csv") if packed else (suffixes[-1] if suffixes else "")
