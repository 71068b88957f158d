"""A file of the user's, opened to read, unpacked on the way where its name says so (`.gz`, `.zip` with one member)."""

from __future__ import annotations

import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from mlopsfw.errors import DataError


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open `path` for reading bytes. Raise `DataError` where it cannot be opened, is cut short or is no such archive."""
    try:
        with contextlib.ExitStack() as stack:
            yield stack.enter_context(_open(path, stack))
    except (EOFError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the archive is damaged or cut short: {error}") from None
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
            f"{path} holds {len(members)} files, not one", hint="Unpack it, and give the file that you mean."
        )
    return archive.open(members[0])


def inner_suffix(path: Path) -> str:
    """Return the suffix that says what is in a file: that of `x.csv.gz` is `.csv`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes and suffixes[-1] in (".gz", ".zip")
    return (suffixes[-2] if len(suffixes) > 1 else ".csv") if packed else (suffixes[-1] if suffixes else "")
