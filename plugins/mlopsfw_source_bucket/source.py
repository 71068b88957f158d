"""Finding what a bucket's URL means: an object, those that a pattern matches, or those under a prefix."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlopsfw.errors import DataError
from mlopsfw.formats import inner_suffix
from mlopsfw.roles import TableFolder, open_store
from mlopsfw.sources import check_credentials, shown
from mlopsfw_source_bucket.objects import ObjectFile, credentials_hint, first_line

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

    from mlopsfw.roles import SourceOption, SourceRequest

_PATTERN = re.compile(r"[*?\[]")


class BucketSource:
    """Finds objects."""

    queries = False
    takes: tuple[SourceOption, ...] = ("options",)

    def find(self, request: SourceRequest) -> Sequence[ObjectFile]:
        """Return the objects that the URL means, by key, as `mlopsfw.roles.Source` has it.

        The URL names an object, a pattern (`s3://lake/2013/*.csv`; `**` descends), or a prefix, which means its objects of a known
        suffix.
        """
        check_credentials(request, user=True)
        parts = urlsplit(request.url)
        bucket = f"{parts.scheme}://{parts.netloc}"
        key = parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
        timeout = request.options.timeout
        store = open_store(bucket, request.options.options, timeout, bucket)
        with _refusals(shown(request.url)):
            _check_mark(store, key, request)
            single = None if _PATTERN.search(key) else _head(store, key)
            found = [(single, single["path"].rpartition("/")[2])] if single else _below(store, key, request)
        return [ObjectFile(store, bucket, meta, name, timeout) for meta, name in found]


def _below(store: ObjectStore, key: str, request: SourceRequest) -> list[tuple[ObjectMeta, str]]:
    base, wanted = _base(key), _wanted(key, request.suffixes)
    listed = (meta for page in _pages(store, base) for meta in page if meta["path"].startswith(base))
    below = [(meta, meta["path"][len(base) :]) for meta in listed if meta["size"]]
    if not _PATTERN.search(key):
        _check_deeper([name for _, name in below], request)
    chosen = sorted(((meta, name) for meta, name in below if wanted(name)), key=lambda pair: pair[1])
    if not chosen:
        raise DataError(
            f"nothing of a known format is at {shown(request.url)}",
            hint="Correct the URL: s3://bucket/folder/*.parquet.",
        )
    return chosen


def _check_mark(store: ObjectStore, key: str, request: SourceRequest) -> None:
    """Raise `TableFolder` where the URL, neither a pattern nor with a suffix, means a table of another system."""
    folder = key.strip("/")
    if _PATTERN.search(request.url) or inner_suffix(PurePosixPath(folder)):
        return
    for mark in request.marks:
        base = f"{folder}/{_base(mark)}".lstrip("/")
        names = (meta["path"] for page in _pages(store, base) for meta in page)
        if any(_marked(mark, name[len(folder) :].lstrip("/")) for name in names):
            raise TableFolder(shown(request.url), mark)


def _check_deeper(names: Sequence[str], request: SourceRequest) -> None:
    """Raise `DataError` where one of the names below a prefix belongs to a table."""
    for mark in request.marks:
        if table := next((name for name in names if _marked(mark, name, deep=True)), ""):
            raise DataError(
                f"{shown(request.url)} holds a table of another system ({table}), and its files alone do not give its rows",
                hint="Name the URL of the table itself.",
            )


def _marked(mark: str, name: str, *, deep: bool = False) -> bool:
    """Return whether a key below a folder is one that the mark means: `_delta_log/` means all below such a folder."""
    pattern = _regex(mark) + (".*" if mark.endswith("/") else "")
    return bool(re.fullmatch(f"(?:.*/)?{pattern}" if deep else pattern, name))


def _base(key: str) -> str:
    """Return the part of a key that is no pattern, up to a slash."""
    match = _PATTERN.search(key)
    if not match:
        return key.rstrip("/") + "/" if key else ""
    folder, slash, _ = key[: match.start()].rpartition("/")
    return folder + slash


def _wanted(key: str, suffixes: Sequence[str]) -> Callable[[str], Any]:
    if not _PATTERN.search(key):
        return lambda name: inner_suffix(PurePosixPath(name)) in suffixes and not re.search(r"(^|/)[._]", name)
    return re.compile(_regex(key[len(_base(key)) :])).fullmatch


def _regex(pattern: str) -> str:
    """Return a pattern of paths as a regular expression, as `Path.glob` reads it."""
    pieces = {"**/": "(?:.+/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", pattern)
    return "".join(
        pieces.get(part)
        or (part.replace("[!", "[^") if part.startswith("[") and part.endswith("]") else re.escape(part))
        for part in parts
    )


def _head(store: ObjectStore, key: str) -> ObjectMeta | None:
    from obstore import head

    if not key or key.endswith("/"):
        return None
    try:
        return head(store, key)
    except FileNotFoundError:
        return None


def _pages(store: ObjectStore, base: str) -> Any:
    from obstore import list as listing

    return listing(store, base.rstrip("/") or None, chunk_size=1000)


@contextlib.contextmanager
def _refusals(place: str) -> Iterator[None]:
    """Name the place and what to do where the store refuses."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        raise DataError(f"{place} cannot be read: {first_line(error)}", hint=credentials_hint(place)) from None
