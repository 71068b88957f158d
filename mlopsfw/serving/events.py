"""What serving writes: to an endpoint's stream, `endpoint/NAME`, and to that of a model's labels, `labels/MODEL`."""

from __future__ import annotations

from mlopsfw.kernel.events.record import BundleBlob, EventRecord, Text


class EndpointWanted(EventRecord, frozen=True, kw_only=True):
    """An endpoint should serve another version.

    Args:
        revision: The number of the change, from 1.
        model: The model.
        version: Its version.
        bundle: The version's bundle.
        reason: Why, for people.
        deployer: The configured name of the deployer; empty for the default one.
    """

    type = "endpoint.wanted"
    streams = ("endpoint/ENDPOINT",)
    revision: int
    model: str = ""
    version: int = 0
    bundle: BundleBlob = ""
    reason: Text = ""
    deployer: str = ""


class EndpointReady(EventRecord, frozen=True, kw_only=True):
    """An endpoint answers as a change wanted it.

    Args:
        revision: The number of the change.
        url: Where it answers.
    """

    type = "endpoint.ready"
    streams = ("endpoint/ENDPOINT",)
    revision: int
    url: str = ""


class EndpointFailed(EventRecord, frozen=True, kw_only=True):
    """A change of an endpoint failed; what was served before goes on.

    Args:
        revision: The number of the change.
        reason: Why it failed.
    """

    type = "endpoint.failed"
    streams = ("endpoint/ENDPOINT",)
    revision: int
    reason: Text = ""


class EndpointStopped(EventRecord, frozen=True, kw_only=True):
    """An endpoint was stopped.

    Args:
        revision: The number of the change that held.
        reason: Why it was stopped: which deployer has the endpoint now.
    """

    type = "endpoint.stopped"
    streams = ("endpoint/ENDPOINT",)
    revision: int
    reason: str = ""


class LabelsAdded(EventRecord, frozen=True, kw_only=True):
    """Labels of predictions became known.

    Args:
        rows: How many labels.
        table_version: The version of the table that holds them.
    """

    type = "labels.added"
    streams = ("labels/MODEL",)
    rows: int
    table_version: int


EVENTS: tuple[type[EventRecord], ...] = (EndpointWanted, EndpointReady, EndpointFailed, EndpointStopped, LabelsAdded)
