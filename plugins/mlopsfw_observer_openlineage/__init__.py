"""The observer `openlineage`: tells of runs and steps as OpenLineage's run events (openlineage.io, spec 2-0-2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlopsfw import hookimpl
from mlopsfw.errors import ConfigError

if TYPE_CHECKING:
    from mlopsfw.roles import Event, Host


class OpenLineageConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[observer.openlineage]`: a file or a URL, one of them.

    Args:
        file: Where to append the events as JSON lines, relative to the project.
        url: Where to POST each event as JSON, http or https, such as `https://marquez.example/api/v1/lineage`; or a reference
            to the URL (`env:NAME`, `file:/path`).
        secret: Reference (`env:NAME`, `file:/path`) to the bearer token; empty sends none.
        timeout: Seconds for the whole exchange; the run waits for it.
        allow_private: Whether the receiver may have an address that is not public.
        namespace: OpenLineage's namespace of the jobs and datasets; empty takes the project's name.
    """

    file: str = ""
    url: str = ""
    secret: str = ""
    timeout: float = 3.0
    allow_private: bool = False
    namespace: str = ""

    def __post_init__(self) -> None:
        """Raise `ConfigError` unless there is one place to send events to."""
        if bool(self.file) == bool(self.url):
            raise ConfigError("needs exactly one of `file` and `url`")


@hookimpl
def mlopsfw_event(event: Event, host: Host, options: OpenLineageConfig | None) -> None:
    """Send what the event tells of a run; nothing without `[observer.openlineage]`."""
    if not options or not event.stream.startswith("run/"):
        return
    from mlopsfw_observer_openlineage.mapping import run_events
    from mlopsfw_observer_openlineage.sending import send

    for run_event in run_events(event, host, options.namespace or host.project):
        send(run_event, options, host)
