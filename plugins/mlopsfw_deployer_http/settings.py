"""The files through which deployer, supervisor and server agree: what to serve, and what is being served. No secret is in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from mlopsfw.roles import EndpointSpec
from mlopsfw_deployer_http import HttpConfig

T = TypeVar("T")

WANTED, STATUS, LOCK, LOG, PORT = "wanted.json", "status.json", "supervisor.lock", "server.log", "port"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server process needs.

    Args:
        spec: The endpoint, model, version and revision.
        root: The project's folder.
        config: The project's resolved configuration as JSON.
        bundle: The folder with the bundle.
        captures: The folder of the capture log.
        http: `[deployer.http]`; its tokens are references.
        token, label_token: sha256 of the bearer token, and of the one that `POST /labels` asks for instead; empty for none.
    """

    spec: EndpointSpec
    root: str
    config: str
    bundle: str
    captures: str
    http: HttpConfig
    token: str = ""
    label_token: str = ""

    @property
    def patience(self) -> float:
        """Seconds after which a server process that was told to end is killed."""
        return self.http.drain_seconds + self.http.grace_seconds + 5.0


class Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the last change went.

    Args:
        revision: Which change.
        state: What became of it.
        detail: Why it failed.
    """

    revision: int
    state: Literal["starting", "ready", "failed"]
    detail: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the supervisor says.

    Args:
        url: Base URL.
        supervisor, worker: Process ids; 0 for none.
        serving: What answers requests now; None before the first model is ready and after the end.
        attempt: How the last change went.
        restarts: How often a server process that died was replaced.
        stopped: Whether it ended as it was told.
    """

    url: str
    supervisor: int
    worker: int = 0
    serving: EndpointSpec | None = None
    attempt: Attempt
    restarts: int = 0
    stopped: bool = False

    @property
    def ended(self) -> bool:
        """Whether this is the supervisor's last word, though its process may be there for a moment more."""
        return self.stopped or (self.serving is None and self.attempt.state == "failed")


def write(file: Path, value: msgspec.Struct) -> None:
    """Put `value` into `file` as JSON, whole or not at all, readable by this user alone."""
    new = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(msgspec.json.encode(value))
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def write_changed(file: Path, value: msgspec.Struct) -> None:
    """Write `value` unless `file` holds it already: what is started again needs no room on the disk."""
    try:
        same = read(file, type(value)) == value
    except (OSError, msgspec.DecodeError):
        same = False
    if not same:
        write(file, value)


def read(file: Path, kind: type[T]) -> T | None:
    """Return what `file` holds; None where it does not exist."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
