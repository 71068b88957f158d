r"""`SourceConformance`: what every source must do, as a test class. A plugin's author subclasses it and overrides three fixtures.

class TestAcmeSource(SourceConformance):
    @pytest.fixture
    def source(self):
        return AcmeSource()

    @pytest.fixture
    def place(self):
        return SourceRequest(url="acme://hall-3/counters", named="acme://hall-3/counters")

    @pytest.fixture
    def content(self):
        return {"counters.csv": b"machine,name\n7,lathe\n"}

`content` has the bytes of each file by its name, or, for a source of tables, is the table (`pa.table`) that the place holds. Further
fixtures widen what is tested: `missing` (a place where there is nothing), `change` (changes what is at the place), `secret` (a text that
must not be shown), `spoiled` (a place with one row that no table can hold, and that row's number).
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pytest

from mlopsfw.kernel.base.errors import MlopsfwError
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.kernel.roles.source import RemoteFile, Source, SourceRequest, SourceTable
from mlopsfw.testing.format import Rejects, open_files

if TYPE_CHECKING:
    import pyarrow as pa

Content: TypeAlias = "Mapping[str, bytes] | pa.Table"
Part: TypeAlias = "RemoteFile | SourceTable"


class SourceConformance:
    """Conformance of a source: whole files and tables, honest facts, errors that name the place, no credential in sight."""

    @pytest.fixture
    def source(self) -> Source:
        """Return the source. Override this."""
        raise NotImplementedError("override the fixture `source`")

    @pytest.fixture
    def place(self) -> SourceRequest:
        """Return what is asked for. Override this."""
        raise NotImplementedError("override the fixture `place`")

    @pytest.fixture
    def content(self) -> Content:
        """Return what is at the place: the bytes of each file by name, in order, or the table. Override this."""
        raise NotImplementedError("override the fixture `content`")

    @pytest.fixture
    def missing(self) -> SourceRequest | None:
        """Return a place where there is nothing. Override it where such a place can be named."""
        return None

    @pytest.fixture
    def change(self) -> Callable[[], object] | None:
        """Return what changes the content of the place. Override it where the place can be changed."""
        return None

    @pytest.fixture
    def secret(self) -> str:
        """Return a credential that the place's URL or options hold. Override it where there is one."""
        return ""

    @pytest.fixture
    def spoiled(self) -> tuple[SourceRequest, int] | None:
        """Return a place with one row that no table can hold, and that row's number. Override it where a row can be so."""
        return None

    def test_a_place_is_a_table_or_files_and_each_says_where_it_is(
        self, source: Source, place: SourceRequest, content: Content
    ) -> None:
        parts = _parts(source, place)
        assert len(parts) == (len(content) if isinstance(content, Mapping) else 1)
        shown = [part.shown for part in parts]
        assert all(isinstance(text, str) and text for text in shown)
        assert len(set(shown)) == len(shown), "two files are called the same"

    def test_it_says_whether_it_needs_a_query_and_a_files_source_does_not(
        self, source: Source, place: SourceRequest, content: Content
    ) -> None:
        assert source.queries is bool(place.query or place.table)
        assert not (source.queries and isinstance(content, Mapping))

    def test_files_come_whole_and_in_order_with_a_name_that_a_format_knows(
        self, source: Source, place: SourceRequest, content: Content, tmp_path: Path
    ) -> None:
        if not isinstance(content, Mapping):
            return
        fetched = {}
        for number, file in enumerate(_files(source, place)):
            to = tmp_path / str(number)
            to.write_bytes(b"what an earlier attempt left" * 1_000)
            file.fetch(to, lambda _came, _whole: None)
            fetched[file.name] = to.read_bytes()
            assert Path(file.name).name == file.name, "a name is no path"
        assert list(fetched) == list(content)
        assert fetched == dict(content)

    def test_progress_grows_to_the_size_of_the_file(
        self, source: Source, place: SourceRequest, content: Content, tmp_path: Path
    ) -> None:
        if not isinstance(content, Mapping):
            return
        for file, data in zip(_files(source, place), content.values(), strict=True):
            pairs = _received(file, tmp_path / "copy")
            came = [done for done, _ in pairs]
            assert came == sorted(came)
            assert came[-1:] in ([len(data)], []) if not data else came[-1] == len(data)
            assert {whole for _, whole in pairs} <= {None, len(data)}

    def test_a_files_folders_are_below_the_place(self, source: Source, place: SourceRequest, content: Content) -> None:
        for file in _files(source, place) if isinstance(content, Mapping) else ():
            folders = Path(file.relative).parts
            assert not Path(file.relative).is_absolute()
            assert ".." not in folders

    def test_a_table_has_batches_of_one_schema_and_the_rows_in_order(
        self, source: Source, place: SourceRequest, content: Content
    ) -> None:
        if isinstance(content, Mapping):
            return
        batches = list(_table(source, place).read(ReadOptions(), None))
        assert batches, "without rows there is a batch that has the columns"
        assert all(batch.schema.equals(batches[0].schema) for batch in batches)
        assert _joined(batches).to_pydict() == content.to_pydict()

    def test_a_table_is_read_again_as_often_as_it_is_asked_for(
        self, source: Source, place: SourceRequest, content: Content
    ) -> None:
        if isinstance(content, Mapping):
            return
        table = _table(source, place)
        begun = iter(table.read(ReadOptions(), None))
        next(begun)
        first, second = (_joined(list(table.read(ReadOptions(), Rejects()))) for _ in range(2))
        assert first.equals(second)
        assert first.to_pydict() == content.to_pydict()

    def test_a_table_knows_the_size_of_its_files_or_none(
        self, source: Source, place: SourceRequest, content: Content
    ) -> None:
        if not isinstance(content, Mapping):
            size = _table(source, place).size()
            assert size is None or (isinstance(size, int) and size >= 0)

    @pytest.mark.parametrize("end", ["closed", "read"])
    def test_no_file_of_a_table_stays_open(
        self, source: Source, place: SourceRequest, content: Content, end: str
    ) -> None:
        if isinstance(content, Mapping):
            return
        list(_table(source, place).read(ReadOptions(), None))  # what a library opens once for all
        before = Counter(open_files())
        batches = _table(source, place).read(ReadOptions(), None)
        next(batches) if end == "closed" else list(batches)
        if end == "closed":
            batches.close()  # type: ignore[attr-defined]  # an iterator over something open has it
        assert [file for file in Counter(open_files()) - before if file.is_absolute()] == []

    def test_facts_can_be_kept_and_the_same_place_is_unchanged_by_them(
        self, source: Source, place: SourceRequest, tmp_path: Path
    ) -> None:
        for part, known in _known(source, place, tmp_path):
            assert msgspec.json.decode(msgspec.json.encode(known)) == known
            assert part.unchanged(known) is bool(known), "a place without facts cannot be said to be unchanged"

    def test_without_facts_nothing_is_unchanged(self, source: Source, place: SourceRequest) -> None:
        for part in _parts(source, place):
            assert part.unchanged({}) is False

    def test_what_changed_is_not_unchanged(
        self, source: Source, place: SourceRequest, tmp_path: Path, change: Callable[[], object] | None
    ) -> None:
        if change is None:
            return
        before = {part.shown: known for part, known in _known(source, place, tmp_path)}
        change()
        after = {part.shown: part for part in _parts(source, place)}
        assert not (after.keys() == before.keys() and all(part.unchanged(before[name]) for name, part in after.items()))

    def test_nothing_at_a_place_is_an_error_that_names_it(
        self, source: Source, missing: SourceRequest | None, tmp_path: Path, secret: str
    ) -> None:
        if missing is None:
            return
        with pytest.raises(MlopsfwError) as caught:
            _read_all(source, missing, tmp_path / "copy")
        assert caught.value.message
        assert not secret or secret not in str(caught.value)
        last = missing.url.partition("?")[0].rstrip("/").rpartition("/")[2]
        assert last in caught.value.message or (missing.table and missing.table in caught.value.message)

    def test_no_credential_is_shown_or_kept(
        self, source: Source, place: SourceRequest, tmp_path: Path, secret: str
    ) -> None:
        for part, known in _known(source, place, tmp_path):
            for text in (part.shown, str(known), str(getattr(part, "name", "")), repr(part)):
                assert not secret or secret not in text

    def test_a_row_that_no_table_can_hold_goes_to_the_sink_with_its_number(
        self, source: Source, spoiled: tuple[SourceRequest, int] | None
    ) -> None:
        if spoiled is None:
            return
        rejects = Rejects()
        table = _table(source, spoiled[0])
        list(table.read(ReadOptions(), rejects))
        (row,) = rejects.rows
        assert row[:2] == (table.shown, spoiled[1])
        assert row[2]
        assert row[3]

    def test_without_a_sink_such_a_row_is_an_error_with_its_number(
        self, source: Source, spoiled: tuple[SourceRequest, int] | None
    ) -> None:
        if spoiled is None:
            return
        with pytest.raises(MlopsfwError) as caught:
            list(_table(source, spoiled[0]).read(ReadOptions(), None))
        assert f"row {spoiled[1]}" in caught.value.message


def _parts(source: Source, place: SourceRequest) -> Sequence[Part]:
    answer = source.find(place)
    if not isinstance(answer, Sequence):
        return [answer]
    assert answer, "a place without files is an error"
    return answer


def _files(source: Source, place: SourceRequest) -> Sequence[RemoteFile]:
    answer = source.find(place)
    assert isinstance(answer, list | tuple), "files come as a list"
    return answer


def _table(source: Source, place: SourceRequest) -> SourceTable:
    answer = source.find(place)
    assert not isinstance(answer, Sequence)
    return answer


def _received(file: RemoteFile, to: Path) -> list[tuple[int, int | None]]:
    """Fetch a file; return what it said of its progress."""
    pairs: list[tuple[int, int | None]] = []
    file.fetch(to, lambda came, whole: pairs.append((came, whole)))
    return pairs


def _read_all(source: Source, place: SourceRequest, to: Path) -> None:
    for part in _parts(source, place):
        _read(part, to)


def _known(source: Source, place: SourceRequest, folder: Path) -> list[tuple[Part, dict[str, Any]]]:
    """Return what is at the place, found anew, with the facts of what was found and read before."""
    before = _parts(source, place)
    for part in before:
        _read(part, folder / "copy")
    return [(new, dict(old.facts())) for new, old in zip(_parts(source, place), before, strict=True)]


def _read(part: Part, to: Path) -> None:
    fetch = getattr(part, "fetch", None)
    if fetch is not None:
        fetch(to, lambda _came, _whole: None)
    else:
        list(part.read(ReadOptions(), None))  # type: ignore[union-attr]  # what is no file is a table


def _joined(batches: list[pa.RecordBatch]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches(batches)
