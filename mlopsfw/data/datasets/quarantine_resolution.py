"""Bad rows that were seen to: they stay in quarantine to be read, and no longer keep the version whose load set them aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsfw.data.datasets.events import DatasetSettled
from mlopsfw.data.datasets.versions import DatasetVersion
from mlopsfw.kernel.base.errors import Conflict, UsageError

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore


def settle(datasets: VersionStore, version: DatasetVersion, message: str = "") -> DatasetVersion:
    """Say that the rows which the load of `version` set aside were seen to; a second time changes nothing.

    Args:
        datasets: The datasets.
        version: Which version.
        message: What was done, for people.

    Raises:
        UsageError: No row was set aside.
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
