"""A date or time without a year from 1 to 9999 is what no reader can show: it does not enter a dataset, and ends no verb where it is met."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlopsfw.cli import run
from mlopsfw.project import Project

STRAYS: dict[str, tuple[Any, int]] = {
    "year 0": (pl.Datetime("us", "UTC"), -62_167_219_200_000_000),
    "year 10000": (pl.Datetime("us"), 253_402_300_800_000_000),
    "the greatest": (pl.Datetime("us", "America/New_York"), 2**63 - 1),
    "long before, in milliseconds": (pl.Datetime("ms"), -200_000_000_000_000),
    "a date of year 0": (pl.Date, -719_529),
    "a date of year 29349": (pl.Date, 10**7),
}
CONTRACT = "[columns.at]\nrange = ['2020-01-01', '2030-01-01']\nfreshness = '1d'\n"
Verb = Callable[..., tuple[int, str, str]]


@pytest.fixture(params=STRAYS)
def delivery(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A Parquet file of three rows, the first one with a time that no calendar has."""
    kind, number = STRAYS[request.param]
    fine = 18_500 if kind == pl.Date else 1_600_000_000_000_000 // (1 if kind.time_unit == "us" else 1000)
    at = pl.Series("at", [number, fine, fine + 1], dtype=pl.Int64)
    file = tmp_path / "day.parquet"
    pl.DataFrame([pl.Series("id", [1, 2, 3]), at.cast(pl.Int32) if kind == pl.Date else at]).with_columns(
        pl.col("at").cast(kind)
    ).write_parquet(file)
    return file


@pytest.fixture
def verb(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verb:
    """Run a command line in the project; return its exit code, what it printed, and what it complained of."""
    monkeypatch.chdir(project.root)

    def run_(*words: Any) -> tuple[int, str, str]:
        code = run([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_


@pytest.mark.parametrize("how", [[], ["--append"], ["--upsert", "--key", "id"], ["--incremental", "at"]], ids=" ".join)
def test_a_row_with_such_a_time_does_not_enter_a_dataset_by_any_mode(
    verb: Verb, delivery: Path, how: list[str]
) -> None:
    code, _, err = verb("data", "add", "trips", delivery, *how)
    assert code == 1
    assert "'at'" in err
    assert "outside the years 1 to 9999" in err


@pytest.mark.parametrize("contract", ["", CONTRACT.replace("freshness = '1d'\n", "")], ids=["no contract", "contract"])
def test_with_a_quarantine_it_is_set_aside_with_its_row_and_the_others_enter(
    project: Project, verb: Verb, delivery: Path, contract: str
) -> None:
    (project.root / "trips.toml").write_text(contract)
    with (project.root / "mlopsfw.toml").open("a") as config:
        config.write('[data.trips]\ncontract = "trips.toml"\n' if contract else "")
    code, out, err = verb("data", "add", "trips", delivery, "--max-bad", "0.5")
    assert (code, "2 rows" in out) == (0, True), err
    code, out, _ = verb("data", "quarantine", "trips", "--json")
    assert code == 0
    assert '"id": 1' in out.replace("\\", "")


@pytest.mark.parametrize(
    "verb_words", [["--infer", "-o", "found.toml"], ["--contract", "trips.toml"]], ids=["infer", "check"]
)
def test_a_file_that_holds_one_is_refused_by_name_when_it_is_checked(
    project: Project, verb: Verb, delivery: Path, verb_words: list[str]
) -> None:
    (project.root / "trips.toml").write_text(CONTRACT)
    code, _, err = verb("data", "check", delivery, *verb_words)
    assert code == 1
    assert "column 'at' holds a date or time outside the years 1 to 9999" in err


def test_a_version_that_holds_one_from_before_is_shown_and_its_check_names_the_column(
    project: Project, verb: Verb, delivery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("mlopsfw.datasets.columns.in_calendar", lambda batch, _: batch)
        assert verb("data", "add", "trips", delivery)[0] == 0
    code, out, _ = verb("data", "show", "trips", "--json")
    assert (code, json.loads(out)["head"][0]) == (0, {"id": 1, "at": None})
    (project.root / "trips.toml").write_text(CONTRACT)
    for words in (["check", "trips", "--contract", "trips.toml"], ["check", "trips", "--infer", "-o", "found.toml"]):
        code, _, err = verb("data", *words)
        assert (code, "column 'at' holds" in err) == (1, True)
    code, _, err = verb("data", "add", "trips", delivery, "--incremental", "at")
    assert (code, "outside the years 1 to 9999" in err) == (1, True)
