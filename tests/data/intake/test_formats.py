"""Formats are plugins, selected by suffix: reading a file imports its format's plugin and no other; a company's own is one of them."""

from __future__ import annotations

import gzip
import itertools
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mlopsfw.cli.root import cli
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.intake.type_inference import Guesses, WrongType
from mlopsfw.kernel.base.errors import DataError, PluginError, UsageError
from mlopsfw.kernel.plugins.blame import blame_of, is_blamed
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.kernel.roles.source import SourceOptions
from mlopsfw.models.bundle.scoring import read_rows

READ = """
import sys
from pathlib import Path
from mlopsfw.project.facade import Project
Project.open(Path(sys.argv[1])).datasets.add("d", [Path(sys.argv[2])])
print(*sorted(name for name in sys.modules if name.startswith("mlopsfw_format") and "." not in name))
print(*sys.modules)
"""
OTHERS = {"fastexcel", "pyiceberg", "adbc_driver_postgresql", "httpcore", "obstore"}
"""Libraries of workbooks, URLs, buckets and databases."""
FILES = {
    "csv": ("x.csv", b"a\n1\n"),
    "json": ("x.jsonl", b'{"a": 1}\n'),
    "columnar": ("x.arrow", None),
}
LINES = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.errors import DataError
from mlopsfw.roles import FileFacts

CLAIMS = {
    "table": lambda pa: [pa.table({"line": ["x"]})],
    "rows": lambda pa: [{"line": "x"}],
    "none": lambda pa: [None],
    "other column": lambda pa: [pa.RecordBatch.from_pylist([{"other": "x"}])],
    "other type": lambda pa: [pa.RecordBatch.from_pylist([{"line": 1}])],
}

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    column: str = "line"

class Lines:
    options = ()
    media_types = ()
    def describe(self, request): return FileFacts()
    typed = True
    def __init__(self, column): self.column = column
    def read(self, request):
        import pyarrow as pa
        schema = pa.schema([(self.column, pa.string())])
        yield pa.RecordBatch.from_pylist([], schema=schema)
        for number, line in enumerate(request.path.read_text().splitlines(), 1):
            if line in CLAIMS:
                yield from CLAIMS[line](pa)
                continue
            if line == "fall":
                raise ZeroDivisionError(line)
            if line == "bad":
                if request.rejects is None:
                    raise DataError(f"{request.path}:{number}: a bad line", hint="Mend it.")
                request.rejects.add(request.path.name, number, "a bad line", line)
                continue
            yield pa.RecordBatch.from_pylist([{self.column: line}], schema=schema)

@hookimpl
def mlopsfw_formats():
    yield Provider("lines", Config, lambda config, host: Lines(config.column), "Lines of text")
"""


@pytest.mark.parametrize("name", FILES)
def test_reading_a_file_imports_the_plugin_of_its_format_alone(name, project, tmp_path):
    file, content = FILES[name]
    if content is None:
        import polars as pl

        pl.DataFrame({"a": [1]}).write_ipc(tmp_path / file)
    else:
        (tmp_path / file).write_bytes(content)
    command = [sys.executable, "-c", READ, project.root, tmp_path / file]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    formats, modules = out.stdout.splitlines()
    assert formats.split() == [f"mlopsfw_format_{name}"]
    assert not OTHERS & set(modules.split())
    assert "mlopsfw_source" not in modules


@pytest.fixture
def lines(install_plugin, tmp_path):
    """Install a third party's format, and return what writes a file of it."""
    install_plugin(LINES, "format.lines")

    def written(*texts, name="x.lines"):
        (tmp_path / name).write_text("\n".join(texts))
        return tmp_path / name

    return written


def test_a_third_partys_format_is_read_by_its_suffix_and_options(lines, make_project):
    project = make_project('[format.lines]\ncolumn = "text"\n')
    project.datasets.add("d", [lines("one", "two")])
    assert project.datasets.scan("d").collect().to_dict(as_series=False) == {"text": ["one", "two"]}


def test_its_files_in_a_folder_are_found(lines, project, tmp_path):
    folder = lines("one").parent / "in"
    folder.mkdir()
    lines("one", name="in/1.lines")
    lines("two", name="in/2.lines")
    project.datasets.add("d", [folder])
    assert project.datasets.scan("d").collect()["line"].to_list() == ["one", "two"]


def test_its_bad_rows_go_to_the_quarantine(lines, project):
    project.datasets.add("d", [lines(*["good"] * 30, "bad")], _tolerant())
    (row,) = project.datasets.quarantine("d")
    assert (row.source, row.line, row.reason, row.raw) == ("x.lines", 31, "a bad line", "bad")


def _tolerant():
    return Change(mode="replace", max_bad=0.1)


def test_drift_reads_it_too_outside_any_project(lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(cli, ["drift", str(lines(*"ab" * 50)), str(lines(*"ab" * 50, name="y.lines")), "--json"])
    assert ran.exit_code == 0, ran.output


def test_what_it_says_of_a_file_is_no_fault_of_the_plugin_and_what_it_does_not_mean_to_raise_is(lines, project):
    with pytest.raises(DataError, match=r"x\.lines:1: a bad line") as caught:
        project.datasets.add("d", [lines("bad")])
    assert not is_blamed(caught.value)
    with pytest.raises(ZeroDivisionError) as fallen:
        project.datasets.add("d", [lines("fall")])
    assert is_blamed(fallen.value)


def test_a_disabled_format_is_unknown_and_those_that_are_there_are_named(lines, make_project):
    project = make_project('[plugins]\ndisabled = ["format.lines"]\n')
    with pytest.raises(UsageError, match=r"its suffix does not name a known format\n.*\.csv, .*\.xlsx"):
        project.datasets.add("d", [lines("one")])


def test_an_option_that_a_format_does_not_have_is_an_error_with_its_line(make_project, tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n")
    project = make_project('[format.csv]\nseperator = ";"\n')
    with pytest.raises(UsageError, match=r"mlopsfw\.toml:5: format\.csv\.seperator"):
        project.datasets.add("d", [tmp_path / "x.csv"])


def test_a_packed_file_is_of_the_format_within(project, tmp_path):
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n'))
    project.datasets.add("d", [tmp_path / "x.jsonl.gz"])
    assert project.datasets.scan("d").collect()["a"].to_list() == [1]


INGEST = """
[steps.take]
use = "ingest"
dataset = "d"
path = "x.lines"

[format.lines]
column = "line"
"""


def test_a_step_that_reads_files_runs_again_where_a_formats_options_or_version_changed(bench, install_plugin, tmp_path):
    install_plugin(LINES, "format.lines")
    bench.write(INGEST, files={"x.lines": "one\ntwo"})
    ran = []
    for change in (
        lambda: None,
        lambda: None,
        lambda: bench.edit("mlopsfw.toml", 'column = "line"', 'column = "text"'),
        lambda: _upgrade(tmp_path),
    ):
        change()
        bench.run()
        ran.append(bench.ran() == ["take"])
    assert ran == [True, False, True, True]


def _upgrade(folder):
    metadata = folder / "site" / "acme_mlops_0-1.2.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.2", "Version: 1.3"))


@pytest.mark.parametrize("claim", ["table", "rows", "none", "other column", "other type"])
def test_what_is_no_batch_of_the_files_columns_is_the_fault_of_the_plugin(lines, project, claim):
    with pytest.raises(PluginError, match=r"x\.lines: ") as caught:
        project.datasets.add("d", [lines("good", claim)])
    assert "acme-mlops-0 1.2" in blame_of(caught.value)
    assert caught.value.exit_code == 5


BROKEN = {
    "typed = True": ("typed = 'yes'", "`typed` that is a str"),
    "media_types = ()": ("media_types = 'text/lines'", "media_types that are no collection"),
    "options = ()": ("options = ('colour',)", "takes an option that there is not: 'colour'"),
    "def describe(self, request): return FileFacts()": ("def describe(self, request): return {}", "not FileFacts"),
    "    typed = True\n": ("    typed = False\n", "has no `header`"),
}


@pytest.mark.parametrize("right", BROKEN)
def test_a_format_that_lacks_what_every_format_has_is_the_fault_of_the_plugin(right, install_plugin, formats, tmp_path):
    wrong, complaint = BROKEN[right]
    assert right in LINES
    install_plugin(LINES.replace(right, wrong), "format.lines")
    (tmp_path / "x.lines").write_text("a\nb\n")
    ran = CliRunner().invoke(cli, ["drift", str(tmp_path / "x.lines"), str(tmp_path / "x.lines")])
    assert isinstance(ran.exception, PluginError)
    assert complaint in ran.exception.message
    assert "acme-mlops-0 1.2" in blame_of(ran.exception)


OPTIONS = [({"separator": ";"}, ""), ({"encoding": "latin-1"}, ""), ({}, "S")]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".jsonl"])
@pytest.mark.parametrize(("given", "sheet"), OPTIONS)
def test_an_option_that_no_file_takes_is_an_error_of_every_reader(project, tmp_path, suffix, given, sheet):
    import polars as pl

    rows, file = pl.DataFrame({"a": [1]}), tmp_path / f"x{suffix}"
    {".parquet": rows.write_parquet, ".arrow": rows.write_ipc, ".jsonl": rows.write_ndjson}[suffix](file)
    name = next(iter(given), "sheet")
    for read in (
        lambda: project.datasets.add("d", [file], csv=ReadOptions(**given), outside=SourceOptions(sheet=sheet)),
        lambda: read_rows(project.providers.formats, file, ReadOptions(**given), sheet),
    ):
        with pytest.raises(UsageError, match=rf"{name} is no option of \{suffix}") as caught:
            read()
        assert "--type, --null" in caught.value.hint


def test_a_declared_type_that_a_value_does_not_fit_sends_its_row_to_quarantine(project, tmp_path):
    import polars as pl

    pl.DataFrame({"a": ["1", " 2", "NA", "x", "5"]}).write_parquet(tmp_path / "x.parquet")
    change = Change(mode="replace", max_bad=0.5)
    version = project.datasets.add("d", [tmp_path / "x.parquet"], change, csv=ReadOptions(types={"a": "int64"}))
    assert project.datasets.scan(version).collect()["a"].to_list() == [1, 2, None, 5]
    (row,) = project.datasets.quarantine("d")
    assert (row.source, row.line, row.raw) == ("x.parquet", 4, '{"a": "x"}')
    assert "column 'a'" in row.reason


def test_a_reader_that_goes_back_and_forth_about_a_type_ends():
    guesses, kinds = Guesses(), itertools.cycle(["int64", "string"])

    def read():
        raise WrongType("x", "a", next(kinds))

    with pytest.raises(WrongType):
        guesses.retry(read)


@pytest.mark.parametrize("given", [{"options": {"aws_region": "x"}}, {"headers": {"Accept": "env:NAME"}}])
def test_an_option_of_sources_is_an_error_for_files_here(project, tmp_path, given):
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(
        UsageError, match=rf"{next(iter(given))} is given .*nothing that is read here uses it"
    ) as caught:
        project.datasets.add("d", [tmp_path / "x.csv"], outside=SourceOptions(**given))
    assert "Omit --" in caught.value.hint
