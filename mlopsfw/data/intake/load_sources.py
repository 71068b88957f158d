"""What a load's sources are: files here, copies of files elsewhere, tables, queries; and whether any of it changed since the newest version."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from mlopsfw.data.intake.lakehouse import DeltaSource, IcebergSource, SourceTable, is_delta, is_iceberg
from mlopsfw.data.intake.paths import SourceFile, agreeing, locate, partition_of
from mlopsfw.data.intake.remote.download import Remote, fetch
from mlopsfw.data.intake.remote.options import (
    HTTP,
    Outside,
    address,
    harmless_query,
    resolved_headers,
    resolved_options,
    scheme_of,
    shown,
)
from mlopsfw.data.intake.sql.query import DatabaseRows, Query
from mlopsfw.kernel.base.errors import DataError, UsageError

if TYPE_CHECKING:
    from mlopsfw.data.intake.formats import Formats
    from mlopsfw.kernel.roles.host import Secrets
    from mlopsfw.kernel.services import Services
    from mlopsfw.kernel.workspace import Workspace

Heard = Callable[[int, int | None], None]
"""Told how many bytes of a source came, and how many there will be."""

_ABANDONED = 86_400.0  # seconds after which copies have lost their reader


@dataclass(frozen=True)
class _Elsewhere:
    """A file elsewhere, and what the names of its folders say."""

    remote: Remote
    partition: dict[str, str | None] = field(default_factory=dict)


_Source: TypeAlias = "SourceFile | SourceTable | _Elsewhere"


@dataclass(frozen=True)
class Gathered:
    """What a load reads.

    Args:
        files: The sources in order, at hand; none where nothing changed.
        source: What they are, for people.
        origin: For the version's event: `how` they are read (a digest) and `files`, by name what tells that one changed.
        unchanged: Whether that is what the newest version was made of.
    """

    files: Sequence[SourceFile | SourceTable]
    source: str
    origin: dict[str, Any]
    unchanged: bool = False


@contextlib.contextmanager
def gather(  # noqa: PLR0917 - called in one place
    services: Services,
    formats: Formats,
    places: Sequence[Path | str | Query],
    outside: Outside,
    how: Any,
    known: dict[str, Any],
    heard: Heard,
) -> Iterator[Gathered]:
    """Bring a load's sources to hand for as long as they are read.

    Args:
        services: Resolve references, and have room for copies.
        formats: Say which files of a folder are read.
        places: Paths, patterns, folders; URLs, or references to them; queries of databases.
        outside: How those are read that are no plain files.
        how: What else the rows depend on.
        known: The newest version's `origin`; empty to ask nobody whether anything changed.
        heard: Told how far copies are.

    Raises:
        UsageError: A URL is of no known kind, or holds a credential.
        DataError: A source is not there, refuses, or changes on the way.
        StorageUnavailable: A server cannot be reached.
    """
    urls = {place: address(place, services.secrets) for place in places if isinstance(place, str)}
    found: list[_Source] = []
    names: list[str] = []
    for place in places:
        if isinstance(place, Query):
            rows = DatabaseRows(place, services.secrets, services.workspace.root)
            found.append(rows)
            names.append(rows.shown)
        elif isinstance(place, str):
            found.extend(_linked(services.secrets, urls[place], outside, formats.suffixes))
            names.append(shown(urls[place]))
        else:
            found.extend(_here(place, outside, formats.suffixes))
            names.append(place.name)
    source = ", ".join(names)
    queries = [harmless_query(url) for url in urls.values()]
    told = {"how": _digest([how, outside.sheet, outside.at, queries])}
    if known and _unchanged(found, told["how"], known):
        yield Gathered((), source, known, unchanged=True)
        return
    with _folder(services.workspace) as folder:
        files = [_at_hand(one, folder / str(number), outside, heard) for number, one in enumerate(found)]
        facts = {name: one for name, ask in _named(found) if (one := ask())}
        yield Gathered(files, source, told | {"files": facts} if facts else {})


def _here(place: Path, outside: Outside, suffixes: Sequence[str]) -> Sequence[_Source]:
    if is_delta(place):
        return [DeltaSource(str(place), {}, outside.at)]
    if is_iceberg(place):
        return [IcebergSource(place, outside.at)]
    if outside.at:
        raise UsageError(f"{place} is not a Delta or Iceberg table", hint="Only those tables have versions for --at.")
    if place.is_dir() and (log := next((log for log in place.rglob("_delta_log") if log.is_dir()), None)):
        raise DataError(
            f"{place} contains the Delta table {log.parent.relative_to(place)}, and its files alone do not give its rows",
            hint=f"Name the table itself: {log.parent}.",
        )
    return [replace(file, sheet=outside.sheet) for file in locate([place], suffixes)]


def _linked(secrets: Secrets, url: str, outside: Outside, suffixes: Sequence[str]) -> Sequence[_Source]:
    if scheme_of(url) in HTTP:
        from mlopsfw.data.intake.remote.http import HttpFile

        headers = resolved_headers(outside.headers, secrets)
        return [_Elsewhere(HttpFile(url, headers, allow_private=outside.allow_private, timeout=outside.timeout))]
    from mlopsfw.data.intake.remote import bucket

    options = resolved_options(outside.options, secrets)
    if bucket.is_delta(url, options, outside.timeout):
        return [DeltaSource(url, options, outside.at)]
    below = bucket.objects(url, options, suffixes, outside.timeout)
    parts = [SourceFile(Path(), partition_of(PurePosixPath(name).parent), file.shown) for file, name in below]
    return [_Elsewhere(file, part.partition) for (file, _), part in zip(below, agreeing(parts), strict=True)]


def _digest(parts: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


def _named(found: Sequence[_Source]) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """Return the name of each source that tells of its changes, and how to ask for them."""
    told = [one.remote if isinstance(one, _Elsewhere) else one for one in found if not isinstance(one, SourceFile)]
    return [(one.shown, one.facts) for one in told]


def _unchanged(found: Sequence[_Source], how: str, known: dict[str, Any]) -> bool:
    """Return whether the sources are all of a kind that tells, and tell what is known."""
    told = [one.remote if isinstance(one, _Elsewhere) else one for one in found]
    files = known.get("files", {})
    if known.get("how") != how or [getattr(one, "shown", "") for one in told] != list(files):
        return False
    return all(not isinstance(one, SourceFile) and one.unchanged(files[one.shown]) for one in told)


@contextlib.contextmanager
def _folder(workspace: Workspace) -> Iterator[Path]:
    """Give a private folder for copies; remove those that were left by readers that were killed."""
    base = workspace.private_folder("fetched")
    for folder in base.iterdir():
        if folder.stat().st_mtime < time.time() - _ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=base) as name:
        yield Path(name)


def _at_hand(one: _Source, folder: Path, outside: Outside, heard: Heard) -> SourceFile | SourceTable:
    if not isinstance(one, _Elsewhere):
        return one
    folder.mkdir()
    copy = folder / "copy"
    fetch(one.remote, copy, outside.timeout, heard)
    named = copy.rename(folder / (one.remote.name or "file"))
    return SourceFile(named, one.partition, one.remote.shown, outside.sheet)
