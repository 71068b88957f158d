"""Components of plugins: checked when they are built, and behind the border whenever they are asked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.component import Component, Holding, ReferenceKind
from mlopsfw.kernel.events import authority
from mlopsfw.kernel.index.part import IndexPart, create
from mlopsfw.kernel.plugins.blame import Blamed, watched

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.catalog import Claim


def behind_border(built: Iterable[tuple[Claim, Any]], bundled: Iterable[Component]) -> Iterator[Component]:
    """Yield the components that plugins built. One that is none, or takes another's name, is warned about and left out.

    Args:
        built: Each plugin, and what it built.
        bundled: The components that there are already.
    """
    taken = list(bundled)
    for claim, component in built:
        try:
            _check(claim, component, taken)
        except PluginError as error:
            warnings.warn(f"{claim} is left out: {error.message}", RuntimeWarning, stacklevel=2)
            continue
        taken.append(component)
        yield _guarded(component, claim)


def _check(claim: Claim, component: Any, taken: Iterable[Component]) -> None:
    if not isinstance(component, Component):
        raise PluginError(f"it built a {type(component).__name__}", hint="Return a mlopsfw.components.Component.")
    if component.name != claim.name:
        raise PluginError(f"its component is called {component.name!r}", hint=f"Call it {claim.name!r}.")
    for record in component.events:
        authority.check(claim.key, f"plugin/{claim.key}", record.type)
    schemes = {kind.scheme for each in taken for kind in each.references}
    if clash := sorted(schemes & {kind.scheme for kind in component.references}):
        raise PluginError(f"references of {clash[0]}:/ are another component's", hint="Choose another scheme.")
    if component.index is not None:
        _check_tables(component.index, [each.index for each in taken if each.index is not None])


def _check_tables(part: IndexPart, others: Iterable[IndexPart]) -> None:
    """Make the tables beside those of the others, and ask the listings: a name that is taken, or wrong SQL, is found here."""
    taken = {listing.name for other in others for listing in other.listings}
    if clash := sorted(taken & {listing.name for listing in part.listings}):
        raise PluginError(f"the listing {clash[0]!r} is another component's", hint="Choose another name.")
    import sqlite3

    with sqlite3.connect(":memory:") as db:
        for other in others:
            create(db, other.tables)
        try:
            create(db, part.tables)
            db.execute("PRAGMA query_only = ON")
            for listing in part.listings:
                db.execute(f"{listing.select} LIMIT 1")
        except sqlite3.Error as error:
            raise PluginError(
                f"its tables or listings cannot be made: {error}", hint="See IndexPart in docs."
            ) from None
    db.close()


def _guarded(component: Component, claim: Claim) -> Component:
    """Return the component with all that is asked of it behind the border."""

    def guard(call: Callable[..., Any] | None, where: str) -> Any:
        return None if call is None else watched(call, claim, f"{component.name}.{where}")

    def holdings() -> Iterable[Holding]:
        if component.holdings is None:
            return
        for holding in guard(component.holdings, "holdings")():
            yield Blamed(holding, claim, "holding")

    return replace(
        component,
        edges=guard(component.edges, "edges"),
        needs=guard(component.needs, "needs"),
        released=guard(component.released, "released"),
        tables=guard(component.tables, "tables"),
        holdings=holdings,
        references=tuple(_reference(kind, guard) for kind in component.references),
        checks=tuple(replace(check, ask=guard(check.ask, check.name)) for check in component.checks),
        index=component.index and _part(component.index, guard),
        plugin=claim.key,
    )


def _reference(kind: ReferenceKind, guard: Callable[[Any, str], Any]) -> ReferenceKind:
    return replace(
        kind,
        exact=guard(kind.exact, "exact"),
        facts=guard(kind.facts, "facts"),
        edges=guard(kind.edges, "edges"),
    )


def _part(part: IndexPart, guard: Callable[[Any, str], Any]) -> IndexPart:
    changes = {key: guard(change, "index") for key, change in part.changes.items()}
    return replace(part, changes=changes)
