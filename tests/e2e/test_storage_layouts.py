"""Storages whose tables lie elsewhere than their objects: erasure reaches every file, and a copy holds every table."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from mlopsfw.capturelog.records import Header, Predictions, encode
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.cli import run as mlopsfw
from mlopsfw.data.datasets.loading.bad_rows import BadRows
from mlopsfw.data.intake.quarantine import BadRow
from mlopsfw.data.tables.erasure import TableErasure
from mlopsfw.data.tables.opening import open_files
from mlopsfw.data.tables.plain import PlainTables
from mlopsfw.governance.subject import Subject
from mlopsfw.governance.text_search import files_with
from mlopsfw.kernel.base.errors import StorageError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.storage import TableLocation
from mlopsfw.kernel.store.table_locations import TableLocations
from mlopsfw.operations.transfer import transfer
from mlopsfw.project.facade import Project
from mlopsfw_storage_object.local import LocalStorage

ACME = Path(__file__).parents[2] / "examples/acme-plugin/src"
CANARY = "canary-7d1f0c2e"
KEY = "cd" * 32
INPUTS = (SignatureColumn(name="customer", type="string"),)
ELSEWHERE = """
    import msgspec
    from mlopsfw import Provider, hookimpl
    from mlopsfw.roles import TableLocation, check_key
    from mlopsfw_storage_object.local import LocalStorage

    class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        pass

    class Elsewhere(LocalStorage):
        def __init__(self, root):
            super().__init__(root / "objects-only")
            self._elsewhere = root / "other-tables"

        def table_location(self, name):
            return TableLocation((self._elsewhere / check_key(name).replace("/", "--")).as_uri())

    @hookimpl
    def mlopsfw_storages():
        yield Provider("elsewhere", Config, lambda config, host: Elsewhere(host.root), "Tables elsewhere")
"""


@pytest.fixture(params=["acme", "elsewhere", "object"])
def layout(request, install_plugin, monkeypatch):
    """Install the storage; return its name."""
    monkeypatch.setenv("PII", KEY)
    if request.param == "elsewhere":
        install_plugin(ELSEWHERE, "storage.elsewhere")
    if request.param == "acme":
        monkeypatch.syspath_prepend(ACME)
        install_plugin("from acme_mlops.storage import mlopsfw_storages", "storage.acme")
    yield request.param
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_mlops"]:
        del sys.modules[name]


@pytest.fixture
def made(tmp_path, layout):
    """Return a maker of projects on the storage, by the folder's name."""
    opened = []

    def make(name="project", storage=layout):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "mlopsfw.toml").write_text(
            f'[project]\nname = "p"\n[storage]\nuse = "{storage}"\n[privacy]\nkey = "env:PII"\n'
        )
        opened.append(Project.open(folder))
        return opened[-1]

    yield make
    for project in opened:
        project.close()


def people(*customers):
    return pl.DataFrame({"customer": customers, "amount": [float(n) for n in range(len(customers))]})


def lived_in(project):
    """Return the project with the canary in three versions, a quarantine, predictions and labels."""
    project.datasets.commit("people", people(CANARY, "other-1"), "append")
    project.datasets.commit("people", people("other-2", CANARY), "append")
    project.datasets.commit("people", people("other-3"), "replace")
    facts = {"batch": "b", "time": "2026-01-01T00:00:00Z", "source": "s", "line": 1, "reason": "wrong"}
    BadRows(project.datasets.tables, "people").keep([BadRow(raw=raw, **facts) for raw in (f"{CANARY},x", "other-4,y")])
    bundle = project.blobs.put(b"a bundle")
    wanted = {"revision": 1, "model": "delay", "version": 1, "bundle": bundle, "reason": ""}
    project.ledger.stream("endpoint/delay").append(PlainRecord("endpoint.wanted", wanted))
    header = Header(
        endpoint="delay", revision=1, model="delay", version=1, bundle=bundle, inputs=INPUTS, outputs=("p",)
    )
    for n, customer in enumerate([CANARY, "other-1"]):
        writer = CaptureWriter(project.captures.folder("delay"), header)
        writer.write([(prediction(n, customer), 1)])
        writer.close()
        project.captures.compact("delay")
    project.datasets.tables.append("labels/delay", pl.DataFrame({"prediction_id": ["p0", "p1"], "label": [1, 0]}))
    return project


def prediction(n, customer):
    return encode(
        Predictions(
            ids=[f"p{n}"], event_times=[n], processed_time=n, inputs={"customer": [customer]}, outputs={"p": [0.5]}
        )
    )


def forget(project):
    return project.erasures.forget("people", Subject("customer", CANARY, bytes.fromhex(KEY)), also=["endpoints:/delay"])


def holds_nothing_of_the_canary(folder):
    raw = [f for f in folder.rglob("*") if f.is_file() and CANARY.encode() in f.read_bytes()]
    return not raw and not files_with(folder, [CANARY])


def rows(project):
    """Return what every table of a project holds."""
    tables = {v: project.datasets.scan("people", v).collect()["customer"].to_list() for v in (1, 2, 3)}
    tables |= {"captures": project.captures.scan("delay").collect()["customer"].sort().to_list()}
    tables |= {"labels": project.datasets.tables.scan("labels/delay").collect()["prediction_id"].sort().to_list()}
    return tables | {"bad": sorted(row.raw for row in project.datasets.quarantine("people"))}


REMAINING = {
    1: ["other-1"],
    2: ["other-1", "other-2"],
    3: ["other-3"],
    "captures": ["other-1"],
    "labels": ["p1"],
    "bad": ["other-4,y"],
}


def test_forget_leaves_no_byte_of_the_value_on_any_storage(made, tmp_path):
    project = lived_in(made())
    assert not holds_nothing_of_the_canary(tmp_path / "project")
    done = forget(project)
    assert (done.held["datasets"], done.held["captures"], done.held["labels"]) == (
        {"people": {1: 1, 2: 2}},
        {"delay": 1},
        {"delay": 1},
    )
    assert rows(project) == REMAINING
    assert holds_nothing_of_the_canary(tmp_path / "project")
    assert not [found for found in project.doctor.examine(verify=True) if found.level == "error"]


def test_a_plain_table_loses_rows_with_their_files_and_log_on_any_storage(made, tmp_path):
    project = lived_in(made())
    before = set(dict(open_files(project.services.tables, "captures/delay").entries()))
    assert TableErasure(project.services).remove("captures/delay", lambda _: pl.col("customer") == CANARY) == 1
    files = open_files(project.services.tables, "captures/delay")
    after = set(dict(files.entries()))
    gone = {f"_delta_log/{n:020}.json" for n in (0, 1)}
    assert gone <= before
    assert not gone & after
    assert not any(CANARY.encode() in files.read(path) for path in after)
    assert not any(CANARY in str(pl.read_parquet(files.read(path)).to_dicts()) for path in after if "part-" in path)


def test_export_and_import_carry_every_table_between_layouts(made, tmp_path, capsys):
    """There and back: from the storage to a folder, and from the folder to the storage of another project."""
    project = lived_in(made())
    expected = rows(project)
    assert mlopsfw(["--project", str(project.root), "export", str(tmp_path / "copy")]) == 0, capsys.readouterr().err
    back = made("back")
    assert mlopsfw(["--project", str(back.root), "import", str(tmp_path / "copy")]) == 0, capsys.readouterr().err
    assert rows(back) == expected
    assert not [found for found in back.doctor.examine(verify=True) if found.level == "error"]
    back.datasets.commit("people", people("other-9"), "append")
    assert back.datasets.scan("people").collect().height == 2
    back.datasets.tables.append("captures/delay", back.datasets.tables.scan("captures/delay").collect())
    capsys.readouterr()
    assert mlopsfw(["--project", str(project.root), "export", str(tmp_path / "copy")]) == 0
    assert capsys.readouterr().out.startswith("0 objects copied")


def test_an_older_copy_loses_what_was_forgotten_when_it_is_written_again(made, tmp_path):
    project, copy = lived_in(made()), tmp_path / "copy"
    assert mlopsfw(["--project", str(project.root), "export", str(copy)]) == 0
    back = made("back")
    assert mlopsfw(["--project", str(back.root), "import", str(copy)]) == 0
    assert not holds_nothing_of_the_canary(copy)
    forget(project)
    assert mlopsfw(["--project", str(project.root), "export", str(copy)]) == 0
    assert holds_nothing_of_the_canary(copy)
    assert mlopsfw(["--project", str(back.root), "import", str(copy)]) == 0
    assert holds_nothing_of_the_canary(back.root)
    assert rows(back) == REMAINING


# -- what cannot be copied is refused ----------------------------------------------------------------------------------


class Bare(LocalStorage):
    """Has tables in another folder, and does not list them."""

    def table_location(self, name):
        return TableLocation(f"{self._root}-tables/{name}")


class NoTables(LocalStorage):
    def table_location(self, name):
        return None


def with_table(storage):
    pl.DataFrame({"x": [1]}).write_delta(storage.table_location("t").uri)
    return storage


def test_tables_are_never_left_out_in_silence(tmp_path):
    source, target = with_table(LocalStorage(tmp_path / "a")), NoTables(tmp_path / "b")
    transfer(source, target)
    assert PlainTables(TableLocations(target, tmp_path / "copies")).scan("t").collect()["x"].to_list() == [1]
    with pytest.raises(StorageError, match="does not list the files of the table 't'"):
        transfer(LocalStorage(tmp_path / "a"), Bare(tmp_path / "c"))


def test_a_table_that_went_on_in_the_target_keeps_its_rows(tmp_path):
    source, target = with_table(LocalStorage(tmp_path / "a")), LocalStorage(tmp_path / "b")
    transfer(source, target)
    uri = target.table_location("t").uri
    pl.DataFrame({"x": [2]}).write_delta(uri, mode="append")
    assert transfer(source, target).copied == 0
    assert pl.read_delta(uri)["x"].sort().to_list() == [1, 2]
