"""The format `csv` (also `tsv`, `txt`): text with a separator between fields."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, TextFormat


class CsvConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[format.csv]`: there is nothing to set."""


_MEDIA_TYPES = {"csv": ("text/csv",), "tsv": ("text/tab-separated-values",), "txt": ()}


def _build(media_types: tuple[str, ...], _config: CsvConfig, _host: Host) -> TextFormat:
    from mlopsfw_format_csv.reading import Csv

    return Csv(media_types)


@hookimpl
def mlopsfw_formats() -> Iterable[Provider[TextFormat]]:
    """Offer CSV, by each of its suffixes."""
    for suffix, media_types in _MEDIA_TYPES.items():
        yield Provider(suffix, CsvConfig, partial(_build, media_types), "Text with a separator between fields")
