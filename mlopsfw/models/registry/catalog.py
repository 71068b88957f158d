"""`Registry`: the models of a project, as `Project.registry` offers them.

Every change folds the model's stream and appends at the next number. If the number is taken, it folds and decides again.

"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import replace

from mlopsfw.kernel.base.errors import Conflict, UsageError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.kernel.roles.event import Event
from mlopsfw.lineage.references import parse_reference
from mlopsfw.models.registry.events import AliasMoved, VersionApproved
from mlopsfw.models.registry.versions import CHAMPION, AliasMove, Model, ModelVersion, fold

if TYPE_CHECKING:
    from mlopsfw.kernel.ledger import Stream
    from mlopsfw.kernel.services import Services
    from mlopsfw.lineage.provenance import Recorded
    from mlopsfw.models.bundle import BundleStore

_PREFIX = "model/"


class RecordedRun(Protocol):
    """The parts of a run that the registry needs."""

    @property
    def facts(self) -> Recorded:
        """What it recorded when it started."""
        ...


class RunRecords(Protocol):
    """Runs by id."""

    def get(self, run: str) -> RecordedRun:
        """Return one run. Raise `UnknownName`."""
        ...


class Registry:
    """The models of a project.

    Args:
        services: The kernel's services.
        bundles: Checks a version's bundle.
        runs: Whose code state and environment a version takes over.
    """

    def __init__(self, services: Services, bundles: BundleStore, runs: RunRecords) -> None:
        self._ledger, self._blobs, self._workspace = services.ledger, services.blobs, services.workspace
        self._bundles, self._runs = bundles, runs

    # -- reading ---------------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the names of all models, sorted."""
        return sorted(stream.removeprefix(_PREFIX) for stream in self._ledger.streams(_PREFIX))

    def models(self) -> list[Model]:
        """Return every model with a version, by name."""
        return [model for name in self.names() if (model := self.model(name)).versions]

    def model(self, name: str) -> Model:
        """Return a model with its versions and aliases; an empty one if it does not exist."""
        return fold(name, self._stream(name).events())

    def versions(self, name: str) -> list[ModelVersion]:
        """Return the versions of a model, newest first. Raise `UnknownName`."""
        model = self.model(name)
        model.require_versions()
        return list(reversed(model.versions))

    def resolve(self, ref: str | Artifact | ModelVersion) -> ModelVersion:
        """Return the version that `ref` names (`models:/name@alias`, `@3`, `@latest`; the champion for a bare name or without `@`).

        Raises:
            InvalidReference: It is no reference to a model.
            UnknownName: There is no such model, alias or version, or no champion.
        """
        if isinstance(ref, ModelVersion):
            return ref
        reference = parse_reference(ref.ref if isinstance(ref, Artifact) else ref, "models")
        return self.model(reference.name).get(reference.selector)

    # -- changing --------------------------------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        bundle: str,
        *,
        run: str = "",
        step: str = "",
        datasets: Sequence[str] = (),
        metrics: Mapping[str, Any] | None = None,
        code: Mapping[str, str] | None = None,
        environment: str = "",
        task: str = "",
        message: str = "",
        force: bool = False,
    ) -> ModelVersion:
        """Register a bundle as the next version of a model.

        Args:
            name: The model's name.
            bundle: Digest of the stored bundle.
            run: The run that made it: its code state and environment are taken over.
            step: The step of that run.
            datasets: The dataset versions that it was made from.
            metrics: The metrics of its evaluation.
            code: The code state, if not the run's; without a run this process's is taken.
            environment: Blob that lists what is installed, likewise.
            task: What it does.
            message: A reason, for people.
            force: Register it even if a version already has this bundle.

        Returns:
            The new version, or with `new=False` the one that already has this bundle.

        Raises:
            NotFound: No such bundle is stored.
        """
        check_name(name, "model")
        self._blobs.get(bundle)
        code, environment = self._provenance(run, code, environment)
        facts = ModelVersion(
            name=name,
            version=0,
            bundle=bundle,
            run=run,
            step=step,
            datasets=tuple(datasets),
            metrics=dict(metrics or {}),
            code=dict(code),
            environment=environment,
            task=task,
            message=message,
        )
        while True:
            model = self.model(name)
            previous = next((v for v in reversed(model.versions) if v.bundle == bundle), None)
            if previous is not None and not force:
                return replace(previous, new=False)
            version = replace(facts, version=len(model.versions) + 1)
            try:
                event = self._stream(name).append(version.record(), expecting=model.seq)
            except Conflict:
                continue
            return replace(version, time=event.time, actor=event.actor)

    def promote(
        self,
        name: str,
        version: int,
        alias: str = CHAMPION,
        *,
        expecting: int | None = None,
        reason: str = "",
    ) -> AliasMove:
        """Point an alias at a version.

        Args:
            name: The model.
            version: The version.
            alias: The alias.
            expecting: Where the alias must point now (0: nowhere); None for wherever it does.
            reason: A reason, for people.

        Returns:
            The move; where the alias already points there, its latest one, and nothing is appended.

        Raises:
            UnknownName: There is no such model or version.
            Conflict: The alias does not point at `expecting`.
        """
        check_alias(alias)

        def decide(model: Model) -> AliasMove:
            model.require_versions()
            model.number(version)
            now = model.aliases().get(alias, 0)
            if expecting is not None and now != expecting:
                current = f"version {now}" if now else "nothing"
                raise Conflict(
                    f"{name}@{alias} points at {current}, not {expecting}",
                    hint="Look at the alias again before you promote.",
                )
            if now == version:
                return next(move for move in reversed(model.moves) if move.alias == alias)
            return AliasMove(alias=alias, version=version, was=now, reason=reason)

        return self._move(name, decide)

    def rollback(self, name: str, alias: str = CHAMPION, *, reason: str = "") -> AliasMove:
        """Point an alias at its target before the latest promotion; called again, at the one before that.

        Raises:
            UnknownName: There is no such model or alias.
            UsageError: It never pointed anywhere else.
        """

        def decide(model: Model) -> AliasMove:
            now = model.get(alias).version
            trail = model.trail(alias)
            if len(trail) < 2:  # noqa: PLR2004 - where it is, and where it was
                raise UsageError(
                    f"{name}@{alias} has no previous version: version {now} was its first",
                    hint=f"To promote another version: mlopsfw models promote {name} VERSION --alias {alias}",
                )
            return AliasMove(alias=alias, version=trail[-2], was=now, how="rollback", reason=reason)

        return self._move(name, decide)

    def approve(self, name: str, version: int, comment: str = "") -> ModelVersion:
        """Record that the actor approves a version. Raise `UnknownName`."""
        self.model(name).get(str(version))
        self._stream(name).append(VersionApproved(version=version, comment=comment))
        return self.model(name).number(version)

    def verify(self, ref: str | ModelVersion, scratch: Path) -> ModelVersion:
        """Read a version's bundle from the storage again, check every file and the whole bundle, and return the version.

        Args:
            ref: The version.
            scratch: An empty folder to work in; copies that this machine keeps are not trusted.

        Raises:
            Corrupt: Stored bytes do not match their digest.
            NotFound: A file is missing.
            BundleError: What lies there is no whole bundle.
        """
        version = self.resolve(ref)
        stored = self._blobs.afresh(scratch / "blobs")
        self._bundles.verify(stored.get_folder(version.bundle, scratch / "bundle"))
        return version

    # -- how -------------------------------------------------------------------------------------------------------------

    def _stream(self, name: str) -> Stream:
        return self._ledger.stream(_PREFIX + check_name(name, "model"))

    def _move(self, name: str, decide: Any) -> AliasMove:
        while True:
            model = self.model(name)
            move: AliasMove = decide(model)
            if move.time:  # a bundle that is already registered
                return move
            moved = AliasMoved(alias=move.alias, version=move.version, was=move.was, how=move.how, reason=move.reason)
            try:
                event: Event = self._stream(name).append(moved, expecting=model.seq)
            except Conflict:
                continue
            return replace(move, time=event.time, actor=event.actor)

    def _provenance(self, run: str, code: Mapping[str, str] | None, environment: str) -> tuple[Mapping[str, str], str]:
        if code is not None and environment:
            return code, environment
        from mlopsfw.lineage import provenance

        if run:
            origin = provenance.of_run(self._runs.get(run).facts)
        else:
            origin = provenance.capture(self._workspace.root, self._blobs)
        return origin.code if code is None else code, environment or origin.environment


def check_alias(alias: str) -> str:
    """Return `alias` if it is a valid alias: a name that is neither a number nor `latest`. Raise `UsageError`."""
    check_name(alias, "alias")
    if alias.isdecimal() or alias == "latest":
        raise UsageError(f"{alias!r} already selects a version", hint="Choose a word, such as champion.")
    return alias
