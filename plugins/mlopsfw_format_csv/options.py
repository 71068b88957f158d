"""What the options of a reading mean for a CSV file: its separator, its encoding, its texts for "no value"."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mlopsfw.errors import DataError, UsageError
from mlopsfw.formats import open_bytes, type_of

if TYPE_CHECKING:
    from mlopsfw.roles import ReadOptions


def check(path: Path, options: ReadOptions) -> None:
    """Raise `UsageError` where an option cannot be, `DataError` where the file is UTF-16 and nobody said so."""
    for column, kind in options.types.items():
        type_of(kind, column)
    if len(options.separator) > 1:
        raise UsageError(
            f"the separator {options.separator!r} is not one character", hint="Write one character, such as ; or \\t."
        )
    try:
        codecs.lookup(options.encoding)
    except LookupError:
        raise UsageError(
            f"there is no encoding {options.encoding!r}", hint="Encodings are utf-8, latin-1, cp1252 and similar."
        ) from None
    _refuse_utf16(path, options)


def _refuse_utf16(path: Path, options: ReadOptions) -> None:
    with open_bytes(path, options.max_ratio) as raw:
        begin = raw.read(256)
    if "16" in options.encoding or "32" in options.encoding:
        return
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}:1: this is UTF-16", hint="Pass --encoding utf-16.")
    if begin.count(0) * 3 > len(begin):  # text of Latin letters has a NUL in every second byte then
        raise DataError(
            f"{path}:1: this is not text, or it is UTF-16 without a byte-order mark",
            hint="If it is UTF-16, pass --encoding utf-16-le or utf-16-be.",
        )


def separator(path: Path, options: ReadOptions) -> str:
    """Return what stands between the fields of a file."""
    return options.separator or ("\t" if ".tsv" in path.suffixes else ",")


def text_of(raw: Any, options: ReadOptions) -> TextIO:
    """Return a file of bytes as text, its line ends as they are."""
    encoding = "utf-8-sig" if _is_utf8(options) else options.encoding
    return io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")


def utf8_of(raw: Any, options: ReadOptions) -> Any:
    """Return a file of bytes as one that reads as UTF-8."""
    import pyarrow as pa

    if _is_utf8(options):
        return raw
    return pa.transcoding_input_stream(pa.PythonFile(raw, "r"), options.encoding, "utf-8")


def _is_utf8(options: ReadOptions) -> bool:
    return codecs.lookup(options.encoding).name == "utf-8"
