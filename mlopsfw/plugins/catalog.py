"""What is installed, read from the metadata of distributions alone: listing, clashes and API checks import no plugin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata

from mlopsfw.contracts.provider import API_VERSION, ROLES
from mlopsfw.errors import PluginApiMismatch, PluginConflict, PluginError, UnknownName
from mlopsfw.ids import nearest

_GROUP = re.compile(r"mlopsfw\.v(\d+)")
KINDS = (*ROLES, "observer", "command", "check")


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """One entry point: a distribution says that a module provides a name.

    Args:
        kind: A role, or `observer`, `command`, `check`.
        name: The provider's or verb's name.
        module: Where the hook implementations are (`package.module` or `package.module:object`).
        distribution: The distribution's name.
        version: Its version.
        api: The version of the hooks that it was written for.
    """

    kind: str
    name: str
    module: str
    distribution: str
    version: str
    api: int

    @property
    def key(self) -> str:
        """`kind.name`, as the entry point is called."""
        return f"{self.kind}.{self.name}"

    def __str__(self) -> str:
        return f"plugin {self.key!r} ({self.distribution} {self.version})"


def installed() -> Iterator[Claim]:
    """Yield every claim of every installed distribution, of any API version."""
    seen = set()
    for distribution in metadata.distributions():
        text = distribution.read_text("entry_points.txt")
        if text is None or "mlopsfw.v" not in text or distribution.name in seen:
            continue
        seen.add(distribution.name)  # an earlier folder of sys.path hides a later one, as for imports
        yield from _claims(distribution)


def _claims(distribution: metadata.Distribution) -> Iterator[Claim]:
    for point in distribution.entry_points:
        group = _GROUP.fullmatch(point.group)
        kind, dot, name = point.name.partition(".")
        if group and dot and kind in KINDS:
            yield Claim(kind, name, point.value, distribution.name, distribution.version, int(group[1]))


class Catalog:
    """The claims that count, with the rules of selection.

    Args:
        claims: The claims to choose from; what is installed by default.
        disabled: Keys (`observer.acme`) or distributions that must not be loaded.
    """

    def __init__(self, claims: Iterable[Claim] | None = None, disabled: Iterable[str] = ()) -> None:
        self._given = claims
        self.disabled = frozenset(disabled)

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim, sorted by kind and name."""
        return tuple(sorted(installed() if self._given is None else self._given))

    def is_disabled(self, claim: Claim) -> bool:
        """Return whether config keeps this claim from being loaded."""
        return bool(self.disabled & {claim.key, claim.distribution})

    def of(self, kind: str) -> tuple[Claim, ...]:
        """Return the claims of one kind that may be loaded, without checking for clashes."""
        return tuple(c for c in self.claims if c.kind == kind and not self.is_disabled(c) and api_accepted(c.api))

    def find(self, kind: str, name: str) -> Claim:
        """Return the one claim to `kind.name`.

        Raises:
            UnknownName: Nobody claims it; the nearest name is given.
            PluginConflict: Several distributions claim it.
            PluginApiMismatch: It was written for hooks of a version that this kernel does not speak.
            PluginError: It is disabled.
        """
        claims = [c for c in self.claims if c.kind == kind and c.name == name]
        if not claims:
            raise UnknownName(
                f"no installed {kind} is called {name!r}", hint=nearest(name, {c.name for c in self.of(kind)})
            )
        enabled = [c for c in claims if not self.is_disabled(c)]
        if not enabled:
            raise PluginError(f"{claims[0]} is disabled", hint="Take it out of [plugins] disabled.")
        if len(enabled) > 1:
            raise _conflict(enabled)
        if not api_accepted(enabled[0].api):
            raise _mismatch(enabled[0])
        return enabled[0]


def api_accepted(api: int) -> bool:
    """Return whether plugins written for hooks of version `api` are accepted: this version and the one before."""
    return api in (API_VERSION, API_VERSION - 1)


def _conflict(claims: list[Claim]) -> PluginConflict:
    who = " and ".join(f"{c.distribution} {c.version} ({c.module})" for c in claims)
    return PluginConflict(
        f"{claims[0].key!r} is provided by {who}",
        hint=f'Uninstall one, or write [plugins] disabled = ["{claims[-1].distribution}"].',
    )


def _mismatch(claim: Claim) -> PluginApiMismatch:
    newer = claim.api > API_VERSION
    return PluginApiMismatch(
        f"{claim} was written for mlopsfw.v{claim.api}; this mlopsfw speaks v{API_VERSION}",
        hint="Run: pip install --upgrade mlopsfw" if newer else f"Run: pip install --upgrade {claim.distribution}",
    )
