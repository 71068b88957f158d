"""Files in a bucket (`s3://`, `gs://`, `az://`): an object, those that a pattern matches, or those under a prefix."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlopsfw.data.intake.open_file import inner_suffix
from mlopsfw.data.intake.remote.download import Dropped, Part
from mlopsfw.data.intake.remote.object_store import open_store
from mlopsfw.data.intake.remote.options import shown
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore

_RANGE = 16 << 20  # bytes asked for at once: each request has a time-out of its own
_TABLE = re.compile(r"(^|/)(_delta_log/|metadata/[^/]*\.metadata\.json$)")
_PATTERN = re.compile(r"[*?\[]")


class ObjectFile:
    """One object.

    Args:
        store: Its bucket.
        bucket: The bucket's URL.
        meta: What a listing told of it.
    """

    def __init__(self, store: ObjectStore, bucket: str, meta: ObjectMeta) -> None:
        self._store, self._meta, self.shown = store, meta, f"{bucket}/{meta['path']}"
        self.name = re.sub(r"[^\w.=-]", "_", meta["path"].rpartition("/")[2])[-100:].lstrip(".")

    def facts(self) -> dict[str, Any]:
        """Return `etag`, `modified` and `size`."""
        etag, modified = self._meta["e_tag"] or "", self._meta["last_modified"].isoformat()
        return {"etag": etag, "modified": modified, "size": self._meta["size"]}

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether it has the ETag of an earlier time."""
        return bool(self._meta["e_tag"]) and self.facts()["etag"] == known.get("etag")

    @contextlib.contextmanager
    def open(self, start: int) -> Iterator[Part]:
        """Open it from byte `start` on; each range is had only of the object that was listed."""
        yield Part(start, self._meta["size"], self._chunks(start))

    def _chunks(self, start: int) -> Iterator[bytes]:
        from obstore import get
        from obstore.exceptions import BaseError, GenericError, PreconditionError

        size, etag = self._meta["size"], self._meta["e_tag"]
        for begin in range(start, size, _RANGE):
            try:
                options: GetOptions = {"range": (begin, min(size, begin + _RANGE))}
                if etag:
                    options["if_match"] = etag
                yield get(self._store, self._meta["path"], options=options).bytes().to_bytes()
            except GenericError as error:
                raise Dropped(_first_line(error)) from None
            except (PreconditionError, FileNotFoundError):
                raise DataError(
                    f"{self.shown} changed while mlopsfw read it", hint="Nothing was committed. Try again."
                ) from None
            except BaseError as error:
                raise DataError(
                    f"{self.shown} cannot be read: {_first_line(error)}", hint=_credentials(self.shown)
                ) from None


_CREDENTIALS = {  # by how the URL begins: s3, s3a; gs; az, azure, abfs, abfss
    "s3": "aws_access_key_id=…, aws_secret_access_key=env:NAME",
    "gs": "google_service_account_key=env:NAME",
    "a": "azure_storage_account_name=…, azure_storage_account_key=env:NAME",
}


def _credentials(place: str) -> str:
    options = next(options for scheme, options in _CREDENTIALS.items() if place.startswith(scheme))
    return f"Check the credentials: --option {options}, or the environment's."


def objects(
    url: str, options: Mapping[str, str], suffixes: Sequence[str], timeout: float
) -> list[tuple[ObjectFile, str]]:
    """Return the objects that a URL means, each with its key below the part of the URL that is no pattern, by key.

    Args:
        url: Of an object, a pattern (`s3://lake/2013/*.csv`; `**` goes down), or a prefix, whose objects of known suffix are meant.
        options: The store's, their secrets resolved.
        suffixes: The known ones.
        timeout: Seconds that one request may take.

    Raises:
        DataError: Nothing is there, or the store refuses.
    """
    parts = urlsplit(url)
    bucket, key = (
        f"{parts.scheme}://{parts.netloc}",
        parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else ""),
    )
    store = open_store(bucket, options, timeout, bucket)
    with _blamed(shown(url)):
        if not _PATTERN.search(key) and (found := _head(store, key)):
            return [(ObjectFile(store, bucket, found), found["path"].rpartition("/")[2])]
        base, wanted = _base(key), _wanted(key, suffixes)
        listed = (meta for page in _pages(store, base) for meta in page if meta["path"].startswith(base))
        below = [(meta, meta["path"][len(base) :]) for meta in listed if meta["size"]]
    if table := next((name for _, name in below if _TABLE.search(name)), "") if not _PATTERN.search(key) else "":
        raise DataError(
            f"{shown(url)} holds a table of another system ({table}), and its files alone do not give its rows",
            hint="Name the URL of the Delta table itself. Iceberg tables must be in a local folder.",
        )
    chosen = sorted(((meta, name) for meta, name in below if wanted(name)), key=lambda pair: pair[1])
    if not chosen:
        raise DataError(
            f"nothing of a known format is at {shown(url)}", hint="Correct the URL: s3://bucket/folder/*.parquet."
        )
    return [(ObjectFile(store, bucket, meta), name) for meta, name in chosen]


def _base(key: str) -> str:
    """Return the part of a key that is no pattern, up to a slash."""
    found = _PATTERN.search(key)
    return (
        key[: found.start()].rpartition("/")[0] + "/"
        if found and "/" in key[: found.start()]
        else ("" if found or not key else key.rstrip("/") + "/")
    )


def _wanted(key: str, suffixes: Sequence[str]) -> Any:
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
def _blamed(place: str) -> Iterator[None]:
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, OSError) as error:
        raise DataError(f"{place} cannot be read: {_first_line(error)}", hint=_credentials(place)) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]


def is_delta(url: str, options: Mapping[str, str], timeout: float) -> bool:
    """Return whether there is a Delta table at a URL that is neither a pattern nor has a suffix."""
    parts = urlsplit(url)
    key = parts.path.strip("/")
    if _PATTERN.search(url) or inner_suffix(PurePosixPath(key)):
        return False
    bucket = f"{parts.scheme}://{parts.netloc}"
    store = open_store(bucket, options, timeout, bucket)
    with _blamed(shown(url)):
        return any(page for page in _pages(store, f"{key}/_delta_log".lstrip("/")))
