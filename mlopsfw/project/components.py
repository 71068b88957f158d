"""The components of a project: each room says of itself what the index, lineage, governance and operations ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.component import Component
from mlopsfw.kernel.events.lease import LEASE_EVENTS
from mlopsfw.kernel.events.registry import EventTypes

if TYPE_CHECKING:
    from mlopsfw.kernel.component import Holding
    from mlopsfw.kernel.index import IndexPart
    from mlopsfw.project.wiring import Wiring


def components(parts: Wiring) -> tuple[Component, ...]:
    """Return the components: the bundled ones, and those of plugins."""
    from mlopsfw.project.plugin_components import behind_border, build_all

    ours, built = bundled(parts), tuple(build_all(parts.plugins, parts.config, parts.host))
    if not built:
        return ours
    return (*ours, *behind_border(built, ours, lambda: parts.index))


def bundled(parts: Wiring) -> tuple[Component, ...]:
    """Return the bundled components, in the order in which an erasure asks their holdings.

    Nothing of `parts` is made yet: each component asks for what it uses when it is used.
    """
    from mlopsfw.alerts.component import component as alerts
    from mlopsfw.data.datasets.component import component as datasets
    from mlopsfw.data.filesets.component import component as filesets
    from mlopsfw.governance.component import component as governance
    from mlopsfw.models.registry.component import component as models
    from mlopsfw.monitoring.component import component as monitoring
    from mlopsfw.operations.component import component as operations
    from mlopsfw.pipeline.run.component import component as runs
    from mlopsfw.project.checks import secret_check
    from mlopsfw.serving.component import component as endpoints

    def capture_holdings() -> Iterable[Holding]:
        from mlopsfw.serving.captures.erasure import CaptureErasure

        return (CaptureErasure(parts.services, parts.tables, parts.captures, parts.endpoints),)

    def capture_tables() -> Iterator[str]:
        from mlopsfw.serving.component import table_names

        return table_names(parts.endpoints, parts.captures, parts.ledger)

    def run_needs(name: str) -> Iterator[tuple[int, str]]:
        from mlopsfw.pipeline.run.version_needs import RunNeeds, StepNeeds

        yield from RunNeeds(parts.runs, parts.datasets, parts.index).of(name)
        yield from StepNeeds(parts.config.steps).of(name)

    def run_holdings() -> Iterable[Holding]:
        from mlopsfw.pipeline.run.holding import run_holding

        return (run_holding(parts.services, parts.values, parts.datasets),)

    def report_holdings() -> Iterable[Holding]:
        from mlopsfw.monitoring.component import report_holding

        return (report_holding(parts.services, parts.values),)

    def dataset_holdings() -> Iterable[Holding]:
        from mlopsfw.data.datasets.loading.bad_rows import BadRowErasure
        from mlopsfw.data.datasets.removal.holding import DatasetHolding

        return (
            DatasetHolding(parts.datasets, BadRowErasure(parts.services), parts.row_erasure, parts.version_removal),
        )

    return (
        operations(parts, parts),
        Component(name="secrets", checks=(secret_check(parts),)),
        endpoints(lambda: parts.endpoints, lambda: parts.captures, capture_holdings, capture_tables),
        runs(lambda: parts.runs, run_needs, run_holdings),
        monitoring(report_holdings),
        filesets(lambda: parts.filesets),
        datasets(lambda: parts.datasets, dataset_holdings),
        models(lambda: parts.registry, lambda: parts.lineage, lambda: parts.index, lambda: parts.objectives),
        alerts(lambda: parts.alerts),
        governance(lambda: parts.erasures, lambda: parts.people),
    )


def event_types(components: tuple[Component, ...]) -> EventTypes:
    """Return the event types of components, and the kernel's."""
    return EventTypes([*LEASE_EVENTS, *(record for component in components for record in component.events)])


def index_parts(components: tuple[Component, ...]) -> tuple[IndexPart, ...]:
    """Return the tables of components."""
    return tuple(component.index for component in components if component.index is not None)
