"""The versions and aliases of a model, folded from its events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.event import Event
from mlopsfw.lineage.codestate import CodeRecord
from mlopsfw.models.registry.events import AliasMoved, VersionApproved, VersionRegistered

CHAMPION = "champion"
"""The alias that a bare model name means."""
_SHOWN = 5


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """An approval of a version."""

    actor: str
    time: str
    comment: str = ""


class AliasMove(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias.

    Args:
        alias: Its name.
        version: Where it points now.
        was: Where it pointed before; 0 for nowhere.
        how: `promote` or `rollback`.
        reason: A reason, for people.
        actor: The actor.
        time: When, RFC 3339.
    """

    alias: str
    version: int
    was: int = 0
    how: str = "promote"
    reason: str = ""
    actor: str = ""
    time: str = ""


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model.

    Args:
        name: The model's name.
        version: From 1, without gaps.
        bundle: Digest of the bundle's manifest of files (`Blobs.get_folder`).
        run: The run that made it; empty for none.
        step: The step of that run which registered it.
        datasets: The dataset versions that it was made from, as exact references.
        metrics: The metrics of its evaluation.
        code: `commit`, and `diff`: a blob with what was not committed.
        environment: Blob that lists what was installed.
        task: What it does, such as `binary`.
        message: A reason, for people.
        time: When, RFC 3339.
        actor: The actor.
        aliases: The aliases that point at it now.
        approvals: Who approved it.
        new: False if a registration found the bundle already there.
    """

    name: str
    version: int
    bundle: str
    run: str = ""
    step: str = ""
    datasets: tuple[str, ...] = ()
    metrics: dict[str, Any] = {}
    code: dict[str, str] = {}
    environment: str = ""
    task: str = ""
    message: str = ""
    time: str = ""
    actor: str = ""
    aliases: tuple[str, ...] = ()
    approvals: tuple[Approval, ...] = ()
    new: bool = True

    @property
    def ref(self) -> str:
        """The exact reference, `models:/name@3`."""
        return f"models:/{self.name}@{self.version}"

    def record(self) -> VersionRegistered:
        """Return the event that creates it."""
        facts = {name: getattr(self, name) for name in VersionRegistered.__struct_fields__}
        return VersionRegistered(**{**facts, "code": CodeRecord(**self.code)})


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model, folded from its events.

    Args:
        name: The name.
        seq: Number of the newest event; 0 if there is none.
        versions: All versions, oldest first.
        moves: Every move of every alias, oldest first.
    """

    name: str
    seq: int
    versions: tuple[ModelVersion, ...]
    moves: tuple[AliasMove, ...]

    def aliases(self) -> dict[str, int]:
        """Return alias → version, as of now."""
        return {move.alias: move.version for move in self.moves}

    def trail(self, alias: str) -> list[int]:
        """Return the earlier targets of `alias`, in the order of promotions, without those rolled back."""
        trail: list[int] = []
        for move in self.moves:
            if move.alias == alias:
                trail = trail[:-1] if move.how == "rollback" else [*trail, move.version]
        return trail

    def get(self, selector: str) -> ModelVersion:
        """Return the version for an alias, a number or `latest`; the champion for an empty selector. Raise `UnknownName`."""
        self.require_versions()
        if selector == "latest":
            return self.versions[-1]
        if selector.isdecimal():
            return self.number(int(selector))
        aliases = self.aliases()
        if not selector and CHAMPION not in aliases:
            raise self._no_champion()
        alias = selector or CHAMPION
        if alias not in aliases:
            raise UnknownName(f"model {self.name!r} has no alias {alias!r}", hint=nearest(alias, aliases))
        return self.number(aliases[alias])

    @property
    def current(self) -> ModelVersion:
        """The champion, or the newest version without one: for things of the whole model, such as labels. Raise `UnknownName`."""
        return self.get(CHAMPION if CHAMPION in self.aliases() else "latest")

    def require_versions(self) -> None:
        """Raise `UnknownName` if the model has no version."""
        if not self.versions:
            raise UnknownName(f"there is no model {self.name!r}", hint="`mlopsfw models list` shows all models.")

    def _no_champion(self) -> UnknownName:
        newest = reversed(self.versions[-_SHOWN:])
        listed = ", ".join(f"{v.version} (@{', @'.join(v.aliases)})" if v.aliases else str(v.version) for v in newest)
        older = len(self.versions) - _SHOWN
        return UnknownName(
            f"model {self.name!r} has no champion, and a name alone means the champion; the model has versions {listed}"
            + (f" and {older} older" if older > 0 else ""),
            hint=f"Promote a version with `mlopsfw models promote {self.name} VERSION`, or name one: models:/{self.name}@VERSION.",
        )

    def number(self, version: int) -> ModelVersion:
        """Return the version with this number. Raise `UnknownName`."""
        if 1 <= version <= len(self.versions):
            return self.versions[version - 1]
        raise UnknownName(
            f"model {self.name!r} has no version {version}", hint=f"It has versions 1 to {len(self.versions)}."
        )


def _move(moved: AliasMoved, stamp: Mapping[str, Any]) -> AliasMove:
    return AliasMove(
        alias=moved.alias,
        version=moved.version,
        was=moved.was or 0,
        how=moved.how or "promote",
        reason=moved.reason,
        **stamp,
    )


def fold(name: str, events: Iterable[Event]) -> Model:
    """Return the model, folded from `events` (a whole `model/NAME` stream)."""
    seq = 0
    versions: list[ModelVersion] = []
    moves: list[AliasMove] = []
    approvals: dict[int, list[Approval]] = {}
    for event in events:
        seq, stamp = event.seq, {"time": event.time, "actor": event.actor}
        if event.type == VersionRegistered.type:
            facts = msgspec.structs.asdict(VersionRegistered.of(event))
            facts |= {"code": msgspec.to_builtins(facts["code"]), **stamp}
            versions.append(ModelVersion(name=name, **facts))
        elif event.type == AliasMoved.type:
            moves.append(_move(AliasMoved.of(event), stamp))
        elif event.type == VersionApproved.type:
            approved = VersionApproved.of(event)
            approvals.setdefault(approved.version, []).append(Approval(comment=approved.comment, **stamp))
    pointing = {move.alias: move.version for move in moves}
    with_aliases = tuple(
        msgspec.structs.replace(
            version,
            aliases=tuple(sorted(alias for alias, target in pointing.items() if target == version.version)),
            approvals=tuple(approvals.get(version.version, ())),
        )
        for version in versions
    )
    return Model(name=name, seq=seq, versions=with_aliases, moves=tuple(moves))
