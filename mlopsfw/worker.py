"""What the processes that plugins start call: an engine's worker runs a step, a deployer's server opens its model.

An engine imports this in the coordinator too, for `thread_limits`: so what a server needs is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlopsfw.project.worker import execute, thread_limits

if TYPE_CHECKING:
    from mlopsfw.project.server import compact_log, open_scorer
    from mlopsfw.serving.scorer import Scored, Scorer

_OF_SERVERS = {
    "Scored": "mlopsfw.serving.scorer",
    "Scorer": "mlopsfw.serving.scorer",
    "compact_log": "mlopsfw.project.server",
    "open_scorer": "mlopsfw.project.server",
}

__all__ = ["Scored", "Scorer", "compact_log", "execute", "open_scorer", "thread_limits"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _OF_SERVERS:
        return getattr(import_module(_OF_SERVERS[name]), name)
    raise AttributeError(f"module 'mlopsfw.worker' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
