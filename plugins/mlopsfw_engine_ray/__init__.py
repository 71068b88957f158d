"""The engine `ray`: steps run on the nodes of a Ray cluster. Needs the extra `ray`, here and on every node.

The project's code travels as Ray's working directory; everything else travels by reference, so the storage must be one that all
nodes reach (`s3://…`, or a folder that is mounted on each). Nodes have this project's packages installed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.roles import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Engine, Host


class RayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[engine.ray]`.

    Args:
        address: The cluster's, `host:port`; `auto` for the one that this machine belongs to.
        cpus: How many a step takes.
        gpus: How many a step takes.
        slots: How many steps run at once; 0 for as many as the cluster's CPUs allow when the run begins.
        env: Names of environment variables that nodes need too (those behind `env:` secrets). Their values pass through Ray.
        exclude: Files, as in a .gitignore, that the nodes do not need.
        grace: Seconds that a step has to stop when it is asked to, before it is killed.
    """

    address: str = "auto"
    cpus: float = 1.0
    gpus: float = 0.0
    slots: int = 0
    env: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    grace: float = 5.0


def _build(config: RayConfig, host: Host) -> Engine:
    from mlopsfw.errors import MissingExtra

    try:
        from mlopsfw_engine_ray.engine import RayEngine
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingExtra("the engine `ray`", "ray") from None
    return RayEngine(config, host.root)


@hookimpl
def mlopsfw_engines() -> Iterable[Provider[Any]]:
    """Offer a Ray cluster."""
    yield Provider("ray", RayConfig, _build, "A Ray cluster")
