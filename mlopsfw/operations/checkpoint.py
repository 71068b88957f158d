"""Checkpoints of the ledger: the heads of all streams, kept outside of the store, so that a cut or rewritten tail is found later."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Annotated

import msgspec

from mlopsfw.kernel.base.errors import DataError, UsageError

_NOTES = "refs/notes/mlopsfw"
_LONGEST = 256 << 20


class StreamHead(msgspec.Struct, frozen=True, array_like=True):
    """The newest event of a stream: its number, and the sha256 of its stored line."""

    seq: Annotated[int, msgspec.Meta(ge=1)]
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ledger at one moment.

    Args:
        project: The project's name.
        time: When it was taken, RFC 3339.
        heads: Stream → its newest event.
        format: The version of this layout.
    """

    project: str
    time: str
    heads: dict[str, StreamHead]
    format: int = 1

    @property
    def events(self) -> int:
        """The number of events up to it."""
        return sum(head.seq for head in self.heads.values())

    def encoded(self) -> bytes:
        """Return it as one line of JSON; equal checkpoints give equal bytes."""
        return msgspec.json.encode(self, order="sorted") + b"\n"


def read(file: Path, project: str) -> Checkpoint:
    """Return the newest checkpoint of a project's file: its last whole line. Raise `UsageError` or `DataError`."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(stream.seek(0, os.SEEK_END) - _LONGEST, 0))
            data = stream.read()
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="`mlopsfw audit checkpoint FILE` makes one."
        ) from None
    lines = [line for line in data.split(b"\n") if line]
    if len(lines) > 1 and not data.endswith(b"\n"):
        lines.pop()  # a full disk or a kill cut it
    if not lines:
        raise DataError(f"{file} is empty and no checkpoint", hint="`mlopsfw audit checkpoint FILE` makes one.")
    found = decoded(lines[-1], str(file))
    if found.project != project:
        raise UsageError(f"{file} has checkpoints of the project {found.project!r}", hint=f"This one is {project!r}.")
    return found


def decoded(line: bytes, where: str) -> Checkpoint:
    """Return the checkpoint in one line of JSON. Raise `DataError`, which names `where`."""
    try:
        found = msgspec.json.decode(line, type=Checkpoint)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise DataError(
            f"{where} holds no checkpoint: {error}", hint="`mlopsfw audit checkpoint FILE` makes one."
        ) from None
    if found.format != 1:
        raise DataError(
            f"{where} is a checkpoint of format {found.format}", hint="Use the release that wrote it, or a newer one."
        )
    return found


def append(file: Path, checkpoint: Checkpoint) -> None:
    """Append a checkpoint to a file, durably; folders above it are made. A line that a full disk cut stays a line of its own."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                stream.write(b"" if stream.read(1) == b"\n" else b"\n")
            stream.write(checkpoint.encoded())
            stream.flush()
            os.fsync(stream.fileno())
        folder = os.open(file.parent, os.O_RDONLY)  # a new file lasts once its folder's entries do
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", hint="Name a file outside of the store."
        ) from None


def note(root: Path, checkpoint: Checkpoint) -> str:
    """Keep a checkpoint as a note of the commit that is checked out, under `refs/notes/mlopsfw`; return the commit.

    Raises:
        UsageError: There is no git, or no commit.
    """
    commit = _git(root, "rev-parse", "HEAD").strip()
    _git(root, "notes", "--ref", _NOTES, "append", "--file", "-", commit, given=checkpoint.encoded())
    return commit


def _git(root: Path, *arguments: str, given: bytes | None = None) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], input=given, capture_output=True, check=True, timeout=60
        )
    except FileNotFoundError:
        raise UsageError("git is not installed", hint="Name a file instead.") from None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"").decode(errors="replace").strip()
        raise UsageError(
            f"git {arguments[0]} failed: {said}", hint="Commit the project first, or name a file."
        ) from None
    return done.stdout.decode()
