"""The formats `parquet` (also `pq`) and `arrow` (also `ipc`, `feather`): files whose columns have types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Format, Host


class ColumnarConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[format.parquet]`, `[format.arrow]`: there is nothing to set."""


def _parquet(_config: ColumnarConfig, _host: Host) -> Format:
    from mlopsfw_format_columnar.reading import Columnar

    return Columnar("parquet")


def _ipc(_config: ColumnarConfig, _host: Host) -> Format:
    from mlopsfw_format_columnar.reading import Columnar

    return Columnar("ipc")


@hookimpl
def mlopsfw_formats() -> Iterable[Provider[Format]]:
    """Offer Parquet and Arrow IPC, by each of their suffixes."""
    for suffix in ("parquet", "pq"):
        yield Provider(suffix, ColumnarConfig, _parquet, "Parquet files")
    for suffix in ("arrow", "ipc", "feather"):
        yield Provider(suffix, ColumnarConfig, _ipc, "Arrow IPC files and streams")
