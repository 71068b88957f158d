"""What a provider gets to use besides the project's parts: values of its own, the HTTP client, and a log."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.capturelog.durable import sync
from mlopsfw.kernel.base.clock import rfc3339
from mlopsfw.kernel.base.errors import Corrupt, DataError, PluginError
from mlopsfw.kernel.base.ids import check_name
from mlopsfw.lineage import canonical

if TYPE_CHECKING:
    from mlopsfw.http import Answer
    from mlopsfw.kernel.roles.host import Clock

MOST_VALUE = 1 << 16
"""How many bytes a value may have, as JSON."""


class ProviderState:
    """Implements `mlopsfw.roles.State` in a folder of the provider's own.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> Any:
        """Return the value, None where there is none. Raise `Corrupt` where the file is no JSON."""
        file = self._file(name)
        try:
            return msgspec.json.decode(file.read_bytes())
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Corrupt(
                f"{file} is no JSON: {error}", hint="Delete the file: the plugin then begins without the value."
            ) from None

    def put(self, name: str, value: Any) -> None:
        """Keep a value. Raise `PluginError` where it is no JSON value, or too large."""
        file, content = self._file(name), _encoded(name, value)
        if len(content) > MOST_VALUE:
            raise PluginError(
                f"the value {name!r} takes {len(content):,} bytes: state is for at most {MOST_VALUE:,}",
                hint="Keep it as a blob or in a table of your own, and its digest or version here.",
            )
        temporary = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        temporary.write_bytes(content)
        sync(temporary)
        temporary.replace(file)
        sync(self._folder)

    def _file(self, name: str) -> Path:
        return self._folder / f"{check_name(name, 'name of a value')}.json"


def _encoded(name: str, value: Any) -> bytes:
    try:
        content = canonical.encode(value, f"the value {name!r}")
    except DataError as error:
        raise PluginError(error.message, hint=error.hint) from None
    if canonical.NOT_FINITE in content:
        hint = "JSON has no such numbers. Keep None, or a text."
        raise PluginError(f"the value {name!r} holds NaN or an infinity", hint=hint)
    return content


class PluginHttp:
    """Implements `mlopsfw.roles.Http` for one plugin.

    Args:
        allow_private: Whether it may call addresses that are not public.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, timeout: float = 30.0, most: int = 1 << 16
    ) -> Answer:
        """GET what is at a URL."""
        from mlopsfw.http import Answer, get

        with get(url, headers or {}, timeout=timeout, allow_private=self._allow_private, whole=True) as stream:
            body = b""
            while len(body) < most and (piece := stream.read(most - len(body))):
                body += piece
            return Answer(stream.status, body, stream.proxy)

    def post(self, url: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float = 10.0) -> Answer:
        """POST a body."""
        from mlopsfw.http import post

        return post(url, body, headers or {}, timeout=timeout, allow_private=self._allow_private)


def write_line(file: Path, plugin: str, text: str, clock: Clock) -> None:
    """Write a line of a plugin to the log of the step that runs in this context, else to a file."""
    from mlopsfw.pipeline.run.metrics import step_runs_here

    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    if step_runs_here():
        print(f"{plugin}: {shown}", flush=True)  # noqa: T201 - a step's output is its log
        return
    with file.open("a", encoding="utf-8") as log:
        log.write(f"{rfc3339(clock.now())} {plugin}: {shown}\n")
