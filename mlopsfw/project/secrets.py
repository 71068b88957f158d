"""The stores of secrets: which schemes references may have, from metadata alone, and each store when a reference names it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.kernel.roles.secrets import SecretStore


class Schemes(Collection[str]):
    """The schemes of installed stores, disabled ones too, and of those that a configuration has a table for.

    Their texts are references, so that none is taken for a secret in clear where its store cannot be used. Nothing is looked
    for before the first question.

    Args:
        claims: Returns what is installed.
        tables: The names below `[secrets]`.
    """

    def __init__(self, claims: Callable[[], Iterable[Claim]], tables: Iterable[str]) -> None:
        self._claims, self._tables = claims, tables

    @cached_property
    def _names(self) -> frozenset[str]:
        installed = {claim.name for claim in self._claims() if claim.kind == "secrets" and not claim.misnamed}
        return frozenset(installed | set(self._tables))

    def __contains__(self, scheme: object) -> bool:
        return scheme in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class SecretStores(Mapping[str, "SecretStore"]):
    """Scheme → store of one project. Each is built when it is first asked for, and none of its secrets is kept.

    Args:
        schemes: The schemes.
        build: Builds the store of a scheme.
    """

    def __init__(self, schemes: Schemes, build: Callable[[str], SecretStore]) -> None:
        self._schemes, self._build = schemes, build
        self._built: dict[str, SecretStore] = {}

    def __getitem__(self, scheme: str) -> SecretStore:
        if scheme not in self._schemes:
            raise KeyError(scheme)
        if scheme not in self._built:
            self._built[scheme] = self._build(scheme)
        return self._built[scheme]

    def __contains__(self, scheme: object) -> bool:
        return scheme in self._schemes

    def __iter__(self) -> Iterator[str]:
        return iter(self._schemes)

    def __len__(self) -> int:
        return len(self._schemes)
