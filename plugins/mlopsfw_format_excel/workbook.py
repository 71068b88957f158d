"""An Excel workbook (a zip archive of XML) unpacked within its allowance, before a reader that knows none gets to see it.

A text that is shared stands in a cell by its number: a few bytes that stand for up to 32,767 characters each.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.parsers import expat

from mlopsfw.errors import DataError
from mlopsfw.formats import Allowance, Bounded

if TYPE_CHECKING:
    from typing import IO

_PLACE = re.compile(rb"""\sr=["']([A-Za-z]{1,3})([0-9]{1,9})["']""")
_OVERLAP = 64  # bytes of the longest place of a cell, which two pieces may share
_EXTENT = 1 << 24  # places that a sheet of any cells may span
_SPARSE = 100  # places for each cell beyond that
_CELL = 12  # bytes of the shortest cell that names a shared text: <c t="s"><v>…


@contextlib.contextmanager
def unpacked(path: Path, allowance: Allowance) -> Iterator[Path]:
    """Give the workbook at `path` without compression, so that its sizes are what they say.

    Raises:
        DataError: It is none, is damaged, or holds more than `allowance`, shared texts counted as often as they stand in cells.
    """
    with tempfile.TemporaryDirectory(prefix="mlopsfw-") as folder:
        plain = Path(folder) / "plain.xlsx"
        try:
            _unpack(path, plain, allowance)
            _check_texts(plain, allowance)
            _check_extents(plain, path)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, expat.ExpatError) as error:
            raise DataError(f"{path} is not an Excel workbook (.xlsx), or is damaged: {error}") from None
        yield plain


def _unpack(path: Path, plain: Path, allowance: Allowance) -> None:
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(plain, "w") as out:
        for info in packed.infolist():
            with packed.open(info) as member, out.open(info.filename, "w", force_zip64=True) as copy:
                shutil.copyfileobj(cast("Any", Bounded(member, allowance)), copy, 1 << 16)


def _check_texts(plain: Path, allowance: Allowance) -> None:
    with zipfile.ZipFile(plain) as book:
        shared = [info for info in book.infolist() if info.filename.lower().endswith("sharedstrings.xml")]
        sheets = [info for info in book.infolist() if info.filename.lower().startswith("xl/worksheets/")]
        lengths = [length for info in shared for length in _lengths(book, info)]
        if sum(info.file_size for info in sheets) // _CELL * max(lengths, default=0) <= allowance.most:
            return
        for info in sheets:
            for index in _indices(book, info):
                allowance.spend(lengths[index] if index < len(lengths) else 0)


def _check_extents(plain: Path, path: Path) -> None:
    """Raise `DataError` for a sheet whose few cells lie far apart: the reader takes memory for all cells between them."""
    with zipfile.ZipFile(plain) as book:
        for info in book.infolist():
            if info.filename.lower().startswith("xl/worksheets/"):
                _check_extent(book, info, path)


def _check_extent(book: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
    count, rest = 0, b""
    top, left, bottom, right = 1 << 30, 1 << 30, 0, 0
    with book.open(info) as member:
        while piece := member.read(1 << 20):
            data = rest + piece
            found = list(_PLACE.finditer(data))
            rest = data[max(found[-1].end() if found else 0, len(data) - _OVERLAP) :]
            cells = [match.groups() for match in found]
            rows, columns = (
                [int(row) for _, row in cells],
                [_column(letters) for letters in {name for name, _ in cells}],
            )
            count += len(cells)
            if cells:
                top, bottom = min(top, *rows), max(bottom, *rows)
                left, right = min(left, *columns), max(right, *columns)
    extent = (bottom - top + 1) * (right - left + 1) if count else 0
    if extent > max(_EXTENT, _SPARSE * count):
        raise DataError(
            f"{path}: the {count:,} cells of {info.filename} span {extent:,} places, which need too much memory",
            hint="Delete the stray cells far from the others, or save the sheet as CSV.",
        )


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number


def _lengths(book: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[int]:
    """Yield the length of each shared text."""
    found: list[int] = []

    def start(name: str, _attributes: dict[str, str]) -> None:
        if _local(name) == "si":
            found.append(0)

    def text(data: str) -> None:
        if found:
            found[-1] += len(data)

    for _ in _walked(book, info, start, text):
        yield from found[:-1]
        del found[:-1]
    yield from found


def _indices(book: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[int]:
    """Yield the number of the shared text of each cell that has one."""
    found: list[str] = []
    state = {"shared": False, "value": False}

    def start(name: str, attributes: dict[str, str]) -> None:
        local = _local(name)
        if local == "c":
            state["shared"] = attributes.get("t") == "s"
        state["value"] = local == "v" and state["shared"]
        if state["value"]:
            found.append("")

    def text(data: str) -> None:
        if state["value"]:
            found[-1] += data

    for _ in _walked(book, info, start, text):
        yield from (int(number) for number in found[:-1] if number.strip().isdigit())
        del found[:-1]
    yield from (int(number) for number in found if number.strip().isdigit())


def _walked(book: zipfile.ZipFile, info: zipfile.ZipInfo, start: Any, text: Any) -> Iterator[None]:
    """Walk through a member's XML by pieces, and yield after each."""
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.CharacterDataHandler = start, text
    member: IO[bytes]
    with book.open(info) as member:
        while piece := member.read(1 << 16):
            parser.Parse(piece, False)  # noqa: FBT003 - expat names no argument
            yield
    parser.Parse(b"", True)  # noqa: FBT003


def _local(name: str) -> str:
    return name.rpartition(":")[2]
