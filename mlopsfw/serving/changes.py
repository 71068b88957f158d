"""The changes of an endpoint, folded from its stream: which version, by which deployer, and the result of each change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.serving.events import EndpointFailed, EndpointReady, EndpointStopped, EndpointWanted

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.privacy.treatments import Mark


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change of an endpoint.

    Args:
        revision: Its number, from 1.
        model, version, bundle: The version to serve from then on.
        deployer: The configured name of the deployer that serves it; empty in ledgers from before deployers had names.
        reason: Why it was changed.
        state: Its result: `wanted`, `ready`, `failed` or `stopped`.
        detail: Why it failed, or the URL.
    """

    revision: int
    model: str
    version: int
    bundle: str
    deployer: str = ""
    reason: str = ""
    state: str = "wanted"
    detail: str = ""

    def spec(self, endpoint: str, pii: dict[str, Mark]) -> EndpointSpec:
        """Return the change as the deployer takes it. `pii` is the treatment of the model's training data."""
        return EndpointSpec(
            endpoint=endpoint,
            model=self.model,
            version=self.version,
            bundle=self.bundle,
            revision=self.revision,
            pii=pii,
        )


def fold(events: Iterable[Event]) -> list[Wanted]:
    """Return an endpoint's changes in order, each with its result."""
    changes: dict[int, Wanted] = {}
    for event in events:
        if event.type == EndpointWanted.type:
            wanted = EndpointWanted.of(event)
            changes[wanted.revision] = change_of(wanted)
        elif (became := _became(event)) and (before := changes.get(became.revision)):
            if became.state == "failed" and before.state == "ready":
                continue  # a failed restart does not make the version worse
            after = msgspec.structs.replace(before, state=became.state, detail=became.detail)
            changes[became.revision] = after
    return [changes[revision] for revision in sorted(changes)]


class _Became(NamedTuple):
    revision: int
    state: str
    detail: str


def _became(event: Event) -> _Became | None:
    """Return the result of a change that an event records."""
    if event.type == EndpointReady.type:
        ready = EndpointReady.of(event)
        return _Became(ready.revision, "ready", ready.url)
    if event.type == EndpointFailed.type:
        failed = EndpointFailed.of(event)
        return _Became(failed.revision, "failed", failed.reason)
    if event.type == EndpointStopped.type:
        stopped = EndpointStopped.of(event)
        return _Became(stopped.revision, "stopped", stopped.reason)
    return None


def change_of(wanted: EndpointWanted) -> Wanted:
    """Return the change that an event begins."""
    return Wanted(**msgspec.structs.asdict(wanted))


def serving(changes: Sequence[Wanted]) -> Wanted | None:
    """Return the current change: the last one that did not fail. None if there is none, or the endpoint was stopped."""
    held = [change for change in changes if change.state != "failed"]
    return held[-1] if held and held[-1].state != "stopped" else None


def latest(changes: Sequence[Wanted]) -> Wanted | None:
    """Return the last change that did not fail, whether or not the endpoint was stopped since; else the last one."""
    held = [change for change in changes if change.state != "failed"] or changes
    return held[-1] if held else None


def may_serve(changes: Sequence[Wanted]) -> list[Wanted]:
    """Return, for each deployer that may still serve the endpoint, its last change that did not fail.

    A deployer may serve from the moment that a change names it until it has stopped the endpoint: a deployment that was
    killed leaves its change `wanted`, and hides none of the deployer's earlier changes.
    """
    last: dict[str, Wanted] = {}
    for change in changes:
        if change.state == "stopped":
            last.pop(change.deployer, None)
        elif change.state != "failed":
            last[change.deployer] = change
    return list(last.values())
