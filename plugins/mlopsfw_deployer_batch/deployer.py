"""The deployer: lays a bundle out, verifies it, and scores rows with it. What it serves is a value of the host's state."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

from mlopsfw.capturelog.appendlog import segments
from mlopsfw.capturelog.durable import sync
from mlopsfw.capturelog.folders import log_folder
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.errors import BundleError, ServingError
from mlopsfw.roles import DeployerMode, EndpointSpec, EndpointStatus, Scores, check_name

if TYPE_CHECKING:
    from mlopsfw.roles import Host
    from mlopsfw.worker import Extras, Scorer


_ASIDE = "captured-"


class FileDeployer:
    """Implements `mlopsfw.roles.BatchDeployer`. No process of it runs between two files.

    Args:
        host: The services of the kernel.
    """

    mode: DeployerMode = "batch"

    def __init__(self, host: Host) -> None:
        self._host = host

    def deploy(self, spec: EndpointSpec) -> EndpointStatus:
        """Lay the bundle out and verify it; then it is what the endpoint scores with."""
        if spec.routes:
            raise ServingError(f"the deployer 'batch' serves one version of {spec.endpoint}, and routes name more")
        folder = self._folder(spec.endpoint)
        with _alone(folder):
            before = self._served(spec.endpoint)
            if before is not None and before.revision > spec.revision:
                raise ServingError(
                    f"endpoint {spec.endpoint} already serves the later revision {before.revision}, not {spec.revision}",
                    hint="The ledger has changed meanwhile. Deploy again.",
                )
            if before != spec:
                self._lay_out(folder, spec)
                self._host.state.put(spec.endpoint, msgspec.to_builtins(spec))
            _clean(folder, {spec.bundle, before.bundle if before else ""})
        return self.status(spec.endpoint)

    def status(self, endpoint: str) -> EndpointStatus:
        """Return whether the endpoint can score files."""
        folder, spec = self._folder(endpoint), self._served(endpoint)
        if spec is None:
            return EndpointStatus(endpoint=endpoint, state="stopped")
        bundle = folder / spec.bundle
        lies = bundle.is_dir()
        return EndpointStatus(
            endpoint=endpoint, state="ready" if lies else "failed", model=spec.model, version=spec.version,
            revision=spec.revision, detail="" if lies else f"{bundle} is gone", facts={"bundle": str(bundle)},
        )  # fmt: skip

    def stop(self, endpoint: str) -> EndpointStatus:
        """Forget the endpoint. A file that is being scored is scored to its end."""
        folder = self._folder(endpoint)
        with _alone(folder):
            self._host.state.put(endpoint, None)
            _clean(folder, set())
        return self.status(endpoint)

    def score(
        self,
        endpoint: str,
        requests: Iterable[Mapping[str, list[Any]]],
        *,
        alpha: float | None = None,
        explain: bool = False,
    ) -> Iterator[Scores]:
        """Yield the answers to each request. The predictions of all are captured at the end, or none if one fails."""
        from mlopsfw.worker import Extras, open_scorer

        folder, spec = self._folder(endpoint), self._served(endpoint)
        if spec is None:
            raise ServingError(f"endpoint {endpoint} is stopped", hint="Deploy it again.")
        scorer = open_scorer(spec, folder / spec.bundle, self._host.root, self._host.config)
        with _captures_aside(folder) as aside:
            yield from _answers(scorer, requests, aside, Extras(alpha, explain))
            captures = log_folder(self._host.root, endpoint)
            for segment in segments(aside):
                segment.rename(captures / segment.name)
            sync(captures)

    def _folder(self, endpoint: str) -> Path:
        return self._host.private_folder(check_name(endpoint, "endpoint"))

    def _served(self, endpoint: str) -> EndpointSpec | None:
        value = self._host.state.get(endpoint)
        return None if value is None else msgspec.convert(value, EndpointSpec)

    def _lay_out(self, folder: Path, spec: EndpointSpec) -> None:
        """Write the bundle's folder, which appears once it is verified."""
        part = folder / "part"
        shutil.rmtree(part, ignore_errors=True)
        self._host.blobs.get_folder(spec.bundle, part)
        try:
            self._host.bundles.open(part)
        except BundleError as error:
            shutil.rmtree(part)
            raise ServingError(
                f"{spec.model}@{spec.version} cannot be served: {error.message}", hint=error.hint
            ) from error
        shutil.rmtree(folder / spec.bundle, ignore_errors=True)
        part.rename(folder / spec.bundle)


def _answers(
    scorer: Scorer, requests: Iterable[Mapping[str, list[Any]]], aside: Path, extras: Extras
) -> Iterator[Scores]:
    """Yield the answers; their records go to a log of their own in the folder `aside`."""
    log, rows = CaptureWriter(aside, scorer.header), 0
    try:
        for columns in requests:
            scored = scorer.score(dict(columns), None, None, extras)
            log.write([(scored.record, len(scored.ids))])
            if log.lost:
                raise ServingError(f"the predictions cannot be captured: {log.error}", hint="Make room and try again.")
            rows += len(scored.ids)
            yield Scores(scored.ids, scored.lists)
    finally:
        log.close()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time change what the endpoint serves."""
    with (folder / "deploy.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _captures_aside(folder: Path) -> Iterator[Path]:
    """Yield a new folder for the captures of one file, and remove what scorings left that were killed.

    The process that scores holds the folder's lock until its end. So a folder whose lock is free has no owner.
    """
    with contextlib.ExitStack() as owned:
        with _alone(folder):
            _remove_abandoned(folder)
            aside = Path(tempfile.mkdtemp(dir=folder, prefix=_ASIDE))
            fcntl.flock(owned.enter_context(_lock_of(aside)), fcntl.LOCK_EX)
        try:
            yield aside
        finally:
            with _alone(folder):
                shutil.rmtree(aside)


def _clean(folder: Path, keep: set[str]) -> None:
    """Remove every bundle that is not in `keep`, and the captures of scorings that were killed."""
    _remove_abandoned(folder)
    for old in folder.iterdir():
        if old.is_dir() and old.name not in keep and not old.name.startswith(_ASIDE):
            shutil.rmtree(old)


def _remove_abandoned(folder: Path) -> None:
    """Remove the captures of scorings that were killed: they hold rows of people, and no erasure looks here."""
    for aside in folder.glob(f"{_ASIDE}*"):
        with _lock_of(aside) as lock, contextlib.suppress(BlockingIOError):  # a scoring goes on there
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(aside)


def _lock_of(aside: Path) -> IO[str]:
    return (aside / "lock").open("w")
