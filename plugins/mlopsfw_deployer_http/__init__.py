"""The bundled deployer `http`: an endpoint is a server on this machine, a process of its own under a small supervisor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from mlopsfw.roles import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Deployer, Host


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[deployer.http]`.

    Args:
        host: The address to bind. Anything but loopback needs a token.
        port: The port; 0 takes a free one and keeps it for the endpoint's later starts.
        token: Reference to a bearer token of at least 16 characters, `env:NAME` or `file:/path`; all routes but health ask for it.
        label_token: Reference to a token of its own for `POST /labels`, in place of `token`: who may label, and who may ask, are then two.
        labels_per_request: Labels that one request may hold.
        labels_per_second: Labels that one client, by its address, may send a second; 0 for no limit. All together may send eight times that.
        hosts: Further names under which clients address the server (the Host header).
        max_body: Bytes that a request's body may have.
        drain_seconds: How long a server that is replaced answers what still comes on open connections.
        grace_seconds: How long requests in flight may take after that.
        start_timeout: Seconds within which a new model must be loaded and have replayed its golden rows.
        hang_seconds: Seconds without a sign of life after which a server process is replaced. More than the model takes for a small request.
        answer_seconds: Seconds that a long request may be computed; a process that takes longer is replaced.
        compact_seconds: How often captured predictions are moved into their table; 0 leaves that to readers.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    label_token: str = ""
    labels_per_request: int = 10_000
    labels_per_second: float = 2_000.0
    hosts: tuple[str, ...] = ()
    max_body: int = 8 << 20
    drain_seconds: float = 1.5
    grace_seconds: float = 10.0
    start_timeout: float = 60.0
    hang_seconds: float = 2.0
    answer_seconds: float = 60.0
    compact_seconds: float = 60.0


def _build(config: HttpConfig, host: Host) -> Deployer:
    try:
        import httptools  # noqa: F401 - looked for here, so that a missing one is told by whoever deploys, not by a process's log
    except ImportError as error:
        from mlopsfw.errors import MissingExtra

        raise MissingExtra("the deployer 'http'", "http") from error
    from mlopsfw_deployer_http.deployer import HttpDeployer

    return HttpDeployer(config, host)


@hookimpl
def mlopsfw_deployers() -> Iterable[Provider[Deployer]]:
    """Offer the deployer `http`."""
    yield Provider(
        "http", HttpConfig, _build, "A server on this machine: Open Inference Protocol v2 and MLflow's /invocations"
    )
