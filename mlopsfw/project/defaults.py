"""What a role demands of a provider when it is built, and what it offers to one written before: defaults of later methods."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.kernel.plugins.blame import Blamed, blaming
from mlopsfw.kernel.plugins.catalog import Claim, noun_of
from mlopsfw.kernel.roles.alerting import Alerter
from mlopsfw.kernel.roles.bundle import Runtime
from mlopsfw.kernel.roles.deployer import BatchDeployer, Deployer
from mlopsfw.kernel.roles.engine import Engine
from mlopsfw.kernel.roles.monitoring import Monitor
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.kernel.roles.reading import Format
from mlopsfw.kernel.roles.secrets import SecretStore
from mlopsfw.kernel.roles.source import Source
from mlopsfw.kernel.roles.storage import Storage
from mlopsfw.kernel.roles.training import Trainer

_GROWN: dict[str, type] = {each.__name__: each for each in (Storage, Monitor, Alerter, Engine, Source)}
"""The roles with methods that a provider may leave out: each that is not abstract."""
_WHOLE: dict[str, type] = {each.__name__: each for each in (Trainer, Runtime, Deployer, Format, SecretStore)}
"""The roles of which a provider has every attribute and method."""


def behind_border(built: Any, claim: Claim) -> Any:
    """Return a provider behind the border, with the defaults of its role for what it lacks.

    A subclass of its role has them by itself. One that is only shaped like its role gets them here.

    Raises:
        PluginError: It lacks what its role demands.
    """
    blamed = Blamed(built, claim, claim.kind)
    with blaming(claim, "build"):
        for name in _demanded(blamed, KINDS[claim.kind].builds):
            if not _has(built, name):
                message = f"it returned a {type(built).__name__}, which has no {name!r}: no {noun_of(claim.kind)}"
                raise PluginError(message, hint=f"mlopsfw.roles.{KINDS[claim.kind].builds} says what it must have.")
    for name, default in vars(_GROWN.get(KINDS[claim.kind].builds, object)).items():
        if not (name.startswith("_") or _is_abstract(default) or _has(built, name)):
            setattr(blamed, name, default.__get__(blamed))
    return blamed


def _demanded(blamed: Any, builds: str) -> Iterator[str]:
    yield from (name for name, each in vars(_GROWN.get(builds, object)).items() if _is_abstract(each))
    yield from (name for name in vars(_WHOLE.get(builds, object)) if not name.startswith("_"))
    if builds == Deployer.__name__ and blamed.mode == "batch":
        yield BatchDeployer.score.__name__


def _is_abstract(member: object) -> bool:
    return bool(getattr(member, "__isabstractmethod__", False))


def _has(built: Any, name: str) -> bool:
    """Return whether there is such an attribute, without computing it: that of an engine may ask a cluster."""
    try:
        inspect.getattr_static(built, name)
    except AttributeError:
        return hasattr(built, name)  # one that `__getattr__` gives
    return True
