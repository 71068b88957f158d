"""The files that deployer, supervisor and server share: the model to serve, and the model being served. They hold no secrets."""

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
    """The settings of a server process.

    Args:
        spec: The endpoint, model, version and revision.
        root: The project's folder.
        config: The project's resolved configuration as JSON.
        bundle: The folder with the bundle.
        captures: The folder of the capture log.
        http: `[deployer.http]`; its tokens are references.
        token, label_token: sha256 of the bearer token, and of the separate token for `POST /labels`; empty for none.
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
        """Seconds after which a server process that was stopped is killed."""
        return self.http.drain_seconds + self.http.grace_seconds + 5.0


class Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of the last change.

    Args:
        revision: The number of the change.
        state: Its result.
        detail: Why it failed.
    """

    revision: int
    state: Literal["starting", "ready", "failed"]
    detail: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state that the supervisor reports.

    Args:
        url: Base URL.
        supervisor, worker: Process ids; 0 for none.
        serving: The model that answers requests now; None before the first one is ready and after the end.
        attempt: The result of the last change.
        restarts: How often a dead server process was replaced.
        stopped: Whether it ended on an order.
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
        """Whether this is the supervisor's last state, even if its process still exists for a moment."""
        return self.stopped or (self.serving is None and self.attempt.state == "failed")


def write(file: Path, value: msgspec.Struct) -> None:
    """Write `value` to `file` as JSON, atomically, readable only by this user."""
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
    """Write `value` unless `file` holds it already, so that a restart needs no space on the disk."""
    try:
        same = read(file, type(value)) == value
    except (OSError, msgspec.DecodeError):
        same = False
    if not same:
        write(file, value)


def read(file: Path, kind: type[T]) -> T | None:
    """Return the content of `file`, or None if it does not exist."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
