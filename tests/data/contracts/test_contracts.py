"""Contracts on rows: what each rule lets pass and what it finds, against plain Python; and the file they are kept in."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw.data.contracts import load_contract, read_contract
from mlopsfw.data.contracts.evaluation import judge
from mlopsfw.data.contracts.writing import write_contract
from mlopsfw.kernel.base.errors import ConfigError, NewerVersion, UsageError

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
    (columns(delay={"nulls": 0.4}), "nulls of delay: 50.00% are missing (2 rows, 50.00%); must be at most 40% missing"),
    (columns(id={"range": [2, 3]}), "range of id: such as '1' (1 rows, 25.00%); must be from 2 to 3"),
    (columns(delay={"range": ["", 100]}), "range of delay: such as '500.0' (1 rows, 25.00%); must be 100 or less"),
    (columns(day={"range": ["2013-01-02", "2013-01-03"]}), "(2 rows, 50.00%)"),
    (columns(carrier={"range": [1, 2]}), "range of carrier: string (String) cannot be compared with 1"),
    (columns(day={"range": ["soon", ""]}), "'soon' is not a date or time"),
    (columns(carrier={"values": ["AA", "UA"]}), "values of carrier: such as '??' (1 rows, 25.00%)"),
    (columns(carrier={"values": [1]}), "cannot be compared with a set of other types"),
    (columns(carrier={"pattern": "[A-Z]"}), "pattern of carrier: such as 'AA'; 'UA'; '??' (3 rows, 75.00%)"),
    (columns(id={"pattern": "1"}), "pattern of id: integer (Int64) is not text"),
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
    ({"rule": [{"that": "id + 1"}]}, "rule of id: gives Int64, not true or false"),
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
        "fail nulls of a: 100.00% are missing (2 rows, 100.00%); must be at most 50% missing"
    ]


def test_infinities_are_numbers_and_nan_is_none():
    rows = pl.DataFrame({"a": [math.inf, -math.inf, math.nan, 1.0]})
    assert report(columns(a={"range": [0, 2]}), rows).results[0].failing == 2
    assert report(columns(a={"range": [0, ""]}), rows).results[0].failing == 1
    assert report(columns(a={"nulls": 0.0}), rows).results[0].failing == 1
    assert broken(columns(a={"unique": True}), rows) == []
    assert report(columns(a={"order": "increasing"}), rows).results[0].failing == 1


# -- against plain Python ----------------------------------------------------------------------------------------------------

NUMBERS = st.one_of(st.none(), st.floats(width=32, allow_subnormal=False), st.sampled_from([0.0, 1.0, 2.0, 3.0]))
WHOLE = st.one_of(st.none(), st.integers(-5, 5))
TEXTS = st.one_of(st.none(), st.text("aB1-\n", max_size=4))
DAYS = st.one_of(st.none(), st.dates(dt.date(2012, 12, 28), dt.date(2013, 1, 10)))
TABLES = st.lists(st.tuples(WHOLE, NUMBERS, TEXTS, DAYS), max_size=30)


def frame(rows: list[tuple]) -> pl.DataFrame:
    schema = {"i": pl.Int64, "f": pl.Float64, "s": pl.String, "d": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def present(rows: list[tuple], place: int) -> list:
    return [row[place] for row in rows if row[place] is not None and row[place] == row[place]]


def failing(contract: dict, rows: list[tuple]) -> int:
    (result,) = report(contract, frame(rows), examples=0).results
    assert result.share == (result.failing / len(rows) if rows else 0.0)
    return result.failing


law = settings(deadline=None, max_examples=40)


@law
@given(TABLES, st.integers(-5, 5), st.integers(-5, 5))
def test_range_counts_what_lies_outside(rows, a, b):
    least, greatest = min(a, b), max(a, b)
    for place, name in ((0, "i"), (1, "f")):
        outside = sum(not least <= value <= greatest for value in present(rows, place))
        assert failing(columns(**{name: {"range": [least, greatest]}}), rows) == outside
    assert failing(columns(i={"range": [least, ""]}), rows) == sum(v < least for v in present(rows, 0))
    low, high = (dt.date(2013, 1, 1) + dt.timedelta(days=days) for days in (least, greatest))
    assert failing(columns(d={"range": [low.isoformat(), high.isoformat()]}), rows) == sum(
        not low <= value <= high for value in present(rows, 3)
    )


@law
@given(TABLES, st.lists(st.integers(-5, 5)), st.lists(st.text("aB1-\n", max_size=2)))
def test_values_count_what_is_strange(rows, numbers, texts):
    assert failing(columns(i={"values": numbers}), rows) == sum(v not in numbers for v in present(rows, 0))
    assert failing(columns(f={"values": numbers}), rows) == sum(v not in numbers for v in present(rows, 1))
    assert failing(columns(s={"values": texts}), rows) == sum(v not in texts for v in present(rows, 2))


@law
@given(TABLES, st.sampled_from(["[a-z]+", "a|B", "", r"[^\n]*", r"\d{1,2}", "(a(B)?)*"]))
def test_a_pattern_holds_from_end_to_end(rows, pattern):
    expected = sum(re.fullmatch(pattern, value) is None for value in present(rows, 2))
    assert failing(columns(s={"pattern": pattern}), rows) == expected


@law
@given(TABLES, st.floats(0, 1))
def test_nulls_and_nan_have_no_value(rows, limit):
    for place, name in enumerate("ifsd"):
        absent = len(rows) - len(present(rows, place))
        (result,) = report(columns(**{name: {"nulls": limit}}), frame(rows)).results
        assert result.failing == absent
        assert (result.status == "fail") == (bool(rows) and absent / len(rows) > limit + 1e-12)


@law
@given(TABLES)
def test_unique_counts_the_rows_that_come_again(rows):
    for place, name in enumerate("ifsd"):
        values = present(rows, place)
        assert failing(columns(**{name: {"unique": True}}), rows) == len(values) - len(
            {v + 0 if name in "if" else v for v in values}
        )
    whole = [row for row in rows if None not in (row[0], row[2], row[3])]
    again = len(whole) - len({(row[0], row[2], row[3]) for row in whole})
    assert failing({"unique": [{"columns": ["i", "s", "d"]}]}, rows) == again


@law
@given(TABLES)
def test_order_counts_the_steps_back(rows):
    for place, name in ((0, "i"), (1, "f"), (3, "d")):
        pairs = list(zip(present(rows, place), present(rows, place)[1:], strict=False))
        for order, wrong in (
            ("increasing", sum(b < a for a, b in pairs)),
            ("strictly increasing", sum(b <= a for a, b in pairs)),
            ("decreasing", sum(b > a for a, b in pairs)),
            ("strictly decreasing", sum(b >= a for a, b in pairs)),
        ):
            assert failing(columns(**{name: {"order": order}}), rows) == wrong


@law
@given(TABLES, st.integers(0, 10))
def test_a_condition_is_broken_where_it_is_false_and_not_where_it_is_unknown(rows, limit):
    known = [(row[0], row[1]) for row in rows if row[0] is not None and row[1] is not None]
    bad = sum(not (i <= f or math.isnan(f)) for i, f in known)  # Polars holds NaN to be the greatest number
    assert failing({"rule": [{"that": "i <= f"}]}, rows) == bad
    odd = sum((row[0] is None) != (row[2] is None) for row in rows)
    assert failing({"rule": [{"that": "(i IS NULL) = (s IS NULL)"}]}, rows) == odd
    if len(rows) > 1:  # a table of one row is one row
        assert failing_of_table(f"COUNT(*) > {limit}", rows) == (len(rows) <= limit)


def failing_of_table(that: str, rows: list[tuple]) -> bool:
    (result,) = report({"rule": [{"that": that}]}, frame(rows)).results
    return result.status == "fail"


@law
@given(TABLES, st.integers(-5, 5), st.floats(0, 0.5))
def test_a_share_of_rows_may_differ_rounded_up(rows, least, allow):
    outside = sum(value < least for value in present(rows, 0))
    (result,) = report(columns(i={"range": [least, ""], "allow": allow}), frame(rows)).results
    assert (result.status == "fail") == (outside > math.ceil(allow * len(rows) - 1e-9))


@law
@given(TABLES)
def test_examples_are_rows_that_break_the_rule_and_no_more_than_asked_for(rows):
    (result,) = report(columns(i={"range": [0, ""]}), frame(rows), examples=3).results
    assert len(result.examples) == min(3, result.failing)
    for example in result.examples:
        assert int(example["i"]) < 0
        assert rows[int(example["row"])][0] == int(example["i"])
    (result,) = report(columns(s={"unique": True}), frame(rows), examples=99).results
    repeated = {text: count for text, count in Counter(present(rows, 2)).items() if count > 1}
    assert {example["s"]: int(example["times"]) for example in result.examples} == repeated


# -- the file ----------------------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
SHARES = st.floats(0, 1)
VALUES = st.one_of(st.integers(-(2**60), 2**60), st.text(max_size=5), st.booleans(), st.floats(allow_nan=False))
BOUNDS = st.one_of(
    st.tuples(st.integers(-9, 0), st.integers(1, 9)),
    st.tuples(st.just(""), st.floats(allow_nan=False)),
    st.just(("2013-01-01", "")),
)
COLUMN = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["integer", "string", "datetime"]),
        "nulls": SHARES,
        "range": BOUNDS,
        "values": st.lists(VALUES, max_size=40),
        "pattern": st.sampled_from([r"\d+", "a'b", 'a"b\\n', "[^\\x00-\\x1f]*", "x\x7f"]),
        "unique": st.booleans(),
        "order": st.sampled_from(["increasing", "strictly decreasing"]),
        "freshness": st.sampled_from(["2d", "1h 30m"]),
        "allow": SHARES,
        "optional": st.booleans(),
        "warn": st.lists(st.sampled_from(["type", "nulls", "range"]), unique=True),
    },
)
CONTRACTS = st.fixed_dictionaries(
    {},
    optional={
        "table": st.fixed_dictionaries({}, optional={"min_rows": st.integers(0, 9), "max_rows": st.integers(0, 9), "only": st.booleans()}),
        "columns": st.dictionaries(NAMES, COLUMN, max_size=4),
        "unique": st.lists(st.fixed_dictionaries({"columns": st.lists(NAMES, min_size=1)}), max_size=2),
        "rule": st.lists(st.fixed_dictionaries({"that": st.sampled_from(["a > 1", "\"b c\" = 'd''e'"]), "name": NAMES, "allow": SHARES}), max_size=2),
        "distribution": st.fixed_dictionaries({}, optional={"skip": st.lists(NAMES), "alpha": SHARES}),
    },
)  # fmt: skip


@law
@given(CONTRACTS, st.text(), st.text())
def test_what_is_written_reads_as_the_same_contract(tmp_path_factory, tree, head, note):
    contract = read_contract(tree)
    file = tmp_path_factory.mktemp("contract") / "c.toml"
    text = write_contract(contract, head=[head], notes=dict.fromkeys(contract.columns, note))
    file.write_text(text, encoding="utf-8", newline="\n")
    again = load_contract(file)
    defaults = msgspec.structs.replace(
        contract, columns={name: plain(rules) for name, rules in contract.columns.items()}
    )
    assert msgspec.structs.replace(again, columns={n: plain(r) for n, r in again.columns.items()}) == defaults


def plain(rules):
    """An empty set of values says nothing, so it is not written."""
    return msgspec.structs.replace(rules, values=rules.values or None)


WRONG = [
    ("[colums.a]", 1, "Did you mean 'columns'?"),
    ("[columns.a]\ntype = 'integer'\nrnage = [1, 2]", 3, "Did you mean 'range'?"),
    ("[columns.a]\nwarn = ['nuls']", 2, "Did you mean 'nulls'?"),
    ("[columns.a]\ntype = 'int'", 2, "columns.a.type: invalid enum value 'int'"),
    ("[columns.a]\nnulls = 1.5", 2, "1.5 is not a share"),
    ("[columns.a]\nnulls = nan", 2, "nan is not a share"),
    ("[columns.a]\nallow = -1", 2, "is not a share"),
    ("[columns.a]\nrange = [2, 1]", 2, "2 is greater than 1"),
    ("[columns.a]\nrange = [1]", 2, "columns.a.range: expected"),
    ("[columns.a]\nrange = [nan, 1]", 2, "NaN is not a bound"),
    ("[columns.a]\npattern = '[a-'", 2, "'[a-' is not a regular expression"),
    ("[columns.a]\npattern = 'a)(b'", 2, "is not a regular expression"),
    ("[columns.a]\npattern = '(?=a)'", 2, "without look-around"),
    ("[columns.a]\nfreshness = 'soon'", 2, "'soon' is not a length of time"),
    ("columns = 3", 1, "must be a table"),
    ("[unique]\ncolumns = ['a']", 1, "must be an array of tables"),
    ("[[unique]]\ncolumns = []", 2, "names no column"),
    ("[[rule]]\nthat = 'a >'", 2, "cannot be read"),
    ("[[rule]]\nthat = \"1 = (SELECT 1 FROM read_csv('/etc/passwd'))\"", 2, "is a query"),
    ("[[rule]]\nthat = 'exists(sElEcT 1)'", 2, "is a query"),
    ("[[rule]]\nthat = 'nosuch(a)'", 2, "unsupported function"),
    ("[[rule]]\nwhen = 'a'", 2, "unknown key"),
    ("[[rule]]\nlevel = 'warn'", 1, "the key `that` is missing"),
    ("[distribution]\nalpha = 2", 2, "is not a share"),
    ("[table]\nmin_rows = 'x'", 2, "expected `integer`, got `string`"),
    ("a = = 1", 1, "not valid TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "complaint"), WRONG, ids=[text for text, _, _ in WRONG])
def test_a_wrong_contract_is_an_error_with_its_line(tmp_path, text, line, complaint):
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_contract(file)
    assert complaint in str(raised.value)
    assert raised.value.line == line


def test_a_damaged_a_huge_and_a_newer_contract_are_refused(tmp_path):
    file = tmp_path / "c.toml"
    file.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        load_contract(file)
    file.write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_contract(file)
    file.write_text("contract = 2\nnew_rule = 1")
    with pytest.raises(NewerVersion, match="has format 2"):
        load_contract(file)
    with file.open("wb") as sink:
        sink.truncate(1 << 30)
    with pytest.raises(ConfigError, match="too large for a contract"):
        load_contract(file)
    with pytest.raises(UsageError, match="there is no contract"):
        load_contract(tmp_path / "gone.toml")
