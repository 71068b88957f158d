"""The background rows of a bundle have the distribution of the training rows, column by column, as a request would send them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from types import SimpleNamespace

import msgspec
import polars as pl
import pytest

from mlopsfw.features.signature import Signature
from mlopsfw.models.bundle import background as module
from mlopsfw.models.bundle.background import background
from mlopsfw.roles import SignatureColumn
from mlopsfw_core import Reference

DAYS = [date(2020, 1, 1) + timedelta(days=number % 100) for number in range(400)]
FRAME = pl.DataFrame(
    {
        "number": [None, *map(float, range(399))],
        "integer": [number % 7 for number in range(400)],
        "string": ["often", "often", "often", "rarely"] * 100,
        "boolean": [True, False] * 200,
        "date": DAYS,
        "datetime": [datetime(day.year, day.month, day.day) for day in DAYS],  # noqa: DTZ001 - UTC, as a table holds it
    }
)
GOLDEN = {"list": [[1.0], [2.0, 3.0]]}


@pytest.fixture
def bundle(monkeypatch):
    kinds = dict.fromkeys(("string", "boolean"), "categorical")
    profile = {
        name: Reference.fit(FRAME[name], kinds.get(name, "numeric"), name=name).to_dict() for name in FRAME.columns
    }
    inputs = [SignatureColumn(name=name, type=name, nullable=name == "number") for name in FRAME.columns]
    inputs.append(SignatureColumn(name="list", type="list", items="number"))
    monkeypatch.setattr(module, "read_listed", lambda *_: msgspec.json.encode({"columns": GOLDEN}))
    manifest = SimpleNamespace(inputs=inputs, files={"profile.json": ""})
    return SimpleNamespace(manifest=manifest, folder="", profile=lambda: profile)


def test_each_column_has_the_distribution_of_training(bundle):
    rows = background(bundle)
    Signature(bundle.manifest.inputs).arrays(rows)  # a request may be so
    assert {len(values) for values in rows.values()} == {module.ROWS}
    assert sum(map(float, filter(None, rows["number"]))) / 32 == pytest.approx(199, rel=0.03)
    assert set(rows["integer"]) == set(range(7))
    assert rows["string"].count("often") == 24
    assert rows["boolean"].count(True) == 16
    assert min(rows["date"]) < "2020-01-10"
    assert max(rows["date"]) > "2020-04-01"
    assert min(rows["datetime"]) < "2020-01-10"
    assert max(rows["datetime"]) > "2020-04-01"
    assert rows["list"].count([1.0]) == 16


def test_columns_are_drawn_apart_and_the_same_each_time(bundle):
    rows = background(bundle)
    assert rows == background(bundle)
    assert rows["integer"] != sorted(rows["integer"])


def test_missing_values_are_as_frequent_as_in_training_but_never_all(bundle):
    profile = bundle.profile()
    profile["number"] |= {"nulls": 100}
    assert background(bundle)["number"].count(None) == 8
    profile["number"] |= {"nulls": 400}
    assert background(bundle)["number"].count(None) == 31


def test_a_column_without_values_in_the_profile_has_those_of_the_golden_rows(bundle):
    GOLDEN["string"], profile = ["made up"], bundle.profile()
    profile["string"]["categories"]["counts"] = None  # counted by hash cell: personal, or too many
    assert set(background(bundle)["string"]) == {"made up"}
    del GOLDEN["string"]
