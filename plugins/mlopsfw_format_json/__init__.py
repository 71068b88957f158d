"""The format `jsonl` (also `ndjson`): one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Format, Host


class JsonConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[format.jsonl]`: there is nothing to set."""


def _build(_config: JsonConfig, _host: Host) -> Format:
    from mlopsfw_format_json.reading import JsonLines

    return JsonLines()


@hookimpl
def mlopsfw_formats() -> Iterable[Provider[Format]]:
    """Offer JSON lines, by both suffixes."""
    for suffix in ("jsonl", "ndjson"):
        yield Provider(suffix, JsonConfig, _build, "JSON lines")
