"""Contracts on rows: what each rule lets pass and what it finds, against plain Python; and the file they are kept in."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest

from mlopsfw.datacontract import read_contract
from mlopsfw.datacontract.judging import judge

NOW = dt.datetime(2013, 1, 6, tzinfo=dt.UTC)

ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3, 3],
        "delay": [1.0, None, float("nan"), 500.0],
        "carrier": ["AA", "UA", "??", None],
        "day": [dt.date(2013, 1, day) for day in (1, 2, 3, 4)],
        "at": [dt.datetime(2013, 1, day, tzinfo=dt.UTC) for day in (1, 2, 3, 4)],
    }
)


def report(contract: dict, rows: pl.DataFrame = ROWS, **options):
    return judge(rows.lazy(), read_contract(contract), now=NOW, **options)


def broken(contract: dict, rows: pl.DataFrame = ROWS) -> list[str]:
    return [f"{result.status} {result}" for result in report(contract, rows).results if result.status != "pass"]


def columns(**rules) -> dict:
    return {"columns": rules}


HELD = [
    {**columns(id={"type": "integer"}, delay={"type": "number"}, carrier={"type": "string"}, day={"type": "date"}, at={"type": "datetime"}), "table": {"only": True}},
    columns(id={"type": "number"}),
    columns(delay={"nulls": 0.5}, carrier={"nulls": 0.25}, id={"nulls": 0.0}),
    columns(id={"range": [1, 3]}, day={"range": ["2013-01-01", ""]}, at={"range": ["", "2013-01-05"]}, carrier={"range": ["?", "Z"]}),
    columns(day={"range": [dt.date(2013, 1, 1), dt.date(2013, 1, 4)]}, at={"range": ["2013-01-01T00:00:00Z", "2013-01-04T00:00:00Z"]}),
    columns(delay={"range": [1, 500]}),  # NaN is no value
    columns(carrier={"values": ["AA", "UA", "??"]}, id={"values": [1, 2, 3]}, delay={"values": [1, 500.0]}, day={"values": [f"2013-01-0{n}" for n in (1, 2, 3, 4)]}),
    columns(carrier={"pattern": "[A-Z]{2}|[?]+"}),
    columns(carrier={"pattern": "[A-Z]{2}", "allow": 0.01}),  # one row may, where any may
    columns(day={"unique": True, "order": "strictly increasing"}, id={"order": "increasing"}),
    columns(at={"freshness": "2d"}, day={"freshness": "25h"}),  # a date ends with its day
    columns(gone={"optional": True, "nulls": 0.0}),
    {"unique": [{"columns": ["id", "day"]}]},
    {"table": {"min_rows": 4, "max_rows": 4}},
    {"rule": [{"that": "id <= 3"}, {"that": "delay > 0"}, {"that": "COUNT(*) = 4"}, {"that": "id < 3", "allow": 0.5}]},
    columns(id={}, delay={}),
    {},
]  # fmt: skip


@pytest.mark.parametrize("contract", HELD, ids=lambda c: " ".join(map(str, c)) or "nothing")
def test_rows_that_keep_the_contract_pass(contract):
    assert broken(contract) == []


BROKEN = [
    (columns(gone={}), "column of gone: column 'gone' is missing"),
    (columns(carier={}), "Did you mean 'carrier'?"),
    (columns(carrier={"type": "number"}), "type of carrier: string (String) (3 rows, 75.00%); must be number"),
    (columns(delay={"type": "integer"}), "type of delay: number (Float64)"),
    ({**columns(id={}), "table": {"only": True}}, "only of at: column 'at' is not expected"),
    (columns(delay={"nulls": 0.4}), "nulls of delay: 50.00% have none (2 rows, 50.00%); must be at most 0.4"),
    (columns(id={"range": [2, 3]}), "range of id: such as '1' (1 rows, 25.00%); must be from 2 to 3"),
    (columns(delay={"range": ["", 100]}), "range of delay: such as '500.0' (1 rows, 25.00%); must be 100 or less"),
    (columns(day={"range": ["2013-01-02", "2013-01-03"]}), "(2 rows, 50.00%)"),
    (columns(carrier={"range": [1, 2]}), "range of carrier: string (String) is not compared with 1"),
    (columns(day={"range": ["soon", ""]}), "'soon' is no date or time"),
    (columns(carrier={"values": ["AA", "UA"]}), "values of carrier: such as '??' (1 rows, 25.00%)"),
    (columns(carrier={"values": [1]}), "is not compared with a set of other values"),
    (columns(carrier={"pattern": "[A-Z]"}), "pattern of carrier: such as 'AA'; 'UA'; '??' (3 rows, 75.00%)"),
    (columns(id={"pattern": "1"}), "pattern of id: integer (Int64) is no text"),
    (columns(id={"unique": True}), "unique of id: such as '3' (1 rows, 25.00%)"),
    (columns(id={"order": "strictly increasing"}), "order of id: such as '3' (1 rows, 25.00%)"),
    (columns(at={"freshness": "1d"}), "freshness of at: the newest is 2013-01-04 00:00:00+00:00, 2.0 days old"),
    (columns(id={"freshness": "1d"}), "freshness of id: integer has no age"),
    ({"unique": [{"columns": ["id", "gone"]}]}, "column 'gone' is missing"),
    ({"table": {"min_rows": 5}}, "min_rows: there are 4; must be at least 5 rows"),
    ({"table": {"max_rows": 3}}, "max_rows: there are 4; must be at most 3 rows"),
    ({"rule": [{"that": "id < 3"}]}, "rule of id: such as '3' (2 rows, 50.00%); must be id < 3"),
    ({"rule": [{"that": "COUNT(*) > 4", "name": "enough"}]}, "enough: it does not hold (1 rows, 100.00%)"),
    ({"rule": [{"that": "carier = 'AA'"}]}, "column 'carier' is missing. Did you mean 'carrier'?"),
    ({"rule": [{"that": "id + 1"}]}, "rule of id: is Int64, not true or false"),
    ({"rule": [{"that": "CAST(carrier AS INT) > 1"}]}, "rule of carrier: cannot be evaluated: conversion"),
    ({"rule": [{"that": "id || day > delay"}]}, "rule of id, day, delay: cannot be"),
]  # fmt: skip


@pytest.mark.parametrize(("contract", "complaint"), BROKEN, ids=lambda value: value if isinstance(value, str) else "")
def test_each_broken_rule_is_told_in_words(contract, complaint):
    (found,) = [line for line in broken(contract) if complaint in line]
    assert found.startswith("fail")


def test_all_broken_rules_are_told_at_once_worst_first_and_a_fault_hides_no_other():
    contract = {
        **columns(gone={"type": "date"}, id={"unique": True}, delay={"nulls": 0.0, "warn": ["nulls"]}),
        "rule": [{"that": "CAST(carrier AS INT) > 1"}, {"that": "id < 3"}],
        "table": {"min_rows": 9},
    }
    assert [line.split()[0] for line in broken(contract)] == ["fail"] * 5 + ["warn"]


def test_no_rows_break_no_rule_but_the_row_count():
    contract = columns(
        id={"nulls": 0.0, "range": [1, 3], "unique": True, "order": "increasing"}, carrier={"pattern": "x"}
    )
    assert broken({**contract, "rule": [{"that": "id > 5"}], "table": {"min_rows": 1}}, ROWS.clear()) == [
        "fail min_rows: there are 0; must be at least 1 rows"
    ]


def test_a_table_without_columns_lacks_those_of_the_contract():
    assert broken(columns(id={"unique": True}), pl.DataFrame()) == [
        "fail column of id: column 'id' is missing; must be there"
    ]
    assert broken({}, pl.DataFrame()) == []


@pytest.mark.parametrize("dtype", [pl.Null, pl.String, pl.Float64, pl.Int8, pl.Date])
def test_a_column_of_nothing_but_nulls_is_of_every_type_and_breaks_only_nulls(dtype):
    rows = pl.DataFrame({"a": pl.Series([None, None], dtype=dtype)})
    rules = {"type": "integer", "nulls": 0.5, "unique": True}
    assert broken(columns(a=rules), rows) == [
        "fail nulls of a: 100.00% have none (2 rows, 100.00%); must be at most 0.5 of the rows without a value"
    ]


def test_infinities_are_numbers_and_nan_is_none():
    rows = pl.DataFrame({"a": [math.inf, -math.inf, math.nan, 1.0]})
    assert report(columns(a={"range": [0, 2]}), rows).results[0].failing == 2
    assert report(columns(a={"range": [0, ""]}), rows).results[0].failing == 1
    assert report(columns(a={"nulls": 0.0}), rows).results[0].failing == 1
    assert broken(columns(a={"unique": True}), rows) == []
    assert report(columns(a={"order": "increasing"}), rows).results[0].failing == 1
