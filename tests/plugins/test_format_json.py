"""JSON lines fulfil the contract of formats."""

from __future__ import annotations

import json

import pytest

from mlopsfw.errors import DataError
from mlopsfw.roles import ReadRequest
from mlopsfw.testing.format import FormatConformance, Rejects
from mlopsfw_format_json.reading import JsonLines


class TestJsonLines(FormatConformance):
    @pytest.fixture
    def reader(self):
        return JsonLines()

    @pytest.fixture
    def suffix(self):
        return ".jsonl"

    @pytest.fixture
    def write(self):
        return lambda table, path: path.write_text("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()))

    @pytest.fixture
    def spoil(self):
        def spoiled(path):
            data = path.read_bytes()
            path.write_bytes(data + b'{"n": 1, \n')
            return data.count(b"\n") + 1

        return spoiled


DEEP = {
    "lists": ("[", "]"), "objects": ('{"a":', "}"), "lists on lines of their own": ("\n[\n", "\n]\n"),
}  # fmt: skip


@pytest.mark.parametrize("levels", [900, 10_000, 1_000_000])
@pytest.mark.parametrize("kind", DEEP)
def test_a_row_that_is_nested_too_deeply_is_an_error_with_its_line_and_ends_no_process(tmp_path, kind, levels):
    opens, closes = DEEP[kind]
    file = tmp_path / "deep.jsonl"
    file.write_text('{"n": 1}\n{"n": ' + opens * (levels // 5) + "1" + closes * (levels // 5) + "}\n")
    with pytest.raises(DataError, match=rf"{file}:2: ") as caught:
        list(JsonLines().read(ReadRequest(path=file)))
    assert ("nested more than 100 levels" in caught.value.message) == ("lines of" not in kind)


@pytest.mark.parametrize("levels", [101, 900, 10_000])
@pytest.mark.parametrize("kind", ["lists", "objects"])
def test_a_row_that_is_nested_too_deeply_is_set_aside_where_bad_rows_may_be(tmp_path, kind, levels):
    opens, closes = DEEP[kind]
    file, rejects = tmp_path / "deep.jsonl", Rejects()
    file.write_text('{"n": 1}\n{"n": ' + opens * levels + "1" + closes * levels + '}\n{"n": 3}\n')
    rows = [row for batch in JsonLines().read(ReadRequest(path=file, rejects=rejects)) for row in batch.to_pylist()]
    assert rows == [{"n": 1}, {"n": 3}]
    ((source, line, reason, _),) = rejects.rows
    assert (source, line) == ("deep.jsonl", 2)
    assert "nested more than 100 levels" in reason


TWICE = {
    "field": (b'{"n": 1, "n": 2}', "field 'n' is there twice"),
    "field of null": (b'{"n": null, "n": null}', "field 'n' is there twice"),
    "field in an object": (b'{"n": 1, "o": {"a": 1, "a": 2}}', "field 'a' is there twice"),
    "field in an object of a list": (b'{"n": 1, "l": [{"a": 1, "a": 2}]}', "field 'a' is there twice"),
    "escaped field": (b'{"n": 1, "\\u006e": 2}', "field 'n' is there twice"),
    "half of a character": (b'{"n": 1, "s": "\\ud83d"}', r"\ud83d is half of a surrogate pair"),
    "other half": (b'{"n": 1, "s": "ab\\ude00cdefgh"}', r"\ude00 is half of a surrogate pair"),
    "half in a name": (b'{"n": 1, "\\uD83D\\u0041": 1}', r"\ud83d is half of a surrogate pair"),
}


@pytest.mark.parametrize("place", ["first", "middle"])
@pytest.mark.parametrize("case", TWICE)
def test_a_line_with_a_field_twice_or_half_a_character_is_told_with_its_line_and_set_aside(tmp_path, case, place):
    line, complaint = TWICE[case]
    good = [b'{"n": 1, "o": {"a": 1}, "l": [{"a": 1}], "s": "\\ud83d\\ude00 \\\\ud83d"}'] * 3
    number = 1 if place == "first" else 2
    lines = [*good[: number - 1], line, *good[number - 1 :]]
    file, rejects = tmp_path / "x.jsonl", Rejects()
    file.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError) as caught:
        list(JsonLines().read(ReadRequest(path=file)))
    assert caught.value.message.startswith(f"{file}:{number}: ")
    assert complaint in caught.value.message
    rows = [row for batch in JsonLines().read(ReadRequest(path=file, rejects=rejects)) for row in batch.to_pylist()]
    assert [row["n"] for row in rows] == [1, 1, 1]
    assert [(row[1], complaint in row[2]) for row in rejects.rows] == [(number, True)]


def test_a_field_of_two_types_within_an_object_is_told_with_both_lines(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text('{"o": {"a": 1}}\n{"o": {"a": "x"}}\n')
    with pytest.raises(DataError, match=rf"{file}:2: field 'o/a' is a str here, and a number on line 1"):
        list(JsonLines().read(ReadRequest(path=file)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_another_encoding_is_named(tmp_path, encoding):
    (tmp_path / "x.jsonl").write_text('{"n": 1}\n', encoding=encoding)
    with pytest.raises(DataError, match="UTF-16 or UTF-32: write it as UTF-8"):
        list(JsonLines().read(ReadRequest(path=tmp_path / "x.jsonl")))
