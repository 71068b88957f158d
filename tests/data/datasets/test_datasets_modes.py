"""How rows come in: upserts, watermarks and changed columns, each with the order, the digest and the Delta log that it promises."""

from __future__ import annotations

import datetime as dt
import itertools

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.datasets.versions import DatasetVersion
from mlopsfw.data.tables.digest import table_digest
from mlopsfw.kernel.base.errors import DataError, UnknownName, UsageError

NUMBERS = itertools.count()
UPSERT = Change(mode="upsert", key=("id",))


@pytest.fixture
def datasets(project):
    return project.datasets


def frame(*rows: tuple[object, ...], columns: tuple[str, ...] = ("id", "v")) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=columns, orient="row")


def whole(datasets, version: DatasetVersion) -> list[tuple[object, ...]]:
    """Return the rows after everything that repeats them was found to agree: digest, count, Delta log."""
    found = datasets.scan(version).collect()
    assert version.digest == table_digest(found)
    assert version.rows == found.height
    delta = pl.scan_delta(str(datasets.files(version.name).folder), version=version.table_version).collect()
    assert delta.columns == found.columns
    assert sorted(delta.rows(), key=repr) == sorted(found.rows(), key=repr)
    return found.rows()


def test_an_upsert_keeps_the_newest_row_of_a_key_and_puts_it_last(datasets):
    datasets.commit("d", frame((1, "a"), (2, "b"), (3, "c")))
    version = datasets.commit("d", frame((2, "B"), (4, "d"), (2, "BB")), UPSERT)
    assert whole(datasets, version) == [(1, "a"), (3, "c"), (4, "d"), (2, "BB")]
    assert whole(datasets, datasets.resolve("d", 1)) == [(1, "a"), (2, "b"), (3, "c")]


def test_a_first_upsert_makes_the_dataset_with_one_row_a_key(datasets):
    assert whole(datasets, datasets.commit("d", frame((1, "a"), (1, "b")), UPSERT)) == [(1, "b")]


def test_a_null_key_is_a_key_like_any_other(datasets):
    datasets.commit("d", frame((1, "a"), (None, "b")))
    assert whole(datasets, datasets.commit("d", frame((None, "c")), UPSERT)) == [(1, "a"), (None, "c")]


def test_the_same_upsert_again_makes_no_version(datasets):
    datasets.commit("d", frame((1, "a"), (2, "b")))
    assert datasets.commit("d", frame((1, "A")), UPSERT).new
    assert not datasets.commit("d", frame((1, "A")), UPSERT).new
    assert datasets.tidy("d", older=-10) == []


def test_an_upsert_writes_only_files_that_hold_a_key_anew(datasets):
    datasets.commit("d", frame((1, "a")))
    datasets.commit("d", frame((2, "b")))
    before = {file.path for file in datasets.manifest(datasets.resolve("d")).files}
    after = {file.path for file in datasets.manifest(datasets.commit("d", frame((2, "c")), UPSERT)).files}
    assert len(before & after) == 1


def test_a_key_that_is_no_column_is_named_with_the_nearest(datasets):
    with pytest.raises(UnknownName, match="'idd'"):
        datasets.commit("d", frame((1, "a")), Change(mode="upsert", key=("idd",)))


@pytest.mark.parametrize(
    "change",
    [
        Change(mode="upsert"),
        Change(key=("id",)),
        Change(mode="incremental"),
        Change(mode="append", watermark="at"),
        Change(mode="incremental", watermark="at", lookback=3),
        Change(max_bad=1.0),
    ],
)
def test_changes_whose_parts_do_not_go_together_are_usage_errors(datasets, change):
    with pytest.raises(UsageError):
        datasets.commit("d", frame((1, "a")), change)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), min_size=1, max_size=4))
def test_any_run_of_upserts_equals_a_dictionary(datasets, batches):
    name = f"u{next(NUMBERS)}"
    model: dict[int, int] = {}
    for number, keys in enumerate(batches):
        for place, key in enumerate(keys):
            model.pop(key, None)
            model[key] = number * 10 + place
        rows = frame(*((key, number * 10 + place) for place, key in enumerate(keys)))
        version = datasets.commit(name, rows, UPSERT)
    assert whole(datasets, version) == list(model.items())


# -- incremental -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "greatest"),
    [
        ([1, 5, 9], 5),
        ([1.5, 2.5, 3.5], 2.5),
        ([dt.date(2024, 1, day) for day in (1, 2, 3)], "2024-01-02"),
        ([dt.datetime(2024, 1, 1, hour, tzinfo=dt.UTC) for hour in (1, 2, 3)], "2024-01-01T02:00:00+00:00"),
    ],
)
def test_an_incremental_load_adds_what_is_above_the_greatest_value_and_keeps_that_in_its_event(
    datasets, values, greatest
):
    change = Change(mode="incremental", watermark="id")
    first = datasets.commit("d", frame((values[0], "a"), (values[1], "b")), change)
    assert first.watermark["value"] == greatest
    version = datasets.commit("d", frame((values[0], "late"), (values[1], "again"), (values[2], "c")), change)
    assert [row[1] for row in whole(datasets, version)] == ["a", "b", "c"]
    assert not datasets.commit("d", frame((values[2], "c")), change).new


def test_a_first_incremental_load_goes_on_from_what_the_dataset_has(datasets):
    datasets.commit("d", frame((7, "a")))
    version = datasets.commit("d", frame((7, "x"), (8, "b")), Change(mode="incremental", watermark="id"))
    assert whole(datasets, version) == [(7, "a"), (8, "b")]


def test_late_rows_within_the_lookback_come_by_key(datasets):
    columns = ("id", "at", "v")
    change = Change(mode="incremental", watermark="at", key=("id",), lookback=5)
    datasets.commit("d", frame((1, 10, "a"), (2, 20, "b"), columns=columns), change)
    late = frame((3, 16, "late"), (2, 20, "mended"), (4, 15, "too late"), columns=columns)
    assert whole(datasets, datasets.commit("d", late, change)) == [(1, 10, "a"), (3, 16, "late"), (2, 20, "mended")]
    assert datasets.resolve("d").watermark["value"] == 20


def test_restoring_a_version_brings_its_watermark_back(datasets):
    change = Change(mode="incremental", watermark="id")
    datasets.commit("d", frame((1, "a")), change)
    datasets.commit("d", frame((2, "b")), change)
    datasets.restore("d", 1)
    assert whole(datasets, datasets.commit("d", frame((2, "B")), change)) == [(1, "a"), (2, "B")]


@pytest.mark.parametrize("rows", [frame((1, "a"), (None, "b")), frame((float("nan"), "b"))])
def test_a_row_without_a_watermark_is_refused(datasets, rows):
    with pytest.raises(DataError, match="1 rows have no value"):
        datasets.commit("d", rows, Change(mode="incremental", watermark="id"))


def test_a_text_is_no_watermark(datasets):
    with pytest.raises(DataError, match="cannot be a watermark"):
        datasets.commit("d", frame((1, "a")), Change(mode="incremental", watermark="v"))


# -- columns that differ -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Change(), UPSERT, Change(mode="incremental", watermark="id")])
def test_columns_that_differ_are_named_with_their_types(datasets, mode):
    datasets.commit("d", frame((1, "a")))
    with pytest.raises(DataError, match=r"lack 'v' \(utf8\) and add 'x' \(double\)"):
        datasets.commit("d", frame((2, 1.5), columns=("id", "x")), mode)


def test_added_columns_are_null_where_there_was_no_value(datasets):
    datasets.commit("d", frame((1, "a"), (2, "b")))
    version = datasets.commit("d", frame((3, 1.5), columns=("id", "x")), Change(drift="add"))
    assert whole(datasets, version) == [(1, "a", None), (2, "b", None), (3, None, 1.5)]
    version = datasets.commit(
        "d", frame((1, True), columns=("id", "y")), Change(mode="upsert", key=("id",), drift="add")
    )
    assert whole(datasets, version) == [(2, "b", None, None), (3, None, 1.5, None), (1, None, None, True)]
    assert whole(datasets, datasets.resolve("d", 1)) == [(1, "a"), (2, "b")]


def test_ignored_columns_are_left_out_and_named_in_the_version(datasets):
    datasets.commit("d", frame((1, "a")))
    version = datasets.commit("d", frame((2, 1.5), columns=("id", "x")), Change(drift="ignore"))
    assert whole(datasets, version) == [(1, "a"), (2, None)]
    assert version.intake == {"ignored": ["x"]}


@pytest.mark.parametrize(
    ("known", "coming", "result"),
    [
        (pl.Int8, pl.Int64, "int64"),
        (pl.Int64, pl.Int8, "int64"),
        (pl.Int32, pl.Float64, "double"),
        (pl.Int16, pl.Float32, "float"),
        (pl.Float32, pl.Float64, "double"),
        (pl.Int64, pl.Float64, "int64"),  # not every whole number of 64 bits is a float64
    ],
)
def test_types_widen_only_where_every_value_stays_what_it_was(datasets, known, coming, result):
    datasets.commit("d", pl.DataFrame({"id": pl.Series([1], dtype=known)}))
    version = datasets.commit("d", pl.DataFrame({"id": pl.Series([2], dtype=coming)}), Change(drift="add"))
    assert version.columns == {"id": result}
    assert whole(datasets, version) == [(1,), (2,)]


def test_a_type_that_would_lose_values_is_refused_whatever_the_policy(datasets):
    datasets.commit("d", frame((1, "a")))
    with pytest.raises(DataError, match=r"column 'id' is double .* as int64"):
        datasets.commit("d", frame((1.5, "a")), Change(drift="add"))


def test_text_of_a_dataset_stays_text_when_a_file_looks_like_numbers(datasets, tmp_path):
    (tmp_path / "x.csv").write_text("id,v\n1,a\n")
    datasets.add("d", [tmp_path / "x.csv"])
    (tmp_path / "x.csv").write_text("id,v\n2,007\n")
    assert whole(datasets, datasets.add("d", [tmp_path / "x.csv"], "append")) == [(1, "a"), (2, "007")]
