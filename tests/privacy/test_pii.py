"""Personal columns: dropped, masked or hashed on every way in, never in clear in a store, and the same at serving as in training."""

from __future__ import annotations

import datetime as dt
import hmac
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.features.fit import fit
from mlopsfw.kernel.base.errors import ConfigError, DataError, UsageError
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.privacy.requests import Requests
from mlopsfw.privacy.treatments import Treatment, mask, strictest, text_of
from mlopsfw.project.config import load_config
from mlopsfw.project.facade import Project

KEY = b"k" * 32
PII = '[privacy]\nkey = "env:PII"\n[data.people]\npii = { email = "drop", name = "mask", customer = "hash" }\n'
CSV = "customer,name,email,amount\n007,Ada Canary,ada-canary@example.org,1.5\n8,Bo,bo@example.org,2.5\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    return make(tmp_path, monkeypatch)


def make(tmp_path, monkeypatch, toml=PII):
    monkeypatch.setenv("PII", KEY.hex())
    (tmp_path / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n{toml}')
    return Project.open(tmp_path)


def hashed(text):
    return hmac.digest(KEY, text.encode(), "sha256").hex()


def rows(project, version=None):
    return project.datasets.scan("people", version).collect()


def stored(project):
    return b"".join(file.read_bytes() for file in project.state.rglob("*") if file.is_file())


WAYS = ["csv", "jsonl", "parquet", "arrow", "commit", "lazy"]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_treats_marked_columns_alike(project, tmp_path, way):
    frame = pl.DataFrame(
        {"customer": ["007", "8"], "name": ["Ada Canary", "Bo"], "email": ["a@b", "c@d"], "amount": [1.5, 2.5]}
    )
    write = {
        "csv": frame.write_csv,
        "jsonl": frame.write_ndjson,
        "parquet": frame.write_parquet,
        "arrow": frame.write_ipc,
    }
    if way in write:
        write[way](tmp_path / f"f.{way}")
        version = project.datasets.add("people", [tmp_path / f"f.{way}"])
    else:
        version = project.datasets.commit("people", frame.lazy() if way == "lazy" else frame, "replace")
    assert version.pii == {"email": "drop", "name": "mask", "customer": "hash"}
    assert rows(project).to_dict(as_series=False) == {
        "customer": [hashed("007"), hashed("8")], "name": ["A***", "***"], "amount": [1.5, 2.5],
    }  # fmt: skip
    assert b"Ada Canary" not in stored(project)


def test_the_ingest_step_treats_them_too(project, tmp_path):
    from mlopsfw.pipeline.run.display import Display

    (tmp_path / "f.csv").write_text(CSV)
    (tmp_path / "mlopsfw.toml").write_text(
        f'[project]\nname = "p"\n{PII}[steps.ingest]\ndataset = "people"\npath = "f.csv"\n'
    )
    with Project.open(tmp_path) as opened:
        assert opened.pipeline.start(Display(opened.workspace, None)).exit_code == 0
        assert rows(opened)["name"].to_list() == ["A***", "***"]
        assert b"canary" not in stored(opened)


def test_without_marks_the_same_search_finds_the_values(tmp_path, monkeypatch):
    project = make(tmp_path, monkeypatch, "")
    project.datasets.commit("people", pl.DataFrame({"name": ["Ada Canary"]}))
    assert b"Ada Canary" in stored(project)


def test_hashes_join_across_types_files_and_tables_and_need_the_key():
    treat = Treatment({"a": "hash"}, KEY)
    assert {treat.value("a", value) for value in (123, 123.0, "123")} == {hashed("123")}
    assert Treatment({"a": "hash"}, b"j" * 32).value("a", 123) != hashed("123")
    noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    assert (
        text_of(noon)
        == text_of(noon.astimezone(dt.timezone(dt.timedelta(hours=2))))
        == text_of(noon.replace(tzinfo=None))
    )
    assert treat.value("a", None) is None


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (b"\x00\xff", "AP8="),
        (Decimal("123.00"), 123),
        (Decimal("1.50"), 1.5),
        ([b"\x00\xff"], ["AP8="]),
        (dt.date(1990, 5, 17), "1990-05-17"),
    ],
    ids=["bytes", "whole decimal", "decimal", "bytes in a list", "date"],
)
def test_a_value_of_a_file_has_the_hash_of_the_same_value_in_a_request(stored, sent):
    """A file's bytes were hashed as hex, and a request's base64 as it is; `predict FILE` refused them."""
    assert Treatment({"a": "hash"}, KEY).value("a", stored) == Treatment({"a": "hash"}, KEY).value("a", sent)
    requests = Requests(Treatment({"a": "hash"}, KEY), Treatment({}))
    assert requests.asked({"a": [stored]}) == requests.asked({"a": [sent]})


@pytest.mark.parametrize(
    ("value", "kept"),
    [("Ada", "A***"), ("Bo", "***"), ("", "***"), (41, None), (4.5, None), (True, None), ([1], None),
     (dt.date(1990, 5, 17), dt.date(1990, 1, 1)), (dt.datetime(1990, 5, 17, 3, tzinfo=dt.UTC), dt.datetime(1990, 1, 1, tzinfo=dt.UTC))],
)  # fmt: skip
def test_what_a_mask_keeps(value, kept):
    assert mask(value) == kept


def test_the_strictest_mark_wins_where_datasets_differ():
    assert strictest([{"a": "mask", "b": "hash"}, {"a": "hash", "b": "drop"}]) == {"a": "mask", "b": "drop"}


def test_rows_that_are_already_there_in_clear_get_none_beside_them_nor_come_back(tmp_path, monkeypatch):
    frame = pl.DataFrame({"name": ["Ada"], "amount": [1.0]})
    make(tmp_path, monkeypatch, "").datasets.commit("people", frame)
    project = make(tmp_path, monkeypatch)
    with pytest.raises(DataError, match="in plain text"):
        project.datasets.commit("people", frame, "append")
    assert project.datasets.commit("people", frame, "replace").version == 2
    with pytest.raises(DataError, match="in plain text"):
        project.datasets.restore("people", 1)


def test_an_upsert_finds_its_row_by_the_hashed_key(project):
    change = Change(mode="upsert", key=("customer",))
    for amount in (1.0, 2.0):
        project.datasets.commit("people", pl.DataFrame({"customer": [7], "amount": [amount]}), change)
    assert rows(project)["amount"].to_list() == [2.0]


def test_an_outside_table_with_personal_columns_is_refused(project, tmp_path):
    (tmp_path / "f.csv").write_text(CSV)
    with pytest.raises(UsageError, match="personal columns"):
        project.datasets.reference("people", str(tmp_path / "f.csv"))


def test_quarantine_keeps_where_a_bad_row_stood_and_nothing_of_it(project, tmp_path):
    (tmp_path / "f.csv").write_text(CSV + "9,Zed Canary,zed-canary@example.org,1.0,extra\n" + "1,A,a@b,2\n" * 50)
    version = project.datasets.add("people", [tmp_path / "f.csv"], Change(mode="replace", max_bad=0.5))
    (bad,) = project.datasets.quarantine("people")
    assert (version.intake["quarantined"], bad.line, bad.raw) == (1, 4, "")
    assert b"Canary" not in stored(project)
    assert b"canary" not in stored(project)


@pytest.mark.parametrize(
    "bad", ["9,Zed Canary,zed-canary@example.org,1.0,extra\n", "9,Zed Canary,zed@b,canary-amount\n"]
)
def test_an_error_about_a_bad_row_says_where_and_not_what(project, tmp_path, bad):
    (tmp_path / "f.csv").write_text(CSV)
    project.datasets.add("people", [tmp_path / "f.csv"])
    (tmp_path / "f.csv").write_text(CSV + bad)
    with pytest.raises(DataError) as caught:
        project.datasets.add("people", [tmp_path / "f.csv"], "append")
    assert "anary" not in str(caught.value)
    assert "f.csv" in str(caught.value) or "amount" in str(caught.value)


def test_the_bundle_keeps_no_value_of_a_marked_column(project):
    from mlopsfw.kernel.roles.bundle import Manifest
    from mlopsfw.models.bundle.manifest import outputs_for
    from mlopsfw.models.bundle.profile import fit_profile

    frame = pl.DataFrame({"name": ["Ada-canary"] * 20, "amount": [float(n) for n in range(20)]})
    options = {name: {"pii": True} for name in project.privacy.everywhere}
    task = TrainingTask(task="regression", target="amount", features=("name",), options=options)
    plan = fit(frame, task)
    assert b"canary" not in plan.to_json()
    outputs = outputs_for("regression", ())
    manifest = Manifest(task="regression", target="amount", inputs=plan.inputs, outputs=outputs, formats={}, files={})
    assert "canary" not in str(fit_profile(frame, manifest, {"value": np.zeros(20)}, task))


# -- serving ---------------------------------------------------------------------------------------------------------------


INPUTS = tuple(
    SignatureColumn(name=name, type=kind)
    for name, kind in (("customer", "string"), ("name", "string"), ("age", "integer"))
)


def test_a_model_is_asked_what_it_was_trained_on_and_capture_keeps_no_more(project):
    requests = Requests(
        Treatment({"customer": "hash", "email": "drop"}, KEY),
        Treatment({"customer": "hash", "email": "drop", "name": "mask"}, KEY),
    )
    asked = requests.asked({"customer": [7], "name": ["Ada Canary"], "email": ["a@b"], "age": [41]})
    assert asked == {"customer": [hashed("7")], "name": ["Ada Canary"], "age": [41]}
    assert requests.captured(asked) == {"customer": [hashed("7")], "name": ["A***"], "age": [41]}
    assert requests.hashed == {"customer"}


def test_a_model_of_untreated_data_is_asked_in_clear_and_captured_treated(project):
    requests = Requests(Treatment({}), Treatment({"age": "hash", "name": "drop"}, KEY))
    columns = {"customer": ["c"], "name": ["Ada"], "age": [41]}
    assert requests.asked(columns) == columns
    assert requests.captured(columns) == {"customer": ["c"], "age": [hashed("41")]}
    assert [(c.name, c.type) for c in requests.signature(INPUTS)] == [("customer", "string"), ("age", "string")]


# -- configuration ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[data.people]\npii = { a = "hash" }\n', "the key to hash personal columns is missing"),
        ('[data.people]\npii = { a = "blur" }\n', "data.people"),
        ("[data.people]\npi = {}\n", "unknown key"),
        ('[privacy]\nkey = "abc"\n', "reference"),
    ],
)  # fmt: skip
def test_a_wrong_mark_is_refused_when_the_file_is_read(tmp_path, toml, message):
    (tmp_path / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n{toml}')
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "mlopsfw.toml")
