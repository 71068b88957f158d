"""The built-in steps about data and models: what they let through, what they refuse, and what a pipeline of them leaves behind."""

from __future__ import annotations

import datetime as dt
import math
import re
from types import SimpleNamespace

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import DataError, GateRefused, UsageError
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.models.rules import parse_rule
from mlopsfw.steps import gate
from mlopsfw.steps.dealing import deal
from mlopsfw.steps.gate import GateParams
from mlopsfw.steps.split import split
from mlopsfw.steps.split_params import PARTS, SplitParams

# -- gate: the rules ---------------------------------------------------------------------------------------------------------

METRICS = {"auc": 0.7, "rows": 100, "ok": True, "baseline": {"logistic": {"auc": 0.65}}}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("auc >= 0.7", True),
        ("auc > 0.7", False),
        ("auc > baseline.logistic.auc + 0.01", True),
        ("auc > baseline.logistic.auc + 0.06", False),
        ("auc - baseline.logistic.auc > .04", True),
        ("-auc < 0", True),
        ("auc - -1 == 1.7", True),
        ("rows != 100", False),
        ("auc <= 7e-1", True),
        ("1 < rows", True),
    ],
)
def test_a_rule_compares_sums_of_numbers_and_names(rule, holds):
    verdict = parse_rule(rule).judge(METRICS, None)
    assert verdict.holds is holds
    assert rule in str(verdict)


@given(
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.floats(-1e6, 1e6),
    st.sampled_from([">=", "<=", ">", "<", "==", "!="]),
)
def test_a_rule_agrees_with_python(a, b, c, comparison):
    verdict = parse_rule(f"a {comparison} b - c").judge({"a": a, "b": b, "c": c}, None)
    assert verdict.holds == {">=": a >= b - c, "<=": a <= b - c, ">": a > b - c, "<": a < b - c, "==": a == b - c, "!=": a != b - c}[comparison]  # fmt: skip


@pytest.mark.parametrize("comparison", [">=", "<=", ">", "<", "==", "!="])
def test_no_rule_holds_on_nan(comparison):
    assert not parse_rule(f"a {comparison} 1").judge({"a": math.nan}, None).holds


@pytest.mark.parametrize(
    "text",
    [
        "", "auc", "auc >= ", ">= 1", "auc >= 1 >= 2", "auc >= 0.5 0.6", "auc >= a b", "__import__('os') > 1", "auc >= (1)",
        "auc => 1", "a * 2 > 1", "auc > 1; auc", "auc > 'x'", "auc >= 1 +",
        "auc > 1e999",
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_as_usage(text):
    with pytest.raises(UsageError, match="rule"):
        parse_rule(text)


def test_a_group_that_is_called_as_a_star_or_has_dots_is_judged_as_any_other():
    metrics = {"city": {"*": {"auc": 0.4}, "St. Pauli": {"auc": 0.9}, "": {"auc": 0.9}}}
    verdict = parse_rule("city.*.auc > 0.5").judge(metrics, None)
    assert (verdict.holds, verdict.where, verdict.failed, verdict.of) == (False, "*", 1, 3)
    assert parse_rule('city."St. Pauli".auc > 0.5').judge(metrics, None).holds


def test_names_that_are_no_numbers_are_refused_with_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'auc'"):
        parse_rule("acu > 1").judge(METRICS, None)
    for text in ("baseline > 1", "ok > 0"):
        with pytest.raises(DataError, match="is not a number of the metrics"):
            parse_rule(text).judge(METRICS, None)
    with pytest.raises(DataError, match="the champion's metrics"):
        parse_rule("auc > champion.f1").judge(METRICS, {"auc": 1})


def test_among_many_names_those_that_share_pieces_with_a_wrong_one_are_shown_as_a_rule_writes_them():
    columns = {f"column {number}": {"auc": 0.5, "rows": 9} for number in range(30)}
    metrics = {**METRICS, "segments": {"town": columns}, "calibration": {"coverage": {"covered": 0.9}}}
    hints = {}
    for name in ("calibration.covered", 'town."column 7".auc', "nonsense"):
        with pytest.raises(DataError) as refused:
            parse_rule(f"{name} > 1").judge(metrics, None)
        hints[name] = refused.value.hint
    assert hints["calibration.covered"].startswith("Near it: calibration.coverage.covered. ")
    assert hints['town."column 7".auc'].startswith('Near it: segments.town."column 7".auc. ')
    assert hints["nonsense"].startswith("Known: ")
    assert "segments.…" in hints["nonsense"]
    assert len(hints["nonsense"]) < 200


def test_a_rule_about_the_champion_holds_while_there_is_none():
    rule = parse_rule("auc >= champion.auc")
    assert rule.judge(METRICS, None).holds
    assert not rule.judge(METRICS, {"auc": 0.71}).holds
    assert rule.judge(METRICS, {"auc": 0.7}).holds


SLICES = {
    "segments": {"city": {"New York": {"auc": 0.55}, "Rome": {"auc": 0.7}}},
    "leakage": {"leaks": [{"feature": "x"}]},
}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('segments.city."New York".auc >= 0.6', r"does not hold \(0.55 against 0.6, off by 0.05\)"),
        (
            "segments.city.*.auc >= 0.6",
            r"does not hold for 1 of 2, worst for New York \(0.55 against 0.6, off by 0.05\)",
        ),
        ("segments.city.*.auc > 0.7", r"does not hold for 2 of 2, worst for New York"),
        ("segments.city.*.auc >= 0.5", r"holds for all 2, least for New York \(0.55 against 0.5\)"),
        ("segments.*.*.auc >= 0.5", r"holds for all 2, least for city, New York"),
        (
            "segments.city.*.auc > champion.segments.city.*.auc - 0.1",
            r"not hold for 1 of 2, worst for Rome \(0.7 against 0.8",
        ),
        ("leakage.leaks == 0", r"does not hold \(1 against 0"),
    ],
)
def test_a_rule_is_about_every_value_or_a_quoted_one_and_says_by_how_much_it_fails(rule, words):
    champion = {"segments": {"city": {"New York": {"auc": 0.5}, "Rome": {"auc": 0.9}}}}
    assert re.search(words, str(parse_rule(rule).judge(SLICES, champion)))


def test_stars_that_fit_nothing_or_not_each_other_are_refused():
    with pytest.raises(DataError, match="fits no number of the metrics"):
        parse_rule("segments.town.*.auc > 0").judge(SLICES, None)
    with pytest.raises(UsageError, match="with 1 and with 2 stars"):
        parse_rule("segments.city.*.auc > segments.*.*.auc")


def test_a_rule_about_a_disturbance_that_fits_no_column_holds_and_one_that_was_not_measured_is_refused():
    rule = parse_rule("robustness.missing.*.loss <= 0.1")
    measured = {"robustness": {"noise": {"loss": 0.2}, "missing": {}}}
    assert str(rule.judge(measured, None)).endswith("holds, no column can be disturbed in this way")
    with pytest.raises(DataError, match="fits no number of the metrics"):
        rule.judge({"robustness": {"noise": {"loss": 0.2}}}, None)


def test_a_rule_about_the_comparison_holds_without_a_champion_and_not_without_a_comparison():
    rule = parse_rule("compare.low > 0")
    assert str(rule.judge({"compare": None}, None)) == "compare.low > 0: holds, there is no champion"
    assert not rule.judge({"compare": {"low": -0.1}}, None).holds
    for champion in (None, {"auc": 1.0}):
        with pytest.raises(DataError, match=r"compare"):
            rule.judge({"auc": 0.7}, champion)


def judged(project, metrics, champion, rules=("auc > champion.auc",), reports=None, **inputs):
    """Judge rules as the step does; return what it logs."""
    logged = []
    values = {"metrics": metrics, "champion": champion, **(reports or {})}
    context = SimpleNamespace(
        step="gate", inputs={**dict.fromkeys(values), **inputs}, load=values.get, log=logged.append
    )
    gate.build(GateParams(rules=tuple(rules)), None).run(
        context, models=project.registry, objectives=project.objectives
    )
    return logged


def test_a_candidate_that_is_the_champion_by_its_digest_has_nothing_to_beat(project):
    same = {"bundle": "a" * 64, "auc": 0.7}
    assert judged(project, same, same) == ["auc > champion.auc: holds, the candidate is the champion"]
    wired = {"model": Artifact(kind="bundle", digest="d", blob="a" * 64)}
    assert judged(project, {"auc": 0.7}, same, **wired) == ["auc > champion.auc: holds, the candidate is the champion"]


def test_the_bundle_of_the_comparison_is_a_champion_too(project):
    metrics = {"bundle": "a" * 64, "auc": 0.7, "compare": {"bundle": "a" * 64, "low": 0.0}}
    assert judged(project, metrics, None, ("compare.low > 0",))[0].endswith("holds, the candidate is the champion")
    with pytest.raises(GateRefused, match="does not hold"):
        judged(project, {**metrics, "bundle": "b" * 64}, {"auc": 0.7}, ("compare.low > 0",))


def test_a_rule_is_about_the_reports_of_other_steps_too(project):
    reports = {"validation": {"auc": 0.66, "warnings": []}, "leakage": {"leaks": [{"feature": "x"}]}}
    rules = ["auc - validation.auc < 0.1", "validation.warnings == 0", "leakage.leaks == 0"]
    with pytest.raises(GateRefused, match=r"1 of 3 rules do not hold:\n  - leakage.leaks == 0"):
        judged(project, {"auc": 0.7}, None, rules, reports)


def test_another_model_with_equal_metrics_is_not_the_champion(project):
    with pytest.raises(GateRefused, match=r"0\.7 against 0\.7"):
        judged(project, {"bundle": "b" * 64, "auc": 0.7}, {"bundle": "a" * 64, "auc": 0.7})
    with pytest.raises(GateRefused, match="does not hold") as caught:
        judged(project, {"auc": 0.7}, {"bundle": "a" * 64, "auc": 0.7})
    assert "name the bundle" in caught.value.hint


# -- split --------------------------------------------------------------------------------------------------------------------

ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3, 3],
        "delay": [1.0, None, float("nan"), 500.0],
        "carrier": ["AA", "UA", "??", None],
        "day": [dt.date(2013, 1, day) for day in (1, 2, 3, 4)],
        "at": [dt.datetime(2013, 1, day, tzinfo=dt.UTC) for day in (1, 2, 3, 4)],
    }
)


def parts_of(rows, params):
    labels = deal(rows.lazy(), params)
    return {name: pl.concat(part) for name, part in split(rows.lazy(), labels).items()}


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 40), max_size=200),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
    st.integers(0, 2**40),
    st.booleans(),
)
def test_a_split_by_fraction_deals_every_row_to_one_part_in_order(values, validation, test, seed, keyed):
    rows = pl.DataFrame({"k": values, "at": range(len(values))}, schema={"k": pl.Int64, "at": pl.Int64})
    params = SplitParams(by="fraction", validation=validation, test=test, seed=seed, key=("k",) if keyed else ())
    parts = parts_of(rows, params)
    assert sorted(at for part in parts.values() for at in part["at"]) == list(range(len(values)))
    assert all(part["at"].is_sorted() for part in parts.values())
    if keyed:
        found = [set(part["k"]) for part in parts.values()]
        assert sum(map(len, found)) == len(set(values))


def test_a_split_by_fraction_has_about_the_shares_asked_for_and_hangs_on_the_seed():
    rows = pl.DataFrame({"k": range(20_000)})
    for key in ((), ("k",)):
        one = parts_of(rows, SplitParams(by="fraction", validation=0.1, test=0.2, key=key))
        assert one["test"].height == pytest.approx(4000, abs=250)
        assert one["validation"].height == pytest.approx(2000, abs=200)
        assert parts_of(rows, SplitParams(by="fraction", validation=0.1, test=0.2, key=key))["test"].equals(one["test"])
        other = parts_of(rows, SplitParams(by="fraction", validation=0.1, test=0.2, key=key, seed=1))
        assert not other["test"].equals(one["test"])


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "c", None]), max_size=200),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
    st.integers(0, 2**40),
)
def test_a_stratified_split_has_the_shares_of_every_class_give_or_take_two_rows(values, validation, test, seed):
    rows = pl.DataFrame({"y": values, "at": range(len(values))}, schema={"y": pl.String, "at": pl.Int64})
    params = SplitParams(by="fraction", validation=validation, test=test, seed=seed, stratify="y")
    parts = parts_of(rows, params)
    assert sorted(at for part in parts.values() for at in part["at"]) == list(range(len(values)))
    assert all(part["at"].is_sorted() for part in parts.values())
    for value in ["a", "b", "c", None]:
        count = {
            name: part.filter(pl.col("y").eq_missing(pl.lit(value, pl.String))).height for name, part in parts.items()
        }
        total = sum(count.values())
        assert abs(count["test"] - test * total) <= 2
        assert abs(count["validation"] - validation * total) <= 2
        assert abs(count["train"] - (1 - test - validation) * total) <= 1


def test_a_stratified_split_draws_the_rows_of_a_class():
    rows = pl.DataFrame({"y": ["a"] * 10_000 + ["b"] * 100, "x": range(10_100)})
    test = parts_of(rows, SplitParams(by="fraction", test=0.2, stratify="y"))["test"]
    assert dict(test["y"].value_counts().iter_rows()) == {"a": 2000, "b": 20}
    assert test.filter(pl.col("y") == "a")["x"].mean() == pytest.approx(5000, abs=250)
    assert parts_of(rows, SplitParams(by="fraction", test=0.2, stratify="y"))["test"].equals(test)
    assert not parts_of(rows, SplitParams(by="fraction", test=0.2, stratify="y", seed=1))["test"].equals(test)


def test_a_column_of_numbers_has_no_classes_to_stratify_by():
    with pytest.raises(DataError, match="stratify: column 'delay' holds Float64, no classes"):
        parts_of(ROWS, SplitParams(by="fraction", test=0.2, stratify="delay"))


def test_rows_added_later_do_not_move_a_key_to_another_part():
    params = SplitParams(by="fraction", test=0.5, key=("k", "s"))
    rows = pl.DataFrame({"k": [*range(50)], "s": ["a", None] * 25})
    few, many = parts_of(rows.head(20), params), parts_of(rows, params)
    assert many["test"].head(few["test"].height).equals(few["test"])


def test_keys_are_drawn_the_same_on_every_machine_and_release():
    rows = pl.DataFrame({"k": ["a", "b", "c", "d", "e", "f", None, ""]})
    assert parts_of(rows, SplitParams(by="fraction", test=0.5, key=("k",)))["test"]["k"].to_list() == ["b", None, ""]


def test_a_split_by_time_cuts_where_it_says():
    params = SplitParams(
        by="time", column="day", start="2013-01-02", validation="2013-01-03", test="2013-01-04", end="2013-01-05"
    )
    rows = pl.DataFrame({"day": [dt.date(2013, 1, day) for day in (1, 2, 3, 4, 5)]})
    assert {name: part["day"].dt.day().to_list() for name, part in parts_of(rows, params).items()} == {
        "train": [2],
        "validation": [3],
        "test": [4],
    }


def test_a_split_by_time_reads_limits_in_the_columns_zone():
    home = ROWS.with_columns(pl.col("at").dt.convert_time_zone("America/New_York"))
    local = parts_of(home, SplitParams(by="time", column="at", test="2013-01-03"))
    assert local["test"].height == 1  # midnight UTC of the 3rd is the 2nd in New York
    exact = parts_of(home, SplitParams(by="time", column="at", test="2013-01-03T00:00:00Z"))
    assert exact["test"].height == 2


def test_rows_without_a_time_or_part_are_in_none():
    rows = pl.DataFrame({"day": [dt.date(2013, 1, 1), None], "part": ["a", None]})
    by_time = parts_of(rows, SplitParams(by="time", column="day", test="2013-02-01"))
    by_column = parts_of(rows, SplitParams(by="column", column="part", train="a", test=("b", "c")))
    assert [part.height for part in by_time.values()] == [part.height for part in by_column.values()] == [1, 0, 0]


@pytest.mark.parametrize(
    "params",
    [
        {"by": "fraction", "test": 1.0},
        {"by": "fraction", "test": 0.6, "validation": 0.4},
        {"by": "fraction", "test": "a"},
        {"by": "fraction", "test": 0.2, "label_delay": "1d"},
        {"by": "fraction", "test": 0.2, "key": ("id",), "stratify": "carrier"},
        {"by": "time", "column": "day", "test": "2013-01-02", "stratify": "carrier"},
        {"by": "time", "column": "day", "test": "2013-01-02", "label_delay": "soon"},
        {"by": "time", "test": "2013-01-01"},
        {"by": "time", "column": "day", "test": 0.2},
        {"by": "time", "column": "day", "test": "yesterday"},
        {"by": "column", "test": "a"},
        {"by": "column", "column": "carrier", "test": "AA"},
        {"by": "column", "column": "carrier", "test": 0.5},
    ],
)
def test_a_split_that_makes_no_sense_is_refused(params):
    with pytest.raises(UsageError):
        parts_of(ROWS, SplitParams(**params))


@pytest.mark.parametrize(
    "params",
    [{"by": "fraction"}, {"by": "time", "column": "day"}, {"by": "column", "column": "carrier", "train": "UA"}],
)
def test_a_split_that_names_no_part_but_train_is_refused(params):
    with pytest.raises(UsageError, match="needs validation, test or both"):
        SplitParams(**params)
    SplitParams(**params, validation={"fraction": 0.2, "time": "2013-01-02", "column": "AA"}[params["by"]])


@pytest.mark.parametrize(
    ("options", "part", "hint"),
    [
        ('by = "fraction"\ntest = 1e-12\nshuffle_time = true', "test", "Raise its share"),
        ('by = "time"\ncolumn = "day"\ntest = "2031-01-01"', "test", "goes from 2013-01-01 to 2013-01-04"),
        ('by = "time"\ncolumn = "day"\nvalidation = "2013-01-03"\ntest = "2013-01-03"', "validation", "goes from"),
        (
            'by = "column"\ncolumn = "carrier"\ntrain = "UA"\nvalidation = "aa"',
            "validation",
            r"values of 'carrier' are None, ",
        ),
        ('by = "time"\ncolumn = "day"\ntest = "2000-01-01"', "train", "goes from"),
    ],
)
def test_a_part_that_was_asked_for_and_gets_no_rows_fails_the_step(make_project, capsys, options, part, hint):
    load = "import polars as pl\ndef load():\n    return pl.read_parquet('rows.parquet')\n"
    toml = f'[steps.load]\npython = "m:load"\n[steps.split]\ninputs = {{ rows = "load" }}\n{options}\n'
    project = make_project(toml, m=load)
    ROWS.write_parquet(project.root / "rows.parquet")
    assert run(["--project", str(project.root), "run", "--debug"]) == 1
    error = capsys.readouterr().err
    assert re.search(rf"step split leaves no rows for {part}\b.*\n.*{hint}", error), error


@pytest.mark.parametrize("kind", [pl.Date, pl.Datetime("ns"), pl.Datetime("us", "Asia/Tokyo")])
def test_rows_whose_label_is_known_too_late_are_in_no_part(kind):
    day = pl.date_range(pl.date(2026, 3, 1), pl.date(2026, 3, 30), "1d", eager=True)
    rows = pl.DataFrame(
        {
            "day": day.cast(kind)
            if not getattr(kind, "time_zone", None)
            else day.cast(pl.Datetime("us")).dt.replace_time_zone(kind.time_zone)
        }
    )
    params = SplitParams(by="time", column="day", validation="2026-03-11", test="2026-03-21", label_delay="72h")
    days = {name: part["day"].dt.day().to_list() for name, part in parts_of(rows, params).items()}
    assert days == {"train": [*range(1, 9)], "validation": [*range(11, 19)], "test": [*range(21, 31)]}


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize(
    "params",
    [
        {"by": "time", "column": "day", "validation": "2026-01-21", "test": "2026-01-26"},
        {"by": "column", "column": "which", "train": "early", "validation": "late", "test": "last"},
    ],
)
def test_the_rows_of_a_file_of_many_batches_get_their_own_part(tmp_path, params, suffix):
    day = pl.datetime_range(pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 30), "5m", eager=True)
    which = pl.when(day < pl.datetime(2026, 1, 21)).then(pl.lit("early")).when(day < pl.datetime(2026, 1, 26))
    rows = pl.DataFrame({"day": day}).with_columns(which=which.then(pl.lit("late")).otherwise(pl.lit("last")))
    file = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        rows.write_parquet(file, row_group_size=1000)
    else:
        with pa.ipc.new_file(file, rows.to_arrow().schema) as writer:
            for part in rows.iter_slices(1000):
                writer.write_table(part.to_arrow())
    scan = pl.scan_parquet(file) if suffix == "parquet" else pl.scan_ipc(file)
    for _ in range(5):
        labels = deal(scan, SplitParams(**params))
        assert (
            labels.to_list()
            == rows["which"].replace({"early": "train", "late": "validation", "last": "test"}).to_list()
        )


def test_rows_with_a_time_are_drawn_only_with_consent(make_project, capsys):
    load = "import polars as pl\ndef load():\n    return pl.read_parquet('rows.parquet')\n"
    toml = '[steps.load]\npython = "m:load"\n[steps.split]\ninputs = { rows = "load" }\nby = "fraction"\ntest = 0.5\n'
    project = make_project(toml, m=load)
    ROWS.write_parquet(project.root / "rows.parquet")
    assert run(["--project", str(project.root), "run"]) == 1
    error = capsys.readouterr().err
    assert "column 'day' holds times, and by fraction a model learns from rows later than those that judge it" in error
    assert 'Write by = "time", column = "day"; or shuffle_time = true' in error
    project = make_project(f"{toml}shuffle_time = true\n", m=load)
    assert run(["--project", str(project.root), "run"]) == 0


def test_a_split_by_time_needs_times():
    with pytest.raises(DataError, match="not a date or datetime"):
        parts_of(ROWS, SplitParams(by="time", column="carrier", test="2013-01-01"))


def test_the_parts_are_the_steps_outputs():
    from mlopsfw.steps.split import build

    assert build(SplitParams(by="fraction", test=0.2), None).outputs == PARTS
