"""Tags: names that people give to versions. A tag is on one version at a time, and each move is an event of the dataset's stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.data.datasets.events import DatasetTagged, DatasetUntagged
from mlopsfw.data.datasets.versions import DatasetVersion
from mlopsfw.kernel.base.errors import Conflict, InvalidReference, UsageError
from mlopsfw.lineage.references import parse_reference

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.kernel.events.record import EventRecord


def put(
    datasets: VersionStore, name: str, tag: str, version: int | None = None, message: str = "", *, move: bool = False
) -> DatasetVersion:
    """Put `tag` on a version. Does nothing if the version has it already.

    Args:
        datasets: The datasets.
        name: The dataset.
        tag: Lower-case letters, digits, `.`, `_` and `-`; no number, and not `latest`.
        version: The version; None for the newest.
        message: A reason, for people.
        move: Move it from another version.

    Returns:
        The version with its tags, as it is now.

    Raises:
        InvalidReference: The tag looks like a version, or cannot follow an `@`.
        UnknownName: There is no such dataset or version.
        UsageError: The tag is on another version, and `move` is false.
        Vacuumed: The version's rows are gone.
    """
    check(name, tag)
    while True:
        history = datasets.history(name)
        target = history.get(version).readable()
        was = history.tags.get(tag, 0)
        if was == target.version:
            return target
        if was and not move:
            raise UsageError(
                f"the tag {tag!r} is on version {was} of {name!r}", hint=f"To move it to {target.version}, add --move."
            )
        record = DatasetTagged(tag=tag, version=target.version, was=was, message=message)
        if _append(datasets, name, record, history.seq):
            return datasets.history(name).get(target.version)


def remove(datasets: VersionStore, name: str, tag: str) -> DatasetVersion:
    """Remove `tag` and return its version. Raise `UnknownName`."""
    check(name, tag)
    while True:
        history = datasets.history(name)
        target = history.select(tag)
        if _append(datasets, name, DatasetUntagged(tag=tag, was=target.version), history.seq):
            return datasets.history(name).get(target.version)


def check(name: str, tag: str) -> None:
    """Raise `InvalidReference` unless `tag` is a valid tag."""
    if tag == "latest" or tag.isdecimal() or parse_reference(f"data:/{name}@{tag}").selector != tag:
        raise InvalidReference(
            f"{tag!r} is not a valid tag", hint="Use lower-case letters, such as golden or q3-audit."
        )


def _append(datasets: VersionStore, name: str, record: EventRecord, seq: int) -> bool:
    """Append at the number after the history that the decision read; return whether no other writer was faster."""
    try:
        datasets.stream(name).append(record, expecting=seq)
    except Conflict:
        return False
    return True
