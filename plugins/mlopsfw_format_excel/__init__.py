"""The format `xlsx`: a sheet of an Excel workbook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Format, Host


class ExcelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[format.xlsx]`: there is nothing to set."""


def _build(_config: ExcelConfig, _host: Host) -> Format:
    from mlopsfw_format_excel.sheet import Workbook

    return Workbook()


@hookimpl
def mlopsfw_formats() -> Iterable[Provider[Format]]:
    """Offer workbooks."""
    yield Provider("xlsx", ExcelConfig, _build, "Sheets of Excel workbooks")
