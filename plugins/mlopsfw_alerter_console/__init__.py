"""The alerter `console`: writes each alert to standard error, for a person at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Literal

import msgspec

from mlopsfw import Alert, Provider, hookimpl
from mlopsfw.roles import Alerter, Host

_COLOURS = {"info": 36, "warning": 33, "critical": 31}


class ConsoleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alerter.console]`.

    Args:
        colour: `auto` uses colours on a terminal, but not in a file.
    """

    colour: Literal["auto", "always", "never"] = "auto"


class ConsoleAlerter(Alerter):
    """Writes to standard error."""

    def __init__(self, config: ConsoleConfig) -> None:
        self._colour = config.colour

    def deliver(self, alert: Alert) -> None:
        """Write the alert. Escapes control characters, so that a name cannot control the terminal."""
        head = _plain(f"{alert.state.upper()} {alert.severity} [{alert.group}] {alert.title}")
        if self._coloured():
            head = f"\N{ESCAPE}[{_COLOURS[alert.severity]};1m{head}\N{ESCAPE}[0m"
        more = [*alert.text.splitlines(), *(f"{name}: {target}" for name, target in alert.links.items())]
        sys.stderr.write("\n  ".join([head, *map(_plain, more)]) + "\n")
        sys.stderr.flush()

    def _coloured(self) -> bool:
        return self._colour == "always" or (self._colour == "auto" and sys.stderr.isatty())


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _build(config: ConsoleConfig, _host: Host) -> ConsoleAlerter:
    return ConsoleAlerter(config)


@hookimpl
def mlopsfw_alerters() -> Iterable[Provider[ConsoleAlerter]]:
    """Offer the console."""
    yield Provider("console", ConsoleConfig, _build, "Writes alerts to standard error")
