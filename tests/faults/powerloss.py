"""A model of what power loss leaves on a disk, for a process that was recorded call by call.

`Recorder` notes every call that changes the disk and every acknowledgement. `Disk` replays such a trace up to some point and then
loses power: of a file survives what was fsynced, and of what was written since any part, perhaps torn; of a folder's names survive
those that were there at its last fsync, and of the changes since any subset. That is harsher than ext4 or XFS are, and within what
POSIX promises.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path


class Recorder:
    """Notes calls below `root` while it is entered: patches the functions of `os` that `LocalStorage` makes its changes with.

    Other threads of the process go through the patched functions too; what they do elsewhere is not noted.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.trace, self._files = str(root), [], {}

    def __enter__(self):
        self._real = {
            name: getattr(os, name) for name in ("open", "write", "fsync", "link", "replace", "unlink", "mkdir")
        }
        for name in self._real:
            setattr(os, name, getattr(self, f"_{name}"))
        return self

    def __exit__(self, *_):
        for name, real in self._real.items():
            setattr(os, name, real)

    def acknowledge(self, *facts) -> None:
        """Note that a write was acknowledged."""
        self.trace.append(("ack", facts))

    def _path(self, path) -> str:
        return os.path.relpath(os.fspath(path), self.root)

    def _note(self, call: str, path: str, *more) -> None:
        if not path.startswith(os.pardir):
            self.trace.append((call, path, *more))

    def _open(self, path, flags, mode=0o777, **options):
        descriptor = self._real["open"](path, flags, mode, **options)
        self._files[descriptor] = self._path(path)
        if flags & os.O_CREAT:
            self._note("create", self._path(path))
        return descriptor

    def _write(self, descriptor, data):
        done = self._real["write"](descriptor, data)
        self._note("write", self._files.get(descriptor, os.pardir), bytes(data[:done]))
        return done

    def _fsync(self, descriptor):
        self._real["fsync"](descriptor)
        self._note("fsync", self._files.get(descriptor, os.pardir))

    def _link(self, source, target, **options):
        self._real["link"](source, target, **options)
        self._note("link", self._path(source), self._path(target))

    def _replace(self, source, target, **options):
        self._real["replace"](source, target, **options)
        self._note("replace", self._path(source), self._path(target))

    def _unlink(self, path, **options):
        self._real["unlink"](path, **options)
        self._note("unlink", self._path(path))

    def _mkdir(self, path, mode=0o777, **options):
        self._real["mkdir"](path, mode, **options)
        self._note("mkdir", self._path(path))


@dataclass
class Node:
    """A file, or a folder: what it holds now, and what of that is on the disk."""

    names: dict | None = None
    now: bytes = b""
    safe: bytes = b""
    safe_names: dict = field(default_factory=dict)
    changes: list = field(default_factory=list)  # of names, since the last fsync of this folder


class Disk:
    """The disk as it is after the first calls of a trace."""

    def __init__(self) -> None:
        self.root = Node(names={})

    def _at(self, path: str) -> Node:
        node = self.root
        for part in Path(path).parts:
            node = node.names[part]
        return node

    def _parent(self, path: str) -> tuple[Node, str]:
        above, _, name = path.rpartition(os.sep)
        return self._at(above or "."), name

    def _change(self, path: str, node: Node | None) -> None:
        parent, name = self._parent(path)
        parent.changes.append((name, node))
        if node is None:
            del parent.names[name]
        else:
            parent.names[name] = node

    def do(self, call: str, *args) -> None:
        """Make one call of the trace."""
        if call == "create":
            self._change(args[0], Node())
        elif call == "mkdir":
            self._change(args[0], Node(names={}))
        elif call == "write":
            self._at(args[0]).now += args[1]
        elif call == "unlink":
            self._change(args[0], None)
        elif call in ("link", "replace"):
            self._change(args[1], self._at(args[0]))
            if call == "replace":
                self._change(args[0], None)
        elif call == "fsync":
            node = self._at(args[0])
            node.safe, node.safe_names, node.changes = node.now, dict(node.names or {}), []

    def lose_power(self, to: Path, rng: random.Random) -> None:
        """Lay out in `to` one of the states in which the disk may be found."""
        self._survive(self.root, to, rng)

    def _survive(self, node: Node, to: Path, rng: random.Random) -> None:
        to.mkdir()
        names = dict(node.safe_names)
        names |= {name: change for name, change in node.changes if rng.random() < 0.5}
        for name, inner in names.items():
            if inner is not None and inner.names is not None:
                self._survive(inner, to / name, rng)
            elif inner is not None:
                (to / name).write_bytes(_torn(inner, rng))


def _torn(file: Node, rng: random.Random) -> bytes:
    """Return what is left of a file: all that was fsynced, and of the rest any beginning, perhaps as zeros."""
    rest = file.now[len(file.safe) :]
    kept = rest[: rng.randrange(len(rest) + 1)]
    return file.safe + (bytes(len(kept)) if rng.random() < 0.3 else kept)
