"""One object of a bucket: read by ranges, each only of the object that was listed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.errors import DataError
from mlopsfw.sources import Dropped, Part, download

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore

    from mlopsfw.roles import Received

_RANGE = 16 << 20  # bytes asked for at once: each request has a time-out of its own
_CREDENTIALS = {  # by how the URL begins: s3, s3a; gs; az, azure, abfs, abfss
    "s3": "aws_access_key_id=…, aws_secret_access_key=env:NAME",
    "gs": "google_service_account_key=env:NAME",
    "a": "azure_storage_account_name=…, azure_storage_account_key=env:NAME",
}


class ObjectFile:
    """One object.

    Args:
        store: Its bucket.
        bucket: The bucket's URL.
        meta: Its entry in a listing.
        relative: Its key below the part of the URL that is no pattern.
        timeout: Seconds over which fewer than 1 KiB a second count as a dropped connection.
    """

    def __init__(self, store: ObjectStore, bucket: str, meta: ObjectMeta, relative: str, timeout: float) -> None:
        self._store, self._meta, self.shown = store, meta, f"{bucket}/{meta['path']}"
        self.relative, self._timeout = relative, timeout
        self.name = re.sub(r"[^\w.=-]", "_", meta["path"].rpartition("/")[2])[-100:].lstrip(".")

    def facts(self) -> dict[str, Any]:
        """Return `etag`, `modified` and `size`."""
        etag, modified = self._meta["e_tag"] or "", self._meta["last_modified"].isoformat()
        return {"etag": etag, "modified": modified, "size": self._meta["size"]}

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether it has the ETag of an earlier time."""
        return bool(self._meta["e_tag"]) and self.facts()["etag"] == known.get("etag")

    def fetch(self, to: Path, received: Received) -> None:
        """Copy it to the file `to`."""
        download(self, to, self._timeout, received)

    @contextlib.contextmanager
    def open(self, start: int) -> Iterator[Part]:
        """Open it from byte `start` on."""
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
                raise Dropped(first_line(error)) from None
            except (PreconditionError, FileNotFoundError):
                raise DataError(
                    f"{self.shown} changed while mlopsfw read it", hint="Nothing was committed. Try again."
                ) from None
            except BaseError as error:
                raise DataError(
                    f"{self.shown} cannot be read: {first_line(error)}", hint=credentials_hint(self.shown)
                ) from None


def credentials_hint(place: str) -> str:
    """Return what to do about a store that refuses."""
    options = next(options for scheme, options in _CREDENTIALS.items() if place.startswith(scheme))
    return f"Check the credentials: --option {options}, or the environment's."


def first_line(error: Exception) -> str:
    """Return what a library says, in one line."""
    return (str(error).strip().splitlines() or [""])[0][:300]
