"""`StorageConformance`: what every storage must do, as a test class. A plugin's author subclasses it and overrides one fixture.

class TestAcmeStorage(StorageConformance):
    @pytest.fixture
    def storage(self, tmp_path):
        return AcmeStorage(tmp_path)
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import contextlib
import re
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from mlopsfw.data.tables.local import local_folder
from mlopsfw.kernel.base.errors import NotFound, StorageError
from mlopsfw.kernel.roles.storage import PART, Storage

BAD_KEYS = [
    "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/.", ".hidden", "a/.hidden", "a\\b", "a b",
    "a\n", "a\x00", "a%2e%2e", "a:b", "a?b", "a#b", "a*b", "~/a", "file:///etc/passwd", "ä", "\uff0e\uff0e/a", "a/" * 16 + "a",
    "a" * 201,
]  # fmt: skip


class StorageConformance:
    """Conformance of a storage: bytes, ranges, order, atomic creation, visibility, refusal of hostile keys."""

    @pytest.fixture
    def storage(self) -> Storage:
        """Return an empty storage. Override this."""
        raise NotImplementedError("override the fixture `storage`")

    @pytest.fixture
    def reopened(self, storage: Storage) -> Storage:
        """Return a second view of the same place, as another process would have it. Override where one can be made."""
        return storage

    whole_objects = False
    """Set this to True for a storage that sends an object as a whole, such as a value of Redis."""

    @pytest.fixture
    def credentials(self) -> tuple[str, ...]:
        """Return the secrets that the storage was built with. Override where it has some."""
        return ()

    def test_it_is_a_storage(self, storage: Storage) -> None:
        assert isinstance(storage, Storage)
        assert storage.describe()

    def test_what_it_says_of_itself_has_no_credentials(self, storage: Storage, credentials: tuple[str, ...]) -> None:
        for text in (storage.describe(), repr(storage)):
            assert not any(secret in text for secret in credentials)
            assert not re.search(r"://[^/?#\s]*:[^/?#\s]*@", text)
            assert not re.search(r"(?i)(passw|secret|token|credential|signature|access.?key)\w*\W{1,3}\w", text)

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 40_000], ids=["empty", "one byte", "10 MB"])
    def test_what_is_put_is_got(self, storage: Storage, reopened: Storage, data: bytes) -> None:
        storage.put("a/b", data)
        assert reopened.get("a/b") == data
        assert [(e.key, e.size) for e in reopened.list()] == [("a/b", len(data))]

    @pytest.mark.parametrize("how", ["put", "put_if_absent"])
    def test_a_files_content_is_put(self, storage: Storage, tmp_path: Path, how: str) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"0123456789" * 300_000)
        getattr(storage, how)("file", source)
        assert storage.get("file") == source.read_bytes()

    def test_put_replaces(self, storage: Storage, reopened: Storage) -> None:
        storage.put("k", b"longer than the next")
        storage.put("k", b"short")
        assert reopened.get("k") == b"short"

    def test_put_if_absent_creates_once(self, storage: Storage, reopened: Storage) -> None:
        assert storage.put_if_absent("k", b"first") is True
        assert reopened.put_if_absent("k", b"second") is False
        assert storage.get("k") == b"first"

    def test_put_if_absent_creates_again_after_delete(self, storage: Storage) -> None:
        storage.put("k", b"1")
        storage.delete("k")
        assert storage.put_if_absent("k", b"2") is True

    def test_large_data_is_created_once(self, storage: Storage) -> None:
        first, second = b"1" * 3_000_000, b"2" * 3_000_000
        assert storage.put_if_absent("k", first) is True
        assert storage.put_if_absent("k", second) is False
        assert storage.get("k") == first

    def test_of_racing_creations_one_wins(self, storage: Storage) -> None:
        for number in range(20):
            won = _race(8, lambda who, key=f"race/{number}": storage.put_if_absent(key, b"%d" % who))  # type: ignore[misc]
            winner = [who for who, did in enumerate(won) if did]
            assert len(winner) == 1
            assert storage.get(f"race/{number}") == b"%d" % winner[0]

    def test_a_reader_never_sees_half(self, storage: Storage) -> None:
        versions = [bytes([65 + n]) * 200_000 for n in range(8)]
        storage.put("k", versions[0])
        seen: list[bytes] = []

        def act(who: int) -> bool:
            for _ in range(10):
                seen.append(storage.get("k")) if who % 2 else storage.put("k", versions[who])
            return True

        _race(8, act)
        assert all(data in versions for data in seen)

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (3, 4, b"3456"),
            (0, 1, b"0"),
            (8, 5, b"89"),
            (10, None, b""),
            (99, 3, b""),
            (2, 0, b""),
        ],
    )
    def test_ranges(self, storage: Storage, start: int, length: int | None, expected: bytes) -> None:
        storage.put("k", b"0123456789")
        assert storage.get("k", start=start, length=length) == expected

    @pytest.mark.parametrize("key", ["absent", "a/absent", "k/below", "a"])
    def test_what_is_absent_is_not_found(self, storage: Storage, key: str) -> None:
        storage.put("k", b"")
        storage.put("a/b", b"")
        for get in (
            storage.get,
            lambda key: storage.get(key, start=1, length=2),
            lambda key: list(storage.stream(key)),
        ):
            with pytest.raises(NotFound):
                get(key)

    @pytest.mark.parametrize("size", [0, 1, PART, 2 * PART + 1])
    def test_a_stream_is_the_whole_object_in_parts(self, storage: Storage, reopened: Storage, size: int) -> None:
        data = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
        storage.put("k", data)
        parts = list(reopened.stream("k"))
        assert b"".join(parts) == data
        assert all(len(part) <= PART for part in parts)

    def test_a_large_file_is_never_whole_in_memory(self, storage: Storage, tmp_path: Path) -> None:
        """Its size is three parts of a stream."""
        if self.whole_objects:
            pytest.skip("the storage keeps whole objects in memory")
        source = tmp_path / "source"
        source.write_bytes(bytes(3 * PART))
        acts: list[Callable[[], object]] = [
            lambda: storage.put("put", source),
            lambda: storage.put_if_absent("put_if_absent", source),
            lambda: sum(len(part) for part in storage.stream("put")),
        ]
        for act in acts:
            assert _peak(act) < 2.5 * PART, "it held most of the file at once"

    @pytest.mark.parametrize("how", ["put", "put_if_absent"])
    def test_a_put_is_not_seen_before_it_is_complete(self, storage: Storage, tmp_path: Path, how: str) -> None:
        source, seen, done = tmp_path / "source", list[int](), threading.Event()
        source.write_bytes(bytes(2 * PART))

        def watch() -> None:
            while not done.is_set():
                seen.extend(entry.size for entry in storage.list("k"))
                with contextlib.suppress(NotFound):
                    seen.append(len(storage.get("k")))

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            getattr(storage, how)("k", source)
        finally:
            done.set()
            watching.join()
        assert set(seen) <= {2 * PART}

    @pytest.mark.parametrize("how", ["put", "put_if_absent"])
    def test_an_object_above_its_limit_is_refused_and_leaves_nothing(
        self, storage: Storage, tmp_path: Path, how: str
    ) -> None:
        if storage.max_object is None:
            pytest.skip("the storage has no limit")
        source = tmp_path / "source"
        with source.open("wb") as file:
            file.truncate(storage.max_object + 1)  # takes no room
        with pytest.raises(StorageError, match="larger than"):
            getattr(storage, how)("k", source)
        assert list(storage.list()) == []

    def test_close_loses_nothing_and_a_call_afterwards_is_refused_or_works(self, storage: Storage) -> None:
        storage.put("k", b"1")
        for _ in range(2):
            storage.close()
        acts: list[Callable[[], bytes]] = [lambda: storage.get("k"), lambda: b"".join(storage.stream("k"))]
        for act in acts:
            try:
                assert act() == b"1"
            except NotFound:
                raise AssertionError("closing lost an object") from None
            except StorageError:
                continue

    def test_closing_one_view_leaves_the_others_open(self, storage: Storage, reopened: Storage) -> None:
        if reopened is storage:
            pytest.skip("the storage has one view")
        storage.put("k", b"1")
        storage.close()
        assert reopened.get("k") == b"1"

    def test_delete_is_idempotent(self, storage: Storage, reopened: Storage) -> None:
        storage.put("a/k", b"")
        for _ in range(2):
            storage.delete("a/k")
        assert list(reopened.list()) == []

    def test_list_is_in_order_of_keys(self, storage: Storage) -> None:
        keys = ["a.b", "a-b/c", "a/b", "a/b.c", "a/c/d", "a0", "b/a", "Z", "_z", "a+1", "a=1/b", "a@1"]
        for key in reversed(keys):
            storage.put(key, key.encode())
        assert [e.key for e in storage.list()] == sorted(keys)

    @pytest.mark.parametrize(
        "prefix", ["", "run/", "run/1", "run/1/", "run/1/00", "run/1/0000000002.json", "r", "absent", "run/3/x"]
    )
    @pytest.mark.parametrize("after", ["", "run/1/0000000001.json", "run/1/", "run/1", "run/2", "z"])
    def test_list_keeps_to_prefix_and_after(self, storage: Storage, prefix: str, after: str) -> None:
        keys = [f"run/{run}/{seq:010d}.json" for run in (1, 10, 2) for seq in (1, 2)] + ["other", "runs/1"]
        for key in keys:
            storage.put(key, b"")
        assert [e.key for e in storage.list(prefix, after=after)] == sorted(
            key for key in keys if key.startswith(prefix) and key > after
        )

    def test_list_goes_past_one_page(self, storage: Storage) -> None:
        keys = [f"many/{number:05d}" for number in range(1100)]
        _race(8, lambda who: [storage.put_if_absent(key, b"") for key in keys[who::8]])
        assert [e.key for e in storage.list("many/")] == keys

    def test_entries_carry_the_stores_clock(self, storage: Storage) -> None:
        storage.put("a", b"123")
        storage.put("b", b"")
        first, second = storage.list()
        assert (first.size, second.size) == (3, 0)
        assert 1_600_000_000 < first.modified <= second.modified + 1

    @pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
    def test_hostile_keys_are_refused(self, storage: Storage, key: str) -> None:
        acts: list[Callable[[], object]] = [
            lambda: storage.put(key, b"x"),
            lambda: storage.put_if_absent(key, b"x"),
            lambda: storage.get(key),
            lambda: storage.get(key, start=1),
            lambda: list(storage.stream(key)),
            lambda: storage.delete(key),
            lambda: storage.table_location(key),
        ]
        for act in acts:
            with pytest.raises(StorageError) as caught:
                act()
            assert not isinstance(caught.value, NotFound), "the store was asked"
        assert list(storage.list()) == []

    @pytest.mark.parametrize("prefix", ["..", "/", "a/../", "../x", ".", "a//"])
    def test_hostile_prefixes_are_refused(self, storage: Storage, prefix: str) -> None:
        with pytest.raises(StorageError):
            list(storage.list(prefix))

    def test_tables_have_a_place_or_none(self, storage: Storage) -> None:
        location = storage.table_location("captures/delay")
        assert location is None or location.uri.endswith("captures/delay")

    def test_a_table_has_one_place_of_its_own(self, storage: Storage, reopened: Storage) -> None:
        names = ["captures/delay", "captures/delays", "labels/delay"]
        locations = [storage.table_location(name) for name in names]
        assert [reopened.table_location(name) for name in names] == locations, "another view has other places"
        assert len({location and location.uri for location in locations}) == len(names) or locations == [None] * 3

    def test_a_tables_key_is_where_its_files_are_listed(self, storage: Storage, reopened: Storage) -> None:
        """`key` is empty, and `list` shows no file of a table; or it is PREFIX/NAME, and an object below it is a file."""
        location, other = storage.table_location("datasets/t"), storage.table_location("u")
        if location is None or other is None:
            return
        folder = local_folder(location.uri)
        if not location.key:
            if folder is not None:
                folder.mkdir(parents=True)
                folder.joinpath("part-0.parquet").write_bytes(b"rows")
            assert list(reopened.list()) == []
            return
        assert location.key.removesuffix("datasets/t") == other.key.removesuffix("u") != location.key
        storage.put(f"{location.key}/part-0.parquet", b"rows")
        assert location.uri.endswith(location.key)
        assert folder is None or folder.joinpath("part-0.parquet").read_bytes() == b"rows"


def _peak(act: Callable[[], object]) -> int:
    """Return the most bytes that Python held while `act` ran."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _race(racers: int, act: Callable[[int], object]) -> list[object]:
    """Let threads act at once; return what each returned. The first failure is raised."""
    barrier = threading.Barrier(racers)
    results: list[object] = [None] * racers
    failures: list[BaseException] = []

    def run(who: int) -> None:
        barrier.wait()
        try:
            results[who] = act(who)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failures.append(error)

    threads = [threading.Thread(target=run, args=(who,)) for who in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results
