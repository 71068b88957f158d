"""A date or time without a year from 1 to 9999 is kept, as a database may have it, and ends no verb that meets it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mlopsfw.cli import run
from mlopsfw.project.facade import Project

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


@pytest.mark.parametrize("how", [[], ["--append"], ["--upsert", "--key", "id"]], ids=" ".join)
def test_a_version_keeps_such_a_time_and_shows_it_as_text(verb: Verb, delivery: Path, how: list[str]) -> None:
    assert verb("data", "add", "trips", delivery, *how)[0] == 0
    code, out, _ = verb("data", "show", "trips", "--json")
    shown = json.loads(out)["head"]
    assert (code, [row["id"] for row in shown]) == (0, [1, 2, 3])
    assert re.match(r"-?\d{3,6}-\d\d-\d\d", shown[0]["at"])
    assert verb("data", "show", "trips")[0] == 0


def test_it_is_no_watermark_since_no_later_row_could_be_greater(verb: Verb, delivery: Path) -> None:
    code, _, err = verb("data", "add", "trips", delivery, "--incremental", "at")
    late = pl.read_parquet(delivery)["at"].to_physical()[0] > 0  # of year 0 every later row is greater
    assert (code, "outside the years 1 to 9999" in err) == ((1, True) if late else (0, False))


def test_with_a_quarantine_the_rows_that_a_contract_refuses_are_set_aside_with_it(
    project: Project, verb: Verb, delivery: Path
) -> None:
    (project.root / "trips.toml").write_text(CONTRACT.replace("freshness = '1d'\n", ""))
    with (project.root / "mlopsfw.toml").open("a") as config:
        config.write('[data.trips]\ncontract = "trips.toml"\n')
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


def test_the_check_of_a_version_that_holds_one_names_the_column(project: Project, verb: Verb, delivery: Path) -> None:
    assert verb("data", "add", "trips", delivery)[0] == 0
    (project.root / "trips.toml").write_text(CONTRACT)
    for words in (["check", "trips", "--contract", "trips.toml"], ["check", "trips", "--infer", "-o", "found.toml"]):
        code, _, err = verb("data", *words)
        assert (code, "column 'at' holds" in err) == (1, True)
    code, _, err = verb("data", "add", "trips", delivery, "--incremental", "at")
    assert (code, "outside the years 1 to 9999" in err) == (1, True)


@pytest.mark.parametrize("kind", [pl.Datetime("us", "UTC"), pl.Date])
@pytest.mark.parametrize(("lookback", "code"), [("1e15", 0), ("1e300", 0), ("inf", 2), ("nan", 2)])
def test_a_lookback_may_reach_back_before_the_calendar_and_is_a_number(
    verb: Verb, tmp_path: Path, kind: Any, lookback: str, code: int
) -> None:
    rows = pl.DataFrame({"id": [1], "at": pl.Series([18_500], dtype=pl.Int32).cast(pl.Date).cast(kind)})
    rows.write_parquet(tmp_path / "day.parquet")
    for _ in range(2):
        words = ["--incremental", "at", "--key", "id", "--lookback", lookback]
        assert verb("data", "add", "trips", tmp_path / "day.parquet", *words)[0] == code
