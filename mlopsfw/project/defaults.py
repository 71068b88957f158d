"""What a role offers to a plugin that was written before it: the defaults of the methods that a role gained since."""

from __future__ import annotations

from typing import Any

from mlopsfw.kernel.roles.alerting import Alerter
from mlopsfw.kernel.roles.engine import Engine
from mlopsfw.kernel.roles.monitoring import Monitor
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.kernel.roles.storage import Storage

_GROWN: dict[str, type] = {each.__name__: each for each in (Storage, Monitor, Alerter, Engine)}
"""The roles with methods that a provider may leave out: each that is not abstract."""


def add_defaults(built: Any, role: str) -> Any:
    """Return a provider, behind the border, with the defaults of its role for what it lacks.

    A subclass has them by itself. One that is shaped like its role, and no subclass, gets them here.
    """
    for name, default in vars(_GROWN.get(KINDS[role].builds, object)).items():
        if name.startswith("_") or getattr(default, "__isabstractmethod__", False) or hasattr(built, name):
            continue
        setattr(built, name, default.__get__(built))
    return built
