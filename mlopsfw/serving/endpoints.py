"""Endpoints: the version that each should serve, folded from its stream. The deployer carries out every change.

The deployer controls the servers; this module decides what they should serve, and records the results.

"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import (
    ConfigError,
    Conflict,
    MlopsfwError,
    ServingError,
    UnknownName,
    UsageError,
    text_of,
)
from mlopsfw.kernel.base.ids import check_name, nearest
from mlopsfw.kernel.roles.deployer import (
    BatchDeployer,
    Deployer,
    EndpointSpec,
    EndpointStatus,
    ForegroundDeployer,
)
from mlopsfw.serving.changes import Wanted, change_of, fold, latest, may_serve, serving
from mlopsfw.serving.events import EndpointFailed, EndpointReady, EndpointStopped, EndpointWanted

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Ledger
    from mlopsfw.models.registry import Registry
    from mlopsfw.models.registry.personal_columns import PersonalColumns
    from mlopsfw.models.registry.versions import ModelVersion
    from mlopsfw.serving.captures import Captures

Ready = Callable[[EndpointStatus], None]

_PREFIX = "endpoint/"


def _nothing(_: EndpointStatus) -> None:
    return None


class NamedDeployer(NamedTuple):
    """A deployer of the configuration.

    Args:
        name: What it is called there.
        deployer: It.
    """

    name: str
    deployer: Deployer


class Endpoints:
    """The endpoints of one project. Each remembers the deployer that serves it.

    Args:
        ledger: Keeps what each endpoint should serve.
        models: The registered models.
        deployers: Returns the deployer of a name, the default one for none, built at its first use.
        personal: Knows the treatment of models' training data.
        captures: Knows whether an endpoint's predictions can be kept.
    """

    def __init__(
        self,
        ledger: Ledger,
        models: Registry,
        deployers: Callable[[str], NamedDeployer],
        personal: PersonalColumns,
        captures: Captures,
    ) -> None:
        self._ledger, self._models, self._deployers, self._personal = ledger, models, deployers, personal
        self._captures = captures

    def list(self) -> list[str]:
        """Return the endpoints' names."""
        return sorted(name.removeprefix(_PREFIX) for name in self._ledger.streams(_PREFIX))

    def history(self, name: str) -> Sequence[Wanted]:
        """Return the changes of endpoint `name` in order. Raise `UnknownName` if there is no such endpoint."""
        changes = self._changes(name)
        if not changes:
            raise UnknownName(f"there is no endpoint {name!r}", hint=nearest(name, self.list()))
        return changes

    def deploy(self, model: str, name: str | None = None, *, deployer: str = "", reason: str = "") -> EndpointStatus:
        """Serve a model version, replacing what the endpoint serves with no failed request.

        Args:
            model: `models:/name@alias`, `models:/name@version`, or a name alone for its champion.
            name: The endpoint; by default the model's name.
            deployer: The deployer, by its name in the configuration; by default the one that serves the endpoint, or the
                default one for a new endpoint. Another deployer takes the endpoint over: the former one stops it then.
            reason: A reason, for the ledger.

        Raises:
            ConfigError: No deployer is called so.
            ServingError: It cannot be served; the previous version keeps serving.
        """
        version = self._models.resolve(model)
        endpoint = check_name(version.name if name is None else name, "endpoint")
        chosen = self._choose(endpoint, self._changes(endpoint), deployer)
        wanted = self._want(endpoint, _template(version, reason or f"deploy {model}", chosen))
        return self._deploy(endpoint, wanted)

    def deployer_of(self, name: str, deployer: str = "") -> str:
        """Return the name of the deployer that a deployment of endpoint `name` uses; see `deploy`."""
        return self._choose(name, self._changes(name), deployer).name

    def rollback(self, name: str) -> EndpointStatus:
        """Serve the version again that the endpoint served before the current one, by the deployer that serves it now.

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
        last, reason = before[-1], f"rollback from {now.model}@{now.version} (revision {now.revision})"
        wanted = EndpointWanted(
            revision=0, model=last.model, version=last.version, bundle=last.bundle, reason=reason,
            deployer=self._choose(name, changes).name,
        )  # fmt: skip
        return self._deploy(name, self._want(name, wanted))

    def stop(self, name: str) -> EndpointStatus:
        """Stop an endpoint after its current requests. It stays stopped until the next `deploy`.

        Every deployer that may serve it stops it. The ledger calls the endpoint stopped once all of them have.

        Raises:
            UnknownName: There is no such endpoint.
            ServingError: A former deployer could not stop it.
        """
        changes = self.history(name)
        chosen = self._choose(name, changes)
        status, now = chosen.deployer.stop(name), serving(changes)
        self._stop_formers(name, may_serve(changes), chosen.name, f"endpoint {name} is to stop", "")
        if now is not None:
            self._stream(name).append(EndpointStopped(revision=now.revision))
        return _named(status, chosen)

    def status(self, name: str) -> EndpointStatus:
        """Return the endpoint's state from its process, and the wanted state where they differ."""
        changes = self.history(name)
        wanted, chosen = serving(changes), self._choose(name, changes)
        status = _named(chosen.deployer.status(name), chosen)
        if wanted is None or (status.state == "ready" and status.revision == wanted.revision):
            return status
        lacking = f"should serve {wanted.model}@{wanted.version} (revision {wanted.revision})"
        return msgspec.structs.replace(status, detail=f"{lacking}; {status.detail}" if status.detail else lacking)

    def supervise(self, name: str) -> EndpointStatus:
        """Start an endpoint that should be serving but is not, for example after a reboot."""
        wanted, status = serving(self.history(name)), self.status(name)
        if wanted is None or (status.state in {"ready", "starting"} and status.revision == wanted.revision):
            return status
        return self._deploy(name, wanted)

    def batch(self, name: str) -> tuple[Wanted, str, BatchDeployer]:
        """Return what endpoint `name` serves, and the name and the object of its deployer, which scores files.

        Raises:
            UnknownName: There is no such endpoint.
            UsageError: Its deployer scores no files.
            ServingError: It is stopped.
        """
        changes = self.history(name)
        chosen, wanted = self._choose(name, changes), serving(changes)
        if wanted is None:
            raise ServingError(f"endpoint {name} is stopped", hint="Start it: mlopsfw deploy models:/NAME@ALIAS.")
        if chosen.deployer.mode != "batch" or not isinstance(chosen.deployer, BatchDeployer):
            hint = f"Send it requests, or run: mlopsfw predict models:/{wanted.model}@{wanted.version} FILE."
            raise UsageError(f"endpoint {name} answers requests: its deployer {chosen.name} scores no files", hint=hint)
        return wanted, chosen.name, chosen.deployer

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

    def serve(self, model: str, name: str | None = None, ready: Ready = _nothing, *, deployer: str = "") -> None:
        """Deploy a model version and serve it in this process until a signal ends it. Then stop the endpoint.

        Args:
            model: As for `deploy`.
            name: As for `deploy`.
            deployer: As for `deploy`.
            ready: Called with its status once it answers.

        Raises:
            ServingError: It cannot be served, or the endpoint is being served.
            UsageError: The deployer cannot serve in the foreground.
        """
        version = self._models.resolve(model)
        endpoint = check_name(version.name if name is None else name, "endpoint")
        chosen = self._choose(endpoint, self._changes(endpoint), deployer)
        _foreground(chosen)
        wanted = self._want(endpoint, _template(version, f"serve {model}", chosen))
        with self._recording_failure(endpoint, wanted):
            self._run(endpoint, wanted, ready)
        for change in may_serve(self._changes(endpoint)):
            if change.deployer == chosen.name:  # another deployer that took the endpoint over serves on
                self._stream(endpoint).append(EndpointStopped(revision=change.revision))

    def _run(self, endpoint: str, wanted: Wanted, ready: Ready) -> None:
        chosen = self._serves(endpoint, wanted)

        def record(status: EndpointStatus) -> None:
            ready(_named(status, chosen))
            self._became_ready(endpoint, wanted, status, chosen.name)

        _foreground(chosen).run(self._spec(endpoint, wanted), record)

    def _choose(self, endpoint: str, changes: Sequence[Wanted], deployer: str = "") -> NamedDeployer:
        """Return the deployer of a name, else the one that serves the endpoint, else the default one."""
        now = latest(changes)
        served = self._serves(endpoint, now) if now is not None else None  # it must be there to be stopped
        return self._deployers(deployer) if deployer or served is None else served

    def _serves(self, endpoint: str, change: Wanted) -> NamedDeployer:
        try:
            return self._deployers(change.deployer)
        except ConfigError as error:
            if change.deployer:
                error.message = f"endpoint {endpoint} is served by the deployer {change.deployer!r}: {error.message}"
                error.hint = (
                    error.hint
                    or f"Configure it again, as [deployer.{change.deployer}], to stop or to move the endpoint."
                )
            raise

    def _stream(self, name: str) -> Any:
        return self._ledger.stream(f"{_PREFIX}{check_name(name, 'endpoint')}")

    def _changes(self, name: str) -> Sequence[Wanted]:
        return fold(self._stream(name).events())

    def _want(self, endpoint: str, change: EndpointWanted) -> Wanted:
        """Record a change under the next revision. Raise `TablesUnsupported` where its predictions could not be kept."""
        self._captures.check_place(endpoint)
        stream = self._stream(endpoint)
        while True:
            events = list(stream.events())
            revision = max((earlier.revision for earlier in fold(events)), default=0) + 1
            wanted = msgspec.structs.replace(change, revision=revision)
            with contextlib.suppress(Conflict):
                return change_of(EndpointWanted.of(stream.append(wanted, expecting=len(events))))

    def _spec(self, endpoint: str, wanted: Wanted) -> EndpointSpec:
        version = self._models.resolve(f"models:/{wanted.model}@{wanted.version}")
        return wanted.spec(endpoint, self._personal.learned(version))

    def _deploy(self, endpoint: str, wanted: Wanted) -> EndpointStatus:
        with self._recording_failure(endpoint, wanted):
            chosen = self._serves(endpoint, wanted)
            status = chosen.deployer.deploy(self._spec(endpoint, wanted))
            if (status.endpoint, status.state) != (endpoint, "ready"):
                raise ServingError(
                    f"the deployer did not say that {endpoint} is ready, but {status.endpoint} {status.state}"
                    + (f": {status.detail}" if status.detail else "")
                )
        self._became_ready(endpoint, wanted, status, chosen.name)
        return _named(status, chosen)

    def _became_ready(self, endpoint: str, wanted: Wanted, status: EndpointStatus, deployer: str) -> None:
        """Record that a change holds. Then stop the endpoint at the deployers of earlier changes that may serve it."""
        self._stream(endpoint).append(EndpointReady(revision=wanted.revision, url=status.url))
        earlier = [change for change in may_serve(self._changes(endpoint)) if change.revision < wanted.revision]
        message, reason = f"{deployer} serves {endpoint} now", f"moved to the deployer {deployer}"
        self._stop_formers(endpoint, earlier, deployer, message, reason)

    def _stop_formers(self, endpoint: str, changes: Sequence[Wanted], deployer: str, message: str, reason: str) -> None:
        """Stop the endpoint at the deployers of `changes`, except `deployer`, and record it. Then raise a failure."""
        failure: ServingError | None = None
        for change in changes:
            former = self._serves(endpoint, change)
            if former.name == deployer:
                continue
            try:
                former.deployer.stop(endpoint)
            except Exception as error:  # noqa: BLE001 - a deployer that fails must not keep the others serving
                failed = f"{message}, but the deployer {former.name} could not stop it: {text_of(error)}"
                hint = f"Deploy it again, or stop it again: mlopsfw endpoints stop {endpoint}."
                failure = ServingError(failed, hint=hint)
                failure.__cause__ = error
            else:
                self._stream(endpoint).append(EndpointStopped(revision=change.revision, reason=reason))
        if failure is not None:
            raise failure

    @contextlib.contextmanager
    def _recording_failure(self, endpoint: str, wanted: Wanted) -> Iterator[None]:
        """Record that a change failed. A third-party deployer may raise anything; the previous version keeps serving."""
        try:
            yield
        except Exception as error:
            reason = error.message if isinstance(error, MlopsfwError) else text_of(error)
            self._stream(endpoint).append(EndpointFailed(revision=wanted.revision, reason=reason))
            raise


def _named(status: EndpointStatus, chosen: NamedDeployer) -> EndpointStatus:
    return msgspec.structs.replace(status, deployer=chosen.name, mode=chosen.deployer.mode)


def _foreground(chosen: NamedDeployer) -> ForegroundDeployer:
    if not isinstance(chosen.deployer, ForegroundDeployer):
        raise UsageError(f"the deployer {chosen.name} cannot serve in the foreground", hint="Use mlopsfw deploy.")
    return chosen.deployer


def _template(version: ModelVersion, reason: str, chosen: NamedDeployer) -> EndpointWanted:
    """Return a change that has no revision yet."""
    return EndpointWanted(
        revision=0, model=version.name, version=version.version, bundle=version.bundle, reason=reason,
        deployer=chosen.name,
    )  # fmt: skip
