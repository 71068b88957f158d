"""The source `sample`: `sample://FOLDER` means the files of a folder on a share, `sample://FOLDER/FILE` one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import DataError
from mlopsfw.roles import Host, Source

if TYPE_CHECKING:
    from mlopsfw.roles import Received, SourceOption, SourceRequest

_CHUNK = 1 << 20


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[source.sample]`.

    Args:
        share: Where the share is mounted, relative to the project.
    """

    share: str = "share"


class SampleFile:
    """A file on the share.

    Args:
        path: Where it lies.
        shown: Its URL.
    """

    relative = ""

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self.shown, self.name = path, shown, path.name

    def facts(self) -> Mapping[str, Any]:
        """Return what changes when the file does."""
        stat = self._path.stat()
        return {"modified": stat.st_mtime_ns, "size": stat.st_size}

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether the file is as it was when `known` were its facts."""
        return self.facts() == known

    def fetch(self, to: Path, received: Received) -> None:
        """Copy the file. Raise `DataError` if somebody writes it meanwhile."""
        before = self.facts()
        with self._path.open("rb") as file, to.open("wb") as out:
            while chunk := file.read(_CHUNK):
                out.write(chunk)
                received(out.tell(), before["size"])
        if self.facts() != before:
            raise DataError(f"{self.shown} changed while it was copied", hint="Try again later.")


class SampleSource:
    """Finds files on the share; no URL leads out of it."""

    queries = False
    takes: tuple[SourceOption, ...] = ()

    def __init__(self, share: Path) -> None:
        self._share = share.resolve()

    def find(self, request: SourceRequest) -> list[SampleFile]:
        """Return the file that the URL names, or each file of its folder that some format reads."""
        parts = urlsplit(request.url)
        place = (self._share / parts.netloc / parts.path.strip("/")).resolve()
        shown = f"{parts.scheme}://{parts.netloc}"
        files = [place] if place.is_file() else sorted(f for f in place.glob("*") if f.suffix in request.suffixes)
        if not files or not place.is_relative_to(self._share):
            raise DataError(f"{shown}{parts.path} does not exist", hint=f"Files are looked for in {self._share}.")
        return [SampleFile(file, f"{shown}/{file.name}") for file in files]


def _build(config: SampleConfig, host: Host) -> Source:
    return SampleSource(host.root / config.share)


@hookimpl
def mlopsfw_sources() -> Iterable[Provider[Source]]:
    """Offer the source, by the scheme of its URLs."""
    yield Provider("sample", SampleConfig, _build, "Files of a share")
