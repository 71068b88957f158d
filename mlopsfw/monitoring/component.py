"""The component `monitoring`: its windows in the index, and its reports, which may hold a person's texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mlopsfw.kernel.component import Component
from mlopsfw.monitoring.events import EVENTS
from mlopsfw.monitoring.index_tables import INDEX
from mlopsfw.pipeline.values.erasure import BlobHolding

if TYPE_CHECKING:
    from mlopsfw.kernel.component import ErasureScope, Holding
    from mlopsfw.kernel.services import Services
    from mlopsfw.pipeline.values.codec import Values


def component(holdings: Callable[[], Iterable[Holding]]) -> Component:
    """Return the component."""
    return Component(name="monitoring", events=EVENTS, index=INDEX, holdings=holdings)


def report_holding(services: Services, values: Values) -> BlobHolding:
    """Return the holding of reports: those of the endpoints that the erasure reaches."""

    def streams(scope: ErasureScope) -> Iterable[str]:
        return [f"monitor/{name}" for name in scope.names("endpoints")]

    def folders(scope: ErasureScope) -> Iterable[Path]:
        return [services.workspace.state / "reports" / name for name in scope.names("endpoints")]

    return BlobHolding(services, values, streams, folders)
