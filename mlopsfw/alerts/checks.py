"""What doctor asks of alerts. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import MlopsfwError, text_of
from mlopsfw.kernel.roles.check import Check, Diagnosis

if TYPE_CHECKING:
    from mlopsfw.alerts import Alerts


def checks(alerts: Callable[[], Alerts]) -> tuple[Check, ...]:
    """Return the checks."""
    return (Check("alerters", "Each alerter can deliver, as far as it can tell", lambda: alerters_work(alerts())),)


def alerters_work(alerts: Alerts) -> Iterator[Diagnosis]:
    """Build each alerter and have it look at what it needs, such as its secrets and folders."""
    for name, error in alerts.check_alerters():
        if error is None:
            yield Diagnosis("ok", f"alerter {name!r} has what it needs")
        else:
            hint = error.hint if isinstance(error, MlopsfwError) else ""
            said = error.message if isinstance(error, MlopsfwError) else text_of(error)
            yield Diagnosis("error", f"alerter {name!r} cannot deliver: {said}", hint)
