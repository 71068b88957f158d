"""Write text to a stream of any encoding: a character that the encoding lacks becomes a plain mark or an escape.

A redirected output on Windows is cp1252, a container's may be ASCII. Data keep their own encodings; this is what people
read.
"""

from __future__ import annotations

import codecs
import io
from typing import TextIO

_PLAIN = {"✓": "+", "✗": "x", "↻": "~", "▸": ">", "–": "-", "━": "-", "─": "-", "╸": "-", "╺": "-", "·": "*"}
_PLAIN |= {"•": "*", "│": "|", "└": "`", "├": "|", "…": "...", "→": "->", "≤": "<=", "≥": ">=", "×": "x", "±": "+-"}
_ERRORS = "mlopsfw-plain"
_ASCII = "mlopsfw-ascii"  # click takes a stream named ASCII for a mistake, and writes UTF-8 to it


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_replacement, error.object[error.start : error.end])), error.end


def _replacement(character: str) -> str:
    return _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode("ascii")


def _ascii_codec(name: str) -> codecs.CodecInfo | None:
    if name.replace("_", "-") != _ASCII:
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(
        known.encode,
        known.decode,
        known.streamreader,
        known.streamwriter,
        known.incrementalencoder,
        known.incrementaldecoder,
        name=_ASCII,
    )


codecs.register_error(_ERRORS, _plain)
codecs.register(_ascii_codec)


def accept_any_text(stream: TextIO | None) -> None:
    """Let `stream` take every character. Another kind of stream, or None (closed before the start), stays as it is."""
    if isinstance(stream, io.TextIOWrapper):
        is_ascii = codecs.lookup(stream.encoding).name == "ascii"
        stream.reconfigure(encoding=_ASCII if is_ascii else None, errors=_ERRORS)


def writable(text: str, stream: TextIO) -> str:
    """Return `text` as `stream` can write it; the stream may be another program's, whose settings we leave alone."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, _ERRORS).decode(encoding)


def can_write(text: str, stream: TextIO) -> bool:
    """Return whether the encoding of `stream` has every character of `text`."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
