"""Excel workbooks as sources: what their cells become, and what is refused with its place."""

from __future__ import annotations

import datetime as dt
import zipfile

import pytest
import xlsxwriter

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.kernel.base.errors import DataError, MissingExtra, UnknownName, UsageError
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.kernel.roles.source import SourceOptions
from mlopsfw.testing.format import FormatConformance
from mlopsfw_format_excel.sheet import Workbook


@pytest.fixture
def book(tmp_path):
    """Write a workbook: sheet → rows, where a tuple (value, format) is formatted and `=…` with a value is a formula."""

    def book(**sheets):
        path = tmp_path / "book.xlsx"
        with xlsxwriter.Workbook(path) as workbook:
            for name, rows in sheets.items():
                sheet = workbook.add_worksheet(name)
                for line, row in enumerate(rows):
                    for column, value in enumerate(row):
                        write(workbook, sheet, line, column, value)
        return path

    return book


def write(workbook, sheet, line, column, value):
    match value:
        case (str(formula), result):
            sheet.write_formula(line, column, formula, None, result)
        case dt.datetime():
            sheet.write_datetime(line, column, value, workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}))
        case dt.date():
            sheet.write_datetime(line, column, value, workbook.add_format({"num_format": "yyyy-mm-dd"}))
        case dt.time():
            sheet.write_datetime(line, column, value, workbook.add_format({"num_format": "hh:mm:ss"}))
        case dt.timedelta():
            sheet.write_number(line, column, value / dt.timedelta(1), workbook.add_format({"num_format": "[h]:mm:ss"}))
        case _:
            sheet.write(line, column, value)


@pytest.fixture
def add(project):
    def add(path, mode="replace", sheet="", **options):
        version = project.datasets.add("d", [path], mode, outside=SourceOptions(sheet=sheet), **options)
        return version.columns, project.datasets.scan("d").collect().rows()

    return add


def test_cells_become_what_they_show(book, add):
    day, noon = dt.date(2026, 1, 2), dt.datetime.fromisoformat("2026-01-02 12:30:00")
    columns, rows = add(
        book(
            A=[
                ["whole", "part", "text", "day", "time", "clock", "flag", "sum", "error"],
                [1, 0.5, "007", day, noon, dt.time(3, 4), True, ("=A2*2", 2), ("=1/0", "#DIV/0!")],
                [2, 2, "x", day, noon, dt.time(5, 6), False, ("=A3*2", 4), ("=1/0", "#DIV/0!")],
            ]
        )
    )
    assert list(columns.values())[:8] == [
        "int64", "double", "utf8", "date32[day]", "timestamp[us]", "utf8", "bool", "int64",
    ]  # fmt: skip
    assert rows[0] == (1, 0.5, "007", day, noon, "03:04:00", True, 2, None)
    assert len(rows) == 2


def test_empty_rows_and_nameless_empty_columns_are_left_out(book, add):
    columns, rows = add(book(A=[["a", None, "b"], [1, None, "x"], [], [None, None, None], [2, None, None]]))
    assert list(columns) == ["a", "b"]
    assert rows == [(1, "x"), (2, None)]


def test_a_column_of_several_kinds_is_text_and_a_late_word_is_seen(book, add):
    columns, rows = add(book(A=[["a"], *([n] for n in range(3000)), ["word"]]))
    assert columns == {"a": "utf8"}
    assert (rows[7], rows[-1]) == (("7",), ("word",))


LONG, CLOCK, DAY = dt.timedelta(hours=30), dt.time(1, 2), dt.datetime.fromisoformat("2026-01-02 03:00:00")
SPELLED = {
    "durations": ([LONG, dt.timedelta(hours=-36), dt.timedelta(days=800)], ["30:00:00", "-36:00:00", "19200:00:00"]),
    "parts of a second": ([dt.timedelta(milliseconds=1500), None, LONG], ["00:00:01.500", None, "30:00:00"]),
    "durations and words": ([LONG, "x", dt.timedelta(hours=6)], ["30:00:00", "x", "06:00:00"]),
    "durations and numbers": ([LONG, 5, 1.5], ["30:00:00", "5", "1.5"]),
    "durations and dates": ([LONG, DAY, None], ["30:00:00", "2026-01-02 03:00:00", None]),
    "durations and times of day": ([LONG, CLOCK, True], ["30:00:00", "01:02:00", "true"]),
    "times of day and words": ([CLOCK, "x", None], ["01:02:00", "x", None]),
    "times of day": ([CLOCK, None, CLOCK], ["01:02:00", None, "01:02:00"]),
}


@pytest.mark.parametrize("types", [{}, {"b": "string"}], ids=["inferred", "declared"])
@pytest.mark.parametrize("case", SPELLED)
def test_durations_and_times_of_day_become_the_texts_that_the_sheet_shows(book, add, case, types):
    cells, texts = SPELLED[case]
    path = book(A=[["a", "b"], *([row, cell] for row, cell in enumerate(cells))])
    columns, rows = add(path, csv=ReadOptions(types=types))
    assert columns == {"a": "int64", "b": "utf8"}
    assert [row[1] for row in rows] == texts


@pytest.mark.parametrize("name", ["amount ", " amount", "\tamount", "amount\n"])
def test_blanks_around_a_columns_name_are_dropped(book, add, name):
    columns, rows = add(book(A=[["a", name], [1, 2]]))
    assert (list(columns), rows) == (["a", "amount"], [(1, 2)])


def test_a_sheet_is_named_where_there_are_several(book, add):
    path = book(first=[["a"], [1]], second=[["b"], [2]])
    assert add(path, sheet="second")[1] == [(2,)]
    with pytest.raises(UsageError, match="'first', 'second'"):
        add(path)
    with pytest.raises(UnknownName, match="'secnd'") as caught:
        add(path, sheet="secnd")
    assert "second" in caught.value.hint


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([["a", None], [1, 2]], "column B holds values and has no name"),
        ([["Report of 2026"], ["a", "b"], [1, 2]], "column B holds values and has no name"),
        ([["a", "b", "a"], [1, 2, 3]], "columns A and C are both called 'a'"),
        ([], "is empty"),
    ],
)
def test_a_header_that_is_none_is_an_error_with_its_place(book, add, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        add(book(A=rows))


def test_a_merged_header_is_an_error_that_says_so(tmp_path, add):
    with xlsxwriter.Workbook(tmp_path / "m.xlsx") as workbook:
        sheet = workbook.add_worksheet()
        sheet.merge_range(0, 0, 0, 1, "both")
        sheet.write_row(1, 0, [1, 2])
    with pytest.raises(DataError, match="column B") as caught:
        add(tmp_path / "m.xlsx")
    assert "merged header" in caught.value.hint


def test_a_header_without_rows_makes_a_table_without_rows(book, add):
    assert add(book(A=[["a", "b"]])) == ({"a": "utf8", "b": "utf8"}, [])


def test_declared_types_and_texts_that_mean_no_value_are_heeded(book, add):
    path = book(A=[["zip", "n", "late"], [501, 1, 7], [502, "-", 8]])
    columns, rows = add(path, csv=ReadOptions(types={"zip": "string", "n": "double"}, null=("-",)))
    assert (columns["zip"], columns["n"]) == ("utf8", "double")
    assert rows == [("501", 1.0, 7), ("502", None, 8)]
    with pytest.raises(DataError, match="column 'n' is not all double"):
        add(path, csv=ReadOptions(types={"n": "double"}))
    with pytest.raises(DataError, match="no column 'zap'"):
        add(path, csv=ReadOptions(types={"zap": "string"}))


def test_rows_that_do_not_fit_the_dataset_go_to_quarantine(book, add, project):
    add(book(A=[["n"], [1]]))
    _, rows = add(book(A=[["n"], *([n] for n in range(9)), ["x"]]), Change(mode="append", max_bad=0.2))
    assert len(rows) == 10
    assert [bad.line for bad in project.datasets.quarantine("d")] == [10]


@pytest.mark.parametrize("content", [b"", b"id,name\n1,a\n", b"PK\x03\x04" + b"\0" * 100])
def test_what_is_no_workbook_is_an_error(tmp_path, add, content):
    (tmp_path / "x.xlsx").write_bytes(content)
    with pytest.raises(DataError, match="not an Excel workbook"):
        add(tmp_path / "x.xlsx")


def test_a_workbook_cut_in_the_middle_is_an_error(book, add):
    path = book(A=[["a"], *([n] for n in range(1000))])
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError):
        add(path)


def test_a_workbook_that_unpacks_to_too_much_is_an_error(tmp_path, add, monkeypatch):
    monkeypatch.setattr("mlopsfw.data.intake.decompress._HARMLESS", 1 << 20)
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * (16 << 20))
    with pytest.raises(DataError, match="over 200 times its size"):
        add(tmp_path / "x.xlsx")


def test_a_long_text_that_stands_in_a_hundred_thousand_cells_is_an_error(tmp_path, add):
    with xlsxwriter.Workbook(tmp_path / "x.xlsx") as workbook:
        sheet = workbook.add_worksheet()
        sheet.write(0, 0, "a")
        for line in range(1, 100_000):
            sheet.write_string(line, 0, "x" * 30_000)
    with pytest.raises(DataError, match="over 200 times its size"):
        add(tmp_path / "x.xlsx")


@pytest.mark.parametrize(
    "cells", [["A1", "XFD1048576"], ["A1", "A2", "ZZ900000"], [f"A{n}" for n in range(1, 99)] + ["XFD99999"]]
)
def test_a_sheet_whose_few_cells_lie_far_apart_is_an_error_and_ends_no_process(tmp_path, add, cells):
    with xlsxwriter.Workbook(tmp_path / "x.xlsx") as workbook:
        sheet = workbook.add_worksheet()
        for cell in cells:
            sheet.write(cell, 1)
    with pytest.raises(DataError, match=rf"the {len(cells)} cells of xl/worksheets/sheet1.xml span .* places"):
        add(tmp_path / "x.xlsx")


def test_a_sheet_with_a_gap_of_some_rows_is_read(tmp_path, add):
    with xlsxwriter.Workbook(tmp_path / "x.xlsx") as workbook:
        sheet = workbook.add_worksheet()
        for cell, value in (("A1", "a"), ("A2", 1), ("A20000", 2)):
            sheet.write(cell, value)
    _, rows = add(tmp_path / "x.xlsx")
    assert [int(value) for (value,) in rows] == [1, 2]


def test_without_the_reader_the_error_says_what_to_install(book, add, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(MissingExtra) as caught:
        add(book(A=[["a"], [1]]))
    assert "mlopsfw[excel]" in caught.value.hint


class TestWorkbook(FormatConformance):
    @pytest.fixture
    def reader(self):
        return Workbook()

    @pytest.fixture
    def write(self):
        def written(table, path):
            with xlsxwriter.Workbook(path) as workbook:
                sheet = workbook.add_worksheet("rows")
                sheet.write_row(0, 0, table.schema.names)
                for line, row in enumerate(table.to_pylist(), 1):
                    sheet.write_row(line, 0, row.values())

        return written
