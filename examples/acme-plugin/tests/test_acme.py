"""The plugin passes the contracts of its roles. Run: pip install mlopsfw[test] . && pytest"""

from __future__ import annotations

import msgspec
import polars as pl
import pyarrow as pa
import pytest
from acme_mlops.features import FeatureStore, mlopsfw_components
from acme_mlops.halls import AcmeSource, mlopsfw_steps
from acme_mlops.oncall import AcmeAlerter, AcmeMonitor, MonitorConfig
from acme_mlops.storage import AcmeStorage
from acme_mlops.trainer import AcmeRuntime, AcmeTrainer

from mlopsfw import Project
from mlopsfw.cli import run
from mlopsfw.errors import DataError, Erased
from mlopsfw.roles import Alert, AlertChange, SourceRequest, TrainingTask, Window
from mlopsfw.testing.alerter import AlerterConformance
from mlopsfw.testing.component import ComponentConformance
from mlopsfw.testing.monitor import MonitorConformance
from mlopsfw.testing.runtime import RuntimeConformance
from mlopsfw.testing.source import SourceConformance
from mlopsfw.testing.step import StepConformance
from mlopsfw.testing.storage import StorageConformance
from mlopsfw.testing.trainer import TrainerConformance

ALERT = Alert(id="1", group="g", severity="info", title="t", text="x", time="2026-01-01T00:00:00Z", project="p")


class TestAcmeStorage(StorageConformance):
    @pytest.fixture
    def storage(self, tmp_path):
        return AcmeStorage(tmp_path / "acme.sqlite")


class TestAcmeClean(StepConformance):
    @pytest.fixture
    def provider(self):
        return next(iter(mlopsfw_steps()))

    @pytest.fixture
    def options(self):
        return {"columns": ["delay"], "alert_above": 0.1}

    @pytest.fixture
    def inputs(self):
        return {"rows": pl.DataFrame({"carrier": ["AA", "AA", "DL"], "delay": [1.0, 1.0, None]})}

    def test_it_leaves_out_what_lacks_a_value_or_is_doubled_and_says_so(self, bench, inputs):
        (artifact,) = bench.run(inputs).values()
        assert bench.load(artifact).rows() == [("AA", 1.0)]
        assert [alert.title for alert in bench.alerts] == ["67% of the rows were left out"]


class TestAcmeTrainer(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return AcmeTrainer(penalty=1.0)

    @pytest.fixture
    def runtimes(self):
        return {"acme": AcmeRuntime()}


class TestAcmeRuntime(RuntimeConformance):
    @pytest.fixture
    def runtime(self):
        return AcmeRuntime()

    @pytest.fixture
    def folder(self, tmp_path):
        rows = pl.DataFrame({"x": [0.5, 1.5, None, 2.5] * 16, "kind": ["a", None] * 32, "y": [1.0, 2.0, 3.0, 4.0] * 16})
        task = TrainingTask(task="regression", target="y")
        return self.written(tmp_path / "bundle", AcmeTrainer(1.0), task, rows, AcmeRuntime())


class TestAcmeMonitor(MonitorConformance):
    @pytest.fixture
    def monitor(self):
        return AcmeMonitor(MonitorConfig())

    @pytest.fixture
    def state(self, monitor, calm):
        return monitor.signals(calm, None).state

    @pytest.fixture
    def calm(self):
        return window([500.0] * 100, [7] * 100)

    @pytest.fixture
    def changed(self):
        return window([700.0] * 100, [14] * 100)

    def test_its_state_follows_the_windows_so_that_a_lasting_change_ends(self, monitor, changed, state):
        calls = []
        for _ in range(8):
            signals = monitor.signals(changed, state)
            calls.append([finding.subject for finding in signals.findings])
            state = signals.state
        assert calls[0] == ["hour", "distance"]
        assert calls[-1] == []


class TestAcmeAlerter(AlerterConformance):
    @pytest.fixture
    def log(self, tmp_path):
        return tmp_path / "log"

    @pytest.fixture
    def alerter(self, log):
        return AcmeAlerter(log)

    @pytest.fixture
    def received(self, log):
        return lambda: [line["id"] for line in lines_of(log) if "id" in line]

    @pytest.fixture
    def changes(self, log):
        return lambda: [
            (msgspec.json.decode(log.read_bytes()[int(line["about"]) :].splitlines()[0])["id"], line["change"]["kind"])
            for line in lines_of(log)
            if "about" in line
        ]

    @pytest.fixture
    def shown(self, log):
        return lambda: "\n".join(f"{value}" for line in lines_of(log) for value in line.values())

    @pytest.fixture
    def broken(self, tmp_path):
        return AcmeAlerter(tmp_path / "absent" / "log")

    def test_an_acknowledgement_is_written_beside_its_alert(self, alerter, log):
        alerter.deliver(ALERT)
        receipt = alerter.deliver(msgspec.structs.replace(ALERT, id="2"))
        known = msgspec.structs.replace(ALERT, id="2", receipt=receipt)
        alerter.update(known, AlertChange(kind="acknowledged", actor="user:1", time=ALERT.time))
        line = lines_of(log)[-1]
        assert (line["about"], line["change"]["kind"], line["change"]["actor"]) == (
            receipt.id,
            "acknowledged",
            "user:1",
        )
        assert msgspec.json.decode(log.read_bytes()[int(receipt.id) :].splitlines()[0])["id"] == "2"


class TestAcmeSource(SourceConformance):
    @pytest.fixture
    def hall(self, tmp_path):
        folder = tmp_path / "share" / "hall-3"
        folder.mkdir(parents=True)
        (folder / "lathe.csv").write_text("machine,name\n7,lathe\n")
        (folder / "mill.csv").write_text("machine,name\n8,mill\n")
        (folder / "notes.odd").write_text("for nobody")
        return folder

    @pytest.fixture
    def source(self, hall):
        return AcmeSource(hall.parent)

    @pytest.fixture
    def place(self):
        return asked("acme://hall-3")

    @pytest.fixture
    def content(self, hall):
        return {name: (hall / name).read_bytes() for name in ("lathe.csv", "mill.csv")}

    @pytest.fixture
    def missing(self):
        return asked("acme://hall-3/gone.csv")

    @pytest.fixture
    def change(self, hall):
        return lambda: (hall / "mill.csv").write_text("machine,name\n")

    @pytest.mark.parametrize("url", ["acme://../secret.csv", "acme://hall-3/../../secret.csv", "acme://hall-9"])
    def test_a_url_that_leads_out_of_the_share_or_nowhere_is_an_error(self, source, hall, url):
        (hall.parent.parent / "secret.csv").touch()
        with pytest.raises(DataError, match="does not exist") as caught:
            source.find(asked(url))
        assert "acme://hall-3" in caught.value.hint


class TestAcmeFeatures(ComponentConformance):
    @pytest.fixture
    def provider(self):
        return next(iter(mlopsfw_components()))

    @pytest.fixture
    def fill(self):
        return lambda host, source, rows: [FeatureStore(host).build("spending", source, rows)]


def asked(url):
    return SourceRequest(url=url, named=url, suffixes=(".csv",))


def window(distances, hours):
    rows = pa.table({"distance": distances, "hour": hours})
    start, end = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    return Window(endpoint="orders", model="late", version=1, start=start, end=end, rows=rows)


def lines_of(log):
    return [msgspec.json.decode(line) for line in log.read_bytes().splitlines()]


TOML = '[project]\nname = "p"\n[privacy]\nkey = "env:KEY"\n'
PEOPLE = pl.DataFrame({"customer": ["canary-7d1f0c2e", "bo-55aa10"], "spent": [3, 4]})


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", "ab" * 32)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlopsfw.toml").write_text(TOML)
    with Project.open(tmp_path) as opened:
        opened.datasets.commit("people", PEOPLE, "replace")
        yield opened


@pytest.mark.parametrize("killed", [False, True])
def test_sets_of_equal_rows_are_both_erased_also_after_a_kill_and_their_old_blob_is_gone(project, killed, monkeypatch):
    store = FeatureStore(project.host("component.features"))
    refs = [store.build(name, "data:/people@1", PEOPLE.to_dicts()) for name in ("spending", "savings")]
    old = {built.rows for built in store.sets().values()}
    assert len(old) == 1
    forget = ["data", "forget", "people", "--key", "customer=canary-7d1f0c2e", "--yes"]
    if killed:
        with monkeypatch.context() as patch:
            patch.setattr("acme_mlops.features.FeatureStore._superseded", _killed)
            assert run(forget) != 0
    assert run(forget) == 0
    assert [store.rows(ref) for ref in refs] == [[{"customer": "bo-55aa10", "spent": 4}]] * 2
    with pytest.raises(Erased):
        project.blobs.get(*old)


def _killed(*_):
    raise OSError("killed")
