"""The components of a project: each room says of itself what the index, lineage, governance and operations ask."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.component import Component
from mlopsfw.kernel.events.lease import LEASE_EVENTS
from mlopsfw.kernel.events.registry import EventTypes

if TYPE_CHECKING:
    from mlopsfw.kernel.component import ErasureScope, Holding
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
    from mlopsfw.project.checks import observer_check, pipeline_check, secret_check
    from mlopsfw.serving.component import component as endpoints

    rooms = _Rooms(parts)
    return (
        operations(parts, parts),
        Component(name="secrets", checks=(secret_check(parts), observer_check(parts), pipeline_check(parts))),
        endpoints(lambda: parts.endpoints, lambda: parts.captures, rooms.capture_holdings, rooms.capture_tables),
        runs(lambda: parts.runs, rooms.run_needs, rooms.run_holdings),
        monitoring(rooms.report_holdings),
        filesets(lambda: parts.filesets),
        datasets(lambda: parts.datasets, rooms.dataset_holdings),
        models(lambda: parts.registry, lambda: parts.lineage, lambda: parts.index, lambda: parts.objectives),
        alerts(lambda: parts.alerts),
        governance(lambda: parts.erasures, lambda: parts.people, rooms.word_holdings),
    )


class _Rooms:
    """What several rooms together say: which rows of people they hold, and what they need. Each answer is put together when it is asked for.

    Args:
        parts: The parts of the project.
    """

    def __init__(self, parts: Wiring) -> None:
        self._parts = parts

    def capture_holdings(self) -> Iterable[Holding]:
        """Return what is captured."""
        from mlopsfw.serving.captures.erasure import CaptureErasure

        parts = self._parts
        return (CaptureErasure(parts.services, parts.tables, parts.captures, parts.endpoints),)

    def capture_tables(self) -> Iterator[str]:
        """Return the names of the tables of captures and labels."""
        from mlopsfw.serving.component import table_names

        return table_names(self._parts.endpoints, self._parts.captures, self._parts.ledger)

    def run_needs(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the versions of a dataset that runs and steps need, and why."""
        from mlopsfw.pipeline.run.version_needs import RunNeeds, StepNeeds

        yield from RunNeeds(self._parts.runs, self._parts.datasets, self._parts.index).of(name)
        yield from StepNeeds(self._parts.config.steps).of(name)

    def run_holdings(self) -> Iterable[Holding]:
        """Return the values of steps."""
        from mlopsfw.pipeline.run.holding import run_holding

        return (run_holding(self._parts.services, self._parts.values, self._parts.datasets),)

    def report_holdings(self) -> Iterable[Holding]:
        """Return the reports of monitors."""
        from mlopsfw.monitoring.component import report_holding

        return (report_holding(self._parts.services, self._parts.values),)

    def word_holdings(self) -> Iterable[Holding]:
        """Return what people and code said about what an erasure reaches, such as the message of a failed step."""
        from mlopsfw.governance.words import WordHolding
        from mlopsfw.pipeline.run.holding import runs_of

        parts = self._parts

        def streams(scope: ErasureScope) -> Iterator[str]:
            yield "alerts"
            yield from (f"run/{run}" for run in runs_of(parts.datasets, scope))
            for scheme, roots in _STREAMS.items():
                yield from (f"{root}/{name}" for root in roots for name in scope.names(scheme))

        return (WordHolding(parts.ledger, parts.texts, streams),)

    def dataset_holdings(self) -> Iterable[Holding]:
        """Return the datasets."""
        from mlopsfw.data.datasets.loading.bad_rows import BadRowErasure
        from mlopsfw.data.datasets.removal.holding import DatasetHolding

        parts = self._parts
        bad_rows = BadRowErasure(parts.services)
        return (DatasetHolding(parts.datasets, bad_rows, parts.row_erasure, parts.version_removal),)


_STREAMS = {"data": ("dataset",), "models": ("model",), "endpoints": ("endpoint", "monitor")}
"""Scheme of a reference → the streams with what is said about such a thing."""


def event_types(components: tuple[Component, ...]) -> EventTypes:
    """Return the event types of components, and the kernel's."""
    return EventTypes([*LEASE_EVENTS, *(record for component in components for record in component.events)])


def index_parts(components: tuple[Component, ...]) -> tuple[IndexPart, ...]:
    """Return the tables of components."""
    return tuple(component.index for component in components if component.index is not None)
