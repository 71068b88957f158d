"""Acme's machines: each hall has a folder of its own on a share, into which its machines write. `acme://hall-3` means all of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlopsfw.errors import DataError

if TYPE_CHECKING:
    from mlopsfw.roles import Received, SourceRequest

_CHUNK = 1 << 20


class AcmeSource:
    """Finds the files of a hall.

    Args:
        share: The folder that has a folder for each hall.
    """

    queries = False

    def __init__(self, share: Path) -> None:
        self._share = share

    def find(self, request: SourceRequest) -> list[MachineFile]:
        """Return the file that `acme://HALL/FILE` names, or all of `acme://HALL` that a format reads."""
        parts = urlsplit(request.url)
        hall, name = self._share / parts.netloc, parts.path.strip("/")
        files = [hall / name] if name else sorted(file for file in hall.glob("*") if file.suffix in request.suffixes)
        place = f"acme://{parts.netloc}"
        if not files or not all(map(self._is_shared, files)):
            raise DataError(f"{place}{parts.path} does not exist", hint=f"The share has {', '.join(self._halls())}.")
        return [MachineFile(file, f"{place}/{file.name}") for file in files]

    def _is_shared(self, file: Path) -> bool:
        return file.is_file() and file.resolve().is_relative_to(self._share.resolve())  # a URL leads out of no share

    def _halls(self) -> list[str]:
        return sorted(f"acme://{hall.name}" for hall in self._share.glob("*"))


class MachineFile:
    """A file on the share.

    Args:
        path: Where the share is mounted.
        shown: Its URL.
    """

    relative = ""

    def __init__(self, path: Path, shown: str) -> None:
        self._path, self.shown, self.name = path, shown, path.name

    def facts(self) -> Mapping[str, Any]:
        """Return when it was written, and its size."""
        stat = self._path.stat()
        return {"modified": stat.st_mtime_ns, "size": stat.st_size}

    def unchanged(self, known: Mapping[str, Any]) -> bool:
        """Return whether nobody has written it since."""
        return self.facts() == known

    def fetch(self, to: Path, received: Received) -> None:
        """Copy it; an error if it is written meanwhile."""
        before = self.facts()
        with self._path.open("rb") as file, to.open("wb") as out:
            while chunk := file.read(_CHUNK):
                out.write(chunk)
                received(out.tell(), before["size"])
        if self.facts() != before:
            raise DataError(
                f"{self.shown} changed while it was copied", hint="Try again when the machine has finished."
            )
