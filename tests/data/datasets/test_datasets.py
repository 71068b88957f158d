"""Datasets: versions by number and digest, what is refused, what comes back, and what other readers of the Delta table see."""

from __future__ import annotations

import datetime as dt
import errno
import gzip
import json
import os
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.data.tables import parquet
from mlopsfw.data.tables.digest import BLOCK, table_digest
from mlopsfw.kernel.base.errors import (
    Corrupt,
    DataError,
    NotFound,
    ReferenceChanged,
    StorageFull,
    UnknownName,
    UsageError,
)
from mlopsfw.kernel.roles.reading import ReadOptions

FIRST = pl.DataFrame({"id": [1, 2, 3], "name": ["a", None, "c"]})
MORE = pl.DataFrame({"id": [4], "name": ["d"]})


@pytest.fixture
def datasets(project):
    return project.datasets


def folder(project, name="flights") -> Path:
    return Path(project.storage.table_location(f"datasets/{name}").uri)


def test_versions_are_numbered_from_one_and_each_stays_readable(datasets):
    assert [datasets.commit("flights", rows).version for rows in (FIRST, MORE)] == [1, 2]
    assert datasets.scan("flights", 1).collect().equals(FIRST)
    assert datasets.scan("data:/flights@2").collect().equals(pl.concat([FIRST, MORE]))
    assert datasets.scan("flights").collect().equals(pl.concat([FIRST, MORE]))
    assert [version.version for version in datasets.log("flights")] == [2, 1]


def test_a_versions_digest_is_that_of_its_rows_however_they_were_added(datasets):
    whole = pl.concat([FIRST, MORE])
    datasets.commit("grown", FIRST)
    grown = datasets.commit("grown", MORE)
    at_once = datasets.commit("whole", whole.to_arrow().to_batches(max_chunksize=1), "replace")
    assert grown.digest == at_once.digest == table_digest(whole)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, BLOCK + 10), min_size=1, max_size=4), st.integers(0, 10**6))
def test_appends_of_any_size_keep_order_and_digest(datasets, sizes, start):
    whole = pl.DataFrame({"id": range(start, start + sum(sizes))})
    name, at = f"d{start}-{len(sizes)}-{sum(sizes)}", 0
    for size in sizes:
        version = datasets.commit(name, whole.slice(at, size), force=True)
        at += size
    assert version.digest == table_digest(whole) or version.version > len(sizes)
    assert datasets.scan(version).head(sum(sizes)).collect().equals(whole)


def test_rows_spread_over_several_files_keep_their_order(datasets, monkeypatch):
    monkeypatch.setattr(parquet, "_FILE_ROWS", 10)
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 4)
    rows = pl.DataFrame({"id": range(37)})
    version = datasets.commit("flights", rows.to_arrow().to_batches(max_chunksize=3))
    assert len(datasets.manifest(version).files) > 2
    assert datasets.scan(version).collect().equals(rows)
    more = datasets.commit("flights", rows)
    assert datasets.scan(more).collect().equals(pl.concat([rows, rows]))


def test_the_same_content_again_makes_no_version_unless_forced(datasets):
    first = datasets.commit("flights", FIRST, "replace")
    again = datasets.commit("flights", FIRST.lazy(), "replace")
    assert (again.version, again.new, first.new) == (1, False, True)
    assert datasets.commit("flights", FIRST, "replace", force=True).version == 2
    assert not datasets.commit("flights", FIRST.clear()).new


def test_the_same_rows_appended_again_are_added_again_unless_asked_not_to(datasets):
    datasets.commit("flights", FIRST)
    assert not datasets.commit("flights", FIRST, once=True).new
    assert datasets.commit("flights", FIRST).rows == 6
    assert not datasets.commit("flights", FIRST, once=True).new


def test_a_step_that_is_tried_again_in_its_run_adds_nothing_twice(datasets):
    datasets.commit("flights", FIRST, run="r1", source="a.csv")
    datasets.commit("flights", MORE)
    again = datasets.commit("flights", FIRST, run="r1", source="a.csv")
    assert (again.version, again.new) == (1, False)
    assert datasets.commit("flights", FIRST, run="r2", source="a.csv").version == 3


def test_a_commit_that_makes_nothing_leaves_no_file(datasets, project):
    datasets.commit("flights", FIRST, "replace")
    before = sorted(folder(project).glob("*.parquet"))
    datasets.commit("flights", FIRST, "replace")
    with pytest.raises(DataError):
        datasets.commit("flights", pl.DataFrame({"id": ["not a number"], "name": ["x"]}))
    assert sorted(folder(project).glob("*.parquet")) == before


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (pl.DataFrame({"id": [1]}), "lack 'name'"),
        (pl.DataFrame({"id": [1], "name": ["a"], "extra": [1]}), "add 'extra'"),
        (pl.DataFrame({"id": [1.5], "name": ["a"]}), "column 'id'"),
        (pl.DataFrame({"id": [1], "ID": [2], "name": ["x"]}), "'ID'"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_the_column_and_nothing_is_committed(datasets, rows, complaint):
    datasets.commit("flights", FIRST)
    with pytest.raises(DataError, match=complaint):
        datasets.commit("flights", rows)
    assert datasets.resolve("flights").version == 1


def test_columns_in_another_order_and_types_that_lose_nothing_fit(datasets):
    datasets.commit("flights", FIRST)
    rows = pl.DataFrame({"name": pl.Series(["x"], dtype=pl.Categorical), "id": pl.Series([9], dtype=pl.UInt8)})
    version = datasets.commit("flights", rows)
    assert datasets.scan(version).collect().row(-1) == (9, "x")
    assert version.columns == {"id": "int64", "name": "utf8"}


def test_values_come_back_as_the_nearest_type_that_tables_have(datasets):
    stamp = dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC)
    rows = pa.table(
        {
            "small": pa.array([200], pa.uint8()),
            "stamp": pa.array([stamp], pa.timestamp("ms", "America/New_York")),
            "day": pa.array([dt.date(2013, 1, 1)], pa.date64()),
            "view": pa.array(["x"], pa.string_view()),
            "list": pa.array([[1, None]], pa.list_view(pa.int16())),
            "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
            "none": pa.nulls(1),
            "half": pa.array([1.5], pa.float16()),
        }
    )
    found = datasets.scan(datasets.commit("kinds", rows)).collect()
    assert found.row(0) == (200, stamp, dt.date(2013, 1, 1), "x", [1, None], [{"key": "a", "value": 1}], None, 1.5)
    assert datasets.verify("kinds").version == 1


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        (pa.array([2**63], pa.uint64()), "column 'x'"),
        (pa.array([1], pa.timestamp("ns")), "column 'x'"),
        (pa.array([1], pa.duration("us")), "column 'x': type duration"),
        (pa.array([1], pa.time64("us")), "column 'x': type time"),
        (pa.array([{"y": 1}], pa.struct([("y", pa.duration("s"))])), "column 'x.y'"),
    ],
)
def test_a_value_that_would_be_changed_is_refused_with_its_column(datasets, column, complaint):
    with pytest.raises(DataError, match=complaint):
        datasets.commit("kinds", pa.table({"x": column}))
    with pytest.raises(UnknownName):
        datasets.resolve("kinds")


def test_no_columns_and_no_batches_are_refused(datasets):
    with pytest.raises(DataError, match="no columns"):
        datasets.commit("empty", pl.DataFrame())
    with pytest.raises(DataError, match="no record batches"):
        datasets.commit("empty", [])


def test_a_table_without_rows_is_a_version_with_its_columns(datasets):
    version = datasets.commit("flights", FIRST.clear())
    assert (version.version, version.rows) == (1, 0)
    assert datasets.scan(version).collect().schema == FIRST.schema
    assert datasets.commit("flights", FIRST).rows == 3


def test_replacing_may_change_the_columns(datasets):
    datasets.commit("flights", FIRST)
    version = datasets.commit("flights", pl.DataFrame({"other": [1.5]}), "replace")
    assert datasets.scan(version).collect().to_dict(as_series=False) == {"other": [1.5]}
    assert datasets.scan("flights", 1).collect().equals(FIRST)


def test_restoring_makes_a_new_version_of_the_old_content_and_loses_nothing(datasets):
    datasets.commit("flights", FIRST)
    datasets.commit("flights", MORE)
    restored = datasets.restore("flights", 1)
    assert (restored.version, restored.of, restored.digest) == (3, 1, datasets.resolve("flights@1").digest)
    assert datasets.scan("flights").collect().equals(FIRST)
    assert datasets.scan("flights@2").collect().height == 4
    assert not datasets.restore("flights", 1).new
    assert datasets.commit("flights", MORE).digest == datasets.resolve("flights@2").digest


def test_the_delta_table_holds_the_same_versions_one_lower_for_any_other_reader(datasets, project):
    datasets.commit("flights", FIRST)
    datasets.commit("flights", MORE)
    datasets.commit("flights", pl.DataFrame({"other": [1]}), "replace")
    datasets.restore("flights", 2)
    for version in datasets.log("flights"):
        theirs = pl.scan_delta(str(folder(project)), version=version.table_version).collect()
        ours = datasets.scan(version).collect()
        assert theirs.sort(theirs.columns).equals(ours.sort(ours.columns))


def test_a_delta_log_that_is_behind_is_brought_up_by_the_next_commit_and_by_tidy(datasets, project):
    from mlopsfw.data.datasets.delta import DeltaLog

    real, DeltaLog.bring_up = DeltaLog.bring_up, lambda self, versions: 0
    try:
        for rows in (FIRST, MORE):
            datasets.commit("flights", rows)
        datasets.commit("other", FIRST)
    finally:
        DeltaLog.bring_up = real
    assert datasets.scan("flights").collect().height == 4
    datasets.commit("flights", MORE)
    assert pl.read_delta(str(folder(project))).height == 5
    datasets.tidy("other")
    assert pl.read_delta(str(folder(project, "other"))).height == 3


def test_tidy_removes_what_no_version_has_and_nothing_else(datasets, project):
    datasets.commit("flights", FIRST)
    datasets.commit("flights", MORE, "replace")
    stray = folder(project) / "part-00000000000000000000000000.parquet"
    pq.write_table(pa.table({"id": [1]}), stray)
    assert datasets.tidy("flights") == []  # too young: it may belong to a commit that is being made
    assert datasets.tidy("flights", older=-10) == [stray.name]
    assert datasets.scan("flights", 1).collect().equals(FIRST)


def test_a_flipped_bit_and_a_lost_file_are_found(datasets, project):
    datasets.commit("flights", FIRST)
    assert datasets.verify("flights").version == 1
    [file] = folder(project).glob("*.parquet")
    pq.write_table(pa.table({"id": [1, 2, 4], "name": ["a", None, "c"]}), file)
    with pytest.raises(Corrupt, match="data:/flights@1"):
        datasets.verify("flights")
    file.unlink()
    with pytest.raises(Corrupt, match="cannot be read"):
        datasets.verify("flights")


def test_every_write_is_durable_before_the_event_says_so(datasets, project, monkeypatch):
    """File, folder and parent are synced before the event is appended; the Delta log's entry before the commit returns."""
    order: list[str] = []
    real = os.fsync

    def fsync(handle):
        order.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr("os.fsync", fsync)
    real_append = datasets.stream("flights").append
    monkeypatch.setattr(
        datasets.stream("flights"), "append", lambda *a, **k: (order.append("EVENT"), real_append(*a, **k))[1]
    )
    datasets.commit("flights", FIRST)
    before, after = order[: order.index("EVENT")], order[order.index("EVENT") :]
    assert [name for name in before if name.startswith("part-")]
    assert before.index("flights") > min(i for i, name in enumerate(before) if name.startswith("part-"))
    assert "00000000000000000000.json" in after
    assert "_delta_log" in after


def test_a_full_disk_is_a_typed_error_nothing_is_visible_and_it_goes_on_after(datasets, project, monkeypatch):
    datasets.commit("flights", FIRST)

    def full(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(parquet.ParquetFile, "close", full)
        with pytest.raises(StorageFull, match="No space left"):
            datasets.commit("flights", MORE)
    assert len(list(folder(project).glob("*.parquet"))) == 1
    assert datasets.commit("flights", MORE).version == 2


def test_wrong_names_versions_and_references_are_usage_errors(datasets):
    datasets.commit("flights", FIRST)
    with pytest.raises(UnknownName, match="no version 2"):
        datasets.resolve("flights@2")
    with pytest.raises(UnknownName, match="no dataset 'trains'"):
        datasets.scan("trains")
    with pytest.raises(UnknownName, match="no tag 'champion'"):
        datasets.resolve("flights@champion")
    for name in ("../up", "Flights", "", "a/b", "con"):
        with pytest.raises(UsageError):
            datasets.commit(name, FIRST)
    with pytest.raises(UsageError, match="'upsert'"):
        datasets.commit("flights", FIRST, "upsert")


def findings(project, *, verify=False) -> list[tuple[str, str]]:
    """What the doctor says of datasets, but that all is well."""
    asked = [f for f in project.doctor.examine(verify=verify) if f.check in ("datasets", "rows")]
    return [(found.level, found.message) for found in asked if found.level != "ok"]


def test_the_doctor_finds_lost_stray_and_altered_files_and_changed_references(datasets, project):
    datasets.commit("flights", FIRST)
    datasets.commit("lost", FIRST)
    write(project.root / "outside.parquet", FIRST)
    datasets.reference("outside", "outside.parquet")
    assert findings(project, verify=True) == []
    stray = folder(project) / "part-00000000000000000000000000.parquet"
    pq.write_table(pa.table({"id": [1]}), stray)
    os.utime(stray, (1, 1))
    next(folder(project, "lost").glob("*.parquet")).unlink()
    write(project.root / "outside.parquet", MORE)
    problems = findings(project)
    assert [level for level, _ in problems] == ["warning", "error", "warning"]
    assert all(
        what in message
        for what, (_, message) in zip(("belong to no", "is missing", "outside.parquet"), problems, strict=True)
    )
    [file] = [path for path in folder(project).glob("*.parquet") if path != stray]
    pq.write_table(pa.table({"id": [1, 2, 4], "name": ["a", None, "c"]}), file)
    assert ("error", "the rows of data:/flights@1 differ from the committed ones") in findings(project, verify=True)


# -- by reference ------------------------------------------------------------------------------------------------------------


def write(path: Path, frame: pl.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".jsonl": frame.write_ndjson, ".arrow": frame.write_ipc}[
        path.suffix
    ](path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".arrow"])
def test_a_referenced_file_is_read_where_it_lies_until_it_changes(datasets, project, suffix):
    file = write(project.root / f"outside{suffix}", FIRST)
    version = datasets.reference("outside", file.name)
    assert (version.version, version.rows, version.digest) == (1, 3, table_digest(FIRST))
    assert datasets.scan("outside").collect().equals(FIRST)
    assert not datasets.reference("outside", file.name).new
    write(file, pl.concat([FIRST, MORE]))
    with pytest.raises(ReferenceChanged, match=file.name):
        datasets.scan("outside")
    assert datasets.reference("outside", file.name).version == 2
    assert datasets.scan("outside").collect().height == 4
    with pytest.raises(ReferenceChanged):
        datasets.scan("outside", 1)


ODD = "zip,n,when,flag\n00501,NA,2026-01-02,True\n10001,1.5,2026-01-03,False\n"


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.txt", "x.csv.gz", "x.jsonl", "x.xlsx"])
def test_a_referenced_file_has_the_rows_that_it_has_when_it_is_added(datasets, project, name):
    rows = [line.split(",") for line in ODD.splitlines()]
    if name.endswith(".xlsx"):
        with xlsxwriter.Workbook(project.root / name) as book:
            sheet = book.add_worksheet()
            for line, row in enumerate(rows):
                sheet.write_row(line, 0, row)
    elif name.endswith(".jsonl"):
        objects = (json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:])
        (project.root / name).write_text("\n".join(objects))
    else:
        text = ODD.replace(",", "\t") if name.endswith(".tsv") else ODD
        (project.root / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    added, outside = datasets.add("added", [project.root / name]), datasets.reference("outside", name)
    assert (outside.columns, outside.digest) == (added.columns, added.digest)
    assert datasets.scan("outside").collect().equals(datasets.scan("added").collect())
    assert datasets.scan("outside").filter(pl.col("zip") == "10001").select("zip").collect().rows() == [("10001",)]
    assert datasets.scan("outside").head(1).collect().height == 1
    assert not datasets.reference("outside", name).new


def test_a_reference_keeps_how_its_file_is_written(datasets, project):
    (project.root / "x.csv").write_text("a;b\n1;none\n2;7\n")
    options = ReadOptions(separator=";", null=("none",), types={"a": "string"})
    datasets.reference("outside", "x.csv", csv=options)
    assert datasets.scan("outside").collect().rows() == [("1", None), ("2", 7)]
    assert not datasets.reference("outside", "x.csv", csv=options).new
    assert datasets.reference("outside", "x.csv", csv=ReadOptions(separator=",")).version == 2
    assert datasets.scan("outside", 1).collect().width == 2


def test_a_reference_of_an_earlier_release_has_the_columns_that_its_version_says(datasets, project):
    (project.root / "x.csv").write_text("zip,n\n00501,1\n10001,2\n")
    version = datasets.reference("outside", "x.csv")
    former = msgspec.structs.replace(
        version, pin=version.pin | {"format": "csv"}, columns={"zip": "int64", "n": "int64"}
    )
    assert datasets.scan(former).collect().rows() == [(501, 1), (10001, 2)]


def test_a_file_that_was_only_touched_is_still_what_was_registered(datasets, project):
    file = write(project.root / "outside.parquet", FIRST)
    datasets.reference("outside", "outside.parquet")
    os.utime(file, (1, 1))
    assert datasets.scan("outside").collect().equals(FIRST)


def test_a_referenced_folder_counts_every_file(datasets, project):
    write(project.root / "parts/a.parquet", FIRST)
    write(project.root / "parts/b.parquet", MORE)
    datasets.reference("parts", "parts")
    assert datasets.scan("parts").collect().equals(pl.concat([FIRST, MORE]))
    write(project.root / "parts/c.parquet", MORE)
    with pytest.raises(ReferenceChanged, match=r"c\.parquet"):
        datasets.scan("parts")
    (project.root / "parts/c.parquet").unlink()
    assert datasets.scan("parts").collect().height == 4
    (project.root / "parts/a.parquet").unlink()
    with pytest.raises(ReferenceChanged, match=r"a\.parquet"):
        datasets.scan("parts")


def test_a_referenced_delta_table_is_held_at_its_version(datasets, tmp_path):
    where = tmp_path / "delta"
    FIRST.write_delta(where)
    datasets.reference("outside", str(where))
    MORE.write_delta(where, mode="append")
    assert datasets.scan("outside").collect().height == 3
    assert datasets.reference("outside", str(where)).version == 2
    assert datasets.scan("outside").collect().height == 4
    for file in (where / "_delta_log").iterdir():
        file.unlink()
    FIRST.write_delta(where)
    with pytest.raises(ReferenceChanged):
        datasets.scan("outside")


def test_rows_and_references_do_not_mix_under_one_name(datasets, project):
    write(project.root / "outside.parquet", FIRST)
    datasets.commit("own", FIRST)
    datasets.reference("outside", "outside.parquet")
    with pytest.raises(UsageError, match="rows of its own"):
        datasets.reference("own", "outside.parquet")
    with pytest.raises(UsageError, match="refers to"):
        datasets.commit("outside", MORE)
    with pytest.raises(DataError, match="no table"):
        datasets.reference("nowhere", "nowhere")


# -- comparing ---------------------------------------------------------------------------------------------------------------


def test_a_diff_by_key_counts_added_removed_and_changed_rows_and_names_the_columns(datasets):
    datasets.commit("flights", FIRST.with_columns(gone=1, kind=1))
    after = pl.DataFrame({"id": [1, 2, 4], "name": ["a", "b", "d"], "kind": ["x", "x", "x"], "new": [1, 1, 1]})
    datasets.commit("flights", after, "replace")
    found = datasets.diff("flights", 1, 2, ["id"])
    assert (found.added, found.removed, found.changed, found.changed_columns) == (1, 1, 1, {"name": 1})
    assert found.columns_added == {"new": "int64"}
    assert found.columns_removed == {"gone": "int32"}
    assert found.columns_retyped == {"kind": ("int32", "utf8")}
    assert found.examples == {"added": [{"id": 4}], "removed": [{"id": 3}], "changed": [{"id": 2}]}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 2)), unique_by=lambda row: row[0]),
    st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 2)), unique_by=lambda row: row[0]),
)
def test_a_diff_by_key_agrees_with_dictionaries(old, new):
    from mlopsfw.data.datasets.comparison.difference import compare
    from mlopsfw.data.datasets.comparison.keyed import Sides
    from mlopsfw.data.datasets.versions import DatasetVersion

    sides, versions = [], []
    for number, rows in enumerate((old, new), 1):
        frame = pl.DataFrame(
            {"k": [r[0] for r in rows], "v": [r[1] for r in rows]}, schema={"k": pl.Int64, "v": pl.Int64}
        )
        sides.append(frame.lazy())
        columns = {"k": "int64", "v": "int64"}
        versions.append(
            DatasetVersion(
                name="d", version=number, digest=table_digest(frame), rows=len(rows), columns=columns, mode=""
            )
        )
    found = compare(*versions, Sides(*sides), ["k"])
    a, b = dict(old), dict(new)
    assert (found.added, found.removed) == (len(b.keys() - a.keys()), len(a.keys() - b.keys()))
    assert found.changed == sum(a[k] != b[k] for k in a.keys() & b.keys())


def test_a_diff_without_a_key_compares_whole_rows_copies_counted(datasets):
    datasets.commit("flights", pl.DataFrame({"id": [1, 1, 2]}))
    datasets.commit("flights", pl.DataFrame({"id": [1, 3, 3]}), "replace")
    found = datasets.diff("flights", 1, 2)
    assert (found.added, found.removed, found.changed) == (2, 2, 0)


def test_a_key_that_does_not_identify_rows_is_refused_with_an_example(datasets):
    datasets.commit("flights", pl.DataFrame({"id": [1, 1], "v": [1, 2]}))
    datasets.commit("flights", pl.DataFrame({"id": [1], "v": [1]}), "replace")
    with pytest.raises(DataError, match=r"2 rows share the key {'id': 1}"):
        datasets.diff("flights", 1, 2, ["id"])
    with pytest.raises(UnknownName, match="'idd'"):
        datasets.diff("flights", 1, 2, ["idd"])


def test_equal_versions_compare_equal_without_being_read(datasets, project):
    datasets.commit("flights", FIRST, "replace")
    datasets.commit("flights", FIRST, "replace", force=True)
    for file in folder(project).glob("*.parquet"):
        file.unlink()
    assert datasets.diff("flights", 1, 2, ["id"]).equal


# -- plain tables --------------------------------------------------------------------------------------------------------------


def test_plain_tables_grow_by_appends_and_take_new_columns(project):
    tables = project.tables
    assert not tables.exists("captures/delay")
    assert [tables.append("captures/delay", rows) for rows in (FIRST, MORE.with_columns(extra=1.5))] == [0, 1]
    assert tables.scan("captures/delay").collect().height == 4
    assert tables.scan("captures/delay", 0).collect().height == 3
    assert tables.exists("captures/delay")
    with pytest.raises(NotFound):
        tables.scan("captures/other")
    with pytest.raises(NotFound, match="version 7"):
        tables.scan("captures/delay", 7)


def test_a_plain_append_is_durable_when_it_returns(project, monkeypatch):
    synced: list[str] = []
    real = os.fsync

    def fsync(handle):
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    monkeypatch.setattr("os.fsync", fsync)
    project.tables.append("captures/delay", FIRST)
    assert {"00000000000000000000.json", "_delta_log", "delay"} <= set(synced)
    assert any(name.endswith(".parquet") for name in synced)


def test_a_plain_table_keeps_its_types_and_refuses_what_would_change_a_value(project):
    tables = project.tables
    tables.append("t", pa.table({"n": pa.array([1], pa.int64()), "later": pa.nulls(1)}))
    tables.append("t", pa.table({"n": pa.array([2], pa.int8()), "later": [0.5]}))
    tables.append("t", pa.table({"n": pa.nulls(1), "later": pa.array([1], pa.int32())}))
    assert pl.from_arrow(tables.read("t").read_all()).equals(tables.scan("t").collect())
    found = tables.scan("t").sort("n").collect()
    assert found.schema == {"n": pl.Int64, "later": pl.Float64}
    assert found.rows() == [(None, 1.0), (1, None), (2, 0.5)]
    for wrong in ([1.5], ["x"]):
        with pytest.raises(DataError, match="column 'n'"):
            tables.append("t", pa.table({"n": wrong}))
    assert tables.scan("t").collect().height == 3


def test_threads_append_to_one_plain_table_without_losing_a_row(project):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: project.tables.append("captures/x", pl.DataFrame({"n": [n]})), range(24)))
    assert sorted(project.tables.scan("captures/x").collect()["n"]) == list(range(24))
