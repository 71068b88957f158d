"""Feature plans: two executors with the same bits, strict signatures, and plans that can be trusted."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features import Cycle, FeaturePlan, Hash, Lookup, Missing, Ramp, Scale
from mlopsfw.features.size import plan_fits
from mlopsfw.kernel.base.errors import BundleError, DataError, SignatureMismatch, UsageError
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.training import TrainingTask

TASK = TrainingTask(task="binary", target="y")


def column(name, kind, nullable=True):
    return SignatureColumn(name=name, type=kind, nullable=nullable)


EVERYTHING = FeaturePlan(
    inputs=(column("x", "number"), column("n", "integer"), column("b", "boolean"), column("s", "string"), column("d", "date"),
            column("t", "datetime")),
    operations=(
        Lookup(column="s", values=("", "a", "ü")), Scale(column="x", mean=1.5, factor=0.1), Missing(column="x"), Missing(column="b"),
        Ramp(column="x", edges=(-1.0, 0.1, 0.7, 1e6)), Scale(column="n", mean=-3.0, factor=1e-3, limit=2.0), Cycle(column="t", part="hour"),
        Cycle(column="t", part="weekday"), Cycle(column="t", part="month"), Hash(column="s", buckets=7, seed=3),
        Scale(column="b", mean=0.5, factor=2.0), Cycle(column="d", part="weekday"), Cycle(column="d", part="month"),
        Lookup(column="n", values=("1", "-2")), Hash(column="n", buckets=5), Ramp(column="n", edges=(-10.0, 0.0, 1e18)),
    ),
)  # fmt: skip

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8) | st.sampled_from(["a", "ü", ""])
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
ROW = st.fixed_dictionaries(
    {
        "x": st.none() | st.floats(),
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "b": st.none() | st.booleans(),
        "s": st.none() | TEXTS,
        "d": st.none() | st.dates(date(1, 1, 2)),
        "t": st.none() | TIMES,
    }
)
SCHEMA = {
    "x": pl.Float64, "n": pl.Int64, "b": pl.Boolean, "s": pl.String, "d": pl.Date, "t": pl.Datetime("us", "UTC"),
}  # fmt: skip


def same(a, b):
    assert a.keys() == b.keys()
    for name, values in a.items():
        assert values.dtype == b[name].dtype
        assert np.array_equal(values, b[name]), name


@given(st.lists(ROW, max_size=6))
@settings(max_examples=120, deadline=None)
def test_both_executors_give_the_same_bits(rows):
    frame = pl.DataFrame(rows, schema=SCHEMA)
    columns = {name: [row[name] for row in rows] for name in SCHEMA}
    made = EVERYTHING.numpy(columns)
    same(EVERYTHING.polars(frame), made)
    texts = {
        **columns,
        "d": [None if d is None else d.isoformat() for d in columns["d"]],
        "t": [None if t is None else t.isoformat() for t in columns["t"]],
    }
    same(made, EVERYTHING.numpy(texts))
    assert all(np.isfinite(values).all() for values in made.values())
    for at, count in enumerate(EVERYTHING.code_counts):
        assert ((made["categorical"][:, at] >= 0) & (made["categorical"][:, at] < count)).all()


@given(st.lists(ROW, min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_a_row_alone_has_the_features_that_it_has_among_others(rows):
    columns = {name: [row[name] for row in rows] for name in SCHEMA}
    together = EVERYTHING.numpy(columns)
    for at in range(len(rows)):
        alone = EVERYTHING.numpy({name: values[at : at + 1] for name, values in columns.items()})
        same(alone, {name: values[at : at + 1] for name, values in together.items()})


@given(st.lists(ROW, min_size=5, max_size=40), st.data())
@settings(max_examples=30, deadline=None)
def test_a_fitted_plan_runs_the_same_in_both_executors_and_survives_json(rows, data):
    frame = pl.DataFrame(rows, schema=SCHEMA).with_columns(y=pl.lit(1))
    options = {
        "n": {"kind": data.draw(st.sampled_from(["", "category"]))},
        "s": {"buckets": data.draw(st.sampled_from([0, 9]))},
    }
    plan = FeaturePlan.fit(frame, TrainingTask(task="binary", target="y", options=options))
    assert FeaturePlan.from_json(plan.to_json()) == plan
    columns = {name: [row[name] for row in rows] for name in SCHEMA}
    same(plan.polars(frame), plan.numpy(columns))


@pytest.mark.parametrize("values", [[-1.7e308, 1.7e308, 0.5, 0.25, 3.0], [0.0, 9.1e307, 9.2e307, 9.3e307]])
def test_numbers_near_the_largest_are_scaled_to_finite_features(values):
    frame = pl.DataFrame({"x": values, "y": [n % 2 for n in range(len(values))]})
    plan = FeaturePlan.fit(frame, TASK)
    made = plan.numpy({"x": values})
    same(plan.polars(frame), made)
    assert all(np.isfinite(part).all() for part in made.values())


def test_a_column_may_be_a_list_an_array_an_arrow_array_or_a_series():
    plan = FeaturePlan.fit(
        pl.DataFrame({"x": [1.0, 2.0, 5.0], "s": ["a", "b", "a"], "n": [1, 2, 3], "b": [True, False, True], "y": 1}),
        TASK,
    )
    lists = {"x": [1.0, 2.0], "s": ["a", "c"], "n": [3, 4], "b": [True, False]}
    expected = plan.numpy(lists)
    for make in (np.array, pa.array, pl.Series, tuple):
        same(expected, plan.numpy({name: make(values) for name, values in lists.items()}))


def test_missing_unknown_and_known_categories_have_codes_of_their_own():
    plan = FeaturePlan(inputs=(column("s", "string"),), operations=(Lookup(column="s", values=("a", "b")),))
    assert plan.numpy({"s": [None, "a", "b", "c"]})["categorical"].ravel().tolist() == [0, 1, 2, 3]


def test_nan_counts_as_missing_and_infinity_stops_at_the_limit():
    operations = (Scale(column="x", mean=0.0, factor=1.0, limit=5.0), Missing(column="x"))
    plan = FeaturePlan(inputs=(column("x", "number"),), operations=operations)
    made = plan.numpy({"x": [None, float("nan"), float("inf"), -float("inf"), 2]})["numeric"]
    assert made.tolist() == [[0, 1], [0, 1], [5, 0], [-5, 0], [2, 0]]


def test_edges_that_are_integers_have_the_widths_of_floats():
    plans = [
        FeaturePlan(inputs=(column("x", "number"),), operations=(Ramp(column="x", edges=edges),))
        for edges in ((0, 10, 20), (0.0, 10.0, 20.0))
    ]
    whole, floats = (plan.numpy({"x": [5.0, 15.0]})["numeric"] for plan in plans)
    assert whole.tolist() == floats.tolist() == [[0.5, 0.0], [1.0, 0.5]]


def test_zones_are_the_same_moment():
    plan = FeaturePlan(inputs=(column("t", "datetime"),), operations=(Cycle(column="t", part="hour"),))
    a, b = (plan.numpy({"t": [text]}) for text in ("2013-04-01T06:30:00-05:00", "2013-04-01T11:30:00Z"))
    same(a, b)
    zoned = pl.DataFrame({"t": [datetime(2013, 4, 1, 11, 30, tzinfo=UTC)]}).select(
        pl.col("t").dt.convert_time_zone("America/New_York")
    )
    same(a, plan.polars(zoned))


STRICT = FeaturePlan(
    inputs=(column("x", "number", nullable=False), column("n", "integer", nullable=False), column("b", "boolean", nullable=False),
            column("s", "string", nullable=False), column("d", "date", nullable=False), column("t", "datetime", nullable=False)),
    operations=EVERYTHING.operations,
)  # fmt: skip
GOOD = {"x": 1.0, "n": 2, "b": True, "s": "a", "d": "2013-04-01", "t": "2013-04-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("x", "1.0"), ("x", True), ("x", None), ("x", float("nan")), ("x", [1.0]), ("x", {}), ("x", 10**400),
        ("n", 1.5), ("n", "1"), ("n", False), ("n", None), ("n", 2**63), ("n", -(2**70)), ("n", float("inf")),
        ("b", 1), ("b", 0.0), ("b", "true"), ("b", None), ("s", 1), ("s", None), ("s", b"a"), ("s", True),
        ("d", "2013-02-30"), ("d", "2013-4-1"), ("d", "2013-04-01T00:00:00Z"), ("d", 20130401), ("d", None),
        ("t", "2013-04-01"), ("t", "2013-04-01T00:00:00"), ("t", "yesterday"), ("t", 0), ("t", None), ("t", "2013-13-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_a_value_that_its_column_cannot_hold_is_named_by_column_and_row(name, wrong):
    columns = {key: [value] * 3 for key, value in GOOD.items()}
    columns[name] = [GOOD[name], GOOD[name], wrong]
    with pytest.raises(SignatureMismatch) as caught:
        STRICT.numpy(columns)
    assert (caught.value.column, caught.value.row) == (name, 2)
    STRICT.numpy({key: [value] for key, value in GOOD.items()})


def test_a_lone_surrogate_is_refused_by_column():
    with pytest.raises(SignatureMismatch) as caught:
        STRICT.numpy({key: ["\ud800"] if key == "s" else [value] for key, value in GOOD.items()})
    assert caught.value.column == "s"


def test_whole_floats_are_integers_and_integers_are_numbers():
    made = STRICT.numpy({key: [{"n": 2.0, "x": 1}.get(key, value)] for key, value in GOOD.items()})
    same(made, STRICT.numpy({key: [value] for key, value in GOOD.items()}))


def test_a_missing_column_and_columns_of_other_lengths_are_refused():
    with pytest.raises(SignatureMismatch, match="'n'"):
        STRICT.numpy({key: [value] for key, value in GOOD.items() if key != "n"})
    with pytest.raises(SignatureMismatch, match="length"):
        STRICT.numpy({key: [value] * (2 if key == "n" else 1) for key, value in GOOD.items()})


def test_a_table_with_a_column_of_another_type_or_without_one_is_refused():
    frame = pl.DataFrame({"x": ["a"], "s": ["a"]})
    plan = FeaturePlan(inputs=(column("x", "number"),), operations=(Missing(column="x"),))
    with pytest.raises(SignatureMismatch, match="String"):
        plan.polars(frame)
    with pytest.raises(SignatureMismatch, match="'x'"):
        plan.polars(frame.drop("x"))


PLAN = msgspec.to_builtins(
    FeaturePlan(inputs=(column("x", "number"), column("s", "string")), operations=(Missing(column="x"),))
)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"inputs": []}, {"more": 1}, {"operations": [{"op": "eval", "column": "x", "code": "1"}]},
        {"operations": [{"op": "missing", "column": "z"}]}, {"operations": [{"op": "missing", "column": "s"}]},
        {"operations": [{"op": "hash", "column": "x", "buckets": 8}]}, {"operations": [{"op": "hash", "column": "s", "buckets": 1}]},
        {"operations": [{"op": "hash", "column": "s", "buckets": 1 << 40}]},
        {"operations": [{"op": "hash", "column": "s", "buckets": 8, "seed": -1}]},
        {"operations": [{"op": "ramp", "column": "x", "edges": [1.0]}]}, {"operations": [{"op": "ramp", "column": "x", "edges": [0.0, 2e-309]}]},
        {"operations": [{"op": "ramp", "column": "x", "edges": [-1e308, 1e308]}]}, {"operations": [{"op": "ramp", "column": "x", "edges": [2.0, 1.0]}]},
        {"operations": [{"op": "lookup", "column": "s", "values": ["a", "a"]}]},
        {"operations": [{"op": "scale", "column": "x", "mean": 0.0, "factor": 0.0}]},
        {"operations": [{"op": "cycle", "column": "x", "part": "hour"}]}, {"inputs": PLAN["inputs"] * 2},
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_run_is_refused(change):
    with pytest.raises(BundleError):
        FeaturePlan.from_json(msgspec.json.encode(PLAN | change))


@pytest.mark.parametrize("data", [b"", b"null", b"[" * 100_000, b"\x80\x04.", b'{"inputs":[],"operations":[]'])
def test_what_is_no_plan_is_refused(data):
    with pytest.raises(BundleError):
        FeaturePlan.from_json(data)


def test_fitting_chooses_by_type_and_by_how_many_categories_there_are():
    rows = 4000
    frame = pl.DataFrame(
        {"few": ["a", "b"] * (rows // 2), "many": [f"N{i % 1300}" for i in range(rows)], "x": np.linspace(0, 1, rows), "flag": [True] * rows,
         "day": [date(2013, 1, 1) + timedelta(days=i % 365) for i in range(rows)], "gap": [None, 1.0] * (rows // 2), "y": [0, 1] * (rows // 2)}
    )  # fmt: skip
    plan = FeaturePlan.fit(frame, TASK)
    kinds = {}
    for operation in plan.operations:
        kinds.setdefault(operation.column, []).append(type(operation).__name__)
    assert kinds == {"few": ["Lookup"], "many": ["Hash"], "x": ["Scale", "Ramp"], "flag": ["Scale"], "day": ["Cycle", "Cycle"],
                     "gap": ["Scale", "Missing"]}  # fmt: skip
    assert [c.name for c in plan.inputs if c.nullable] == ["gap"]
    assert {c.name: c.type for c in plan.inputs}["day"] == "date"


def test_personal_columns_leave_no_value_in_the_plan():
    frame = pl.DataFrame({"who": ["Ada Lovelace", "Ada Lovelace", "Ada Lovelace", "Grace"], "y": [0, 1, 0, 1]})
    task = TrainingTask(task="binary", target="y", options={"who": {"pii": True}})
    assert b"Ada" not in FeaturePlan.fit(frame, task).to_json()


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"features": ("x", "zz")}, DataError, "zz"), ({"features": ("x", "y")}, UsageError, "target"), ({"exclude": ("x", "s")}, DataError, "no feature column"),
        ({"options": {"x": {"bucket": 3}}}, UsageError, "bucket"), ({"options": {"s": {"kind": "number"}}}, UsageError, "cannot be a number"),
        ({"options": {"x": {"kind": "category"}}}, UsageError, "cannot be a category"),
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_granted_is_refused(more, error, words):
    frame = pl.DataFrame({"x": [1.0, 2.0], "s": ["a", "b"], "y": [0, 1]})
    with pytest.raises(error, match=words):
        FeaturePlan.fit(frame, TrainingTask(task="binary", target="y", **more))


def test_serving_imports_neither_polars_nor_arrow():
    code = (
        "import sys\nfrom mlopsfw.features import FeaturePlan\n"
        f"FeaturePlan.from_json({EVERYTHING.to_json()!r}).numpy({ {k: [v] for k, v in GOOD.items()}!r})\n"
        "assert not {'polars', 'pyarrow', 'pandas', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_memory_that_is_no_size_is_a_usage_error():
    rows = TableHandle.of(pl.DataFrame({"x": [1.0], "y": [2.0]}))
    with pytest.raises(UsageError, match="not a size"):
        plan_fits(rows, None, TrainingTask(task="regression", target="y"), "1")
