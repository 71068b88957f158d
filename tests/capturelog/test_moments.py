"""A text becomes a moment in one place, and whatever the text is, what comes back is a moment that has a place, or an error that says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from mlopsfw.capturelog.times import Bounds, event_micros, micros, now_micros
from mlopsfw.cli import run
from mlopsfw.data.tables.calendar import instant_literal
from mlopsfw.features.times import Unreadable, read_times
from mlopsfw.governance.subject import Subject
from mlopsfw.kernel.base.errors import ConfigError, DataError, MlopsfwError, UsageError
from mlopsfw.kernel.base.spans import duration
from mlopsfw.monitoring.window_bounds import moment as window_bound
from mlopsfw.monitoring.window_bounds import time_zone
from mlopsfw.project.facade import Project

NOW = now_micros(datetime(2026, 6, 1, tzinfo=UTC).timestamp())
NO_YEAR = ["0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00.000001+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T12:00:00-23:59"]  # fmt: skip
UTC_COLUMN = pl.Datetime("us", "UTC")

READERS: dict[str, tuple[Callable[[str], Any], type[MlopsfwError]]] = {
    "micros": (micros, DataError),
    "micros of a datetime": (lambda text: micros(datetime.fromisoformat(text)), DataError),
    "an event's time": (event_micros, DataError),
    "an event's time at an endpoint": (lambda text: Bounds().micros(text, NOW), DataError),
    "a feature": (lambda text: read_times([text], dates=False), Unreadable),
    "a bound of a window": (window_bound, DataError),
    "a limit of a split or a contract": (lambda text: instant_literal(text, UTC_COLUMN), UsageError),
}


@pytest.fixture
def trips(make_project: Callable[..., Project]) -> Project:
    project = make_project()
    project.datasets.commit("trips", pl.DataFrame({"x": [1]}))
    return project


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", NO_YEAR)
def test_a_time_without_a_year_in_utc_is_refused_wherever_it_enters(reader: str, text: str) -> None:
    read, error = READERS[reader]
    with pytest.raises(error, match="outside the years 1 to 9999"):
        read(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "1677-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "9999-12-31T00:00:00Z"])  # fmt: skip
@pytest.mark.parametrize("reader", ["an event's time", "an event's time at an endpoint", "a bound of a window"])
def test_nothing_happens_before_1678_or_after_2261(reader: str, text: str) -> None:
    with pytest.raises(DataError, match="1678 to 2261"):
        READERS[reader][0](text)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "1677-12-31"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_a_date_that_bounds_a_window_is_bounded_too(text: str, zone: str) -> None:
    with pytest.raises(DataError, match=r"1678 to 2261|1 to 9999 in UTC"):
        window_bound(text, time_zone(zone))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_value_of_data_may_stand_for_ever(text: str) -> None:
    assert read_times([text], dates=False).tolist() == [micros(text)]


@pytest.mark.parametrize("zone", [timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
def test_a_subject_that_is_no_moment_is_nobody_rather_than_an_error(zone: timezone) -> None:
    edge = (
        datetime(1, 1, 1, tzinfo=zone)
        if zone.utcoffset(None) > timedelta(0)
        else datetime(9999, 12, 31, 23, tzinfo=zone)
    )
    assert Subject("at", edge.isoformat(), b"k").rows({"at": pl.Datetime("us")}) is None


@pytest.mark.parametrize(
    ("ago", "says"),
    [(timedelta(days=-2), "ahead of the clock"), (timedelta(days=36_501), "before the clock")],
    ids=["ahead", "long ago"],
)
def test_an_event_further_from_now_than_the_bounds_is_refused_with_the_setting_that_moves_them(
    ago: timedelta, says: str
) -> None:
    stamp = datetime.fromtimestamp(NOW / 1e6, UTC) - ago
    with pytest.raises(DataError, match=says) as refused:
        Bounds().micros(stamp, NOW)
    assert "[capture] max_event_" in refused.value.hint
    assert Bounds(timedelta(days=40_000), timedelta(days=3)).micros(stamp, NOW) == micros(stamp)


@pytest.mark.parametrize("stamp", ["2013-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-06-01T13:59:00Z"])
def test_by_default_history_may_be_replayed_and_a_clock_may_be_wrong_by_hours(stamp: str) -> None:
    assert Bounds().micros(stamp, NOW) == micros(stamp)


@pytest.mark.parametrize("text", ["99999999999d", "1e9d", "73051d", "9" * 400 + "w", "200w 80000d", "999999w"])
def test_a_length_of_time_that_leaves_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        duration(text)


LENGTHS = {
    "monitor replay": ("monitor", "replay", "delay", "--every"),
    "monitor watch": ("monitor", "watch", "delay", "--zone", "Mars/Olympus", "--every"),
    "monitor watch, its delay": ("monitor", "watch", "delay", "--every", "0d", "--delay"),
    "alerts silence": ("alerts", "silence", "delay", "--for"),
    "data vacuum": ("data", "vacuum", "trips", "--dry-run", "--older-than"),
}


@pytest.mark.parametrize("reader", LENGTHS)
@pytest.mark.parametrize("text", ["", "7", "d", "soon", "-1d", "1y", "1d 12"])
def test_what_is_no_length_of_time_is_refused_by_every_verb(
    trips: Project, reader: str, text: str, capsys: Any
) -> None:
    if not text and reader == "data vacuum":
        return  # no limit of age
    assert run(["--project", str(trips.root), *LENGTHS[reader], text]) == 2
    assert "is not a length of time" in capsys.readouterr().err


@pytest.mark.parametrize("reader", LENGTHS)
@pytest.mark.parametrize("text", ["90s", "15m", "1d 12h", "1.5w", "7 d"])
def test_one_grammar_of_lengths_holds_for_every_verb(trips: Project, reader: str, text: str, capsys: Any) -> None:
    run(["--project", str(trips.root), *LENGTHS[reader], text])
    assert "length of time" not in capsys.readouterr().err


def test_the_bounds_are_a_setting_that_is_read_before_anything_runs(make_project: Callable[..., Project]) -> None:
    project = make_project('[capture]\nmax_event_age = "90d"\nmax_event_lead = "1d 12h"\n')
    assert Bounds.of(project.config.capture) == Bounds(timedelta(days=90), timedelta(hours=36))


@pytest.mark.parametrize("wrong", ['max_event_age = "soon"', 'max_event_lead = ""', 'max_event_lead = "99999999w"', "max_event = 3"])  # fmt: skip
def test_a_wrong_bound_is_an_error_of_the_file_with_its_line(make_project: Callable[..., Project], wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"mlopsfw\.toml:5: capture\.max_event"):
        make_project(f"[capture]\n{wrong}\n")
