"""`mlopsfw drift` reads files as `data add` does, whole, streamed and by the preset, and says so where nothing was compared."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import xlsxwriter

from mlopsfw.cli import run
from mlopsfw.data.drift.representation import agree, applied
from mlopsfw.data.intake.inferred import InferredFile, table_of
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw_format_csv import strict as csvsource

WAYS = [(), ("--stream",), ("--preset", "evidently")]
ROWS = 600


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run the comparison of two files; return the exit code with --check, and what --json says."""
    monkeypatch.chdir(tmp_path)

    def saying(*args: str):
        code = run(["drift", *args, "--check", "--json"])
        out, error = capsys.readouterr()
        return code, json.loads(out) if out else {}, error

    return saying


def answers(report):
    return {one["column"]: (one["statistic"], one["drifted"]) for one in report["columns"]}


def normal(seed, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 10, ROWS)


def write_numbers(path, values, missing, separator=","):
    """Write a column of numbers of which every twentieth is missing, and one of texts."""
    cells = [missing if row % 20 == 0 else f"{value:.2f}" for row, value in enumerate(values)]
    lines = [f"delay{separator}kind", *(f"{cell}{separator}k{row % 3}" for row, cell in enumerate(cells))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("missing", ["NA", "N/A", "NaN", "null", "#N/A", ""])
def test_a_shift_is_seen_however_missing_values_are_spelled(tmp_path, said, missing, way):
    for name, mean in (("r", 0), ("c", 50)):
        write_numbers(tmp_path / f"{name}.csv", normal(mean, mean), missing)
    code, report, _ = said("r.csv", "c.csv", *way, "--columns", "delay")
    assert code == 4
    assert report["columns"][0]["type"] == "numeric"
    assert report["columns"][0]["drifted"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "written",
    [
        (["--null", "-"], "-", ",", "utf-8", ".csv"),
        (["--separator", ";"], "NA", ";", "utf-8", ".csv"),
        (["--encoding", "utf-16"], "NA", ",", "utf-16", ".csv"),
        ([], "NA", "\t", "utf-8", ".tsv"),
        ([], "NA", ",", "utf-8", ".csv.gz"),
    ],
)
def test_the_options_of_data_add_are_those_of_drift(tmp_path, said, written, way):
    options, missing, separator, encoding, suffix = written
    for name, mean in (("r", 0), ("c", 50)):
        path = tmp_path / f"{name}{suffix}"
        write_numbers(path, normal(mean, mean), missing, separator)
        data = path.read_text("utf-8").encode(encoding)
        path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    code, report, _ = said(f"r{suffix}", f"c{suffix}", *options, *way)
    assert code == 4
    assert answers(report)["delay"][1]


@pytest.mark.parametrize("way", WAYS)
def test_a_declared_type_decides(tmp_path, said, way):
    (tmp_path / "r.csv").write_text("zip\n" + "1\n2\n3\n" * 100)
    (tmp_path / "c.csv").write_text("zip\n" + "1\n2\n3\n" * 100)
    for options, kind in (([], "numeric"), (["--type", "zip=string"], "categorical")):
        code, report, _ = said("r.csv", "c.csv", *options, *way)
        assert (code, report["columns"][0]["type"]) == (0, kind)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("written", "name"), [('"x"', "x"), ('"a ""b"""', 'a "b"'), ("x", "x")])
def test_a_quoted_header_is_the_name_within(tmp_path, said, written, name, way):
    for file in ("r.csv", "c.csv"):
        (tmp_path / file).write_text(f"{written}\n1\n2\n3\n")
    assert list(answers(said("r.csv", "c.csv", *way)[1])) == [name]


@pytest.mark.parametrize("way", WAYS)
def test_times_of_one_moment_are_one_value_in_every_unit(tmp_path, said, way):
    times = pl.datetime_range(pl.datetime(2013, 1, 1), pl.datetime(2013, 1, 26), "1h", eager=True)
    for unit in ("ns", "us", "ms"):
        pl.DataFrame({"t": times.cast(pl.Datetime(unit, "UTC"))}).write_parquet(tmp_path / f"{unit}.parquet")
    pl.DataFrame({"t": times}).write_csv(tmp_path / "text.csv")
    for file in ("us.parquet", "ms.parquet", "text.csv"):
        code, report, _ = said("ns.parquet", file, *way)
        assert (code, report["columns"][0]["effect"], report["columns"][0]["type"]) == (0, 0.0, "numeric")


@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
def test_lengths_and_dates_have_no_unit_either(unit):
    times = pl.Series([0, 86_400_000, None]).cast(pl.Duration("ms")).cast(pl.Duration(unit))
    days = pl.Series([0, 1, None]).cast(pl.Date)
    kinds = [("l", times), ("d", days), ("m", days.cast(pl.Datetime(unit)))]
    table = pl.DataFrame([series.alias(name) for name, series in kinds]).to_arrow()
    plan = agree(table.schema, table.schema, table.column_names)
    batch = next(applied(table.to_batches(), plan.before))
    assert [batch.column(name).to_pylist() for name in "ldm"] == [[0.0, 86_400e6, None]] * 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spelled", ["True False", "true false", "TRUE FALSE", "1 0"])
def test_true_is_true_in_every_representation(tmp_path, said, spelled, way):
    truth = np.random.default_rng(0).random(ROWS) < 0.4
    pl.DataFrame({"x": truth}).write_parquet(tmp_path / "bool.parquet")
    words = [spelled.split()[int(not one)] for one in truth]
    (tmp_path / "c.csv").write_text("\n".join(["x", *words]))
    pl.DataFrame({"x": words}).write_parquet(tmp_path / "text.parquet")
    for pair in (("bool.parquet", "c.csv"), ("bool.parquet", "text.parquet"), ("text.parquet", "bool.parquet")):
        code, report, _ = said(*pair, *way)
        assert (code, report["columns"][0]["effect"]) == (0, 0.0)


@pytest.mark.parametrize("way", WAYS)
def test_codes_of_which_one_file_holds_plain_numbers_alone_are_the_same_codes(tmp_path, said, way):
    pl.DataFrame({"zip": ["1.50", "2.50", "x"] * 200}).write_parquet(tmp_path / "r.parquet")
    (tmp_path / "c.csv").write_text("zip\n" + "1.50\n2.50\n" * 300)
    report = said("r.parquet", "c.csv", *way)[1]["columns"][0]
    assert report["type"] == "categorical"
    assert report["effect"] < 0.4  # a third of the rows is gone, no more


@pytest.mark.parametrize("way", WAYS)
def test_long_ids_are_compared(tmp_path, said, way):
    lines = [f"{17758512297797920768 + row},{value}" for row, value in enumerate(normal(1))]
    for file in ("r.csv", "c.csv"):
        (tmp_path / file).write_text("\n".join(["id,v", *lines]))
    code, report, _ = said("r.csv", "c.csv", *way)
    assert (code, {one["column"] for one in report["columns"]}) == (0, {"id", "v"})


def write(path, rows):
    suffix = path.suffix
    if suffix == ".xlsx":
        with xlsxwriter.Workbook(str(path)) as book:
            rows.write_excel(book)
    else:
        {
            ".csv": rows.write_csv,
            ".parquet": rows.write_parquet,
            ".arrow": rows.write_ipc,
            ".jsonl": rows.write_ndjson,
        }[suffix](path)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow", ".jsonl"])
def test_columns_of_which_none_is_common_are_absent_and_the_others_are_named(tmp_path, said, suffix, way):
    write(tmp_path / f"r{suffix}", pl.DataFrame({"Age": normal(1), "Fare": normal(2)}))
    write(tmp_path / f"c{suffix}", pl.DataFrame({"age": normal(3, 50), "fare": normal(4)}))
    code, report, _ = said(f"r{suffix}", f"c{suffix}", *way)
    assert code == 4
    assert answers(report) == {"Age": ("absent", True), "Fare": ("absent", True)}
    assert set(report["left_out"]) == {"age", "fare"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow"])
@pytest.mark.parametrize("empty", ["r", "c", "rc"])
def test_no_rows_are_neither_drift_nor_its_absence(tmp_path, said, suffix, empty, way):
    rows = pl.DataFrame({"x": normal(1), "k": ["a"] * ROWS})
    for name in "rc":
        write(tmp_path / f"{name}{suffix}", rows.clear() if name in empty else rows)
    code, report, error = said(f"r{suffix}", f"c{suffix}", *way)
    assert code == 1
    assert "nothing was compared" in error
    assert report["drifted"] is None
    assert "no rows" in report["nothing_compared"]
    assert run(["drift", f"r{suffix}", f"c{suffix}", *way]) == 0  # without --check it only says so


@pytest.mark.parametrize("how", ["--stream", "--no-stream"])
def test_the_page_says_that_nothing_was_compared_and_what_was_left_out(tmp_path, said, how):
    write(tmp_path / "r.parquet", pl.DataFrame({"x": normal(1), "tags": [["a"]] * ROWS}))
    write(tmp_path / "c.parquet", pl.DataFrame({"x": normal(1), "tags": [["a"]] * ROWS}).clear())
    said("r.parquet", "c.parquet", how, "--html", "page.html")
    assert "nothing was compared" in (tmp_path / "page.html").read_text()
    said("r.parquet", "r.parquet", how, "--html", "page.html")
    assert "not compared: tags" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("way", WAYS)
def test_a_nested_column_is_named_and_the_others_are_compared(tmp_path, said, way):
    for name, mean in (("r", 0), ("c", 20)):
        write(tmp_path / f"{name}.parquet", pl.DataFrame({"x": normal(1, mean), "tags": [["a", "b"]] * ROWS}))
    code, report, _ = said("r.parquet", "c.parquet", *way)
    assert code == 4
    assert list(answers(report)) == ["x"]
    assert "nested" in report["left_out"]["tags"]
    code, report, error = said("r.parquet", "c.parquet", *way, "--columns", "tags")
    assert code == 1
    assert "nothing was compared" in error


def test_a_word_far_down_is_noted_and_the_numbers_are_compared_in_every_way(tmp_path, said, monkeypatch):
    monkeypatch.setattr(csvsource, "_BLOCK", 4096)
    for name in ("r", "c"):
        (tmp_path / f"{name}.csv").write_text("code,n\n" + "".join(f"{row},1\n" for row in range(3000)) + "x9,1\n")
    for way in WAYS:
        report = said("r.csv", "c.csv", *way)[1]
        assert {one["column"]: one["type"] for one in report["columns"]} == {"code": "numeric", "n": "numeric"}
        assert any("x9" in note and "r.csv:3002" in note for note in report["notes"])


def test_an_arrow_file_of_polars_with_categories_is_read_by_all(tmp_path, said, project):
    rows = pl.DataFrame({"c": pl.Series(["a", "b"] * 300, dtype=pl.Categorical)})
    rows.write_ipc(tmp_path / "c.arrow")
    for way in WAYS:
        assert said("c.arrow", "c.arrow", *way)[0] == 0
    version = project.datasets.add("c", [tmp_path / "c.arrow"])
    assert project.datasets.scan(version).collect()["c"].to_list() == rows["c"].to_list()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx", ".parquet", ".arrow"])
def test_what_drift_reads_is_what_data_add_reads(tmp_path, project, formats, suffix):
    rows = pl.DataFrame({"n": [1, 2, None], "x": [1.5, None, 2.0], "s": ["007", "7", "b"], "b": [True, False, None]})
    write(tmp_path / f"x{suffix}", rows)
    version = project.datasets.add("d", [tmp_path / f"x{suffix}"])
    ours = pl.DataFrame(InferredFile(formats, tmp_path / f"x{suffix}", ReadOptions()).take(table_of))
    assert ours.equals(project.datasets.scan(version).collect())


def test_two_columns_of_one_name_are_an_error(tmp_path, said):
    (tmp_path / "r.csv").write_text("a,a\n1,2\n")
    code, _, error = said("r.csv", "r.csv")
    assert code == 1
    assert "two columns are called 'a'" in error


def test_every_format_of_data_add_is_one_of_drift(tmp_path, said, formats):
    rows = pl.DataFrame({"x": normal(1).round(3), "k": ["a", "b"] * (ROWS // 2)})
    suffixes = {".csv", ".jsonl", ".parquet", ".arrow", ".xlsx"}
    assert set(formats.suffixes) >= suffixes
    for suffix in suffixes:
        write(tmp_path / f"x{suffix}", rows)
    for suffix in suffixes:
        for way in WAYS:
            code, report, _ = said("x.parquet", f"x{suffix}", *way)
            assert (code, {one["effect"] for one in report["columns"]} <= {0.0, 1.0}) == (0, True)
            assert not report["drifted"]


@pytest.mark.parametrize("empty", [0, 1])
def test_versions_of_which_one_has_no_rows_are_not_compared_either(project, monkeypatch, capsys, empty):
    rows = pl.DataFrame({"x": normal(1)})
    for number in (0, 1):
        project.datasets.commit("d", rows.clear() if number == empty else rows, "replace")
    monkeypatch.chdir(project.root)
    assert run(["data", "diff", "d", "1", "2"]) == 0
    assert f"nothing was compared: data:/d@{empty + 1} has no rows" in capsys.readouterr().out
    assert run(["data", "diff", "d", "1", "2", "--json"]) == 0
    assert "no rows" in json.loads(capsys.readouterr().out)["drift"]["nothing_compared"]


@pytest.mark.parametrize("way", WAYS)
def test_a_text_that_seems_to_mean_no_value_is_noted_with_the_option(tmp_path, said, way):
    for name, mean in (("r", 0), ("c", 50)):
        write_numbers(tmp_path / f"{name}.csv", normal(mean, mean), "missing")
    code, report, _ = said("r.csv", "c.csv", *way)
    assert (code, answers(report)["delay"][1]) == (4, True)  # a shift of five standard deviations
    notes = report["notes"]
    assert [("delay" in note, "'missing'" in note, "--null" in note) for note in notes] == [(True, True, True)] * 2
    assert "notes" not in said("r.csv", "c.csv", "--null", "missing", *way)[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"])
@pytest.mark.parametrize("word", ["0000-00-00", "never"])
def test_a_shift_of_times_is_seen_among_texts_that_are_none(tmp_path, said, word, form, way):
    start = dt.datetime(2020, 1, 1)  # noqa: DTZ001 - the file says no zone, or its own
    for name, days in (("r", 0), ("same", 0), ("c", 900)):
        moments = [(start + dt.timedelta(days=days + row, minutes=row)).strftime(form) for row in range(ROWS)]
        cells = [word if row % 20 == 0 else moment for row, moment in enumerate(moments)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["t", *cells]))
    code, report, _ = said("r.csv", "c.csv", *way)
    assert (code, report["columns"][0]["type"], report["columns"][0]["drifted"]) == (4, "numeric", True)
    assert all(f"{word!r}" in note and "times" in note for note in report["notes"])
    code, report, _ = said("r.csv", "same.csv", *way)
    assert (code, report["columns"][0]["effect"]) == (0, 0.0)


@pytest.mark.parametrize("way", WAYS)
def test_words_among_few_numbers_stay_categories_and_a_declared_text_is_compared_as_text(tmp_path, said, way):
    grades = ["1", "2", "3", "4", "5", "A"]
    (tmp_path / "r.csv").write_text("\n".join(["g", *(grades[row % 6] for row in range(ROWS))]))
    (tmp_path / "c.csv").write_text("\n".join(["g", *(grades[row % 6].replace("A", "B") for row in range(ROWS))]))
    code, report, _ = said("r.csv", "c.csv", *way)
    assert (code, report["columns"][0]["type"]) == (4, "categorical")
    for name, mean in (("r", 0), ("c", 50)):
        write_numbers(tmp_path / f"{name}.csv", normal(mean, mean), "missing")
    report = said("r.csv", "c.csv", "--type", "delay=string", *way)[1]
    assert {one["column"]: one["type"] for one in report["columns"]}["delay"] == "categorical"
    assert "notes" not in report


@pytest.mark.parametrize("way", WAYS)
def test_every_type_of_arrow_is_compared_or_named_and_none_ends_the_report(tmp_path, said, way):
    whole = np.arange(ROWS)
    moments = pa.array(whole * 10**9 % (10**12), pa.timestamp("us"))
    kinds = {
        "long": pa.array([decimal.Decimal(int(n)) for n in whole], pa.decimal256(60, 2)),
        "coded": moments.cast(pa.timestamp("ns")).dictionary_encode(),
        "runs": pa.RunEndEncodedArray.from_arrays(pa.array(whole + 1, pa.int32()), pa.array(whole)),
        "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * ROWS, pa.binary(16))),
        "bytes": pa.array([b"ab"] * ROWS, pa.binary(2)),
        "span": pa.array([(1, 2, 3)] * ROWS, pa.month_day_nano_interval()),
    }
    as_plain = {**kinds, "long": whole.astype(float), "coded": moments, "runs": whole, "bytes": [b"ab"] * ROWS}
    for name, columns in (("r", kinds), ("c", as_plain)):
        table = pa.table(columns)
        with pa.ipc.new_file(tmp_path / f"{name}.arrow", table.schema) as file:
            file.write_table(table)
    for pair in (("r.arrow", "c.arrow"), ("c.arrow", "r.arrow")):
        code, report, _ = said(*pair, *way)
        assert {name: drifted for name, (_, drifted) in answers(report).items()} == dict.fromkeys(
            kinds.keys() - {"span"}, False
        )
        assert (code, list(report["left_out"])) == (0, ["span"])


@pytest.mark.parametrize("way", WAYS)
def test_a_time_of_day_is_the_same_as_text_and_a_truth_as_a_fraction(tmp_path, said, way):
    clock = pl.Series([row * 97_000_001 % 86_400_000_000 * 1000 for row in range(ROWS)]).cast(pl.Time)
    truth = pl.Series(np.arange(ROWS) % 3 == 0)
    rows = pl.DataFrame({"clock": clock, "truth": truth})
    write(tmp_path / "r.parquet", rows)
    texts = rows.with_columns(pl.col("clock").dt.to_string("%H:%M:%S%.6f"), pl.col("truth").cast(pl.Float64))
    write(tmp_path / "c.csv", texts)
    write(tmp_path / "c.parquet", texts)
    for file in ("c.csv", "c.parquet"):
        code, report, _ = said("r.parquet", file, *way)
        assert (code, [one["effect"] for one in report["columns"]]) == (0, [0.0, 0.0])


@pytest.mark.parametrize("way", WAYS)
def test_a_column_that_becomes_infinite_has_drifted(tmp_path, said, way):
    write(tmp_path / "r.parquet", pl.DataFrame({"x": normal(1)}))
    write(tmp_path / "c.parquet", pl.DataFrame({"x": [float("inf")] * ROWS}))
    assert said("r.parquet", "c.parquet", *way)[0] == 4


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".arrow", ".xlsx"])
def test_declared_types_and_texts_for_missing_values_are_heeded_in_every_format(tmp_path, said, suffix, way):
    for name, mean in (("r", 0), ("c", 50)):
        cells = ["none" if row % 20 == 0 else f"{value:.2f}" for row, value in enumerate(normal(mean, mean))]
        write(tmp_path / f"{name}{suffix}", pl.DataFrame({"delay": cells, "zip": [row % 3 for row in range(ROWS)]}))
    options = ["--type", "delay=double", "--null", "none", "--type", "zip=string"]
    code, report, _ = said(f"r{suffix}", f"c{suffix}", *options, *way)
    kinds = {one["column"]: (one["type"], one["drifted"]) for one in report["columns"]}
    assert (code, kinds) == (4, {"delay": ("numeric", True), "zip": ("categorical", False)})


@pytest.mark.parametrize("way", WAYS)
def test_an_option_counts_for_the_file_that_takes_it_and_is_an_error_where_none_does(tmp_path, said, way):
    rows = pl.DataFrame({"x": normal(1).round(3), "k": ["a", "b"] * (ROWS // 2)})
    write(tmp_path / "r.parquet", rows)
    rows.write_csv(tmp_path / "c.csv", separator=";")
    code, report, _ = said("r.parquet", "c.csv", "--separator", ";", *way)
    assert (code, report["drifted"]) == (0, False)
    code, _, error = said("r.parquet", "r.parquet", "--separator", ";", *way)
    assert (code, "separator is no option of .parquet" in error, "--type, --null" in error) == (2, True, True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".jsonl"])
def test_a_shift_of_numbers_and_times_that_stand_as_texts_is_seen(tmp_path, said, suffix, way):
    day = np.datetime64("2024-01-01T00:00:00")
    for name, mean in (("r.parquet", 0), (f"c{suffix}", 100)):
        values = normal(1, mean)
        times = [str(day + np.timedelta64(round(value * 3600), "s")) for value in values]
        write(tmp_path / name, pl.DataFrame({"fare": [f"{value:.6f}" for value in values], "at": times}))
    code, report, _ = said("r.parquet", f"c{suffix}", *way)
    assert code == 4
    assert {each["column"]: each["drifted"] for each in report["columns"]} == {"fare": True, "at": True}
    assert any("'fare' holds numbers as texts" in note for note in report["notes"])
    _, report, _ = said("r.parquet", f"c{suffix}", *way, "--type", "fare=string", "--type", "at=string")
    assert "notes" not in report


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_texts_that_hardly_repeat_are_said_to_show_no_shift(tmp_path, said, suffix, way):
    for name, mean in (("r", 0), ("c", 100)):
        price, kind = [f"${value:.6f}" for value in normal(1, mean)], ["a", "b"] * (ROWS // 2)
        write(tmp_path / f"{name}{suffix}", pl.DataFrame({"price": price, "id": price, "kind": kind}))
    code, report, _ = said(f"r{suffix}", f"c{suffix}", "--type", "id=string", *way)
    (note,) = report["notes"]
    assert (code, "The texts of 'price' hardly repeat" in note) == (0, True)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".jsonl"])
def test_numbers_that_stand_as_texts_and_repeat_differ_as_much_as_in_csv(tmp_path, said, suffix):
    for name, mean in (("r", 0), ("c", 8)):
        rows = pl.DataFrame({"fare": [f"{value:.0f}" for value in normal(mean, mean)]})
        write(tmp_path / f"{name}.csv", rows)
        write(tmp_path / f"{name}{suffix}", rows)
    effects = [said(f"r{each}", f"c{each}")[1]["columns"][0]["effect"] for each in (".csv", suffix)]
    assert effects[0] == effects[1] > 0.2


@pytest.mark.parametrize("texts", [["00501", "00502"], ["10001", "20002"]], ids=["codes", "few"])
def test_codes_and_numbers_that_repeat_are_categories_in_a_file_with_types(tmp_path, said, texts):
    for name in "rc":
        write(tmp_path / f"{name}.parquet", pl.DataFrame({"k": texts * 400}))
    code, report, _ = said("r.parquet", "c.parquet")
    assert (code, answers(report)["k"][0], report.get("notes")) == (0, "chisquare", None)
