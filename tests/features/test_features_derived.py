"""Derived columns: what training makes of a table, serving makes of one row of it, bit for bit; and nothing outside the closed set."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw.features import FeaturePlan, Lookup, Missing, Scale
from mlopsfw.features.derive import Derivation, with_derived
from mlopsfw.features.expressions import KINDS, columns_of, joined, kind_of, parse
from mlopsfw.features.functions import FUNCTIONS
from mlopsfw.features.recipe import LookupTable, derived_columns
from mlopsfw.kernel.base.errors import BundleError, DataError, SignatureMismatch, UsageError
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.derived import Call, Column, Constant, Derived
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.models.bundle.scoring import request_values

SCHEMA = pl.Schema(
    {"x": pl.Float64, "n": pl.Int64, "b": pl.Boolean, "s": pl.String, "d": pl.Date, "t": pl.Datetime("us", "UTC")}
)
TYPES = {"x": "number", "n": "integer", "b": "boolean", "s": "string", "d": "date", "t": "datetime"}
INPUTS = tuple(SignatureColumn(name=name, type=kind, nullable=True) for name, kind in TYPES.items())
COLUMN_KINDS = {name: KINDS[kind] for name, kind in TYPES.items()}
PLANES = pl.DataFrame({"tail": ["a", "ü", "N1"], "seats": [2, None, 189], "maker": ["X", "Y", None]})
TABLES = {"planes": LookupTable("planes", PLANES, "tail").find}

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=6) | st.sampled_from(["a", "ü", "N1", ""])
ROW = st.fixed_dictionaries(
    {
        "x": st.none() | st.floats() | st.sampled_from([0.0, -0.0, 0.1, 7.0]),
        "n": st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 2400),
        "b": st.none() | st.booleans(),
        "s": st.none() | TEXTS,
        "d": st.none() | st.dates(date(1, 1, 2)),
        "t": st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    }
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: Constant(value=value))


@st.composite
def expressions(draw, kind, deep=3):
    """Draw an expression of a kind, out of every function of the set."""
    leaves = [Column(name=name) for name, each in COLUMN_KINDS.items() if each == kind]
    if kind == "number":
        leaves.append(draw(NUMBERS))
    if kind == "string":
        leaves.append(Constant(value=draw(TEXTS)))
    if kind == "local":
        zone = draw(st.sampled_from(["America/New_York", "Asia/Kathmandu", "UTC"]))
        return Call(function="in_zone", arguments=(draw(expressions("datetime", 1)), Constant(value=zone)))
    if deep == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(leaves)) if leaves else draw(expressions(kind, 1))
    if kind in ("number", "string") and draw(st.integers(0, 6)) == 0:
        return TABLES["planes"]("seats" if kind == "number" else "maker", draw(expressions("string", deep - 1)))
    names = [name for name, each in FUNCTIONS.items() if each.gives in (kind, "same")]
    name = draw(st.sampled_from(names))
    function = FUNCTIONS[name]
    same = kind if function.gives == "same" else draw(st.sampled_from(["number", "string", "datetime", "boolean"]))
    takes = [*function.takes, *function.takes[-1:] * (draw(st.integers(0, 2)) if function.more else 0)]
    return Call(
        function=name, arguments=tuple(draw(expressions(same if each == "same" else each, deep - 1)) for each in takes)
    )


@st.composite
def plans(draw):
    """Draw a plan with derived columns, the later of which may use the earlier."""
    derived, operations = [], []
    for at in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["number", "boolean", "string"]))
        expression = draw(expressions(kind))
        if derived and draw(st.booleans()):
            before = derived[-1]
            if before.type == "number":
                kind, expression = "number", Call(function="add", arguments=(Column(name=before.name), parse("x")))
        each = Derived(name=f"made{at}", type="string" if kind == "string" else "number", expression=expression)
        derived.append(each)
        if each.type == "string":
            operations.append(Lookup(column=each.name, values=("", "a", "X", "N1", "1")))
        else:
            operations += [Scale(column=each.name, mean=0.25, factor=0.3), Missing(column=each.name)]
    return FeaturePlan(inputs=INPUTS, operations=tuple(operations), derived=tuple(derived))


def same(a, b):
    assert a.keys() == b.keys()
    for name, values in a.items():
        assert values.dtype == b[name].dtype
        assert values.tobytes() == b[name].tobytes()


@settings(max_examples=250, deadline=None)
@given(plans(), st.lists(ROW, min_size=1, max_size=12))
def test_one_row_at_a_time_through_serving_is_the_whole_table_through_training_bit_for_bit(plan, rows):
    plan = FeaturePlan.from_json(plan.to_json())
    frame = pl.DataFrame(rows, schema=SCHEMA)
    trained = plan.polars(frame)
    for row, values in enumerate(rows):
        sent = {
            name: request_values(frame[row : row + 1][name], column) for name, column in zip(TYPES, INPUTS, strict=True)
        }
        as_json = {
            name: [value] if name == "x" else msgspec.json.decode(msgspec.json.encode(sent[name]))
            for name, value in values.items()
        }
        same({name: made[row : row + 1] for name, made in trained.items()}, plan.numpy(as_json))


VALUES = {
    "x": [1.5, None, -4.0, 0.0], "n": [5, 1330, None, 0], "b": [True, False, None, True], "s": ["a", None, "N1", "zz"],
    "d": [date(2013, 7, 4), None, date(2000, 2, 29), date(1969, 12, 31)],
    "t": [datetime(2013, 7, 4, 3, 59, tzinfo=UTC), None, datetime(2013, 3, 10, 7, 0, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)],
}  # fmt: skip


x, n, b, s, d, t = (pl.col(name) for name in TYPES)
WRITTEN = [
    ("n // 100 * 60 + n % 100", n // 100 * 60 + n % 100),
    ("x / 3 - -x * 0.1", x / 3 - -x * 0.1),
    ("(x + n).abs().sqrt().log1p()", (x + n).abs().sqrt().log1p()),
    ("x.clip(-1, 1)", x.clip(-1, 1)),
    ("x ** 2 + n.abs().pow(0.5)", x**2 + n.abs().pow(0.5)),
    ("2 ** x", pl.lit(2.0) ** x),
    ("(x / 7).round(2) + x.round()", (x / 7).round(2) + x.round()),
    ("(n / 1440 * 6.283185307179586).sin() + x.cos()", (n / 1440 * 6.283185307179586).sin() + x.cos()),
    ("x.sign() + (n + 1).log10()", x.sign() + (n + 1).log10()),
    ("s.str.contains('N', literal=True)", s.str.contains("N", literal=True)),
    ("s.str.replace_all('z', 'yy', literal=True)", s.str.replace_all("z", "yy", literal=True)),
    ("(t - d).dt.total_hours()", (t - d.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).dt.total_hours()),
    ("(d - t).dt.total_minutes()", (d.cast(pl.Datetime("us")).dt.replace_time_zone("UTC") - t).dt.total_minutes()),
    ("(d - t).dt.total_days() + (t - d).dt.total_seconds()",
     (d.cast(pl.Datetime("us")).dt.replace_time_zone("UTC") - t).dt.total_days()
     + (t - d.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")).dt.total_seconds()),
    ("x.exp().floor() + x.ceil()", x.exp().floor() + x.ceil()),
    ("(x > 0) & (n < 100)", (x > 0) & (n < 100)),
    ("(x > 0) | b", (x > 0) | b),
    ("~b", ~b),
    ("x.is_null()", x.is_null()),
    ("x.is_not_null()", x.is_not_null()),
    ("x.fill_null(7) + n.fill_null(0)", x.fill_null(7) + n.fill_null(0)),
    ("n.is_in([5, 0])", n.is_in([5, 0])),
    ("s.is_in(['a', 'q'])", s.is_in(["a", "q"])),
    ("x.is_between(0, 2)", x.is_between(0, 2)),
    ("when(x > 1).then(10).when(n == 0).then(20).otherwise(x)", pl.when(x > 1).then(10).when(n == 0).then(20).otherwise(x)),
    ("when(b).then(s).otherwise(lit('no'))", pl.when(b).then(s).otherwise(pl.lit("no"))),
    ("s.str.to_uppercase() + '-'", s.str.to_uppercase() + "-"),
    ("s.str.slice(1, 2)", s.str.slice(1, 2)),
    ("s.str.slice(-1, 1)", s.str.slice(-1, 1)),
    ("s.str.len_chars()", s.str.len_chars()),
    ("s.str.starts_with('N')", s.str.starts_with("N")),
    ("s.str.strip_chars()", s.str.strip_chars()),
    ("n.cast(String)", n.cast(pl.String)),
    ("coalesce(x, n)", pl.coalesce(x, n)),
    ("max_horizontal(x, n)", pl.max_horizontal(x, n)),
    ("min_horizontal(x, n, 3)", pl.min_horizontal(x, n, 3)),
    ("t.dt.hour() * 60 + t.dt.minute()", t.dt.hour().cast(pl.Int64) * 60 + t.dt.minute()),
    ("t.dt.convert_time_zone('America/New_York').dt.hour()", t.dt.convert_time_zone("America/New_York").dt.hour()),
    ("t.dt.convert_time_zone('America/New_York').dt.weekday()", t.dt.convert_time_zone("America/New_York").dt.weekday()),
    ("d.dt.ordinal_day()", d.dt.ordinal_day()),
    ("d.dt.day() + d.dt.month() * 100", d.dt.day().cast(pl.Int64) + d.dt.month().cast(pl.Int64) * 100),
    ("d.dt.year()", d.dt.year()),
    ("col('x') == pl.col('n')", pl.col("x") == pl.col("n")),
    ("s != 'a'", s != "a"),
    ("t > d", t > d.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")),
    ("d.dt.weekday() >= 6", d.dt.weekday() >= 6),
]  # fmt: skip


@pytest.mark.parametrize(("text", "meant"), WRITTEN, ids=[text for text, _ in WRITTEN])
def test_an_expression_is_what_polars_makes_of_it(text, meant):
    frame = pl.DataFrame(VALUES, schema=SCHEMA)
    (derived,) = derived_columns({"y": text}, frame.schema, {})
    made = with_derived(frame, (derived,), columns_of(derived.expression))["y"]
    expected = frame.select(meant.alias("y"))["y"]
    if derived.type == "string":
        assert made.to_list() == expected.to_list()
    else:
        numbers = expected.cast(pl.Float64).fill_null(float("nan"))
        np.testing.assert_allclose(made.to_numpy(), numbers.to_numpy(), rtol=1e-12)


def test_a_table_says_what_it_knows_of_a_key_and_nothing_of_another():
    frame = pl.DataFrame({"tail": ["a", "ü", "?", None]})
    (seats, maker) = derived_columns(
        {"seats": "planes[tail].seats", "maker": "planes[tail]['maker'].fill_null('none')"}, frame.schema, TABLES
    )
    plan = FeaturePlan(
        inputs=(SignatureColumn(name="tail", type="string", nullable=True),), derived=(seats, maker),
        operations=(Scale(column="seats", mean=0.0, factor=1.0, limit=500.0), Missing(column="seats"), Lookup(column="maker", values=("X",))),
    )  # fmt: skip
    made = FeaturePlan.from_json(plan.to_json()).numpy({"tail": ["a", "ü", "?", None]})
    assert made["numeric"].tolist() == [[2, 0], [0, 1], [0, 1], [0, 1]]
    assert made["categorical"].tolist() == [[1], [2], [2], [2]]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "x.__class__", "open('f')", "(lambda: x)()", "[x for x in s]", "x.map_elements(abs)", "x if b else n",
        "x and n", "0 < x < 1", "x.sum()", "x.mean().over('s')", "x.shift(1)", "pl.read_csv('f')", "f'{x}'", "x := 1", "1e400 * x", "x @ 2", "s.str.contains('N')", "s.str.replace_all('N', '', literal=False)", "t.dt.total_days()", "(x - n).dt.total_days()",
        "when(b).then(1)", "planes[s]", "boats[s].seats", "planes[s].wings", "y + 1", "x + s", "s.dt.hour()", "t", "-" * 6000 + "x",
        "t.dt.convert_time_zone('Mars/Base')", "t.dt.convert_time_zone('../../etc/passwd').dt.hour()", "planes[x].seats", "", "x +",
        "t.dt.convert_time_zone('UTC') == t", "x" * 20_000,
    ],
)  # fmt: skip
def test_what_is_not_row_wise_or_not_in_the_closed_set_is_refused(text):
    with pytest.raises(UsageError, match="made"):
        derived_columns({"made": text}, SCHEMA, TABLES)


def test_a_column_that_is_there_already_is_not_derived_a_second_time():
    with pytest.raises(UsageError, match="already have a column 'x'"):
        derived_columns({"x": "n + 1"}, SCHEMA, {})


def test_a_derived_column_may_use_those_before_it_and_only_what_is_used_is_asked_for():
    frame = pl.DataFrame({"n": [1, 2, 3], "x": [0.5, 0.1, 0.2], "y": [True, False, True]})
    derived = derived_columns({"m": "n * 2", "k": "m + 1", "idle": "x + 1"}, frame.schema, {})
    plan = FeaturePlan.fit(frame, TrainingTask(task="binary", target="y", features=("k",), derived=derived))
    assert [each.name for each in plan.derived] == ["m", "k"]
    assert [each.name for each in plan.inputs] == ["n"]
    with pytest.raises(SignatureMismatch, match="'n'"):
        plan.numpy({"k": [1]})


@pytest.mark.parametrize(
    ("rows", "key", "error"),
    [
        (PLANES, "tall", "tail"), (pl.concat([PLANES, PLANES]), "tail", "more than once"), (PLANES.with_columns(tail=0.5), "tail", "a key must be"),
        (pl.DataFrame({"k": range(100_001)}), "k", "at most 100,000"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_looked_up_in_is_refused(rows, key, error):
    with pytest.raises(DataError) as refused:
        LookupTable("planes", rows, key)
    assert error in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("column", ["tail", "seats"])
def test_no_personal_column_becomes_part_of_a_model(column):
    with pytest.raises(UsageError, match="personal"):
        LookupTable("planes", PLANES, "tail", {column}).find("seats", Column(name="s"))


@pytest.mark.parametrize(
    "expression",
    [
        Call(function="system", arguments=(Column(name="x"),)), Call(function="add", arguments=(Column(name="x"),)), Column(name="zz"),
        Call(function="in_zone", arguments=(Column(name="t"), Column(name="s"))), Call(function="hour", arguments=(Column(name="x"),)),
    ],
)  # fmt: skip
def test_a_plan_with_what_cannot_be_run_is_not_loaded(expression):
    plan = FeaturePlan(
        inputs=INPUTS, operations=(), derived=(Derived(name="made", type="number", expression=expression),)
    )
    with pytest.raises(BundleError, match="made"):
        FeaturePlan.from_json(plan.to_json())


def test_texts_are_joined_and_numbers_added():
    assert joined(parse("s + 'a'"), COLUMN_KINDS).function == "concat"
    assert kind_of(joined(parse("b + x"), COLUMN_KINDS), COLUMN_KINDS) == "number"
    derivation = Derivation(derived_columns({"y": "x / 0"}, SCHEMA, {}))
    assert np.isnan(derivation.run({"x": np.array([1.0, 0.0])}, 2)["y"]).all()


def test_what_is_made_of_a_personal_column_is_personal():
    frame = pl.DataFrame({"mail": ["Ann@x", "Bob@x"] * 9, "age": [31.5, 47.25] * 9, "y": [True, False] * 9})
    derived = derived_columns(
        {"low": "mail.str.to_lowercase()", "who": "low.str.slice(0, 3)", "old": "age + 1"}, frame.schema, {}
    )
    task = TrainingTask(
        task="binary", target="y", features=("who", "old"), derived=derived, options={"mail": {"pii": True}, "age": {"pii": True}}
    )  # fmt: skip
    written = FeaturePlan.fit(frame, task).to_json()
    assert b"ann" not in written
    assert b"47.25" not in written
    assert b"48.25" not in written


def test_a_plan_cannot_fill_memory_by_doubling_a_text():
    made = [Derived(name="t0", type="string", expression=Column(name="s"))]
    for at in range(60):
        before = Column(name=f"t{at}")
        made.append(
            Derived(name=f"t{at + 1}", type="string", expression=Call(function="concat", arguments=(before, before)))
        )
    plan = FeaturePlan(inputs=INPUTS, operations=(Lookup(column="t60", values=("a",)),), derived=tuple(made))
    row = {name: [None] for name in TYPES} | {"s": ["abcd"]}
    assert FeaturePlan.from_json(plan.to_json()).numpy(row)["categorical"].tolist() == [[0]]
