"""The format `csv` (also `tsv`, `txt`): text with a separator between fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, TextFormat


class CsvConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[format.csv]`: there is nothing to set."""


def _build(_config: CsvConfig, _host: Host) -> TextFormat:
    from mlopsfw_format_csv.reading import Csv

    return Csv()


@hookimpl
def mlopsfw_formats() -> Iterable[Provider[TextFormat]]:
    """Offer CSV, by each of its suffixes."""
    for suffix in ("csv", "tsv", "txt"):
        yield Provider(suffix, CsvConfig, _build, "Text with a separator between fields")
