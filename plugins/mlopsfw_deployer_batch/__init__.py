"""The bundled deployer `batch`: an endpoint is a verified bundle on this machine, which scores files when it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.roles import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Deployer, Host


class BatchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[deployer.batch]`: there is nothing to set."""


def _build(_config: BatchConfig, host: Host) -> Deployer:
    from mlopsfw_deployer_batch.deployer import FileDeployer

    return FileDeployer(host)


@hookimpl
def mlopsfw_deployers() -> Iterable[Provider[Deployer]]:
    """Offer the deployer `batch`."""
    yield Provider("batch", BatchConfig, _build, "Scores files on this machine, and captures the predictions")
