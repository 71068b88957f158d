"""The sources `_delta_log/` and `metadata/*.metadata.json`: folders that are Delta Lake and Apache Iceberg tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Source


class LakehouseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Both are called as their marks, and there is nothing to set."""


def _delta(_config: LakehouseConfig, _host: Host) -> Source:
    from mlopsfw_source_lakehouse.delta import DeltaSource

    return DeltaSource()


def _iceberg(_config: LakehouseConfig, _host: Host) -> Source:
    from mlopsfw_source_lakehouse.iceberg import IcebergSource

    return IcebergSource()


@hookimpl
def mlopsfw_sources() -> Iterable[Provider[Source]]:
    """Offer tables of other systems, by what their folders contain."""
    yield Provider("_delta_log/", LakehouseConfig, _delta, "Delta Lake tables")
    yield Provider("metadata/*.metadata.json", LakehouseConfig, _iceberg, "Apache Iceberg tables")
