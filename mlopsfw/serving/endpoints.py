"""Endpoints: the version that each should serve, folded from its stream. The deployer carries out every change.

The deployer controls the servers; this module decides what they should serve, and records the results.

"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import Conflict, MlopsfwError, ServingError, UnknownName, UsageError, text_of
from mlopsfw.kernel.base.ids import check_name, nearest
from mlopsfw.kernel.roles.deployer import Deployer, EndpointSpec, EndpointStatus, ForegroundDeployer
from mlopsfw.serving.events import EndpointFailed, EndpointReady, EndpointStopped, EndpointWanted

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.kernel.roles.event import Event
    from mlopsfw.models.registry import Registry
    from mlopsfw.models.registry.personal_columns import PersonalColumns
    from mlopsfw.privacy.treatments import Mark

Ready = Callable[[EndpointStatus], None]

_PREFIX = "endpoint/"


def _nothing(_: EndpointStatus) -> None:
    return None


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One change of an endpoint.

    Args:
        revision: Its number, from 1.
        model, version, bundle: The version to serve from then on.
        reason: Why it was changed.
        state: Its result: `wanted`, `ready`, `failed` or `stopped`.
        detail: Why it failed, or the URL.
    """

    revision: int
    model: str
    version: int
    bundle: str
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
            changes[wanted.revision] = _change_of(wanted)
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


def _change_of(wanted: EndpointWanted) -> Wanted:
    return Wanted(**msgspec.structs.asdict(wanted))


def serving(changes: Sequence[Wanted]) -> Wanted | None:
    """Return the current change: the last one that did not fail. None if there is none, or the endpoint was stopped."""
    held = [change for change in changes if change.state != "failed"]
    return held[-1] if held and held[-1].state != "stopped" else None


class Endpoints:
    """The endpoints of one project.

    Args:
        ledger: Keeps what each endpoint should serve.
        models: The registered models.
        deployer: Builds the deployer, at the first use of an endpoint.
        personal: Knows the treatment of models' training data.
    """

    def __init__(
        self, ledger: Ledger, models: Registry, deployer: Callable[[], Deployer], personal: PersonalColumns
    ) -> None:
        self._ledger, self._models, self._deployer, self._personal = ledger, models, deployer, personal

    def list(self) -> list[str]:
        """Return the endpoints' names."""
        return sorted(name.removeprefix(_PREFIX) for name in self._ledger.streams(_PREFIX))

    def history(self, name: str) -> Sequence[Wanted]:
        """Return the changes of endpoint `name` in order. Raise `UnknownName` if there is no such endpoint."""
        changes = self._changes(name)
        if not changes:
            raise UnknownName(f"there is no endpoint {name!r}", hint=nearest(name, self.list()))
        return changes

    def deploy(self, model: str, name: str | None = None, *, reason: str = "") -> EndpointStatus:
        """Serve a model version, replacing what the endpoint serves with no failed request.

        Args:
            model: `models:/name@alias`, `models:/name@version`, or a name alone for its champion.
            name: The endpoint; by default the model's name.
            reason: A reason, for the ledger.

        Raises:
            ServingError: It cannot be served; the previous version keeps serving.
        """
        version = self._models.resolve(model)
        endpoint = check_name(version.name if name is None else name, "endpoint")
        return self._change(endpoint, version.name, version.version, version.bundle, reason or f"deploy {model}")

    def rollback(self, name: str) -> EndpointStatus:
        """Serve the version again that the endpoint served before the current one.

        Raises:
            UnknownName: There is no such endpoint, or no earlier version.
        """
        changes = self.history(name)
        now = serving(changes) or changes[-1]
        before = [
            change
            for change in changes
            if change.state in {"ready", "stopped"} and change.revision < now.revision and change.bundle != now.bundle
        ]
        if not before:
            raise UnknownName(
                f"endpoint {name} served nothing before {now.model}@{now.version}",
                hint="Deploy a version by name: mlopsfw deploy models:/NAME@VERSION.",
            )
        last = before[-1]
        return self._change(
            name,
            last.model,
            last.version,
            last.bundle,
            f"rollback from {now.model}@{now.version} (revision {now.revision})",
        )

    def stop(self, name: str) -> EndpointStatus:
        """Stop an endpoint after its current requests. It stays stopped until the next `deploy`."""
        changes = self.history(name)
        status = self._deployer().stop(name)
        now = serving(changes)
        if now is not None:
            self._stream(name).append(EndpointStopped(revision=now.revision))
        return status

    def status(self, name: str) -> EndpointStatus:
        """Return the endpoint's state from its process, and the wanted state where they differ."""
        wanted = serving(self.history(name))
        status = self._deployer().status(name)
        if wanted is None or (status.state == "ready" and status.revision == wanted.revision):
            return status
        lacking = f"should serve {wanted.model}@{wanted.version} (revision {wanted.revision})"
        return msgspec.structs.replace(status, detail=f"{lacking}; {status.detail}" if status.detail else lacking)

    def supervise(self, name: str) -> EndpointStatus:
        """Start an endpoint that should be serving but is not, for example after a reboot."""
        wanted = serving(self.history(name))
        status = self._deployer().status(name)
        if wanted is None or (status.state in {"ready", "starting"} and status.revision == wanted.revision):
            return status
        return self._deploy(name, wanted)

    def run(self, name: str, ready: Ready = _nothing) -> None:
        """Serve endpoint `name` in this process until a signal ends it, under a process manager.

        Args:
            name: The endpoint.
            ready: Called with its status once it answers.

        The ledger does not record the end, so a restart serves the same version. `deploy` can change the version at any time.

        Raises:
            UnknownName: There is no such endpoint.
            ServingError: It is stopped, cannot be served, or is being served.
        """
        wanted = serving(self.history(name))
        if wanted is None:
            raise ServingError(f"endpoint {name} is stopped", hint="Start it: mlopsfw serve models:/NAME@ALIAS.")
        self._run(name, wanted, ready)

    def serve(self, model: str, name: str | None = None, ready: Ready = _nothing) -> None:
        """Deploy a model version and serve it in this process until a signal ends it. Then stop the endpoint.

        Raises:
            ServingError: It cannot be served, or the endpoint is being served.
        """
        version = self._models.resolve(model)
        endpoint = check_name(version.name if name is None else name, "endpoint")
        self._foreground()
        wanted = self._want(endpoint, version.name, version.version, version.bundle, f"serve {model}")
        with self._recording_failure(endpoint, wanted):
            self._run(endpoint, wanted, ready)
        now = serving(self._changes(endpoint))
        if now is not None:
            self._stream(endpoint).append(EndpointStopped(revision=now.revision))

    def _foreground(self) -> ForegroundDeployer:
        deployer = self._deployer()
        if not isinstance(deployer, ForegroundDeployer):
            raise UsageError("this deployer cannot serve in the foreground", hint="Use mlopsfw deploy.")
        return deployer

    def _run(self, endpoint: str, wanted: Wanted, ready: Ready) -> None:
        def record(status: EndpointStatus) -> None:
            ready(status)
            self._stream(endpoint).append(EndpointReady(revision=wanted.revision, url=status.url))

        self._foreground().run(self._spec(endpoint, wanted), record)

    def _stream(self, name: str) -> Any:
        return self._ledger.stream(f"{_PREFIX}{check_name(name, 'endpoint')}")

    def _changes(self, name: str) -> Sequence[Wanted]:
        return fold(self._stream(name).events())

    def _change(self, endpoint: str, model: str, version: int, bundle: str, reason: str) -> EndpointStatus:
        return self._deploy(endpoint, self._want(endpoint, model, version, bundle, reason))

    def _want(self, endpoint: str, model: str, version: int, bundle: str, reason: str) -> Wanted:
        stream = self._stream(endpoint)
        while True:
            events = list(stream.events())
            revision = max((change.revision for change in fold(events)), default=0) + 1
            wanted = EndpointWanted(revision=revision, model=model, version=version, bundle=bundle, reason=reason)
            with contextlib.suppress(Conflict):
                return _change_of(EndpointWanted.of(stream.append(wanted, expecting=len(events))))

    def _spec(self, endpoint: str, wanted: Wanted) -> EndpointSpec:
        version = self._models.resolve(f"models:/{wanted.model}@{wanted.version}")
        return wanted.spec(endpoint, self._personal.learned(version))

    def _deploy(self, endpoint: str, wanted: Wanted) -> EndpointStatus:
        with self._recording_failure(endpoint, wanted):
            status = self._deployer().deploy(self._spec(endpoint, wanted))
            if (status.endpoint, status.state) != (endpoint, "ready"):
                raise ServingError(
                    f"the deployer did not say that {endpoint} is ready, but {status.endpoint} {status.state}"
                    + (f": {status.detail}" if status.detail else "")
                )
        self._stream(endpoint).append(EndpointReady(revision=wanted.revision, url=status.url))
        return status

    @contextlib.contextmanager
    def _recording_failure(self, endpoint: str, wanted: Wanted) -> Iterator[None]:
        """Record that a change failed. A third-party deployer may raise anything; the previous version keeps serving."""
        try:
            yield
        except Exception as error:
            reason = error.message if isinstance(error, MlopsfwError) else text_of(error)
            self._stream(endpoint).append(EndpointFailed(revision=wanted.revision, reason=reason))
            raise
