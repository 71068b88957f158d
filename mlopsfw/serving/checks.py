"""Doctor's question about endpoints: does each serve what it should, as its own deployer says?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mlopsfw.kernel.base.errors import MlopsfwError, text_of
from mlopsfw.kernel.plugins.blame import blame_of
from mlopsfw.kernel.roles.check import Check, Diagnosis
from mlopsfw.serving.changes import serving

if TYPE_CHECKING:
    from mlopsfw.serving.endpoints import Endpoints


def checks(endpoints: Callable[[], Endpoints]) -> tuple[Check, ...]:
    """Return the check. `endpoints` are made when doctor asks."""
    return (Check("endpoints", "Every endpoint serves what it should", lambda: states(endpoints())),)


def states(endpoints: Endpoints) -> Iterator[Diagnosis]:
    """Ask the deployer of each endpoint for its state."""
    for name in endpoints.list():
        try:
            yield _state(endpoints, name)
        except Exception as error:  # noqa: BLE001 - one deployer that fails must not hide the other endpoints
            is_ours = isinstance(error, MlopsfwError)
            message = error.message if is_ours else f"endpoint {name}: {text_of(error)}"  # type: ignore[attr-defined]
            hint = error.hint if is_ours else ""  # type: ignore[attr-defined]
            yield Diagnosis("error", "; ".join(filter(None, (message, blame_of(error)))), hint)


def _state(endpoints: Endpoints, name: str) -> Diagnosis:
    status = endpoints.status(name)
    said = f"{name}: {status.state}, deployer {status.deployer} ({status.mode})"
    wanted = serving(endpoints.history(name))
    if wanted is None or (status.state == "ready" and status.revision == wanted.revision):
        return Diagnosis("ok", said)
    return Diagnosis("warning", f"{said}; {status.detail}", f"Run: mlopsfw endpoints start {name}")
