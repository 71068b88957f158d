"""The engine `local`: steps run in processes of this machine, which are started when needed and used again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.roles import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Engine, Host


class LocalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engine.local]`.

    Args:
        workers: How many steps run side by side; 0 for as many as there are cores, at most 4.
        grace: Seconds that a step has to stop when it is asked to, before it is killed.
    """

    workers: int = 0
    grace: float = 3.0


def _build(config: LocalConfig, host: Host) -> Engine:
    from mlopsfw_engine_local.engine import LocalEngine

    return LocalEngine(workers=config.workers, grace=config.grace, folder=host.root)


@hookimpl
def mlopsfw_engines() -> Iterable[Provider[Any]]:
    """Offer local processes."""
    yield Provider("local", LocalConfig, _build, "Processes on this machine")
