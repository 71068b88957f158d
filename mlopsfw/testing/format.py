"""`FormatConformance`: what every format of files must do, as a test class. A plugin's author subclasses it and overrides three fixtures.

class TestAcmeFormat(FormatConformance):
    @pytest.fixture
    def reader(self):
        return AcmeFormat()

    @pytest.fixture
    def write(self):
        return write_as_acme          # a function of a table and a path

    @pytest.fixture
    def spoil(self):
        return append_a_bad_line      # a function of a path; returns the line

Where rows cannot be bad by themselves, as in Parquet, `spoil` stays None.
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from mlopsfw.data.intake.formats import Formats
from mlopsfw.data.intake.open_file import inner_suffix
from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.intake.type_inference import Guesses
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.roles.reading import FileFacts, Format, ReadOptions, ReadRequest

if TYPE_CHECKING:
    import pyarrow as pa

Write = Callable[["pa.Table", Path], object]
Spoil = Callable[[Path], int]
"""Adds a bad row at the end of a file, and returns the line on which it stands, or the row's number."""


class Rejects:
    """Keeps the rows that are set aside.

    Attributes:
        rows: Each one's source, line, reason and text.
    """

    share = 0.5

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, str, str]] = []

    def add(self, source: str, line: int, reason: str, raw: str, *, rows: int = 1) -> None:
        """Keep a row."""
        assert rows >= 1
        self.rows.append((source, line, reason, raw))


class FormatConformance:
    """Conformance of a format: batches of one schema, bad rows with line and reason, errors that name the file, options heeded or refused, closed files."""

    @pytest.fixture
    def reader(self) -> Format:
        """Return the format. Override this."""
        raise NotImplementedError("override the fixture `reader`")

    @pytest.fixture
    def suffix(self) -> str:
        """Return the suffix that files have. Override it where the format looks at it."""
        return ".rows"

    @pytest.fixture
    def write(self) -> Write:
        """Return what writes a table (columns of int64 and string, without nulls) to a path. Override this."""
        raise NotImplementedError("override the fixture `write`")

    @pytest.fixture
    def spoil(self) -> Spoil | None:
        """Return what adds a bad row. Override it where a row can be bad by itself."""
        return None

    @pytest.fixture
    def table(self) -> pa.Table:
        """The rows that are written."""
        import pyarrow as pa

        count = 3_000
        return pa.table({"n": range(count), "t": [f"text {number}" for number in range(count)]})

    @pytest.fixture
    def path(self, tmp_path: Path, suffix: str, write: Write, table: pa.Table) -> Path:
        """A file of those rows."""
        file = tmp_path / f"rows{suffix}"
        write(table, file)
        return file

    def test_its_media_types_are_those_that_a_server_may_send(self, reader: Format) -> None:
        assert not isinstance(reader.media_types, str)
        assert all(re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", name) for name in reader.media_types)

    def test_the_first_batch_has_the_columns_and_no_rows(self, reader: Format, path: Path, table: pa.Table) -> None:
        first = next(iter(reader.read(ReadRequest(path=path))))
        assert (first.num_rows, first.schema.names) == (0, table.schema.names)

    def test_all_batches_have_one_schema_and_the_rows_in_order(
        self,
        reader: Format,
        path: Path,
        table: pa.Table,
    ) -> None:
        batches = list(reader.read(ReadRequest(path=path)))
        assert all(batch.schema.equals(batches[0].schema) for batch in batches)
        assert _table(batches).to_pydict() == table.to_pydict()

    def test_a_file_is_read_again_as_often_as_it_is_asked_for(self, reader: Format, path: Path) -> None:
        begun = iter(reader.read(ReadRequest(path=path)))
        next(begun)
        first, second = (_table(list(reader.read(ReadRequest(path=path)))) for _ in range(2))
        assert first.equals(second)

    def test_what_the_file_says_of_itself_is_what_its_rows_are(
        self, reader: Format, path: Path, table: pa.Table
    ) -> None:
        facts = reader.describe(ReadRequest(path=path))
        assert isinstance(facts, FileFacts)
        assert facts.schema is None or facts.schema.equals(next(iter(reader.read(ReadRequest(path=path)))).schema)
        assert facts.rows in {None, table.num_rows}

    def test_columns_that_are_asked_for_are_among_those_that_are_read(
        self, reader: Format, path: Path, table: pa.Table
    ) -> None:
        batches = list(reader.read(ReadRequest(path=path, columns=("t",))))
        assert "t" in batches[0].schema.names
        assert _table(batches).select(["t"]).to_pydict() == table.select(["t"]).to_pydict()

    @pytest.mark.parametrize("name", ["separator", "encoding", "sheet"])
    def test_an_option_is_taken_or_refused_by_name_with_what_the_format_offers(
        self, reader: Format, path: Path, name: str
    ) -> None:
        if name in reader.options:
            return
        options = ReadOptions() if name == "sheet" else replace(ReadOptions(), **{name: _OTHER[name]})
        with pytest.raises(UsageError) as caught:
            _read(reader, path, options, sheet=_OTHER["sheet"] if name == "sheet" else "")
        assert name in caught.value.message
        assert "--type, --null" in caught.value.hint

    @pytest.mark.parametrize("kind", ["string", "double", "int64"])
    def test_a_declared_type_is_heeded(self, reader: Format, path: Path, table: pa.Table, kind: str) -> None:
        import pyarrow as pa

        found = _read(reader, path, ReadOptions(types={"n": kind}))
        assert found.schema.field("n").type in {
            pa.type_for_alias(kind),
            pa.large_string() if kind == "string" else None,
        }
        assert found["n"].to_pylist() == table["n"].cast(kind).to_pylist()
        assert found["t"].to_pylist() == table["t"].to_pylist()

    def test_a_value_that_is_not_of_the_declared_type_is_an_error_that_names_file_and_column(
        self, reader: Format, path: Path
    ) -> None:
        with pytest.raises(DataError) as caught:
            _read(reader, path, ReadOptions(types={"t": "int64"}))
        _names(caught.value, path)
        assert "'t'" in caught.value.message

    def test_a_declared_column_that_the_file_lacks_is_an_error_that_names_it(self, reader: Format, path: Path) -> None:
        with pytest.raises(DataError, match="no column 'zap'"):
            _read(reader, path, ReadOptions(types={"zap": "int64"}))

    def test_a_type_that_there_is_not_is_an_error(self, reader: Format, path: Path) -> None:
        with pytest.raises(UsageError, match="there is no type 'nmuber'"):
            _read(reader, path, ReadOptions(types={"n": "nmuber"}))

    def test_a_text_that_means_a_missing_value_is_missing(self, reader: Format, path: Path, table: pa.Table) -> None:
        found = _read(reader, path, ReadOptions(null=("text 3", "text 5")))
        texts = [None if text in {"text 3", "text 5"} else text for text in table["t"].to_pylist()]
        assert found["t"].to_pylist() == texts
        assert found["n"].to_pylist() == table["n"].to_pylist()

    def test_with_a_sink_that_stays_empty_the_rows_are_the_same(self, reader: Format, path: Path) -> None:
        rejects = Rejects()
        strict, tolerant = (_table(list(reader.read(ReadRequest(path=path, rejects=sink)))) for sink in (None, rejects))
        assert (tolerant.to_pydict(), rejects.rows) == (strict.to_pydict(), [])

    def test_a_file_without_rows_has_its_columns(
        self,
        reader: Format,
        tmp_path: Path,
        suffix: str,
        write: Write,
        table: pa.Table,
    ) -> None:
        file = tmp_path / f"none{suffix}"
        write(table[:0], file)
        try:
            batches = list(reader.read(ReadRequest(path=file)))
        except DataError as error:  # a format that has columns only where it has rows
            _names(error, file)
        else:
            assert _table(batches).schema.names == table.schema.names
            assert sum(batch.num_rows for batch in batches) == 0

    @pytest.mark.parametrize("tolerant", [False, True])
    def test_an_empty_file_is_an_error_that_names_it(
        self,
        reader: Format,
        tmp_path: Path,
        suffix: str,
        tolerant: bool,  # noqa: FBT001
    ) -> None:
        file = tmp_path / f"empty{suffix}"
        file.touch()
        with pytest.raises(DataError) as caught:
            list(reader.read(ReadRequest(path=file, rejects=Rejects() if tolerant else None)))
        assert str(file) in caught.value.message

    @pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
    @pytest.mark.parametrize("tolerant", [False, True])
    def test_a_file_that_is_cut_short_is_an_error_or_has_the_rows_before_the_cut(
        self,
        reader: Format,
        path: Path,
        table: pa.Table,
        share: float,
        tolerant: bool,  # noqa: FBT001
    ) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        try:
            found = _table(list(reader.read(ReadRequest(path=path, rejects=Rejects() if tolerant else None))))
        except DataError as error:
            _names(error, path)
        else:
            whole = found.num_rows - 1  # the last row may be the part before the cut
            assert found[:whole].to_pydict() == table[:whole].to_pydict()

    def test_a_bad_row_goes_to_the_sink_with_its_line_and_a_reason(
        self,
        reader: Format,
        path: Path,
        table: pa.Table,
        spoil: Spoil | None,
    ) -> None:
        if spoil is None:
            return
        line, rejects = spoil(path), Rejects()
        found = _table(list(reader.read(ReadRequest(path=path, rejects=rejects))))
        assert found.to_pydict() == table.to_pydict()
        (row,) = rejects.rows
        assert row[:2] == (path.name, line)
        assert row[2]
        assert row[3]

    def test_without_a_sink_a_bad_row_is_an_error_with_file_and_line(
        self,
        reader: Format,
        path: Path,
        spoil: Spoil | None,
    ) -> None:
        if spoil is None:
            return
        line = spoil(path)
        with pytest.raises(DataError) as caught:
            list(reader.read(ReadRequest(path=path)))
        assert f"{path}:{line}" in caught.value.message

    @pytest.mark.parametrize("end", ["closed", "read", "failed"])
    def test_no_file_stays_open(self, reader: Format, path: Path, end: str) -> None:
        if end == "failed":
            path.write_bytes(path.read_bytes()[:-40])
        batches = reader.read(ReadRequest(path=path))
        with contextlib.suppress(DataError):
            next(batches) if end == "closed" else list(batches)
        if end == "closed":
            batches.close()  # type: ignore[attr-defined]  # an iterator over a file has it
        assert path.resolve() not in open_files()


_OTHER = {"separator": "^", "encoding": "latin-1", "sheet": "another"}


def _read(reader: Format, path: Path, options: ReadOptions, sheet: str = "") -> pa.Table:
    """Return a file's rows as every verb reads them: with what mlopsfw itself applies of the options."""
    formats = Formats([inner_suffix(path).removeprefix(".")], lambda _name: reader)
    guesses = Guesses()
    files = [SourceFile(path, sheet=sheet)]
    return guesses.retry(lambda: _table(list(formats.read(files, options, guesses))))


def _names(error: DataError, file: Path) -> None:
    assert str(file) in error.message


def _table(batches: list[pa.RecordBatch]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches(batches)


def open_files() -> list[Path]:
    """Return the files that this process has open, each as often as it is, none where the system does not tell."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return []
    found = []
    for entry in list(folder.iterdir()):
        with contextlib.suppress(OSError):  # the one that lists the folder is closed by now
            found.append(entry.readlink())
    return found
