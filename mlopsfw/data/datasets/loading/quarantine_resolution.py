"""Settle bad rows: they stay in quarantine to be read, but no longer keep the version of their load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.data.datasets.events import DatasetSettled
from mlopsfw.data.datasets.versions import DatasetVersion
from mlopsfw.kernel.base.errors import Conflict, UsageError

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore


def settle(datasets: VersionStore, version: DatasetVersion, message: str = "") -> DatasetVersion:
    """Record that somebody has dealt with the bad rows of `version`. Repeating it changes nothing.

    Args:
        datasets: The datasets.
        version: The version.
        message: What was done, for people.

    Raises:
        UsageError: The version has no bad rows.
    """
    while True:
        history = datasets.history(version.name)
        current = history.get(version.version)
        if not current.intake.get("quarantined"):
            raise UsageError(
                f"{current.ref} has no quarantined rows", hint=f"See: mlopsfw data quarantine {current.name}"
            )
        if "settled" in current.intake:
            return current
        record = DatasetSettled(version=current.version, message=message)
        try:
            datasets.stream(current.name).append(record, expecting=history.seq)
        except Conflict:
            continue
        return datasets.history(current.name).get(current.version)
