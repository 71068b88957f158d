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
