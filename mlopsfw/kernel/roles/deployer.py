"""The deployer role: a model bundle becomes an endpoint that answers requests or scores files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

DeployerMode = Literal["online", "batch"]
"""How a deployer serves: it answers requests, or scores files when it is asked."""


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further version behind an endpoint, and its share of the requests.

    Args:
        version: A version of the endpoint's model.
        bundle: Digest of its bundle's manifest blob.
        weight: Its share of the requests, above 0 and at most 1. The version of the specification answers the rest.
        pii: As in `EndpointSpec`, for the training data of this version.
    """

    version: int
    bundle: str
    weight: Annotated[float, msgspec.Meta(gt=0, le=1)]
    pii: dict[str, Literal["drop", "mask", "hash"]] = {}


class EndpointSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to serve.

    Args:
        endpoint: The endpoint's name; also the model name in URLs.
        model: The registry's name of the model.
        version: Its version.
        bundle: Digest of the bundle's manifest blob (`host.blobs.get_folder`).
        revision: Rises by one with each change of the endpoint; a process of an older one must not come back.
        pii: Input → how its values were treated where the training data was taken in (`drop`, `mask`, `hash`): requests
            get the same.
        routes: Further versions that answer a share of the requests, together at most all of them. A deployer that
            serves one version alone raises `ServingError` where there are any.
    """

    endpoint: str
    model: str
    version: int
    bundle: str
    revision: int
    pii: dict[str, Literal["drop", "mask", "hash"]] = {}
    routes: tuple[Route, ...] = ()


class EndpointStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an endpoint is doing.

    Args:
        endpoint: Its name.
        state: `ready` answers requests; `starting`; `failed` (see `detail`); `stopped`.
        url: Base URL, such as `http://127.0.0.1:8080`.
        model, version, revision: What it serves.
        detail: Why it failed, or where its log lies.
        log: The file on this machine that it logs to; empty where there is none.
        facts: Whatever else the deployer can tell: process ids, requests, latency.
        deployer, mode: The deployer's name in the configuration, and how it serves. mlopsfw fills them in.
    """

    endpoint: str
    state: Literal["starting", "ready", "failed", "stopped"]
    url: str = ""
    model: str = ""
    version: int = 0
    revision: int = 0
    detail: str = ""
    log: str = ""
    facts: dict[str, Any] = {}
    deployer: str = ""
    mode: Literal["", "online", "batch"] = ""


class Deployer(Protocol):
    """Starts, changes and stops endpoints. `mlopsfw.serving.endpoints` says which version one should serve."""

    @property
    def mode(self) -> DeployerMode:
        """How it serves: `online` or `batch`. A class attribute will do."""

    def deploy(self, spec: EndpointSpec) -> EndpointStatus:
        """Serve `spec`, replacing what the endpoint serves now with no failed request; return once it is ready.

        Raise `ServingError` when the new model cannot be loaded: then the old one goes on serving.
        """

    def status(self, endpoint: str) -> EndpointStatus:
        """Tell what the endpoint is doing, from the process itself."""

    def stop(self, endpoint: str) -> EndpointStatus:
        """Stop it: in-flight requests finish, what was captured is durable."""


@runtime_checkable
class ForegroundDeployer(Protocol):
    """A `Deployer` that can also serve in the caller's own process, for a process manager to keep alive."""

    def run(self, spec: EndpointSpec, ready: Callable[[EndpointStatus], None]) -> None:
        """Serve `spec` until SIGTERM or SIGINT, then end as `stop` does. Later calls of `deploy` change what is served.

        Call `ready` once it answers. Raise `ServingError` where it cannot be served, or is being served.
        """


class Scores(NamedTuple):
    """The answers to some rows.

    Args:
        ids: The id of each captured prediction.
        outputs: Output of the model → values, one a row.
    """

    ids: Sequence[str]
    outputs: Mapping[str, Sequence[Any]]


@runtime_checkable
class BatchDeployer(Protocol):
    """A `Deployer` of mode `batch`: scores rows when it is asked (`mlopsfw predict endpoints:/NAME FILE`)."""

    def score(
        self,
        endpoint: str,
        requests: Iterable[Mapping[str, list[Any]]],
        *,
        alpha: float | None = None,
        explain: bool = False,
    ) -> Iterator[Scores]:
        """Yield the answers to each request, a few thousand rows as columns, in order. Capture every prediction.

        Raise `ServingError` where the endpoint is stopped, and `SignatureMismatch` where rows do not fit the model.
        With `alpha` or `explain` an answer also has what `mlopsfw.worker.Extras` describes, which is not captured.
        """
