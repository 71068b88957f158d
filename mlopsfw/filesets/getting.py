"""`data get NAME DIR`: the files of a set below a folder, and nothing outside it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from mlopsfw.errors import Corrupt, DataError
from mlopsfw.filesets.packs import SMALL

if TYPE_CHECKING:
    from mlopsfw.filesets.fileset import FileSet


class Laid(msgspec.Struct, frozen=True):
    """What was done: how many files were written, were there already, and were removed."""

    written: int
    unchanged: int
    removed: int


def get(files: FileSet, folder: Path, *, sync: bool = False) -> Laid:
    """Make the files below `folder` those of the set. A file that is there already is left as it is; each other is written whole or not at all.

    Args:
        files: The set.
        folder: Made if need be.
        sync: Remove files that the set has not.

    Raises:
        DataError: A path would lead out of the folder, or two could be one file here. Nothing was written.
        Corrupt: What is stored is not what was added.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check(files.table["path"].to_list(), folder)
    written = 0
    rows = files.table.rows(named=True)
    for row in sorted(
        rows, key=lambda row: files.order(row["path"])
    ):  # files of one blob follow each other: it is fetched once
        written += _lay(files, folder, row["path"], row["size"], row["digest"])
    removed = _remove_others(folder, set(files.table["path"].to_list())) if sync else 0
    return Laid(written, len(files) - written, removed)


def _check(paths: list[str], folder: Path) -> None:
    for path in paths:
        parts = PurePosixPath(path).parts
        if not parts or PurePosixPath(path).is_absolute() or ".." in parts or "\0" in path or _is_unsafe_here(path):
            raise DataError(
                f"the set holds the path {path!r}, which this machine cannot take", hint="Nothing was written."
            )
    if _ignores_case(folder):
        seen: dict[str, str] = {}
        for path in paths:
            other = seen.setdefault(path.casefold(), path)
            if other != path:
                raise DataError(f"{path!r} and {other!r} are one file on this machine", hint="Nothing was written.")


def _is_unsafe_here(path: str) -> bool:
    return os.name == "nt" and (
        "\\" in path or PureWindowsPath(path).drive != "" or PureWindowsPath(path).is_reserved()
    )


def _ignores_case(folder: Path) -> bool:
    with tempfile.NamedTemporaryFile(prefix="case-a", dir=folder) as file:
        return Path(file.name.replace("case-a", "CASE-A")).exists()


def _lay(files: FileSet, folder: Path, path: str, size: int, digest: str) -> bool:
    target = folder / path
    if _is_there(target, size, digest):
        return False
    _make_folders(folder, PurePosixPath(path).parent)
    if target.is_dir() and not target.is_symlink():
        raise DataError(f"{target} is a folder, where the set has a file", hint="Take it away, or name another folder.")
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".mlopsfw-")
    try:
        with os.fdopen(descriptor, "wb") as sink:
            _copy(files, path, digest, sink)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def _copy(files: FileSet, path: str, digest: str, sink: BinaryIO) -> None:
    found = hashlib.sha256()
    with files.open(path) as source:
        while chunk := source.read(SMALL):
            found.update(chunk)
            sink.write(chunk)
    if found.hexdigest() != digest:
        raise Corrupt(f"{path} of {files.version.ref} is not what was added", hint="Restore the blob from a copy.")


def _is_there(file: Path, size: int, digest: str) -> bool:
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size != size:
            return False
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except OSError:
        return False


def _make_folders(folder: Path, below: PurePosixPath) -> None:
    """Make the folders of a path; one that is a link leads elsewhere, so nothing is written through it."""
    at = folder
    for part in below.parts:
        at /= part
        if at.is_symlink():
            raise DataError(
                f"{at} is a link: nothing is written through it", hint="Take it away, or name another folder."
            )
        if at.is_file():
            at.unlink()
        at.mkdir(exist_ok=True)


def _remove_others(folder: Path, paths: set[str]) -> int:
    removed = 0
    for above, folders, names in os.walk(folder, topdown=False):
        for name in names + [entry for entry in folders if Path(above, entry).is_symlink()]:
            file = Path(above, name)
            if file.relative_to(folder).as_posix() not in paths:
                file.unlink()
                removed += 1
        if above != str(folder) and not any(Path(above).iterdir()):
            Path(above).rmdir()
    return removed
