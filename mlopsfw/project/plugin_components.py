"""Components of plugins: checked when they are built, and behind the border whenever they are asked.

What cannot be built leaves a component behind that refuses: what a plugin needs, or where it keeps rows of people, is
not known while it is broken, and then nothing may be deleted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Never, get_args

from mlopsfw.kernel.base.errors import ConfigError, MlopsfwError, PluginBroken, PluginError, text_of
from mlopsfw.kernel.component import Colour, Component, Held, Holding, ReferenceKind
from mlopsfw.kernel.events import authority
from mlopsfw.kernel.events.record import EventRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.index import OWN_TABLES
from mlopsfw.kernel.index.part import IndexPart, Listing, create
from mlopsfw.kernel.plugins.blame import blaming, warn, watched
from mlopsfw.kernel.plugins.catalog import Claim
from mlopsfw.kernel.roles.check import Check
from mlopsfw.kernel.roles.names import API_VERSION
from mlopsfw.project.component_answers import checked

if TYPE_CHECKING:
    from mlopsfw.kernel.component import ErasureScope
    from mlopsfw.kernel.config import ProjectConfig
    from mlopsfw.kernel.index import Index
    from mlopsfw.kernel.plugins.manager import PluginManager
    from mlopsfw.kernel.roles.host import Host


def build_all(
    plugins: PluginManager, config: ProjectConfig, host: Callable[[str], Host]
) -> Iterator[tuple[Claim, Any]]:
    """Yield what every installed plugin of a component built, or the error that kept it from being built.

    A disabled one is not there. One that two distributions claim, of another version of the hooks, or that has a
    table of options but is not installed, is an error.

    Args:
        plugins: The installed plugins.
        config: The project's; `[component.NAME]` holds a component's options.
        host: Claim's key → what that component may use of the kernel.
    """
    for kind, name, missing in plugins.missing(config, "component"):
        yield Claim(kind, name, "", "not installed", "", API_VERSION), missing
    claims = {claim.key: claim for claim in plugins.catalog.claims if not plugins.catalog.is_disabled(claim)}
    for claim in (claim for claim in claims.values() if claim.kind == "component"):
        selection = config.by_name("component", claim.name)
        try:
            yield plugins.built("component", selection, config, host(claim.key))
        except ConfigError:
            raise  # the user's own file
        except Exception as error:  # noqa: BLE001 - what is broken must not keep the project from being opened
            yield claim, error


def behind_border(
    built: Iterable[tuple[Claim, Any]], bundled: Iterable[Component], index: Callable[[], Index]
) -> Iterator[Component]:
    """Yield the components that plugins built, and for each that is wrong one that refuses, after a warning.

    Args:
        built: Each plugin, and what it built, or the error that kept it from being built.
        bundled: The components that there are already.
        index: Says whose tables are set aside.
    """
    taken = list(bundled)
    for claim, component in built:
        try:
            with blaming(claim, "build"):
                _check(claim, component, taken)
        except Exception as error:  # noqa: BLE001 - what is broken must not keep the project from being opened
            if not isinstance(error, PluginBroken):  # warned about when it was set aside
                warn(
                    f"{claim} is left out: {_reason(error)}. Until you repair or disable it, `data vacuum` and `data forget` refuse."
                )
            yield _stand_in(claim, error)
            continue
        taken.append(component)
        yield _guarded(component, claim, index)


# -- what could not be built -------------------------------------------------------------------------------------------


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, MlopsfwError) else text_of(error)


def _stand_in(claim: Claim, cause: Exception) -> Component:
    """Return what stands for a component that could not be built: what deletes asks it, and it refuses."""

    def refuse(*_: object) -> Never:
        raise PluginError(
            f"{claim} cannot say what it needs and holds: {_reason(cause).removeprefix(f'{claim} ')}",
            hint=f"Repair it, or run `mlopsfw plugins disable {claim.key}`: then nothing that it needs is kept.",
        ) from cause

    check = Check(claim.key, f"{claim.key} takes part in the project", refuse)
    return Component(name=claim.name, needs=refuse, holdings=refuse, tables=refuse, checks=(check,), plugin=claim.key)


# -- what is checked when it is built ----------------------------------------------------------------------------------

_FUNCTIONS = ("edges", "needs", "holdings", "released", "tables")
_PARTS: Mapping[str, type] = {"references": ReferenceKind, "checks": Check}


def _check(claim: Claim, component: Any, taken: Collection[Component]) -> None:
    if isinstance(component, Exception):
        raise component
    if not isinstance(component, Component):
        raise PluginError(f"it built a {type(component).__name__}", hint="Return a mlopsfw.components.Component.")
    if component.name != claim.name:
        raise PluginError(f"its component is called {component.name!r}", hint=f"Call it {claim.name!r}.")
    if component.name in {each.name for each in taken}:
        raise PluginError(f"a component of mlopsfw is called {component.name!r}", hint="Choose another name.")
    _check_fields(component)
    _check_events(claim, component.events)
    checks = {check.name for each in taken for check in each.checks}
    _check_names("check", (check.name for check in component.checks), checks)
    schemes = {kind.scheme for each in taken for kind in each.references}
    _check_names("scheme of references", (kind.scheme for kind in component.references), schemes)
    if component.index is not None:
        _check_tables(component.index, [each.index for each in taken if each.index is not None])


def _check_fields(component: Component) -> None:
    for name in _FUNCTIONS:
        _check_function(name, getattr(component, name), optional=True)
    for name, kind in _PARTS.items():
        _check_items(name, getattr(component, name), kind)
    for reference in component.references:
        for name in ("exact", "facts"):
            _check_function(f"references.{name}", getattr(reference, name))
        for name in ("edges", "artifact"):
            _check_function(f"references.{name}", getattr(reference, name), optional=True)
        if reference.colour not in (colours := get_args(Colour)):
            raise PluginError(f"{reference.colour!r} is no colour", hint=f"Choose one of {', '.join(colours)}.")
    for check in component.checks:
        _check_function("checks.ask", check.ask)


def _check_function(name: str, value: Any, *, optional: bool = False) -> None:
    if not callable(value) and not (optional and value is None):
        raise PluginError(f"its {name} is a {type(value).__name__}", hint="Give it a function.")


def _check_items(name: str, value: Any, kind: type) -> None:
    wrong = [item for item in value if not isinstance(item, kind)] if isinstance(value, tuple | list) else [value]
    if wrong:
        raise PluginError(f"its {name} have a {type(wrong[0]).__name__}", hint=f"Give it a tuple of {kind.__name__}.")


def _check_names(what: str, own: Iterable[Any], taken: Collection[str]) -> None:
    seen = set[Any](taken)
    for name in own:
        if not isinstance(name, str) or not name:
            raise PluginError(f"{name!r} is no name of a {what}", hint="Choose a text.")
        if name in seen:
            raise PluginError(f"the {what} {name!r} is another's", hint="Choose another name.")
        seen.add(name)


def _check_events(claim: Claim, records: Any) -> None:
    _check_items("events", records, type)
    for record in records:
        if not issubclass(record, EventRecord) or not isinstance(getattr(record, "type", None), str):
            raise PluginError(f"{record.__name__} is no record of an event", hint="See EventRecord in mlopsfw.events.")
        authority.check(claim.key, f"plugin/{claim.key}", record.type)
        steps = range(1, record.schema)
        if missing := [version for version in steps if not callable(record.upcasters.get(version))]:
            raise PluginError(
                f"{record.type} has no upcaster from version {missing[0]} to {missing[0] + 1}",
                hint="Add one to `upcasters`, since events of that version may be stored.",
            )
    _check_names("type of events", (record.type for record in records), ())
    types = EventTypes(records)
    for record in types:
        types.text_paths(record.type)  # its annotations can be read


def _check_tables(part: Any, others: Collection[IndexPart]) -> None:
    """Make the tables beside those of the others, and ask the listings: a name that is taken, or wrong SQL, is found here."""
    if not isinstance(part, IndexPart) or not isinstance(part.tables, str) or not isinstance(part.changes, Mapping):
        raise PluginError("its index is no IndexPart with a text of SQL and changes", hint="See IndexPart in docs.")
    for change in part.changes.values():
        _check_function("index.changes", change)
    _check_items("listings", part.listings, Listing)
    listings = {listing.name for other in others for listing in other.listings}
    if clash := sorted(listings & {listing.name for listing in part.listings}):
        raise PluginError(f"the listing {clash[0]!r} is another component's", hint="Choose another name.")
    with closing(sqlite3.connect(":memory:")) as db:
        for script in (*OWN_TABLES, *(other.tables for other in others)):
            create(db, script)
        try:
            create(db, part.tables)
            db.execute("PRAGMA query_only = ON")
            for listing in part.listings:
                db.execute(f"{listing.select} LIMIT 1")
        except sqlite3.Error as error:
            raise PluginError(
                f"its tables or listings cannot be made: {error}", hint="See IndexPart in docs."
            ) from None


# -- what is asked -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Holding:
    """A plugin's holding, behind the border."""

    find: Callable[[ErasureScope], Held]
    erase: Callable[[ErasureScope], Held]


def _guarded(component: Component, claim: Claim, index: Callable[[], Index]) -> Component:
    """Return the component with all that is asked of it behind the border."""

    def guard(call: Callable[..., Any] | None, function: str, where: str = "") -> Any:
        if call is None:
            return None
        ask = checked(call, claim, function, f"{component.name}.{where or function}")
        return _unless_set_aside(ask, claim, index, function) if component.index and function in _BY_INDEX else ask

    def holdings() -> Iterable[Holding]:
        for holding in guard(component.holdings, "holdings")():
            yield _Holding(guard(holding.find, "find"), guard(holding.erase, "erase"))

    return replace(
        component,
        edges=guard(component.edges, "edges"),
        needs=guard(component.needs, "needs"),
        released=guard(component.released, "released"),
        tables=guard(component.tables, "tables"),
        holdings=None if component.holdings is None else holdings,
        references=tuple(_reference(kind, guard) for kind in component.references),
        checks=tuple(replace(check, ask=guard(check.ask, "checks.ask", check.name)) for check in component.checks),
        index=component.index
        and _part(component.index, claim.key, partial(watched, claim=claim, where=f"{component.name}.index")),
        plugin=claim.key,
    )


_BY_INDEX = {"edges": False, "references.edges": False, "references.exact": False, "references.facts": False}
_BY_INDEX |= {"references.artifact": True, "needs": True, "holdings": True}
"""Function that may read the component's tables → whether the index must first be brought to the ledger's head."""


def _unless_set_aside(
    ask: Callable[..., Any], claim: Claim, index: Callable[[], Index], function: str
) -> Callable[..., Any]:
    """Return the function, which refuses while the tables that it may read are set aside."""

    @wraps(ask)
    def refuse_or_ask(*args: Any) -> Any:
        if reason := index().set_aside(fresh=_BY_INDEX[function]).get(claim.key):
            raise PluginError(
                f"the tables of {claim} are set aside: {reason}",
                hint=f"Repair it and run `mlopsfw index rebuild`, or run `mlopsfw plugins disable {claim.key}`.",
            )
        return ask(*args)

    return refuse_or_ask


def _reference(kind: ReferenceKind, guard: Callable[[Any, str], Any]) -> ReferenceKind:
    return replace(
        kind,
        exact=guard(kind.exact, "references.exact"),
        facts=guard(kind.facts, "references.facts"),
        edges=guard(kind.edges, "references.edges"),
        artifact=guard(kind.artifact, "references.artifact"),
    )


def _part(part: IndexPart, plugin: str, guard: Callable[[Any], Any]) -> IndexPart:
    return replace(part, plugin=plugin, changes={key: guard(change) for key, change in part.changes.items()})
