"""What a load's sources are: files here, copies of files elsewhere, tables, queries; and whether any of it changed since the newest version."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from mlopsfw.data.intake.paths import SourceFile, agreeing, locate, partition_of
from mlopsfw.data.intake.places import Query, harmless_query, name_of, resolved, shown, url_of
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.kernel.roles.source import RemoteFile, SourceOptions, SourceRequest, SourceTable
from mlopsfw.operations.scratch import scratch_folder

if TYPE_CHECKING:
    from mlopsfw.data.intake.sources import Intake
    from mlopsfw.kernel.roles.source import Received
    from mlopsfw.kernel.services import Services


@dataclass(frozen=True)
class _Elsewhere:
    """A file elsewhere, and what the names of its folders say."""

    remote: RemoteFile
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
    intake: Intake,
    places: Sequence[Path | str | Query],
    outside: SourceOptions,
    how: Any,
    known: dict[str, Any],
    received: Received,
) -> Iterator[Gathered]:
    """Bring a load's sources to hand for as long as they are read.

    Args:
        services: Resolve references, and have room for copies.
        intake: Finds sources, and says which files of a folder are read.
        places: Paths, patterns, folders; URLs, or references to them; queries of databases.
        outside: How those are read that are no plain files.
        how: What else the rows depend on.
        known: The newest version's `origin`; empty to ask nobody whether anything changed.
        received: Is given how much of a copy has come.

    Raises:
        UsageError: A URL is of no known kind, or contains a credential.
        DataError: A source is not there, refuses, or changes on the way.
        StorageUnavailable: A server cannot be reached.
    """
    requests = [_request(services, intake, place, outside) for place in places]
    queries = [
        harmless_query(request.url) for place, request in zip(places, requests, strict=True) if isinstance(place, str)
    ]
    _check_unused(intake, places, requests, outside)
    by_place = [_parts(place, intake, request) for place, request in zip(places, requests, strict=True)]
    parts = [part for at_place in by_place for part in at_place]
    if outside.sheet and not any(isinstance(part, SourceFile | _Elsewhere) for part in parts):
        intake.formats.check_options((), ReadOptions(), outside.sheet)
    names = [
        _label(at_place, place, request) for at_place, place, request in zip(by_place, places, requests, strict=True)
    ]
    origin: dict[str, Any] = {"how": _digest([how, outside.sheet, outside.at, queries])}
    if known and _unchanged(parts, origin["how"], known):
        yield Gathered((), ", ".join(names), known, unchanged=True)
        return
    with scratch_folder(services.workspace, "fetched-") as folder:
        files = [_at_hand(part, folder / str(number), outside, received) for number, part in enumerate(parts)]
        facts = {name: facts for name, ask in _tellers(parts) if (facts := dict(ask()))}
        yield Gathered(files, ", ".join(names), origin | {"files": facts} if facts else {})


def _parts(place: Path | str | Query, intake: Intake, request: SourceRequest) -> Sequence[_Source]:
    if isinstance(place, Path):
        return _here(place, intake, request)
    return _found(intake.sources.find(request), request)


def _request(services: Services, intake: Intake, place: Path | str | Query, outside: SourceOptions) -> SourceRequest:
    base = SourceRequest(
        url="",
        named=str(place),
        options=outside,
        suffixes=intake.formats.suffixes,
        marks=intake.sources.marks,
        suffix_for=intake.formats.suffix_for,
    )
    if isinstance(place, Path):
        return base
    query = Query(place) if isinstance(place, str) else place
    url, options = url_of(query.url, services.secrets), resolved(outside, services.secrets)
    return replace(base, url=url, named=query.url, options=options, query=query.query, table=query.table)


def _here(place: Path, intake: Intake, request: SourceRequest) -> Sequence[_Source]:
    table = intake.sources.find_table(place, request)
    if table is not None:
        return _found(table, request)
    if request.options.at:
        raise _without_versions(request)
    return [replace(file, sheet=request.options.sheet) for file in locate([place], request.suffixes)]


def _found(answer: SourceTable | Sequence[RemoteFile], request: SourceRequest) -> Sequence[_Source]:
    """Return what a source found, with what the names of folders say of files."""
    if request.options.at and (isinstance(answer, Sequence) or request.query or request.table):
        raise _without_versions(request)
    if not isinstance(answer, Sequence):
        return [answer]
    if not answer:
        raise DataError(f"there is nothing at {name_of(request)}", hint="Correct the URL.")
    folders = [partition_of(PurePosixPath(file.relative).parent) for file in answer]
    agreeing([SourceFile(Path(), folder, file.shown) for folder, file in zip(folders, answer, strict=True)])
    return [_Elsewhere(file, folder) for folder, file in zip(folders, answer, strict=True)]


def _label(parts: Sequence[_Source], place: Path | str | Query, request: SourceRequest) -> str:
    """Return what people call a place: a table as it calls itself, files by the URL that means them."""
    if isinstance(place, Path):
        return place.name
    return shown(request.url) if isinstance(parts[0], _Elsewhere) else parts[0].shown


def _without_versions(request: SourceRequest) -> UsageError:
    marks = " or ".join(request.marks) or "what an installed plugin reads as one"
    return UsageError(
        f"{name_of(request)} is not a table with versions", hint=f"--at needs a folder that contains {marks}."
    )


def _check_unused(
    intake: Intake, places: Sequence[Path | str | Query], requests: Sequence[SourceRequest], outside: SourceOptions
) -> None:
    """Raise `UsageError` for an option that no source of the load uses."""
    if outside.timeout != SourceOptions().timeout and not any(isinstance(place, str) for place in places):
        raise UsageError(
            f"timeout is given ({outside.timeout:g}), and nothing that is read here uses it",
            hint="Omit --timeout (`timeout` in a step). URLs of files and folders use it.",
        )
    given = [
        (name, flag, ", ".join(getattr(outside, name)))
        for name, flag in (("headers", "--header"), ("options", "--option"))
        if getattr(outside, name)
    ]
    for name, flag, keys in given:
        if not any(
            name in intake.sources.takes(request, place if isinstance(place, Path) else None)
            for place, request in zip(places, requests, strict=True)
        ):
            users = "http(s) URLs use" if name == "headers" else "Buckets and the tables in them use"
            raise UsageError(
                f"{name} is given ({keys}), and nothing that is read here uses it",
                hint=f"Omit {flag} (`{name}` in a step). {users} it, and sources of plugins may.",
            )


def _digest(parts: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


def _outside(parts: Sequence[_Source]) -> list[RemoteFile | SourceTable]:
    """Return the parts that may say whether they changed."""
    remotes = [part.remote if isinstance(part, _Elsewhere) else part for part in parts]
    return [part for part in remotes if not isinstance(part, SourceFile)]


def _tellers(parts: Sequence[_Source]) -> list[tuple[str, Callable[[], Mapping[str, Any]]]]:
    """Return the name of each part that may say whether it changed, and how to ask for its facts."""
    return [(part.shown, part.facts) for part in _outside(parts)]


def _unchanged(parts: Sequence[_Source], how: str, known: dict[str, Any]) -> bool:
    """Return whether all parts say that they are what is known."""
    outside, files = _outside(parts), known.get("files", {})
    if known.get("how") != how or len(outside) < len(parts) or [part.shown for part in outside] != list(files):
        return False
    return all(part.unchanged(files[part.shown]) for part in outside)


def _at_hand(part: _Source, folder: Path, outside: SourceOptions, received: Received) -> SourceFile | SourceTable:
    if not isinstance(part, _Elsewhere):
        return part
    folder.mkdir()
    copy = folder / "copy"
    part.remote.fetch(copy, received)
    named = copy.rename(folder / (part.remote.name or "file"))
    return SourceFile(named, part.partition, part.remote.shown, outside.sheet)
