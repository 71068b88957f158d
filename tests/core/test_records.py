"""Where the records of CSV text end: as a slow reading says, however the text is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw_core._records import RecordScanner

TEXT = st.lists(st.sampled_from([b"a", b'"', b",", b"\n", b"\r", b'""', b'\n"', b',"', b'",'])).map(b"".join)


def ends(text: bytes) -> tuple[list[int], bool]:
    """Return where each record ends, byte by byte, and whether the text ends within quotes."""
    found, quoted, fresh, at = [], False, True, 0
    while at < len(text):
        byte, two = text[at : at + 1], text[at : at + 2]
        if quoted:
            at += two == b'""'
            quoted = byte != b'"' or two == b'""'
        elif byte in b"\r\n":
            at += two == b"\r\n"
            found.append(at + 1)
        else:
            quoted = fresh and byte == b'"'
        fresh = not quoted and byte in b",\r\n"
        at += 1
    return found, quoted


@given(TEXT, st.integers(1, 7))
def test_the_last_record_ends_where_a_slow_reading_says(text, size):
    scanner, last = RecordScanner(b","), -1
    for start in range(0, len(text), size):
        end = scanner.feed(text[start : start + size])
        last = start + end if end >= 0 else last
    found, quoted = ends(text)
    if text.endswith(b"\r") and found and found[-1] == len(text):
        found.pop()  # a line feed may follow
    assert last == (found[-1] if found else -1)
    assert scanner.quoted == quoted


def test_a_carriage_return_at_the_end_of_a_piece_ends_a_record_with_or_without_what_follows():
    assert [RecordScanner(b",").feed(piece) for piece in (b"a\r", b"a\rb", b"a\r\n")] == [-1, 2, 3]
    scanner = RecordScanner(b",")
    assert [scanner.feed(piece) for piece in (b"a\r", b"\nb\r", b"c")] == [-1, 1, 0]


def test_nothing_is_no_record():
    assert RecordScanner(b";").feed(b"") == -1


@pytest.mark.parametrize("delimiter", [b"", b",,"])
def test_a_delimiter_is_one_byte(delimiter):
    with pytest.raises(ValueError, match="one byte"):
        RecordScanner(delimiter)


def test_a_record_of_many_quoted_fields_ends_where_it_ends():
    wide = b'"x",' * 1000
    assert RecordScanner(b",").feed(b"a\n" + wide) == 2
    assert RecordScanner(b",").feed(b"a\n" + wide + b"\n" + wide) == len(wide) + 3
