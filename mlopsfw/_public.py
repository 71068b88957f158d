"""What is public and since when, and how a public name goes: it warns for two minor releases before it is gone.

To retire a name, add a `Deprecation` to `DEPRECATED`, and call its `warn` where the old name is used. A test fails as soon as the
version of mlopsfw is one in which the name must be gone. This module imports nothing of mlopsfw, so that every room may warn.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

PUBLIC = {
    "mlopsfw": "0.1",
    "mlopsfw.capturelog": "0.1",
    "mlopsfw.commands": "0.1",
    "mlopsfw.components": "0.1",
    "mlopsfw.errors": "0.1",
    "mlopsfw.evaluation": "0.1",
    "mlopsfw.events": "0.1",
    "mlopsfw.features": "0.1",
    "mlopsfw.formats": "0.1",
    "mlopsfw.http": "0.1",
    "mlopsfw.pages": "0.1",
    "mlopsfw.roles": "0.1",
    "mlopsfw.sources": "0.1",
    "mlopsfw.testing": "0.1",
    "mlopsfw.worker": "0.1",
    "mlopsfw_core": "0.1",
}
"""Each public module, and the release since which it is public."""

KEPT = 2
"""For how many minor releases a deprecated name works before it is gone."""


class MlopsfwDeprecationWarning(DeprecationWarning):
    """A public name is used that a later release will not have. The text names this release, and what to use instead."""


class Deprecation(NamedTuple):
    """One name on its way out.

    Args:
        name: The name in full, such as `mlopsfw.roles.Alert.heading`.
        instead: What to use instead.
        since: The first release that warns, such as `0.4`.
    """

    name: str
    instead: str
    since: str

    @property
    def until(self) -> str:
        """The first release without the name."""
        major, minor = _numbers(self.since)
        return f"{major}.{minor + KEPT}"

    def is_overdue(self, version: str) -> bool:
        """Return whether this version of mlopsfw must not have the name any more."""
        return _numbers(version) >= _numbers(self.until)

    def warn(self) -> None:
        """Warn the caller of the function that calls this. Python shows the warning once for each place."""
        text = f"{self.name} is deprecated since mlopsfw {self.since} and gone in {self.until}: use {self.instead}."
        warnings.warn(text, MlopsfwDeprecationWarning, stacklevel=3)


DEPRECATED: tuple[Deprecation, ...] = ()
"""Every name on its way out. There is none yet."""


def _numbers(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)
