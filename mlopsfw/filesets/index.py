"""Where the bytes of a version's files are: a blob that the version's event names, so that `gc` keeps what it leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlopsfw.errors import Erased, NotFound, UsageError

if TYPE_CHECKING:
    from mlopsfw.contracts.host import Blobs
    from mlopsfw.datasets import DatasetVersion
    from mlopsfw.project import Project


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Bytes `start` to `start + size` of the blob `blob`."""

    blob: str
    start: int
    size: int


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content → where it is.

    Args:
        blobs: Digests of blobs.
        places: Content's sha256 → number of its blob, first byte, how many bytes.
        format: Version of this layout.
    """

    blobs: list[str]
    places: dict[str, tuple[int, int, int]]
    format: int = 1


def save(places: dict[str, Place], blobs: Blobs) -> str:
    """Store where content is; return the blob's digest."""
    names = sorted({place.blob for place in places.values()})
    numbers = {name: number for number, name in enumerate(names)}
    found = {digest: (numbers[place.blob], place.start, place.size) for digest, place in sorted(places.items())}
    return blobs.put(msgspec.json.encode(Index(names, found)))


def load(digest: str, blobs: Blobs) -> dict[str, Place]:
    """Return where content is."""
    index = msgspec.json.decode(blobs.get(digest), type=Index)
    return {name: Place(index.blobs[number], start, size) for name, (number, start, size) in index.places.items()}


def blobs_of(digest: str, blobs: Blobs) -> list[str] | None:
    """Return the blobs that an index names; None where it is gone."""
    try:
        return msgspec.json.decode(blobs.get(digest), type=Index).blobs
    except (NotFound, Erased):
        return None


def of_version(project: Project, version: DatasetVersion) -> dict[str, Place]:
    """Return where the bytes of a version's files are. Raise `UsageError` where it is a table."""
    if not version.index:
        raise UsageError(f"{version.ref} is a table, not a set of files", hint="mlopsfw data show tells its columns.")
    return load(version.index, project.blobs)


def of_dataset(project: Project, name: str) -> dict[str, Place]:
    """Return where the bytes are of every file that any version of a set has that is kept."""
    kept = (version for version in project.datasets.history(name).versions if version.live)
    indexes = dict.fromkeys(version.index for version in kept if version.index)
    return {digest: place for index in indexes for digest, place in load(index, project.blobs).items()}
