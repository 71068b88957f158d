"""Decode a long JSON body, and encode and free long lists, in pieces, so that no single call holds the interpreter for long.

The functions are generators: each `yield` ends a piece, and the caller decides when the next begins. They know no shape of a body.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

import msgspec

from mlopsfw_deployer_http.message import encode

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps; its result is what the generator returns."""

PIECE = 32 << 10  # bytes: less than a millisecond
# An object of many short members, such as a row of thousands of columns, is decoded in one call up to this size.
_WIDE = 8 * PIECE
_FREED = 2_048  # items freed at a time
_DEEPEST = 8  # levels of nesting that are taken apart; what lies deeper is decoded in one call
# No possessive quantifiers: those of Python before 3.11.5 match wrongly in groups. Instead, the alternatives begin with different
# bytes and a run is never cut short, so that there is one way to match and backtracking takes linear time.
_TEXT = rb'"(?:[^"\\]+(?![^"\\])|\\.)*"'
_NESTED = rb"(?!)"
for _ in range(3):
    _NESTED = rb'[\[{](?:[^\[\]{}"]+(?![^\[\]{}"])|%b|%b)*[\]}]' % (_TEXT, _NESTED)
_ELEMENTS = re.compile(rb'(?:(?:[^\[\]{}",]+(?![^\[\]{}",])|%b|%b)+,)+' % (_TEXT, _NESTED), re.DOTALL)
_ENDS = {b"[": b"],", b"{": b"},", b'"': b'",'}
_OPENING = re.compile(rb"\s*([\[{])")
_MARK = b"\0"  # never in JSON, which escapes it
GAP = msgspec.Raw(b"[%b]" % _MARK)
_value = msgspec.json.Decoder().decode
_list = msgspec.json.Decoder(list[Any]).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def decoded(text: bytes | memoryview, depth: int = 0) -> Steps[Any]:
    """Decode a JSON value.

    Args:
        text: The value. One scan of it without decoding, about a millisecond a MiB, is the longest single call.
        depth: The levels around it.

    Raises:
        msgspec.DecodeError: It is not JSON, or holds a number that is out of range.
    """
    opening = _OPENING.match(text) if len(text) > PIECE and depth < _DEEPEST else None
    if opening is None:
        return _value(text)
    if opening[1] == b"[":
        return (yield from _elements(memoryview(text), opening.end(), depth))
    raws = {name: memoryview(raw) for name, raw in _members(text).items()}
    if len(text) <= _WIDE and all(len(raw) <= PIECE for raw in raws.values()):
        return _value(text)
    members: dict[str, Any] = {}
    for name, raw in raws.items():
        yield
        members[name] = yield from decoded(raw, depth + 1)
    return members


def _elements(text: memoryview, at: int, depth: int) -> Steps[list[Any]]:
    """Decode an array whose first element begins at `at`: as many whole elements at a time as fit in a piece."""
    items: list[Any] = []
    while len(text) - at > PIECE:
        first, size = _first_elements(bytes(text[at : at + PIECE]))
        if not size:
            break
        items += first
        at += size
        yield
    rest = b"[" + bytes(text[at:])
    if len(rest) <= PIECE:
        return items + _list(rest)
    for raw in _items(rest):  # an element is longer than a piece
        yield
        items.append((yield from decoded(memoryview(raw), depth + 1)))
    return items


def _first_elements(window: bytes) -> tuple[list[Any], int]:
    """Return the elements that end in `window`, and the bytes that they take with the comma behind them.

    The last comma behind what looks like an end of an element is most often the right one. If not, the elements before it are no JSON.
    """
    end = _ENDS.get(window.lstrip()[:1], b",")
    size = window.rfind(end) + len(end)
    with contextlib.suppress(msgspec.DecodeError):
        if size > len(end):
            return _list(b"[%b]" % window[: size - 1]), size
    fitting = _ELEMENTS.match(window)
    return (_list(b"[%b]" % fitting[0][:-1]), fitting.end()) if fitting else ([], 0)


def within(steps: Steps[T], seconds: float, refusal: Exception) -> Steps[T]:
    """Take steps, and raise `refusal` once they have taken so many seconds together, those between them aside."""
    spent = 0.0
    while True:
        begun = time.monotonic()
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        spent += time.monotonic() - begun
        if spent > seconds:
            raise refusal
        yield


def encoded(parts: Iterable[list[Any]]) -> Steps[list[bytes]]:
    """Encode the items of the list that `parts` make together, for `filled`."""
    texts: list[bytes] = []
    for part in parts:
        texts.append((b"," if texts else b"") + encode(part)[1:-1])
        yield
    return texts


def filled(body: Any, lists: Iterable[list[bytes]]) -> list[bytes]:
    """Encode `body` with the items of `lists` in place of each `GAP`, in order; return the text in chunks, which are never copied."""
    start, *ends = encode(body).split(_MARK)
    chunks = [start]
    for texts, end in zip(lists, ends, strict=True):
        chunks += [*texts, end]
    return chunks


def freed(lists: Iterable[list[Any]]) -> Steps[None]:
    """Empty the lists. To free many objects takes as long as to make them."""
    for items in lists:
        while items:
            del items[-_FREED:]
            yield
