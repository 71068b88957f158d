"""Take checkpoints of a ledger: on request, and by themselves after every so many events."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import ChainBroken
from mlopsfw.operations import checkpoint as checkpoints
from mlopsfw.operations.audit import audit, checkpoint_of

if TYPE_CHECKING:
    from mlopsfw.kernel.config.model import AuditConfig
    from mlopsfw.kernel.services import Services
    from mlopsfw.kernel.workspace import Workspace
    from mlopsfw.operations.checkpoint import Checkpoint

GIT = "git"
_TRIES = (0.0, 0.2, 1.0)  # seconds before each: a stream that is sealed meanwhile looks cut


class Taken(NamedTuple):
    """What `take` did.

    Args:
        checkpoint: The ledger as it is.
        new: How many events are newer than the last checkpoint of the file.
        kept: Whether the checkpoint was kept.
        commit: The commit that got it as a note; empty without one.
    """

    checkpoint: Checkpoint
    new: int
    kept: bool
    commit: str


def take(services: Services, file: Path | None, *, git: bool = False, every: int = 0) -> Taken:
    """Audit the whole ledger, and keep its heads in `file`, as a git note, or both.

    Args:
        services: The kernel's services.
        file: The file that gets a line. The ledger must extend the file's last checkpoint.
        git: Whether the current commit gets a note.
        every: Keep nothing while fewer events are newer than the file's last checkpoint.

    Raises:
        ChainBroken: The ledger has a fault, or does not extend the last checkpoint.
        UsageError: The file cannot be read or written, or git fails.
    """
    last = checkpoints.read(file, services.project) if file and file.exists() else None
    streams = audit(services.storage, "", services.ledger.types, last)
    taken = checkpoint_of(streams, services.project, rfc3339(services.clock.now()))
    new = taken.events - (last.events if last else 0)
    if last and new < every:
        return Taken(taken, new, kept=False, commit="")
    if file:
        checkpoints.append(file, taken)
    commit = checkpoints.note(services.workspace.root, taken) if git else ""
    _note(services.workspace, "")
    return Taken(taken, new, kept=True, commit=commit)


def configured(root: Path, config: AuditConfig) -> tuple[Path | None, bool]:
    """Return the file of `[audit] checkpoint`, and whether it says git."""
    place = config.checkpoint
    return (None, place == GIT) if place in {"", GIT} else (root / place, False)


class AutomaticCheckpoints:
    """Takes a checkpoint after every so many events that this machine appended.

    No append waits for one, and none fails because of one: a thread takes it, and `doctor` shows why the last one failed.

    Args:
        services: The kernel's services.
        config: Where checkpoints are kept, and after how many events.
    """

    def __init__(self, services: Services, config: AuditConfig) -> None:
        self._services, self._config = services, config
        self._thread: threading.Thread | None = None

    def count(self) -> None:
        """Count an event. The process that counts the last one before a mark takes the checkpoint."""
        with suppress(OSError):  # of the counter: what then fails to be taken, a later mark takes
            if self._crosses():
                self.close()
                self._thread = threading.Thread(target=self._take, name="mlopsfw-checkpoint")
                self._thread.start()

    def close(self) -> None:
        """Wait for a checkpoint that is being taken."""
        if self._thread is not None:
            self._thread.join()

    def _crosses(self) -> bool:
        """Add a byte to the counter of this machine's processes. Return whether this one reset it."""
        counter = _folder(self._services.workspace) / "events"
        descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, b".")
            if os.fstat(descriptor).st_size < self._config.every:
                return False
        finally:
            os.close(descriptor)
        mine = counter.with_name(f"events.{os.getpid()}")
        try:
            counter.rename(mine)
        except FileNotFoundError:  # another process crossed the mark
            return False
        mine.unlink()
        return True

    def _take(self) -> None:
        file, git = configured(self._services.workspace.root, self._config)
        try:
            for pause in _TRIES:
                time.sleep(pause)
                try:
                    take(self._services, file, git=git)
                except ChainBroken:
                    if pause == _TRIES[-1]:
                        raise
                else:
                    return
        except Exception as error:  # noqa: BLE001 - whatever it is, no append must fail of it
            _note(self._services.workspace, str(error))


def failure(workspace: Workspace) -> str:
    """Return why the last automatic checkpoint of this machine was not taken; empty if it was."""
    note = workspace.state / "checkpoints" / "failure"
    return note.read_text(encoding="utf-8") if note.is_file() else ""


def _note(workspace: Workspace, reason: str) -> None:
    with suppress(OSError):
        note = _folder(workspace) / "failure"
        note.write_text(reason, encoding="utf-8") if reason else note.unlink(missing_ok=True)


def _folder(workspace: Workspace) -> Path:
    return workspace.private_folder("checkpoints")
