"""`data get NAME DIR`: write the files of a set below a folder, and nothing outside it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from mlopsfw.data.filesets.packs import SMALL
from mlopsfw.data.tables.digest import file_digest
from mlopsfw.kernel.base.errors import Corrupt, DataError, UsageError
from mlopsfw.kernel.store.blobs import is_inside

if TYPE_CHECKING:
    from mlopsfw.data.filesets.fileset import FileSet


class Laid(msgspec.Struct, frozen=True):
    """How many files were written, were there already, and were removed."""

    written: int
    unchanged: int
    removed: int


def get(files: FileSet, folder: Path, *, sync: bool = False, force: bool = False) -> Laid:
    """Write the files of the set below `folder`. A file that is already there stays; every other is written atomically.

    Args:
        files: The set.
        folder: The folder; created if it does not exist.
        sync: Remove files that are not in the set.
        force: Overwrite and remove also files whose content no version of the set has.

    Raises:
        DataError: A path would lead out of the folder, two could be one file here, or a file of the user's own is in the way. Nothing was
            written.
        UsageError: The folder is within the project's state, or holds it and `sync` would remove it.
        Corrupt: The stored bytes have changed.
    """
    _spare_state(*(Path(os.path.realpath(each)) for each in (files.state, folder)), sync=sync)
    folder.mkdir(parents=True, exist_ok=True)
    _check(files.table["path"].to_list(), folder)
    table = files.table.rows(named=True)
    rows = [row for row in table if not _is_there(folder / row["path"], row["size"], row["digest"])]
    others = list(_others(folder, {row["path"] for row in table})) if sync else []
    if not force:
        _refuse_own(files, [*_in_the_way(folder, [row["path"] for row in rows]), *others])
    for row in sorted(rows, key=lambda row: files.order(row["path"])):  # files of one blob in a row, to fetch it once
        _lay(files, folder, row["path"], row["digest"])
    _remove([file for file in others if os.path.lexists(file)], folder)
    return Laid(len(rows), len(files) - len(rows), len(others))


def _spare_state(state: Path, folder: Path, *, sync: bool) -> None:
    """Raise `UsageError` if this would write among the project's own files, or remove them as extra files."""
    if folder.is_relative_to(state) or (sync and state.is_relative_to(folder)):
        raise UsageError(
            f"{folder} contains the project's own state, {state}", hint="Nothing was changed. Name a folder beside it."
        )


def _check(paths: list[str], folder: Path) -> None:
    for path in paths:
        if not is_inside(path) or _is_unsafe_here(path):
            raise DataError(
                f"the set holds the path {path!r}, which this machine cannot write", hint="Nothing was written."
            )
    if _ignores_case(folder):
        names: dict[str, str] = {}
        for path in paths:
            other = names.setdefault(unicodedata.normalize("NFC", path.casefold()), path)
            if other != path:
                raise DataError(
                    f"{path!r} and {other!r} name the same file on this machine", hint="Nothing was written."
                )


def _is_unsafe_here(path: str) -> bool:
    return os.name == "nt" and (
        "\\" in path or PureWindowsPath(path).drive != "" or PureWindowsPath(path).is_reserved()
    )


def _ignores_case(folder: Path) -> bool:
    with tempfile.NamedTemporaryFile(prefix="case-a", dir=folder) as file:
        return Path(file.name.replace("case-a", "CASE-A")).exists()


def _refuse_own(files: FileSet, paths: Iterable[Path]) -> None:
    """Raise `DataError` if a file would be lost whose content no version has."""
    for path in paths:
        if not path.is_symlink() and file_digest(path) not in files.contents:
            raise DataError(
                f"{path} exists, and no version of {files.version.name} has its content",
                hint="Nothing was written. Remove the file, name another folder, or overwrite it with --force.",
            )


def _in_the_way(folder: Path, paths: Iterable[str]) -> Iterator[Path]:
    for path in paths:
        yield from (at for at in _on_the_way(folder, path) if at.is_file())


def _on_the_way(folder: Path, path: str) -> Iterator[Path]:
    for part in PurePosixPath(path).parts:
        folder /= part
        yield folder


def _lay(files: FileSet, folder: Path, path: str, digest: str) -> None:
    target = folder / path
    _make_folders(folder, PurePosixPath(path).parent)
    if target.is_dir() and not target.is_symlink():
        raise DataError(
            f"{target} is a folder, but the set has a file of this name", hint="Remove it, or name another folder."
        )
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".mlopsfw-")
    try:
        with os.fdopen(descriptor, "wb") as sink:
            _copy(files, path, digest, sink)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _copy(files: FileSet, path: str, digest: str, sink: BinaryIO) -> None:
    computed = hashlib.sha256()
    with files.open(path) as source:
        while chunk := source.read(SMALL):
            computed.update(chunk)
            sink.write(chunk)
    if computed.hexdigest() != digest:
        raise Corrupt(
            f"{path} of {files.version.ref} differs from the file that was added", hint="Restore the blob from a copy."
        )


def _is_there(file: Path, size: int, digest: str) -> bool:
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size != size:
            return False
        return file_digest(file) == digest
    except OSError:
        return False


def _make_folders(folder: Path, below: PurePosixPath) -> None:
    """Create the folders of a path. Refuse links, so that nothing is written through them."""
    at = folder
    for part in below.parts:
        at /= part
        if at.is_symlink():
            raise DataError(
                f"{at} is a link, and mlopsfw does not write through links", hint="Remove it, or name another folder."
            )
        if at.is_file():
            at.unlink()
        at.mkdir(exist_ok=True)


def _others(folder: Path, paths: set[str]) -> Iterator[Path]:
    """Yield the entries below the folder that are not in the set, without following links."""
    for above, folders, names in os.walk(folder):
        links = [name for name in folders if Path(above, name).is_symlink()]
        candidates = (Path(above, name) for name in names + links)
        yield from (file for file in candidates if file.relative_to(folder).as_posix() not in paths)


def _remove(files: list[Path], folder: Path) -> None:
    """Remove files, and the folders that become empty."""
    for file in files:
        file.unlink()
    for above in sorted(
        {above for file in files for above in file.parents if above.is_relative_to(folder)}, reverse=True
    ):
        if above != folder and not any(above.iterdir()):
            above.rmdir()
