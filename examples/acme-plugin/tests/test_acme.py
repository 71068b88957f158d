"""The plugin passes the contracts of its roles. Run: pip install mlopsfw[test] . && pytest"""

from __future__ import annotations

import polars as pl
import pytest
from acme_mlops import mlopsfw_components, mlopsfw_steps
from acme_mlops.alerter import AcmeAlerter
from acme_mlops.features import FeatureStore
from acme_mlops.format import AcmeFormat
from acme_mlops.source import AcmeSource
from acme_mlops.storage import AcmeStorage

from mlopsfw import Project
from mlopsfw.cli import run
from mlopsfw.errors import DataError, DeliveryFailed, Erased
from mlopsfw.roles import Alert, SourceRequest
from mlopsfw.testing.component import ComponentConformance
from mlopsfw.testing.format import FormatConformance
from mlopsfw.testing.source import SourceConformance
from mlopsfw.testing.step import StepConformance
from mlopsfw.testing.storage import StorageConformance

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


class TestAcmeFormat(FormatConformance):
    @pytest.fixture
    def reader(self):
        return AcmeFormat("|")

    @pytest.fixture
    def write(self):
        def written(table, path):
            lines = ["|".join(table.schema.names), *(f"{row['n']}|{row['t']}" for row in table.to_pylist())]
            path.write_text("".join(f"{line}\n" for line in lines))

        return written

    @pytest.fixture
    def spoil(self):
        def spoiled(path):
            text = path.read_text()
            path.write_text(text + "seven|lathe\n")
            return text.count("\n") + 1

        return spoiled


class TestAcmeSource(SourceConformance):
    @pytest.fixture
    def hall(self, tmp_path):
        folder = tmp_path / "share" / "hall-3"
        folder.mkdir(parents=True)
        (folder / "lathe.acme").write_text("machine|name\n7|lathe\n")
        (folder / "mill.acme").write_text("machine|name\n8|mill\n")
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
        return {name: (hall / name).read_bytes() for name in ("lathe.acme", "mill.acme")}

    @pytest.fixture
    def missing(self):
        return asked("acme://hall-3/gone.acme")

    @pytest.fixture
    def change(self, hall):
        return lambda: (hall / "mill.acme").write_text("machine|name\n")

    @pytest.mark.parametrize("url", ["acme://../secret.acme", "acme://hall-3/../../secret.acme", "acme://hall-9"])
    def test_a_url_that_leads_out_of_the_share_or_nowhere_is_an_error(self, source, hall, url):
        (hall.parent.parent / "secret.acme").touch()
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
    return SourceRequest(url=url, named=url, suffixes=(".acme",))


def test_an_alert_that_cannot_be_written_is_a_failed_delivery(tmp_path):
    with pytest.raises(DeliveryFailed):
        AcmeAlerter(tmp_path / "absent" / "log").deliver(ALERT)


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
