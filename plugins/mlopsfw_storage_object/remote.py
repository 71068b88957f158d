"""`RemoteStorage`: the storage protocol over obstore. The store gives durability and order; this module gives retries and error names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import obstore
from obstore import exceptions as failures

from mlopsfw.errors import NotFound, StorageError, StorageFull
from mlopsfw.roles import Entry, Storage, TableLocation, check_key, check_prefix, open_store
from mlopsfw_storage_object.retry import Retries

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

T = TypeVar("T")

_PAGE = 1000
_ASK_FIRST = 1 << 20  # bytes from which put_if_absent asks whether the key is there before it uploads
_FULL = ("QuotaExceeded", "InsufficientStorage", "507")


def open_remote(url: str, options: Mapping[str, str], *, attempts: int, budget: float) -> RemoteStorage:
    """Open the store at `url` with `options`; nothing is asked of it yet.

    Raises:
        UsageError: The URL or an option is not one that obstore knows.
    """
    store = open_store(url, options, budget, _shown(url))
    return RemoteStorage(store, url, options, Retries(attempts=attempts, budget=budget))


def _shown(url: str) -> str:
    """Return the URL without what a person may have put before the `@`."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class RemoteStorage(Storage):
    """Bytes under keys in a bucket.

    Args:
        store: obstore's own store, without retries.
        url: Where it is.
        options: What it was opened with; tables are opened with the same.
        retries: How often and how long to try.
    """

    def __init__(self, store: ObjectStore, url: str, options: Mapping[str, str], retries: Retries) -> None:
        self._store, self._url, self._options, self._retries = store, url, options, retries

    def put(self, key: str, data: bytes | Path) -> None:
        """Store `data` under `key`, replacing what was there; large data goes up in parts."""
        check_key(key)
        self._ask("put", key, lambda: obstore.put(self._store, key, data))

    def put_if_absent(self, key: str, data: bytes | Path) -> bool:
        """Store `data` unless `key` exists; return whether this call created it."""
        check_key(key)
        large = data.stat().st_size if isinstance(data, Path) else len(data)
        if large >= _ASK_FIRST and self._size(key) is not None:
            return False
        try:
            self._ask("put_if_absent", key, lambda: obstore.put(self._store, key, data, mode="create"))
        except failures.AlreadyExistsError:
            return False
        return True

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """Return the object's bytes, or `length` of them from `start`. Raise `NotFound`."""
        check_key(key)
        if start == 0 and length is None:
            return self._ask("get", key, lambda: obstore.get(self._store, key).bytes().to_bytes())
        size = self._size(key)
        if size is None:
            raise NotFound(f"{key!r} is not in {self.describe()}")
        end = size if length is None else min(size, start + length)
        if end <= start:  # stores answer an empty range with an error
            return b""
        return self._ask("get", key, lambda: obstore.get_range(self._store, key, start=start, end=end).to_bytes())

    def _size(self, key: str) -> int | None:
        try:
            return self._ask("head", key, lambda: obstore.head(self._store, key))["size"]
        except NotFound:
            return None

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Entry]:
        """Yield the objects whose key starts with `prefix` and sorts after `after`, in ascending key order."""
        for key, meta in self._metas(check_prefix(prefix).rpartition("/")[0], prefix, after):
            if key.startswith(prefix) and key > after:
                yield Entry(key=key, size=meta["size"], modified=meta["last_modified"].timestamp())
            elif key > prefix and not key.startswith(prefix):
                return

    def _metas(self, above: str, prefix: str, after: str) -> Iterator[tuple[str, ObjectMeta]]:
        """Yield what lies below the folder `above`, from `after` on; a listing that breaks off is begun anew where it did."""
        last, pages = after, self._pages(above, after)

        def page() -> Sequence[ObjectMeta] | None:
            nonlocal pages
            try:
                return next(pages, None)
            except failures.BaseError:
                pages = self._pages(above, last)  # asking the broken one again would look like the end
                raise

        while metas := self._ask("list", prefix, page):
            yield from ((meta["path"], meta) for meta in metas)
            last = metas[-1]["path"]

    def _pages(self, above: str, after: str) -> Iterator[Sequence[ObjectMeta]]:
        return iter(obstore.list(self._store, above or None, offset=after or None, chunk_size=_PAGE))

    def delete(self, key: str) -> None:
        """Remove the object; an absent one is no error."""
        check_key(key)
        try:
            self._ask("delete", key, lambda: obstore.delete(self._store, key))
        except NotFound:
            return

    def table_location(self, name: str) -> TableLocation | None:
        """Return the URI of the Delta table `name`, with the options that this store was opened with."""
        key = check_key(f"tables/{name}")
        return TableLocation(uri=f"{self._url.rstrip('/')}/{key}", options=dict(self._options), key=key)

    def describe(self) -> str:
        """Return the URL, without credentials."""
        return _shown(self._url)

    def _ask(self, what: str, key: str, request: Callable[[], T]) -> T:
        """Make a request, and retry it where that can help. Raise the errors of the storage protocol."""
        where = f"{what} of {key!r} in {self.describe()}"
        try:
            return self._retries.run(request, where, again=failures.GenericError)
        except failures.AlreadyExistsError:
            raise
        except FileNotFoundError:
            raise NotFound(f"{key!r} is not in {self.describe()}") from None
        except failures.NotFoundError:
            raise NotFound(f"{key!r} is not in {self.describe()}") from None
        except failures.BaseError as error:
            if any(mark in str(error) for mark in _FULL):
                raise StorageFull(
                    f"{where} failed: the quota is used up", hint="Raise the quota or run `mlopsfw gc`."
                ) from error
            raise StorageError(
                f"{where} failed: {error}", hint="Check the credentials and the bucket's name."
            ) from error
