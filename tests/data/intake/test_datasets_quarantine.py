"""Bad rows: set aside with file, line, reason and text, counted in the version, and never more than their share."""

from __future__ import annotations

import json

import polars as pl
import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.data.datasets.events import DatasetCommitted
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.kernel.base.errors import DataError, UnknownName
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw_format_csv import strict as csvsource
from mlopsfw_format_json import strict as jsonsource
from mlopsfw_format_json import tolerant as jsontolerant

GOOD = "".join(f"{n},x{n}\n" for n in range(200))


@pytest.fixture
def add(project, tmp_path):
    """Write a file, add it with a tenth of bad rows allowed, return the rows."""

    def adding(content: str | bytes, name: str = "x.csv", mode: str = "replace", share: float = 0.1, **options):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        change = Change(mode=mode, max_bad=share)
        return project.datasets.scan(project.datasets.add("d", [path], change, csv=ReadOptions(**options))).collect()

    return adding


def quarantined(project) -> list[tuple[int, str, str]]:
    return [(bad.line, bad.reason, bad.raw) for bad in project.datasets.quarantine("d")]


@pytest.mark.parametrize(
    ("bad", "reason", "raw"),
    [
        (b"7\n", "expected 2 fields, got 1", "7"),
        (b"7,a,b\n", "expected 2 fields, got 3", "7,a,b"),
        (b"seven,a\n", "column 'n': .*'seven'", "seven,a"),
        (b"7,caf\xe9\n", "column 'w': Invalid UTF8", "7,caf\\xe9"),
    ],
)
def test_one_bad_row_of_a_csv_is_set_aside_and_the_others_keep_their_types(add, project, bad, reason, raw):
    lines, at = GOOD.encode().splitlines(keepends=True), 120
    rows = add(b"n,w\n" + b"".join([*lines[:at], bad, *lines[at:]]))
    assert rows.equals(pl.DataFrame({"n": range(200), "w": [f"x{n}" for n in range(200)]}))
    (found,) = project.datasets.quarantine("d")
    assert (found.source, found.line, found.raw) == ("x.csv", at + 2, raw)
    assert pl.Series([found.reason]).str.contains(reason).all()
    assert project.datasets.resolve("d").intake == {"quarantined": 1, "batch": found.batch}


def test_lines_are_those_of_the_file_where_records_span_several(add, project):
    add('n,w\n1,"two\nlines"\n\nbad\n' + GOOD + "worse,y\n")
    assert [line for line, _, _ in quarantined(project)] == [5, 206]


def test_bad_values_far_down_are_found_over_many_blocks(add, project, monkeypatch):
    monkeypatch.setattr(csvsource, "_BLOCK", 512)
    rows = add("n,w\n" + GOOD + "oops,y\n" + GOOD + "short\n" + GOOD)
    assert rows.schema == {"n": pl.Int64, "w": pl.String}
    assert [line for line, _, _ in quarantined(project)] == [202, 403]
    assert rows.height == 600


def test_fractions_among_whole_numbers_are_no_bad_values(add, project, monkeypatch):
    monkeypatch.setattr(csvsource, "_BLOCK", 512)
    assert add("n,w\n" + GOOD + "0.5,y\n" + ",z\n")["n"].dtype == pl.Float64
    assert quarantined(project) == []


def test_a_column_of_mixed_values_is_text_as_before(add, project):
    assert add("n\n" + "1\nx\n" * 50)["n"].dtype == pl.String
    assert quarantined(project) == []


def test_a_declared_type_is_kept_and_what_is_not_of_it_set_aside(add, project):
    rows = add("n,w\n" + GOOD + "1.5,y\n", types={"n": "int64"})
    assert rows["n"].dtype == pl.Int64
    assert quarantined(project)[0][0] == 202


def test_appended_rows_are_read_in_the_types_of_the_dataset(add, project):
    add("n,w\n" + GOOD)
    assert add("n,w\n" + GOOD + "1.5,y\n", mode="append").height == 400
    assert quarantined(project)[0][2] == "1.5,y"


@pytest.mark.parametrize(
    "text", ["n,x,d,t,f,w\n1,1.5,2013-01-01,2013-01-01T05:00:00Z,true,a\n,,,,,\n NA ,null,,,,NA\n"]
)
def test_good_files_are_read_as_without_a_quarantine(add, project, tmp_path, text):
    tolerant = add(text)
    assert tolerant.equals(project.datasets.scan(project.datasets.add("strict", [tmp_path / "x.csv"])).collect())


def test_bad_json_lines_are_set_aside(add, project):
    good = "".join(json.dumps({"a": n, "s": "x"}) + "\n" for n in range(100))
    rows = add(good.encode() + b'{"a": 1\n[1]\n{"a": "word"}\n{"s": "\xff"}\n' + good.encode(), "x.jsonl")
    assert rows.equals(pl.DataFrame({"a": [*range(100)] * 2, "s": ["x"] * 200}))
    assert [line for line, _, _ in quarantined(project)] == [101, 102, 104, 103]
    assert "a list, not an object" in quarantined(project)[1][1]


def test_bad_json_lines_far_down_are_found_over_many_blocks(add, project, monkeypatch):
    monkeypatch.setattr(jsonsource, "_BLOCK", 128)
    monkeypatch.setattr(jsontolerant, "_FIRST", 256)
    lines = [f'{{"a": {n}}}' for n in range(400)]
    lines[100:103], lines[250], lines[390] = ["", "word", ""], '{"a": 1} {"a": 2}', '{"a": 1, "new": 2}'
    assert add("\n".join(lines), "x.jsonl").height == 395
    assert [line for line, _, _ in quarantined(project)] == [102, 251, 391]


def test_rows_of_parquet_that_do_not_fit_the_dataset_are_set_aside(project, tmp_path):
    project.datasets.commit("d", pl.DataFrame({"a": [1]}))
    pl.DataFrame({"a": [float(n) for n in range(50)] + [1.5]}).write_parquet(tmp_path / "x.parquet")
    version = project.datasets.add("d", [tmp_path / "x.parquet"], Change(max_bad=0.1))
    assert version.rows == 51
    assert [(line, raw) for line, _, raw in quarantined(project)] == [(51, '{"a": 1.5}')]


def test_over_the_share_nothing_is_committed_and_the_quarantine_says_why(add, project):
    with pytest.raises(DataError, match=r"3 of 203 rows are bad, more than 1\.00%; the first one is x\.csv:202"):
        add("n,w\n" + GOOD + "a\nb\nc\n", share=0.01)
    with pytest.raises(UnknownName):
        project.datasets.resolve("d")
    assert list(project.datasets.files("d").list()) == []
    assert [raw for _, _, raw in quarantined(project)] == ["a", "b", "c"]


def test_a_long_raw_row_is_cut_and_says_so(add, project):
    add("n,w\n" + GOOD + "7," + "y" * 100_000 + ",z\n")
    ((_, reason, raw),) = quarantined(project)
    assert len(raw) == 65_536
    assert "of 100,004 characters are kept" in reason


def test_the_event_holds_counts_and_no_value(add, project):
    add("n,w\n" + GOOD + "secret,y\n")
    assert "secret" not in repr(project.datasets.resolve("d").record(DatasetCommitted))


def test_the_command_sets_aside_and_lists(project, tmp_path):
    (tmp_path / "x.csv").write_text("n,w\n" + GOOD + "seven,y\n")
    start = ["--project", str(project.root)]
    added = CliRunner().invoke(cli, [*start, "data", "add", "d", str(tmp_path / "x.csv"), "--max-bad", "0.1"])
    assert added.exit_code == 0, added.output
    assert "1 bad row was put in quarantine" in added.stderr
    listed = CliRunner().invoke(cli, [*start, "data", "quarantine", "d", "--json"])
    assert json.loads(listed.stdout)[0]["line"] == 202
    assert "seven,y" in CliRunner().invoke(cli, [*start, "data", "quarantine", "d"]).stdout


def test_too_many_bad_rows_stop_the_load(add, monkeypatch):
    from mlopsfw.data.intake import quarantine

    monkeypatch.setattr(quarantine, "_MOST", 5)
    with pytest.raises(DataError, match="5 bad rows"):
        add("n,w\n" + GOOD + "a\n" * 6, share=0.9)
