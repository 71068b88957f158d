"""What the registry writes to a model's stream, `model/NAME`."""

from __future__ import annotations

from typing import Any

from mlopsfw.kernel.events.record import Blob, BundleBlob, EventRecord, Text
from mlopsfw.lineage.codestate import CodeRecord


class VersionRegistered(EventRecord, frozen=True, kw_only=True):
    """A bundle became a version of a model.

    Args:
        version: From 1, without gaps.
        bundle: The model bundle.
        run: The run that made it; empty where none did.
        step: The step of that run which registered it.
        datasets: The dataset versions that it was made from, as exact references.
        metrics: What its evaluation measured.
        code: The state of the project's code.
        environment: The installed distributions with their versions, as JSON.
        task: What the model predicts, such as `binary`.
        message: Why, for people.
    """

    type = "version.registered"
    streams = ("model/MODEL",)
    version: int
    bundle: BundleBlob = ""
    run: str = ""
    step: str = ""
    datasets: tuple[str, ...] = ()
    metrics: dict[str, Any] = {}
    code: CodeRecord = CodeRecord()
    environment: Blob = ""
    task: str = ""
    message: Text = ""


class VersionApproved(EventRecord, frozen=True, kw_only=True):
    """The actor approved a version.

    Args:
        version: The version.
        comment: What they said.
    """

    type = "version.approved"
    streams = ("model/MODEL",)
    version: int
    comment: Text = ""


class AliasMoved(EventRecord, frozen=True, kw_only=True):
    """An alias points at another version.

    Args:
        alias: The alias.
        version: Where it points now.
        was: Where it pointed before; 0 for nowhere.
        how: `promote` or `rollback`; a promotion where it is not said.
        reason: Why, for people.
    """

    type = "alias.moved"
    streams = ("model/MODEL",)
    alias: str
    version: int
    was: int | None = None
    how: str = ""
    reason: Text = ""


EVENTS: tuple[type[EventRecord], ...] = (VersionRegistered, VersionApproved, AliasMoved)
