"""The observer `sample`: appends every event to a file as one line of JSON."""

from __future__ import annotations

import msgspec

from mlopsfw import hookimpl
from mlopsfw.roles import Event, Host


class SampleOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[observer.sample]`: mlopsfw reads and checks it before the first event.

    Args:
        file: The file to append to, relative to the project.
        timeout: How many seconds an event may take. mlopsfw keeps to it.
    """

    file: str = "sample-events.jsonl"
    timeout: float = 10.0


@hookimpl
def mlopsfw_event(event: Event, host: Host, options: SampleOptions | None) -> None:
    """Write the event down. It is in the ledger already: an error here is a warning and ends no run."""
    file = host.root / (options or SampleOptions()).file  # None where the project has no such table
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(event) + b"\n")
