"""Sources are plugins, selected by scheme or by a folder's mark: naming one imports its plugin and no other; a company's own is one of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import polars as pl
import pytest

from mlopsfw.data.intake.places import Query
from mlopsfw.errors import DataError, PluginConflict, PluginError, UsageError
from mlopsfw.kernel.plugins.blame import is_blamed
from mlopsfw.kernel.roles.source import SourceOptions

READ = """
import sys
from pathlib import Path
from mlopsfw.data.intake.places import Query, place_of
from mlopsfw.errors import MlopsfwError
from mlopsfw.project.facade import Project
what = sys.argv[2]
project = Project.open(Path(sys.argv[1]))
place = Query(what, table="t") if what.startswith("sqlite") else place_of(what, project.secrets.is_reference)
try:
    project.datasets.add("d", [place])
except MlopsfwError as error:
    assert "refused" in sys.argv[3:], error
print(*sorted(name for name in sys.modules if name.startswith("mlopsfw_source") and "." not in name))
print(*sys.modules)
"""
LIBRARIES = {"pyiceberg", "adbc_driver_postgresql", "httpcore", "fastexcel"}
HALL = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.errors import DataError

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prefix: str = ""

class Counters:
    relative = ""
    def __init__(self, prefix, request):
        self.prefix, self.request = prefix, request
        self.name = request.url.partition("?")[0].rpartition("/")[2]
        self.shown = "hall://counters/" + self.name
    def facts(self):
        return {"at": "noon"}
    def unchanged(self, known):
        return known == self.facts()
    def fetch(self, to, received):
        if self.name == "fall.csv":
            raise ZeroDivisionError("of a plugin's own")
        to.write_text(f"machine,name\\n7,{self.prefix}{self.request.options.options.get('name', 'lathe')}\\n")

class Hall:
    queries = False
    def __init__(self, prefix): self.prefix = prefix
    def find(self, request):
        if "gone" in request.url:
            raise DataError("hall://counters/gone.csv is gone", hint="Ask the hall.")
        if "broken" in request.url:
            raise ZeroDivisionError("of a plugin's own")
        return [Counters(self.prefix, request)]

@hookimpl
def mlopsfw_sources():
    yield Provider("hall", Config, lambda config, host: Hall(config.prefix), "The machines of a hall")
"""


def read(root, place, *more):
    command = [sys.executable, "-c", READ, root, str(place), *more]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    plugins, modules = out.stdout.splitlines()
    return plugins.split(), LIBRARIES & set(modules.split())


@pytest.fixture
def places(tmp_path):
    """One place of each kind: what to name."""
    (tmp_path / "x.csv").write_text("a\n1\n")
    pl.DataFrame({"a": [1]}).write_delta(str(tmp_path / "delta"))
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    connection.close()
    return {
        "file": tmp_path / "x.csv",
        "folder": tmp_path,
        "lakehouse": tmp_path / "delta",
        "sql": f"sqlite:///{tmp_path / 'x.db'}",
        "http": "http://127.0.0.1:9/x.csv",
        "bucket": "az://bucket/x.csv",
    }


@pytest.mark.parametrize("kind", ["file", "sql", "lakehouse", "http", "bucket"])
def test_naming_a_place_imports_the_plugin_of_its_source_alone(kind, project, places):
    plugins, libraries = read(project.root, places[kind], *(["refused"] if kind in {"http", "bucket"} else []))
    assert plugins == ([] if kind == "file" else [f"mlopsfw_source_{kind}"])
    assert libraries <= ({"httpcore"} if kind == "http" else set())


@pytest.fixture
def hall(install_plugin):
    """Install a third party's source."""
    return install_plugin(HALL, "source.hall")


@pytest.mark.usefixtures("hall")
def test_a_third_partys_source_is_read_by_its_scheme_and_options(make_project):
    project = make_project('[source.hall]\nprefix = "old "\n')
    outside = SourceOptions(options={"name": "mill"})
    version = project.datasets.add("d", ["hall://counters/day.csv"], outside=outside)
    assert project.datasets.scan("d").collect().rows() == [(7, "old mill")]
    assert version.source == "hall://counters/day.csv"
    assert version.origin["files"] == {"hall://counters/day.csv": {"at": "noon"}}
    assert not project.datasets.add("d", ["hall://counters/day.csv"], outside=outside, once=True).new


@pytest.mark.usefixtures("hall")
def test_what_it_says_of_a_place_is_no_fault_of_the_plugin_and_what_it_does_not_mean_to_raise_is(project):
    with pytest.raises(DataError, match="is gone") as caught:
        project.datasets.add("d", ["hall://counters/gone.csv"])
    assert not is_blamed(caught.value)
    for name, where in (("broken", "Source.find"), ("fall", "Place.fetch")):
        with pytest.raises(ZeroDivisionError) as fallen:
            project.datasets.add("d", [f"hall://counters/{name}.csv"])
        assert fallen.value.__notes__ == [f"raised by plugin 'source.hall' (acme-mlops-0 1.2) in {where}"]


@pytest.mark.usefixtures("hall")
def test_an_unknown_scheme_is_an_error_that_names_what_is_installed_and_what_to_do(project):
    with pytest.raises(UsageError, match=r"^ftp://host/x\.csv: no installed plugin reads ftp:// URLs") as caught:
        project.datasets.add("d", ["ftp://host/x.csv?page=canary-1"])
    assert "hall://" in caught.value.hint
    assert "https://" in caught.value.hint
    assert "entry point source.ftp" in caught.value.hint
    assert "_delta_log" not in caught.value.hint
    assert "canary" not in str(caught.value)


def test_the_scheme_of_a_reference_is_unknown_without_its_url(project, monkeypatch):
    monkeypatch.setenv("FEED", "ftp://host/x.csv?sig=canary-2")
    with pytest.raises(UsageError, match="env:FEED: no installed plugin reads ftp:// URLs") as caught:
        project.datasets.add("d", ["env:FEED"])
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["hall", "_delta_log/"])
def test_two_plugins_that_claim_one_name_are_both_named(name, install_plugin, project, tmp_path):
    install_plugin(HALL, f"source.{name}")
    install_plugin(HALL, f"source.{name}")
    pl.DataFrame({"a": [1]}).write_delta(str(tmp_path / "delta"))
    place = "hall://counters/day.csv" if name == "hall" else tmp_path / "delta"
    with pytest.raises(PluginConflict, match=r"acme-mlops-0 1\.2.* and .*acme-mlops-1 1\.2"):
        project.datasets.add("d", [place])


@pytest.mark.parametrize("name", ["sqlite", "_delta_log/"])
def test_a_disabled_source_is_named_and_its_tables_are_not_read_as_files(name, make_project, tmp_path):
    project = make_project(f'[plugins]\ndisabled = ["source.{name}"]\n')
    pl.DataFrame({"a": [1]}).write_delta(str(tmp_path / "delta"))
    place = Query("sqlite:///x.db", table="t") if name == "sqlite" else tmp_path / "delta"
    with pytest.raises(PluginError, match=rf"'source\.{name}' \(mlopsfw .*\) is disabled"):
        project.datasets.add("d", [place])


HEADER, OPTION = {"headers": {"Authorization": "env:FEED"}}, {"options": {"aws_region": "eu-1"}}


@pytest.mark.parametrize(
    ("place", "given"),
    [
        ("s3://lake/x.csv", HEADER),
        ("gs://lake/x.csv", HEADER),
        (Query("sqlite:///x.db", table="t"), HEADER),
        (Query("sqlite:///x.db", table="t"), OPTION),
        ("https://example.org/x.csv", OPTION),
        ("delta", HEADER),
        ("delta", OPTION),
        ("delta", {"timeout": 3.0}),
        (Query("sqlite:///x.db", table="t"), {"timeout": 3.0}),
    ],
    ids=str,
)
def test_an_option_that_no_source_of_a_load_uses_is_refused_before_anything_is_asked(
    place, given, project, tmp_path, monkeypatch
):
    monkeypatch.setenv("FEED", "Bearer x")
    pl.DataFrame({"a": [1]}).write_delta(str(tmp_path / "delta"))
    places = [tmp_path / place if place == "delta" else place]
    (name,) = given
    with pytest.raises(UsageError, match=rf"^{name} is given .* nothing that is read here uses it"):
        project.datasets.add("d", places, outside=SourceOptions(**given))


@pytest.mark.parametrize(
    ("place", "given", "why"),
    [
        ("delta", {"sheet": "S"}, "sheet is no option of a table"),
        ("base", {"sheet": "S"}, "sheet is no option of a table"),
        ("base", {"at": "3"}, "is not a table with versions"),
    ],
)
def test_a_sheet_of_a_table_and_a_version_of_a_database_are_refused(place, given, why, project, tmp_path):
    pl.DataFrame({"a": [1]}).write_delta(str(tmp_path / "delta"))
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("create table t (a int)")
    places = {"delta": tmp_path / "delta", "base": Query(f"sqlite:///{tmp_path}/x.db", table="t")}
    with pytest.raises(UsageError, match=why):
        project.datasets.add("d", [places[place]], outside=SourceOptions(**given))


@pytest.mark.usefixtures("hall")
def test_an_option_that_one_source_of_a_load_uses_is_taken(make_project, tmp_path):
    (tmp_path / "plain.csv").write_text("machine,name\n8,saw\n")
    project = make_project()
    project.datasets.add(
        "d", [tmp_path / "plain.csv", "hall://counters/day.csv"], outside=SourceOptions(options={"name": "mill"})
    )
    assert project.datasets.scan("d").collect().height == 2


def test_a_source_that_names_an_unknown_option_is_blamed(install_plugin, project):
    install_plugin(HALL.replace("queries = False", 'queries = False\n    takes = ("heads",)'), "source.hall")
    with pytest.raises(PluginError, match=r"its takes is \('heads',\)"):
        project.datasets.add("d", ["hall://counters/day.csv"], outside=SourceOptions(**OPTION))


@pytest.mark.usefixtures("hall")
def test_an_option_that_a_source_does_not_have_is_an_error_with_its_line(make_project):
    project = make_project('[source.hall]\nprefx = "x"\n')
    with pytest.raises(UsageError, match=r"mlopsfw\.toml:5: source\.hall\.prefx"):
        project.datasets.add("d", ["hall://counters/day.csv"])


@pytest.mark.usefixtures("hall")
def test_the_schema_has_the_options_of_sources():
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.project.config.schema import config_schema

    schema = config_schema(PluginManager())
    own = schema["properties"]["source"]["properties"]
    assert {"hall", "https", "s3", "sqlite", "_delta_log/"} <= own.keys()
    assert "prefix" in schema["$defs"][own["hall"]["$ref"].rpartition("/")[2]]["properties"]


@pytest.mark.usefixtures("hall")
def test_a_query_goes_to_databases_alone_and_they_need_one(project):
    with pytest.raises(UsageError, match=r"hall://counters/day\.csv is not a database"):
        project.datasets.add("d", [Query("hall://counters/day.csv", table="t")])
    with pytest.raises(UsageError, match="either a query or a table"):
        project.datasets.add("d", ["sqlite:///x.db"])


@pytest.mark.usefixtures("hall")
@pytest.mark.parametrize("place", ["hall://counters/day.csv", "file"])
def test_a_version_of_what_has_none_is_an_error_wherever_it_lies(project, tmp_path, place):
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(UsageError, match="is not a table with versions") as caught:
        project.datasets.add("d", [tmp_path / "x.csv" if place == "file" else place], outside=SourceOptions(at="3"))
    assert "_delta_log/" in caught.value.hint


@pytest.mark.usefixtures("hall")
@pytest.mark.parametrize("place", ["hall://me:canary-3@counters/day.csv", "hall://counters/day.csv?api_key=canary-3"])
def test_a_credential_in_clear_is_refused_for_every_scheme_and_not_repeated(project, place):
    with pytest.raises(UsageError, match="contains a credential") as caught:
        project.datasets.add("d", [place])
    assert "canary" not in str(caught.value)


@pytest.mark.usefixtures("hall")
def test_a_password_behind_a_reference_is_in_no_event(project, monkeypatch):
    monkeypatch.setenv("HALL", "hall://me:canary-4@counters/day.csv?key=canary-4")
    version = project.datasets.add("d", ["env:HALL"])
    assert version.source == "hall://counters/day.csv"


@pytest.mark.usefixtures("hall")
def test_a_file_of_no_known_format_is_called_what_it_is_a_copy_of(project):
    with pytest.raises(UsageError, match=r"^hall://counters/day\.odd: its suffix does not name a known format"):
        project.datasets.add("d", ["hall://counters/day.odd"])


@pytest.mark.parametrize("mark", ["_delta_log", "metadata/v1.metadata.json"])
def test_a_folder_with_a_table_deeper_in_it_is_not_read_as_files(project, tmp_path, mark):
    folder = tmp_path / "in"
    (folder / "t" / mark).parent.mkdir(parents=True)
    (folder / "t" / mark).mkdir() if mark == "_delta_log" else (folder / "t" / mark).touch()
    (folder / "x.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match="contains a table of another system, t,"):
        project.datasets.add("d", [folder])


def test_a_folder_called_metadata_alone_makes_no_table(project, tmp_path):
    folder = tmp_path / "in"
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "x.csv").write_text("a\n1\n")
    assert project.datasets.add("d", [folder]).rows == 1


MARKED = """
import msgspec, pyarrow as pa
from mlopsfw import Provider, hookimpl

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass

class Table:
    def __init__(self, request): self.shown = request.url
    def facts(self): return {}
    def unchanged(self, known): return False
    def size(self): return None
    def read(self, options, rejects): yield pa.RecordBatch.from_pylist([{"a": 7}])

class Tables:
    queries = False
    def find(self, request): return Table(request)

@hookimpl
def mlopsfw_sources():
    yield Provider("hudi/*.commit", Config, lambda config, host: Tables(), "Acme's tables")
"""


def test_a_third_partys_mark_makes_a_folder_its_table(install_plugin, project, tmp_path):
    install_plugin(MARKED, "source.hudi/*.commit")
    (tmp_path / "in" / "hudi").mkdir(parents=True)
    (tmp_path / "in" / "x.csv").write_text("a\n1\n")
    assert project.datasets.add("d", [tmp_path / "in"]).rows == 1
    (tmp_path / "in" / "hudi" / "1.commit").touch()
    project.datasets.add("d", [tmp_path / "in"])
    assert project.datasets.scan("d").collect().rows() == [(7,)]


@pytest.mark.parametrize(
    ("media_type", "suffix"),
    [
        ("text/csv", ".csv"),
        ("text/tab-separated-values", ".tsv"),
        ("application/x-ndjson", ".jsonl"),
        ("application/vnd.apache.parquet", ".parquet"),
        ("application/vnd.apache.arrow.stream", ".arrow"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx"),
        ("application/octet-stream", ""),
    ],
)
def test_the_formats_say_which_media_types_are_theirs(formats, media_type, suffix):
    assert formats.suffix_for(media_type) == suffix


def test_a_format_that_cannot_be_loaded_does_not_hide_the_others_media_types(install_plugin, project):
    install_plugin("raise OSError('no licence')", "format.aaa")
    with pytest.warns(RuntimeWarning, match="no licence"):
        assert project.providers.formats.suffix_for("text/csv") == ".csv"


STEP = """
[steps.take]
use = "ingest"
dataset = "d"
path = "hall://counters/day.csv"

[source.hall]
prefix = "old "
"""


@pytest.mark.usefixtures("hall")
def test_the_step_reads_it_and_asks_each_time_what_changed(bench):
    bench.write(STEP)
    for _ in range(2):
        assert bench.run().status == "done"
        assert bench.ran() == ["take"]
    with bench.open() as project:
        assert [version.rows for version in project.datasets.log("d")] == [1]
    bench.edit("mlopsfw.toml", 'prefix = "old "', 'prefx = "old "')
    with bench.open() as project, pytest.raises((UsageError, PluginError), match=r"source\.hall\.prefx"):
        project.datasets.add("d", ["hall://counters/day.csv"])
