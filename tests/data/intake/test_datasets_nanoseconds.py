"""Times with digits below a microsecond: refused with the way to load them, and truncated where the type is declared."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.roles.reading import ReadOptions

TEXTS = ["2013-01-01T00:00:00.123456789", "1969-12-31T23:59:59.9999999", None]
NANOSECONDS = [1356998400123456789, -100, None]
TRUNCATED = [datetime(2013, 1, 1, 0, 0, 0, 123456), datetime(1969, 12, 31, 23, 59, 59, 999999), None]  # noqa: DTZ001 - no zone is stored
SUFFIXES = ("csv", "jsonl", "parquet")


@pytest.fixture
def add(project, tmp_path):
    """Write the times as a file of this kind, add it, and return the column."""

    def adding(suffix: str, kind: str = "", zone: str = "", texts=TEXTS, numbers=NANOSECONDS, **bad):
        file = tmp_path / f"x.{suffix}"
        shown = [text and text + ("Z" if zone else "") for text in texts]
        if suffix == "csv":
            file.write_text("".join(f"{text or ''},1\n" for text in ["t", *shown]))
        elif suffix == "jsonl":
            file.write_text("".join(json.dumps({"t": text}) + "\n" for text in shown))
        else:
            pq.write_table(pa.table({"t": pa.array(numbers, pa.timestamp("ns", zone or None))}), file)
        options = ReadOptions(types={"t": kind} if kind else {})
        version = project.datasets.add("d", [file], Change(mode="replace", **bad), csv=options)
        return project.datasets.scan(version).collect()["t"].to_list()

    return adding


@pytest.mark.parametrize("bad", [{}, {"max_bad": 0.5}], ids=["strict", "tolerant"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_declared_type_drops_the_digits_below_a_microsecond(add, suffix, bad):
    assert add(suffix, "timestamp[us]", **bad) == TRUNCATED


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_declared_type_with_a_zone_drops_them_too(add, suffix):
    expected = [time and time.replace(tzinfo=UTC) for time in TRUNCATED]
    assert add(suffix, "timestamp[us, tz=UTC]", "UTC") == expected


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_year_that_nanoseconds_cannot_reach_is_truncated_like_any(add, suffix):
    last = "9999-12-31T23:59:59.9999999"
    assert add(suffix, "timestamp[us]", texts=[TEXTS[0], last])[1] == datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("zone", ["", "UTC"])
def test_undeclared_they_are_refused_and_the_error_says_how_to_load_them(add, suffix, zone):
    with pytest.raises(DataError) as caught:
        add(suffix, zone=zone)
    kind = "timestamp[us, tz=UTC]" if zone else "timestamp[us]"
    assert f'--type "t={kind}"' in caught.value.hint
    assert add(suffix, kind, zone)[0].microsecond == 123456


@pytest.mark.parametrize("kind", ["timestamp[ns]", "timestamp[ns, tz=UTC]"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_type_of_nanoseconds_is_refused_before_a_value_is_read(add, suffix, kind):
    with pytest.raises(UsageError, match=r"column 't': no table can hold timestamp\[ns") as caught:
        add(suffix, kind)
    assert f'"t={kind.replace("ns", "us", 1)}"' in caught.value.hint


def test_a_value_that_is_no_time_is_still_an_error_on_its_own_line(add):
    with pytest.raises(DataError, match=r"x\.csv:4: column 't': invalid value 'x'") as caught:
        add("csv", "timestamp[us]", texts=[*TEXTS[:2], "x"])
    assert caught.value.hint.startswith("Correct the row")


@pytest.mark.parametrize("kind", ["timestamp[ms]", "timestamp[s]", "date32[day]"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_coarser_type_still_drops_nothing(add, suffix, kind):
    with pytest.raises(DataError):
        add(suffix, kind)
