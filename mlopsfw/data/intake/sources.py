"""`Sources`: the installed sources, each imported when a place of its scheme, or a folder of its mark, is first named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from mlopsfw.data.intake.places import name_of, scheme_of
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.roles.source import TableFolder

if TYPE_CHECKING:
    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.source import RemoteFile, Source, SourceOption, SourceRequest, SourceTable


class Sources:
    """The sources that plugins offer.

    Args:
        names: Their names: the schemes of URLs, and marks of folders, which contain a slash (`_delta_log/`).
        build: Makes the source of such a name, importing its plugin alone.

    Attributes:
        schemes: The schemes.
        marks: The marks.
    """

    def __init__(self, names: Sequence[str], build: Callable[[str], Source]) -> None:
        self.schemes = tuple(name for name in names if "/" not in name)
        self.marks = tuple(name for name in names if "/" in name)
        self._build, self._built, self._lock = build, dict[str, "Source"](), Lock()

    def find(self, request: SourceRequest) -> SourceTable | Sequence[RemoteFile]:
        """Return what is at a URL.

        Raises:
            UsageError: No installed source reads such URLs; a query is missing, or of no use.
            DataError, StorageUnavailable: As `Source.find`.
            PluginError: The source's plugin cannot be used, or two claim its name.
        """
        source = self._of_scheme(request)
        _check_query(source, request)
        try:
            return source.find(request)
        except TableFolder as folder:
            if folder.mark not in self.marks:
                raise
            return self._of(folder.mark).find(request)

    def takes(self, request: SourceRequest, here: Path | None) -> Collection[SourceOption]:
        """Return which options the source of a URL, or of a table `here`, uses: none for plain files. Raise as `find`."""
        if here is None:
            return self._of_scheme(request).takes
        mark = self._mark_of(here)
        return self._of(mark).takes if mark else ()

    def find_table(self, folder: Path, request: SourceRequest) -> SourceTable | Sequence[RemoteFile] | None:
        """Return the table that a folder here is by its mark, None where it is none.

        Raises:
            DataError: A table lies deeper in the folder, so that its files alone do not give its rows; or as `Source.find`.
        """
        if mark := self._mark_of(folder):
            return self._of(mark).find(replace(request, url=str(folder)))
        for mark in self.marks if folder.is_dir() else ():
            if deeper := next(folder.rglob(mark), None):
                table = deeper.parents[mark.rstrip("/").count("/")]
                raise DataError(
                    f"{folder} contains a table of another system, {table.relative_to(folder)}, and its files alone do not give its rows",
                    hint=f"Name the table itself: {table}.",
                )
        return None

    def _mark_of(self, folder: Path) -> str:
        return next((mark for mark in self.marks if folder.is_dir() and next(folder.glob(mark), None)), "")

    def _of_scheme(self, request: SourceRequest) -> Source:
        scheme = scheme_of(request.url)
        if scheme in self.schemes:
            return self._of(scheme)
        known = ", ".join(f"{name}://" for name in dict.fromkeys(self.schemes)) or "none"
        if not scheme:
            raise UsageError(f"{name_of(request)} is not a URL", hint=f"Write a URL of an installed source: {known}.")
        raise UsageError(
            f"{name_of(request)}: no installed plugin reads {scheme}:// URLs",
            hint=f"Installed: {known}. Correct the URL, or install a plugin with the entry point source.{scheme}.",
        )

    def _of(self, name: str) -> Source:
        with self._lock:  # a plugin is loaded once
            if name not in self._built:
                self._built[name] = self._build(name)
            return self._built[name]


@dataclass(frozen=True)
class Intake:
    """What data comes in by.

    Args:
        formats: Read files.
        sources: Find what lies elsewhere, and tables of other systems.
    """

    formats: Formats
    sources: Sources


def _check_query(source: Source, request: SourceRequest) -> None:
    if source.queries and bool(request.query) == bool(request.table):
        raise UsageError(
            "to read a database, give either a query or a table",
            hint='Write --sql URL with --query or --table; in a step sql = "URL" and query = "SELECT …" or table = "trips".',
        )
    if not source.queries and (request.query or request.table):
        raise UsageError(
            f"{name_of(request)} is not a database, so it takes no query and no table", hint="Name the URL like a file."
        )
