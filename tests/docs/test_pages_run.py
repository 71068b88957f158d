"""The examples of these pages run as they stand, block after block, in one project of the page's own."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from blocks import RUN
from story import Story

from mlopsfw.cli import run

START = datetime(2026, 1, 1, tzinfo=UTC)


def trips(first, count=200):
    return pl.DataFrame(
        {
            "id": range(first, first + count),
            "updated_at": [START + timedelta(minutes=first + n) for n in range(count)],
            "customer": [123 if n % 50 == 0 else 200 + n for n in range(count)],
            "fare": [5.0 + n % 7 for n in range(count)],
        }
    )


def write(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def config(text):
    write("mlopsfw.toml", f'[privacy]\nkey = "env:MLOPSFW_KEY"\n{text}')


def data():
    config('[data.trips]\nretention = { keep = 5, older_than = "30d" }\n')
    trips(0).write_csv("day.csv")
    write("other.jsonl.gz", gzip.compress(trips(200).write_ndjson().encode()))
    Path("in").mkdir()
    for month in (1, 2):
        trips(month * 1_000).write_csv(f"in/2013-{month:02}.csv")
    pl.DataFrame({"currency": ["EUR"], "rate": [1.1]}).write_excel("rates.xlsx", worksheet="2026")
    for number in range(13):
        trips(number, 1).write_delta("warehouse/trips", mode="append")
    with contextlib.closing(sqlite3.connect("places.db")) as database:
        database.executescript("CREATE TABLE places (place TEXT, lat REAL); INSERT INTO places VALUES ('Paris', 48.9);")


def contracts():
    rows = pl.DataFrame({"origin": ["EWR", "JFK", "LGA"] * 100, "delay": range(300)})
    for day in range(4):
        rows.head(297 + day).write_csv("flights.csv")
        assert run(["data", "add", "flights", "flights.csv"]) == 0
    rows.write_csv("tomorrow.csv")
    write("weather.toml", "contract = 1\n[columns.wind_speed]\nrange = [0, 150]\n")
    config('[data.weather]\ncontract = "weather.toml"\n')
    pl.DataFrame({"wind_speed": [1048.36058] + [10.0] * 1_500}).write_csv("weather.csv")


def drift():
    rng = np.random.default_rng(1)
    for name, extra in (("control", 0.0), ("canary", 2.0)):
        fare = rng.normal(20 + extra, 6.4, 100_000)
        pl.DataFrame({"fare": fare, "tip": rng.exponential(3 + extra / 100, 100_000)}).write_parquet(f"{name}.parquet")


def filesets():
    write("images/a.png", b"a picture")
    write("images/test.txt", b"test")
    write("images/faces/ann/1.png", b"a face")
    write("more/film.mp4", b"a film")


def privacy():
    trips(0).write_csv("people.csv")
    write("subject.txt", "customer=123\n")
    for keys in ('"env:OLD"', '"env:NEW", "env:OLD"'):
        config(f'[storage]\nencrypt = [{keys}]\ntables = "encrypted-disk"\n')
        assert run(["data", "add", "people", "people.csv"]) == 0


def python(names):
    assert names["version"].ref == "models:/delay@1"
    assert names["answers"].columns == ["value"]
    assert names["best"]["metrics.loss"][0] < 1


def profile(names):
    assert {item.value: item.lower for item in names["week"]["carrier"].frequent_items()}["UA"] == 50_023


PREPARE = {
    "contracts.md": contracts,
    "data.md": data,
    "drift.md": drift,
    "filesets.md": filesets,
    "privacy.md": privacy,
}
"""Page → what makes the files that its examples read."""
CHECKS = {"python.md": python, "core-profile.md": profile}
"""Page → what checks the names that its examples made."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter
@pytest.mark.parametrize("page", RUN)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, key in (("MLOPSFW_KEY", "ab"), ("OLD", "cd"), ("NEW", "ef")):
        monkeypatch.setenv(name, key * 32)
    config("")
    if page in PREPARE:
        PREPARE[page]()
    story = Story(page)
    story.run()
    if page in CHECKS:
        CHECKS[page](story.names)
