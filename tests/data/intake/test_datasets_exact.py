"""No type that is inferred loses a digit or a code: what stands in the file is what the dataset says, and no row vanishes."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.tables import exact
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw_format_csv import strict as csvsource
from mlopsfw_format_json import strict as jsonsource

LONG = ["9223372036854775807", "9223372036854775808", "9223372036854775809", "17758512297797920768"]
CODES = [
    ["007", "7", "0007"],
    ["00501", "10001"],
    ["00", "0"],
    ["-07", "-7"],
    ["00.5", "0.5"],
    ["0x1F", "31"],
    ["+7", "7"],
    ["+4917612345678", "4917612345678"],
    ["01", "12"],
    [*LONG, "1"],
    ["9007199254740993", "1.5"],
    ["-9007199254740993", "1.5"],
    ["1e400", "1"],
]
NUMBERS = [
    ["0", "-0", "7"],
    ["0.5", "-0.5", "0"],
    ["1e5", "1"],
    ["9007199254740992", "1.5"],
    ["inf", "1"],
    ["1e22", "2"],
]


@pytest.fixture
def add(project, tmp_path):
    """Write a file, add it to the dataset `d`, return the rows."""

    def adding(content: str, name: str = "x.csv", mode="replace", **options) -> pl.DataFrame:
        (tmp_path / name).write_text(content)
        version = project.datasets.add("d", [tmp_path / name], mode, csv=ReadOptions(**options))
        return project.datasets.scan(version).collect()

    return adding


def csv_of(values: list[str]) -> str:
    return "".join(f"{value},x\n" for value in ["a", *values])


@pytest.mark.parametrize("max_bad", [0.0, 0.5])
@pytest.mark.parametrize("values", CODES)
def test_codes_and_long_numbers_of_a_csv_are_kept_as_texts(add, values, max_bad):
    assert add(csv_of(values), mode=Change(mode="replace", max_bad=max_bad))["a"].to_list() == values


@pytest.mark.parametrize("quote", ['"{}"', " {}", "{}\t"])
def test_codes_are_seen_through_quotes_and_blanks(add, quote):
    assert add(csv_of([quote.format("007"), "7"]))["a"].str.strip_chars().to_list() == ["007", "7"]


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
def test_codes_are_seen_in_every_place_of_a_row(add, separator):
    rows = add("a,b,c\n01,02,03\n1,2,3\n".replace(",", separator), separator=separator)
    assert rows.row(0) == ("01", "02", "03")


@pytest.mark.parametrize("max_bad", [0.0, 0.5])
@pytest.mark.parametrize("values", NUMBERS)
def test_plain_numbers_stay_numbers(add, values, max_bad):
    found = add(csv_of(values), mode=Change(mode="replace", max_bad=max_bad))["a"]
    assert found.dtype.is_numeric()
    assert found.to_list() == [float(value) for value in values]


@pytest.mark.parametrize("max_bad", [0.0, 0.5])
@pytest.mark.parametrize("late", ["007", "9223372036854775808", "+7", "0x1F"])
def test_a_code_far_down_makes_text_of_what_was_numbers_already(add, monkeypatch, late, max_bad):
    monkeypatch.setattr(csvsource, "_BLOCK", 64)
    values = [*map(str, range(1000)), late, "5"]
    assert add(csv_of(values), mode=Change(mode="replace", max_bad=max_bad))["a"].to_list() == values


def test_several_columns_turn_out_as_codes_at_once(add, monkeypatch):
    monkeypatch.setattr(csvsource, "_BLOCK", 64)
    assert add("a,b\n" + "1,2\n" * 200 + "01,02\n").row(-1) == ("01", "02")


def test_a_text_that_means_no_value_is_no_code(add):
    assert add(csv_of(["000", "1"]), null=("000",))["a"].to_list() == [None, 1]


def test_a_declared_type_overrides_the_rule(add):
    assert add(csv_of(["007", "7"]), types={"a": "int64"})["a"].to_list() == [7, 7]
    assert add(csv_of(["9223372036854775808"]), types={"a": "double"})["a"].to_list() == [2.0**63]


@pytest.mark.parametrize("max_bad", [0.0, 0.5])
@pytest.mark.parametrize("keys", [*CODES, ["1e5", "100000"], ["7", "7.0"], ["1.5", "1.50"]])
def test_no_two_keys_of_a_csv_collapse(add, keys, max_bad):
    rows = add(csv_of(keys), mode=Change(mode="upsert", key=("a",), max_bad=max_bad))
    assert sorted(rows["a"].to_list()) == sorted(keys)


@pytest.mark.parametrize("mode", [Change(mode="append"), Change(mode="upsert", key=("a",))])
@pytest.mark.parametrize("late", ["007", "9223372036854775808", "0x1F", "+7"])
def test_a_dataset_of_numbers_refuses_a_code_with_its_line_and_the_way_out(add, mode, late):
    add(csv_of(["7", "8"]))
    with pytest.raises(DataError, match=r"x\.csv:3: column 'a': ") as error:
        add(csv_of(["9", late]), mode=mode)
    assert late in error.value.message
    assert "--type a=string" in error.value.hint


def test_a_dataset_of_fractions_refuses_a_number_that_would_lose_digits(add):
    add(csv_of(["1.5"]))
    with pytest.raises(DataError, match=r"x\.csv:2: column 'a': '9007199254740993' has more digits"):
        add(csv_of(["9007199254740993", "2"]), mode="append")


def test_with_a_quarantine_the_code_is_set_aside_and_the_rest_comes_in(add, project):
    add(csv_of(["7", "8"]))
    rows = add(csv_of(["9", "007", "10"]), mode=Change(mode="append", max_bad=0.5))
    assert rows["a"].to_list() == [7, 8, 9, 10]
    assert [(bad.line, bad.raw) for bad in project.datasets.quarantine("d")] == [(3, "007,x")]


@pytest.mark.parametrize("text", ["007", "9007199254740993"])
def test_texts_of_other_sources_do_not_become_numbers_of_the_dataset_either(project, tmp_path, text):
    project.datasets.commit("d", pl.DataFrame({"a": [7.5]}))
    pl.DataFrame({"a": [text]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=f"column 'a' .*'{text}'"):
        project.datasets.add("d", [tmp_path / "x.parquet"], "append")


def lines(*rows: str) -> str:
    return "".join(f"{row}\n" for row in rows)


@pytest.mark.parametrize("max_bad", [0.0, 0.5])
@pytest.mark.parametrize("block", [64, 4 << 20])
def test_long_whole_numbers_of_json_lines_are_kept_as_texts(add, monkeypatch, block, max_bad):
    monkeypatch.setattr(jsonsource, "_BLOCK", block)
    text = lines('{"a": 1}', '{"a": null}', *(f'{{"a": {number}}}' for number in LONG))
    found = add(text, "x.jsonl", Change(mode="replace", max_bad=max_bad))["a"].to_list()
    assert found == ["1", None, *LONG]


def test_long_whole_numbers_within_objects_and_lists_are_kept(add):
    found = add(lines(f'{{"o": {{"id": {LONG[1]}}}, "l": [{LONG[2]}, 1]}}'), "x.jsonl")
    assert found.row(0) == ({"id": LONG[1]}, [LONG[2], "1"])


@pytest.mark.parametrize("block", [32, 4 << 20])
def test_a_long_whole_number_among_fractions_of_json_is_refused_with_its_line(add, monkeypatch, block):
    monkeypatch.setattr(jsonsource, "_BLOCK", block)
    with pytest.raises(DataError, match=r"x\.jsonl:2: field 'a' holds 9007199254740993"):
        add(lines('{"a": 1.5}', '{"a": 9007199254740993}'), "x.jsonl")


def test_numbers_that_a_float_keeps_stay_numbers_in_json(add):
    assert add(lines('{"a": 1.5}', '{"a": 100000000000000000000}'), "x.jsonl")["a"].to_list() == [1.5, 1e20]


def test_a_json_key_past_int64_does_not_collapse(add):
    text = lines(*(f'{{"a": {number}}}' for number in LONG))
    assert add(text, "x.jsonl", Change(mode="upsert", key=("a",)))["a"].to_list() == LONG


@pytest.mark.parametrize("keys", [["0.1234567890123456789", "0.1234567890123456788"], ["9007199254740993.0", "0.5"]])
def test_a_json_key_of_more_digits_than_a_number_keeps_does_not_collapse(add, keys):
    text = lines('{"a": 1.5}', *(f'{{"a": {key}}}' for key in keys))
    with pytest.raises(DataError, match=r"x\.jsonl:2: field 'a' is a key and holds .* more digits") as caught:
        add(text, "x.jsonl", Change(mode="upsert", key=("a",)))
    assert "in quotes" in caught.value.hint
    good = [1.5, *(float(key) for key in keys if len(key) < 5)]
    assert add(text, "x.jsonl", Change(mode="upsert", key=("a",), max_bad=0.9))["a"].to_list() == good


def test_json_keys_as_programs_write_them_are_taken(add):
    keys = [0.1, 1 / 3, 1e-7, 1e22, 123456.789, 0.5]
    text = lines(*(f'{{"a": {key!r}}}' for key in keys), '{"a": 0.10000000000000001}')
    assert add(text, "x.jsonl", Change(mode="upsert", key=("a",)))["a"].sort().to_list() == sorted(keys)


LENGTHS = pa.array([timedelta(hours=30), timedelta(milliseconds=-500), None], pa.duration("us"))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_lengths_of_time_have_one_value_in_every_unit(project, tmp_path, unit):
    pq.write_table(pa.table({"t": LENGTHS.cast(pa.duration(unit))}), tmp_path / "x.parquet")
    for kind, wanted in (("int64", [108_000_000_000, -500_000, None]), ("string", ["30:00:00", "-00:00:00.500", None])):
        version = project.datasets.add("d", [tmp_path / "x.parquet"], csv=ReadOptions(types={"t": kind}))
        assert project.datasets.scan(version).collect()["t"].to_list() == wanted
    with pytest.raises(DataError, match="cannot be stored") as caught:
        project.datasets.add("d", [tmp_path / "x.parquet"])
    assert "--type t=string), or whole microseconds (--type t=int64)" in caught.value.hint


def test_lists_loaded_as_texts_are_json_whatever_numbers_they_hold(project, tmp_path):
    pq.write_table(pa.table({"v": [[1.5, float("nan"), float("-inf"), None], None, []]}), tmp_path / "x.parquet")
    version = project.datasets.add("d", [tmp_path / "x.parquet"], csv=ReadOptions(types={"v": "string"}))
    found = project.datasets.scan(version).collect()["v"].to_list()
    assert found == ['[1.5, "nan", "-inf", null]', None, "[]"]


@pytest.mark.parametrize("value", ["{}", '{"b": {}}', "[{}]"])
def test_objects_without_fields_are_refused_with_the_way_out(add, value):
    text = lines(f'{{"a": {value}, "n": 1}}')
    with pytest.raises(DataError, match="objects without fields") as caught:
        add(text, "x.jsonl")
    assert "--type a=string" in caught.value.hint
    assert json.loads(add(text, "x.jsonl", types={"a": "string"})["a"][0]) == json.loads(value)


def test_categories_within_lists_and_objects_are_read_from_an_arrow_file(project, tmp_path):
    kind = pl.Categorical()
    rows = pl.DataFrame(
        {"l": [["a"], None, ["b", "a"], []], "o": [{"c": "x"}, None, {"c": None}, {"c": "y"}]},
        schema={"l": pl.List(kind), "o": pl.Struct({"c": kind})},
    )
    rows.write_ipc(tmp_path / "x.arrow")
    version = project.datasets.add("d", [tmp_path / "x.arrow"])
    assert project.datasets.scan(version).collect().rows() == rows.rows()


def write_book(path, rows):
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for place, value in enumerate(row):
                (sheet.write_string if isinstance(value, str) else sheet.write_number)(number, place, value)


def test_text_cells_of_excel_keep_their_zeros(project, tmp_path):
    write_book(tmp_path / "x.xlsx", [["a", "m"], ["007", "x"], ["7", 7], ["0007", "007"]])
    version = project.datasets.add("d", [tmp_path / "x.xlsx"], Change(mode="upsert", key=("a",)))
    assert project.datasets.scan(version).collect()["a"].to_list() == ["007", "7", "0007"]


@pytest.mark.parametrize("rows", [[1 << 60, 1], [(1 << 53) + 1, 1.5]])
def test_a_number_cell_of_too_many_digits_is_refused_with_the_way_out(project, tmp_path, rows):
    write_book(tmp_path / "x.xlsx", [["a"], *([value] for value in rows)])
    with pytest.raises(DataError, match=r"column 'a' holds .* 15 digits") as error:
        project.datasets.add("d", [tmp_path / "x.xlsx"])
    assert "--type a=double" in error.value.hint
    assert project.datasets.add("d", [tmp_path / "x.xlsx"], csv=ReadOptions(types={"a": "double"})).rows == 2


@pytest.mark.parametrize("name", ["amount ", " amount"])
def test_blanks_around_a_name_in_excel_are_no_part_of_it(project, tmp_path, name):
    write_book(tmp_path / "x.xlsx", [[name], [1]])
    assert list(project.datasets.add("d", [tmp_path / "x.xlsx"]).columns) == ["amount"]
    options = ReadOptions(types={"amount": "string"})
    version = project.datasets.add("e", [tmp_path / "x.xlsx"], csv=options)
    assert project.datasets.scan(version).collect()["amount"].to_list() == ["1"]


FIELDS = st.one_of(
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.from_regex(r"[-+]?[0-9]{1,20}", fullmatch=True),
    st.from_regex(r"0x[0-9a-f]{1,4}", fullmatch=True),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(FIELDS, min_size=1, max_size=12), size=st.sampled_from([64, 4 << 20]))
def test_whole_numbers_of_a_csv_are_those_that_stand_there(tmp_path_factory, values, size):
    from mlopsfw.data.intake.type_inference import Guesses

    path = tmp_path_factory.mktemp("exact") / "x.csv"
    path.write_text(csv_of(values))
    guesses = Guesses()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csvsource, "_BLOCK", size)
        table = guesses.retry(lambda: pa.Table.from_batches(csvsource.read_csv(path, ReadOptions(), guesses.columns)))
    texts = [str(value) for value in table["a"].to_pylist()]
    assert texts == values or (table["a"].type == pa.int64() and texts == ["0" if v == "-0" else v for v in values])


@settings(deadline=None)
@given(st.lists(st.text('0123456789+-x. ,"\na', max_size=6), max_size=20))
def test_no_field_that_begins_like_a_code_is_overlooked(fields):
    text = ",".join(fields)
    there = any(exact._CODE.match(field.strip('"').encode()) for field in text.replace("\n", ",").split(","))
    assert exact.may_hold_codes(text.encode(), ",") or not there


def test_the_rows_of_a_json_list_of_codes_stay_texts(add):
    assert add(lines(*(json.dumps({"a": code}) for code in ["007", "7"])), "x.jsonl")["a"].to_list() == ["007", "7"]


@pytest.mark.parametrize("max_bad", [0.0, 0.5])
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_one_column_that_looks_like_several_is_an_error_that_says_separator(add, separator, max_bad):
    text, change = f"a{separator}b\n1{separator}2\n", Change(mode="replace", max_bad=max_bad)
    with pytest.raises(DataError, match="one column") as error:
        add(text, mode=change)
    assert "--separator" in error.value.hint
    assert add(text, mode=change, separator=separator).row(0) == (1, 2)
    assert add(text, mode=change, separator=",").width == 1


def test_texts_of_a_dataset_stay_texts_in_json_although_they_look_like_times(add):
    add(lines('{"a": "x"}'), "x.jsonl")
    rows = add(lines('{"a": "2013-01-01"}', '{"a": "2013-01-01T05:00:00Z"}'), "x.jsonl", mode="append")
    assert rows["a"].to_list() == ["x", "2013-01-01", "2013-01-01T05:00:00Z"]


def test_a_fraction_without_a_part_is_the_key_of_a_dataset_of_whole_numbers(add):
    add(csv_of(["7", "9"]), mode=Change(mode="upsert", key=("a",)))
    assert add("a,x\n9.0,new\n", mode=Change(mode="upsert", key=("a",))).rows() == [(7, "x"), (9, "new")]


def test_a_long_number_of_json_that_a_dataset_of_numbers_lacks_room_for_is_refused(add):
    add(lines('{"a": 1}'), "x.jsonl")
    with pytest.raises(DataError, match=r"column 'a' .*9223372036854775808") as error:
        add(lines('{"a": 9223372036854775808}'), "x.jsonl", mode="append")
    assert "replace the dataset" in error.value.hint
