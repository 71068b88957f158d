"""What was read before, so that files which look as they did are not read again: a file in the project's private folder.

It is a cache: without it everything is read anew and found the same.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.filesets.index import Place
from mlopsfw.filesets.walk import Look

if TYPE_CHECKING:
    from mlopsfw.project import Project

_SETTLED = 2_000_000_000
"""Nanoseconds. A file that was changed less than this before it was read may be changed again within one tick of its file system's clock, and
look the same: it is read again (Git calls such entries racily clean). Two seconds is FAT's tick; others are finer."""


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A file as it looked when it was read, and the sha256 of what it held."""

    look: Look
    digest: str


class Known(msgspec.Struct):
    """What is remembered of one dataset's folders.

    Args:
        seen: Absolute path → what was read.
        places: Content → where it was stored, perhaps by an addition that did not come to its end.
        changed: Whether it differs from what was read or saved last.
    """

    seen: dict[str, Seen] = {}
    places: dict[str, Place] = {}
    changed: bool = False

    def digest(self, file: str, look: Look) -> str:
        """Return a file's digest if it looks as when it was read, else nothing."""
        found = self.seen.get(file)
        return found.digest if found and found.look == look else ""

    def note(self, file: str, look: Look, digest: str, now: int) -> None:
        """Remember what a file held that was read at `now` (nanoseconds), unless it may change without a trace."""
        if max(look.modified, look.changed) < now - _SETTLED:
            self.seen[file] = Seen(look, digest)
            self.changed = True

    def stored(self, digest: str, place: Place) -> None:
        """Remember where content was stored."""
        self.places[digest] = place
        self.changed = True


def file_of(project: Project, name: str) -> Path:
    """Return the file of what is remembered of a dataset's folders."""
    return project.private_folder("filesets") / f"{name}.msgpack"


def load(file: Path) -> Known:
    """Return what is remembered; nothing where the file is gone or damaged."""
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=Known)
    except (OSError, msgspec.DecodeError):
        return Known()


def save(known: Known, file: Path) -> None:
    """Remember; a reader sees the old file or the new one."""
    known.changed = False
    descriptor, temporary = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.msgpack.encode(known))
    Path(temporary).replace(file)
