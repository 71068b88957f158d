"""People's rows in the values, logs and reports of runs, and in the local files of failed runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.pipeline.values.erasure import BlobHolding

if TYPE_CHECKING:
    from mlopsfw.data.datasets.store import VersionStore
    from mlopsfw.kernel.component import ErasureScope
    from mlopsfw.kernel.services import Services
    from mlopsfw.pipeline.values.codec import Values


def runs_of(store: VersionStore, scope: ErasureScope) -> list[str]:
    """Return the runs that read what an erasure reaches, and those that made it."""
    made = {version.run for name in scope.names("data") for version in store.history(name).versions}
    return sorted({*made, *scope.names("runs")} - {""})


def run_holding(services: Services, values: Values, store: VersionStore) -> BlobHolding:
    """Return the holding of runs: those that read what the erasure reaches, and those that made it."""

    def streams(scope: ErasureScope) -> Iterable[str]:
        return [f"run/{run}" for run in runs_of(store, scope)]

    def folders(scope: ErasureScope) -> Iterable[Path]:
        return [services.workspace.state / "runs" / run for run in runs_of(store, scope)]

    return BlobHolding(services, values, streams, folders)
