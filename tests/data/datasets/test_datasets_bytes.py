"""Whatever bytes a CSV file or a file of JSON lines holds, it is rows or an error of ours; with a quarantine no line goes missing."""

from __future__ import annotations

from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.intake.type_inference import Guesses
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.project.facade import Project
from mlopsfw_format_csv import strict as csvsource
from mlopsfw_format_json import strict as jsonsource
from mlopsfw_format_json import tolerant as jsontolerant

FORMATS = Project.open(config=ProjectConfig(name="outside")).providers.formats
CELLS = b"1 2.5 x NA nan inf true 2013-01-01 2013-01-01T05:00:00Z 05:30:00 99999999999999999999 -0 1e400 \xff \0 \xef\xbb\xbf 0x1F".split()
VALUES = (
    b'1|2.5|null|"x"|true|[1]|[]|[null]|{"k":1}|{}|[{"z":[1.5]}]|"2013-01-01"|99999999999999999999|1e400|"\xff"|NaN|-0|"\\u0000"|"\\ud800"'
).split(b"|")

cell = st.sampled_from([*CELLS, b""])
row = st.one_of(st.lists(cell, min_size=2, max_size=2), st.lists(cell, max_size=3)).map(b",".join)
csv = st.tuples(st.lists(row, max_size=30), st.sampled_from([b"\n", b"\r\n", b"\r"])).map(
    lambda drawn: drawn[1].join([b"a,b", *drawn[0]])
)
field = st.sampled_from([b"a", b"b", b"c", b"\xaa"])
item = st.dictionaries(field, st.sampled_from(VALUES), max_size=3).map(
    lambda row: b"{" + b",".join(b'"' + name + b'":' + value for name, value in row.items()) + b"}"
)
line = st.one_of(
    item, item, st.sampled_from([b"", b" ", b"[1]", b"\xff", b'{"a":1', b'{"a":1} {"a":1}', b'{"a":1,"a":1}'])
)
jsonl = st.lists(line, max_size=30).map(b"\n".join)


def read(path, quarantine=None):
    """Return the rows, or None where it is an error of ours."""
    guesses = Guesses()

    def once():
        if quarantine:
            quarantine.lines.clear()
        return pa.Table.from_batches(FORMATS.read([SourceFile(path)], ReadOptions(), guesses, quarantine))

    try:
        table = guesses.retry(once)
    except DataError as error:
        return None if str(path) in error.message else error
    table.validate(full=True)
    return table


def tolerant():
    """Return what takes any share of bad rows, and their lines."""
    lines = []
    return SimpleNamespace(share=1.0, lines=lines, add=lambda _source, line, *_, **__: lines.append(line))


@pytest.fixture(params=[64, 4 << 20], ids=["small blocks", "large blocks"])
def block(request, monkeypatch):
    monkeypatch.setattr(csvsource, "_BLOCK", request.param)
    monkeypatch.setattr(jsonsource, "_BLOCK", request.param)
    monkeypatch.setattr(jsontolerant, "_FIRST", 2 * request.param)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@given(csv)
@example(b"a,b\n1,2\n\xff\n3,4\n")
@example(b"a,b\xff\n1,2\n3\n")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_record_of_a_csv_file_is_a_row_or_set_aside(block, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data)
    strict, quarantine = read(path), tolerant()
    table = read(path, quarantine)
    records = [record for record in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n") if record]
    if table is not None:
        assert table.num_rows + len(quarantine.lines) == len(records) - 1
        assert len(set(quarantine.lines)) == len(quarantine.lines)
    if strict is not None and table is not None:
        assert strict.num_rows == len(records) - 1


@given(jsonl)
@example(b'{"\xaa":1}\n{"a":1}\n')
@example(b'{"a":1}\n[1]\n{"a":[1,"x"]}\n{"a":2}')
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_line_of_json_is_a_row_or_set_aside(block, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(data)
    strict, quarantine = read(path), tolerant()
    table = read(path, quarantine)
    lines = [line for line in data.split(b"\n") if line.strip()]
    if table is not None:
        assert table.num_rows + len(quarantine.lines) == len(lines)
    if strict is not None:
        assert strict.num_rows == len(lines)
        assert table is not None
