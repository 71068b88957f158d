"""The bundled deployer `http`: an endpoint is a server process on this machine under a small supervisor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import msgspec

from mlopsfw.roles import MemorySize, Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Deployer, Host


_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_SomeTime = Annotated[float, msgspec.Meta(gt=0)]


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[deployer.http]`.

    Args:
        host: The address to bind. Every address but loopback needs a token.
        port: The port; 0 chooses a free one and keeps it for later starts of the endpoint.
        token: Reference to a bearer token of at least 16 characters, `env:NAME` or `file:/path`. All routes but health require it.
        label_token: Reference to a separate token for `POST /labels`, in place of `token`, so that clients need different tokens to label and to predict.
        labels_per_request: The most labels of one request.
        labels_per_second: The most labels per second of one client, by its address; 0 for no limit. All clients together may send eight times that.
        hosts: Further names that clients may send in the Host header.
        max_body: The most bytes of a request's body. All bodies in progress together may hold eight times that.
        drain_seconds: How long a replaced server still answers requests on open connections.
        grace_seconds: How long current requests may take after that.
        start_timeout: Seconds to load a new model and replay its golden rows.
        hang_seconds: Seconds without a sign of life after which a server process is replaced. Set it above the time of a small request.
        answer_seconds: The most seconds to compute a long request; beyond them the client gets a 413. A process whose model does not return from
            one call for so long is replaced.
        memory: The most that a server process may allocate, such as `4GiB`, the model included; a request whose answer takes more gets a 413.
            By default what the machine gives: a model that allocates without bounds then ends processes, of other programs too.
        compact_seconds: Seconds between moves of captured predictions into their table; 0 leaves that to readers.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    token: str = ""
    label_token: str = ""
    labels_per_request: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    labels_per_second: Annotated[float, msgspec.Meta(ge=0)] = 2_000.0
    hosts: tuple[str, ...] = ()
    max_body: Annotated[int, msgspec.Meta(ge=1)] = 8 << 20
    drain_seconds: _Seconds = 1.5
    grace_seconds: _Seconds = 10.0
    start_timeout: _SomeTime = 60.0
    hang_seconds: _SomeTime = 2.0
    answer_seconds: _SomeTime = 60.0
    memory: MemorySize = ""
    compact_seconds: _Seconds = 60.0


def _build(config: HttpConfig, host: Host) -> Deployer:
    try:
        import httptools  # noqa: F401 - looked for here, so that a missing one is an error of the deployment, and not a line in a process's log
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
