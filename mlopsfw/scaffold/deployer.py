"""The deployer `sample`: scores files with a bundle on this machine, and captures the predictions."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import BundleError, ServingError, UsageError
from mlopsfw.roles import Deployer, DeployerMode, EndpointSpec, EndpointStatus, Host, Scores, check_name


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[deployer]` with `use = "sample"`: there is nothing to set."""


class SampleDeployer:
    """A batch deployer. One of mode `online` starts a server in `deploy`, and says in `status` where it answers."""

    mode: DeployerMode = "batch"

    def __init__(self, host: Host) -> None:
        self._host = host

    def deploy(self, spec: EndpointSpec) -> EndpointStatus:
        """Lay the bundle out and open it once; then the endpoint is ready. Raise `ServingError`, and change nothing."""
        before = self._served(spec.endpoint)
        if spec.routes:
            raise ServingError(f"this deployer serves one version of {spec.endpoint}, and routes name more")
        if before is not None and before.revision > spec.revision:
            raise ServingError(f"{spec.endpoint} serves the later revision {before.revision}", hint="Deploy again.")
        if before != spec:
            self._lay_out(spec)
            self._host.state.put(spec.endpoint, msgspec.to_builtins(spec))
        return self.status(spec.endpoint)

    def status(self, endpoint: str) -> EndpointStatus:
        """Say what the endpoint scores with."""
        spec = self._served(endpoint)
        if spec is None:
            return EndpointStatus(endpoint=endpoint, state="stopped")
        return EndpointStatus(
            endpoint=endpoint, state="ready", model=spec.model, version=spec.version, revision=spec.revision
        )

    def stop(self, endpoint: str) -> EndpointStatus:
        """Forget what the endpoint serves, and remove its bundles."""
        folder = self._folder(endpoint)
        self._host.state.put(endpoint, None)
        shutil.rmtree(folder)
        return self.status(endpoint)

    def score(
        self,
        endpoint: str,
        requests: Iterable[Mapping[str, list[Any]]],
        *,
        alpha: float | None = None,
        explain: bool = False,
    ) -> Iterator[Scores]:
        """Yield the answers to each request, after their predictions are captured."""
        if alpha is not None or explain:
            raise UsageError("this deployer adds no intervals and no explanations", hint="Leave the option out.")
        spec = self._served(endpoint)
        if spec is None:
            raise ServingError(f"endpoint {endpoint} is stopped", hint="Deploy it again.")
        bundle = self._host.bundles.open(self._folder(endpoint) / spec.bundle)
        inputs = [column.name for column in bundle.manifest.inputs]
        capture = self._host.capture(spec, bundle.manifest)
        try:
            for columns in requests:
                treated = self._host.treat_pii(columns, spec.pii)
                outputs = bundle.predict({name: treated[name] for name in inputs if name in treated})
                ids = capture.write(columns, outputs)
                if capture.lost:
                    raise ServingError("the predictions found no room on this machine's disk", hint="Make room.")
                yield Scores(ids, {name: values.tolist() for name, values in outputs.items()})
        finally:
            capture.close()

    def _folder(self, endpoint: str) -> Path:
        return self._host.private_folder(check_name(endpoint, "endpoint"))

    def _served(self, endpoint: str) -> EndpointSpec | None:
        value = self._host.state.get(check_name(endpoint, "endpoint"))
        return None if value is None else msgspec.convert(value, EndpointSpec)

    def _lay_out(self, spec: EndpointSpec) -> None:
        part = self._folder(spec.endpoint) / "part"
        shutil.rmtree(part, ignore_errors=True)
        self._host.blobs.get_folder(spec.bundle, part)
        try:
            self._host.bundles.open(part)
        except BundleError as error:
            raise ServingError(f"{spec.model}@{spec.version} cannot be served: {error.message}") from error
        there = part.with_name(spec.bundle)
        shutil.rmtree(there, ignore_errors=True)
        part.rename(there)


def _build(_config: SampleConfig, host: Host) -> Deployer:
    return SampleDeployer(host)


@hookimpl
def mlopsfw_deployers() -> Iterable[Provider[Deployer]]:
    """Offer the deployer."""
    yield Provider("sample", SampleConfig, _build, "Scores files on this machine")
