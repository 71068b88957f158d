"""What is installed, read from metadata alone: listing, clashes and API checks import no plugin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from mlopsfw.kernel.base.errors import PluginApiMismatch, PluginConflict, PluginError, UnknownName
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.roles.names import API_VERSION, KINDS


class Claim(NamedTuple):
    """One entry point: a distribution says that a module provides a name.

    Args:
        kind: One of `KINDS`. An entry point of another name claims nothing; only listings and `doctor` show it.
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
        return f"{self.kind}.{self.name}" if self.name else self.kind

    @property
    def misnamed(self) -> str:
        """What is wrong with the entry point's name, and the nearest right one; empty where nothing is."""
        if self.kind in KINDS and self.name in KINDS[self.kind].reserved:
            return f"the name {self.name!r} is mlopsfw's own; the plugin must choose another name"
        if self.kind in KINDS and self.name:
            return ""
        what = f"there is no role {self.kind!r}" if self.name else "it has no name"
        return f"{what}; an entry point is called ROLE.NAME. {nearest(self.kind, KINDS)}"

    def __str__(self) -> str:
        return f"plugin {self.key!r} ({self.distribution} {self.version})".replace(" )", ")")


def installed(path: Sequence[str] | None = None) -> Iterator[Claim]:
    """Yield every claim of every distribution installed on `path` (`sys.path`), of any API version.

    The files are read here rather than through `importlib.metadata`, whose import and parsing would cost more than all
    the rest of `mlopsfw --help`. As for imports, a distribution in an earlier folder hides one of its name in a later
    folder.
    """
    seen = set()
    for folder in sys.path if path is None else path:
        for info in sorted(_metadata_folders(folder or ".")):
            name, version = _identity(info)
            if name not in seen:
                seen.add(name)
                yield from _claims(info, name, version)


def _metadata_folders(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")) and _mentions_us(entry.path):
                    yield entry.path
    except OSError:
        return  # a zip file or a folder that is not there: nothing of ours is installed like that


def _mentions_us(info: str) -> bool:
    try:
        with open(f"{info}/entry_points.txt", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            return b"[mlopsfw.v" in file.read()
    except OSError:
        return False


def _identity(info: str) -> tuple[str, str]:
    """Return the distribution's name and version from the head of its metadata."""
    fields = {"Name": "", "Version": ""}
    file = f"{info}/{'METADATA' if info.endswith('.dist-info') else 'PKG-INFO'}"
    with open(file, encoding="utf-8") as lines:  # noqa: PTH123
        for line in lines:
            key, _, value = line.partition(":")
            if key in fields:
                fields[key] = value.strip()
            if all(fields.values()) or not line.strip():
                break
    return fields["Name"], fields["Version"]


def _claims(info: str, distribution: str, version: str) -> Iterator[Claim]:
    api = None
    with open(f"{info}/entry_points.txt", encoding="utf-8") as lines:  # noqa: PTH123
        for line in map(str.strip, lines):
            if line.startswith("["):
                group = line.strip("[]").strip()
                number = group.removeprefix("mlopsfw.v")
                api = int(number) if group != number and number.isdecimal() else None
            elif api is not None and "=" in line and not line.startswith(("#", ";")):
                point, _, module = (part.strip() for part in line.partition("="))
                kind, _, name = point.partition(".")
                yield Claim(kind, name, module, distribution, version, api)


class Catalog:
    """The claims that count, with the rules of selection.

    Args:
        claims: The claims to choose from; what is installed by default.
        disabled: Keys (`observer.acme`) or distributions never to load, beside those in MLOPSFW_DISABLE_PLUGINS.
    """

    def __init__(self, claims: Iterable[Claim] | None = None, disabled: Iterable[str] = ()) -> None:
        self._given = claims
        self.disabled = frozenset(disabled) | frozenset(os.environ.get("MLOPSFW_DISABLE_PLUGINS", "").split())

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
                f"no installed {noun_of(kind)} is called {name!r}", hint=nearest(name, {c.name for c in self.of(kind)})
            )
        enabled = [c for c in claims if not self.is_disabled(c)]
        if not enabled:
            raise PluginError(f"{claims[0]} is disabled", hint="Remove it from [plugins] disabled.")
        if len(enabled) > 1:
            raise _conflict(enabled)
        if not api_accepted(enabled[0].api):
            raise _mismatch(enabled[0])
        return enabled[0]


def noun_of(kind: str) -> str:
    """Return what messages call a provider of a kind."""
    return (kind in KINDS and KINDS[kind].noun) or kind


def api_accepted(api: int) -> bool:
    """Return whether plugins written for hooks of version `api` are accepted: this version and the one before."""
    return api in (API_VERSION, API_VERSION - 1)


def _conflict(claims: list[Claim]) -> PluginConflict:
    who = " and ".join(f"{c.distribution} {c.version} ({c.module})" for c in claims)
    rivals = sorted({c.distribution for c in claims} - {"mlopsfw"})
    ways = [f'[plugins] disabled = ["{name}"]' for name in rivals]
    hint = f"Uninstall one of {' and '.join(sorted({c.distribution for c in claims}))}, or write {' or '.join(ways)}."
    if len({c.distribution for c in claims}) == 1:
        hint = f"Reinstall {claims[0].distribution}: its metadata lists the name twice."
    return PluginConflict(f"{claims[0].key!r} is provided by {who}", hint=hint)


def _mismatch(claim: Claim) -> PluginApiMismatch:
    newer = claim.api > API_VERSION
    return PluginApiMismatch(
        f"{claim} needs the plugin API mlopsfw.v{claim.api}; this mlopsfw has v{API_VERSION}",
        hint="Run: pip install --upgrade mlopsfw" if newer else f"Run: pip install --upgrade {claim.distribution}",
    )
