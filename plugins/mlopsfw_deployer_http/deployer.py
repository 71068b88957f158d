"""The deployer: writes a bundle to a folder, gives the supervisor its orders, and asks the server for its state."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from mlopsfw.capturelog.folders import log_folder
from mlopsfw.errors import ConfigError, ServingError
from mlopsfw.http import is_loopback
from mlopsfw.roles import DeployerMode, EndpointSpec, EndpointStatus, check_name
from mlopsfw_deployer_http.gate import digest
from mlopsfw_deployer_http.holding import alive, end_orphan, hold, reacts, sign, supervisor_of
from mlopsfw_deployer_http.logs import rotate
from mlopsfw_deployer_http.settings import LOG, STATUS, WANTED, Settings, Status, read, write, write_changed

if TYPE_CHECKING:
    from mlopsfw.roles import Host
    from mlopsfw_deployer_http import HttpConfig

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask a server that was bound to all addresses
_POLL = 0.02  # seconds
_ASKED = 3
_NOT_READY = "it is not ready"


class HttpDeployer:
    """Serves endpoints as processes of this machine.

    Args:
        config: `[deployer.http]`.
        host: The services of the kernel.

    Raises:
        ConfigError: It would listen beyond this machine without a token.
    """

    mode: DeployerMode = "online"

    def __init__(self, config: HttpConfig, host: Host) -> None:
        if not is_loopback(config.host) and not config.token:
            raise ConfigError(
                f"host {config.host!r} is reachable from other machines, and no token is set",
                key="deployer.http.token", hint='Set token = "env:NAME", or host = "127.0.0.1".',
            )  # fmt: skip
        self._config, self._host = config, host

    # -- the protocol ----------------------------------------------------------------------------------------------------

    def deploy(self, spec: EndpointSpec) -> EndpointStatus:
        """Replace the model of an endpoint by `spec` without a failed request; return once it is ready."""
        folder = self._folder(spec.endpoint)
        with _alone(folder / "deploy.lock"):
            self._refuse_older(folder, spec)
            settings = self._settings(folder, spec)
            self._refuse_moved(folder, settings)
            self._refuse_unresponsive(folder, spec)
            write_changed(folder / WANTED, settings)
            try:
                self._tell(folder, settings)
                self._await(folder, settings)
            except Exception:
                _withdraw(folder)
                raise
            self._clean(folder, spec)
        return self.status(spec.endpoint)

    def status(self, endpoint: str) -> EndpointStatus:
        """Return the state of the endpoint, from the process itself."""
        folder = self._folder(endpoint)
        status, log = read(folder / STATUS, Status), str(folder / LOG)
        if status is None:
            return EndpointStatus(endpoint=endpoint, state="stopped", detail="this machine has never started it")
        if status.ended or not alive(folder):
            return self._gone(endpoint, status, log)
        spec = status.serving
        if spec is None:
            return EndpointStatus(endpoint=endpoint, state="starting", url=status.url, detail=log, log=log)
        answered, detail = (
            self._ask(status.url) if status.worker else (False, "its server process died and is being replaced")
        )
        if not reacts(folder):
            detail = f"its supervisor, process {status.supervisor}, does not react: it is stopped or hangs"
        return EndpointStatus(
            endpoint=endpoint, state="ready" if answered else "starting", url=status.url, model=spec.model,
            version=spec.version, revision=spec.revision, detail=detail or log, log=log, facts=_facts(status),
        )  # fmt: skip

    def stop(self, endpoint: str) -> EndpointStatus:
        """Stop the endpoint. Current requests finish, and their captured records are durable."""
        folder = self._folder(endpoint)
        with _alone(folder / "deploy.lock"):
            if alive(folder):
                self._end(endpoint, folder)
            self._settle(folder)
        return self.status(endpoint)

    def run(self, spec: EndpointSpec, ready: Callable[[EndpointStatus], None]) -> None:
        """Supervise the endpoint in this process until SIGTERM or SIGINT, then stop it. Later deploys give their orders to this process."""
        from mlopsfw_deployer_http import supervisor

        folder = self._folder(spec.endpoint)
        os.umask(0o077)
        with _alone(folder / "deploy.lock"):
            settings = self._settings(folder, spec)
            try:
                lock = hold(folder)
            except BlockingIOError:
                raise ServingError(
                    f"endpoint {spec.endpoint} already has a supervisor: process {supervisor_of(folder)}",
                    hint=f"Change its model with `mlopsfw deploy`, or end it with `mlopsfw endpoints stop {spec.endpoint}`.",
                ) from None
            sign(lock)
            end_orphan(folder, settings.patience)
            (folder / STATUS).unlink(missing_ok=True)
            write_changed(folder / WANTED, settings)
        try:
            failed = supervisor.run(folder, lambda: ready(self.status(spec.endpoint)))
        finally:
            os.close(lock)
        if failed:
            status = read(folder / STATUS, Status)
            raise ServingError(
                f"{spec.model}@{spec.version} cannot be served: {status.attempt.detail if status else 'see above'}"
            )

    # -- deploying -------------------------------------------------------------------------------------------------------

    def _folder(self, endpoint: str) -> Path:
        return self._host.private_folder(check_name(endpoint, "endpoint"))

    def _refuse_older(self, folder: Path, spec: EndpointSpec) -> None:
        status = read(folder / STATUS, Status)
        if (
            status is not None
            and status.serving is not None
            and status.serving.revision > spec.revision
            and alive(folder)
        ):
            raise ServingError(
                f"endpoint {spec.endpoint} already serves the later revision {status.serving.revision}, not {spec.revision}",
                hint="The ledger has changed meanwhile. Deploy again.",
            )

    def _refuse_moved(self, folder: Path, settings: Settings) -> None:
        """Keep the address of a running endpoint: moving it would fail the requests of clients that use the old one."""
        old = read(folder / WANTED, Settings)
        if old is None or not alive(folder):
            return
        now = urlsplit(status.url).port if (status := read(folder / STATUS, Status)) else None
        if old.http.host != settings.http.host or settings.http.port not in (0, old.http.port, now):
            raise ServingError(
                f"endpoint {settings.spec.endpoint} listens on {old.http.host}, port {now}, and keeps that while it runs",
                hint=f"Run: mlopsfw endpoints stop {settings.spec.endpoint}, then deploy again.",
            )

    def _refuse_unresponsive(self, folder: Path, spec: EndpointSpec) -> None:
        if alive(folder) and not reacts(folder):
            process = supervisor_of(folder)
            raise ServingError(
                f"the supervisor of {spec.endpoint}, process {process}, does not react: it is stopped or hangs",
                hint=f"Continue it with `kill -CONT {process}`, or end it with `mlopsfw endpoints stop {spec.endpoint}`.",
            )

    def _settings(self, folder: Path, spec: EndpointSpec) -> Settings:
        if spec.routes:
            raise ServingError(f"the deployer 'http' serves one version of {spec.endpoint}, and routes name more")
        config = self._config
        token, label_token = self._token(config.token, "token"), self._token(config.label_token, "label_token")
        return Settings(
            spec=spec, root=str(self._host.root), config=self._host.config, bundle=str(self._lay_out(folder, spec)),
            captures=str(log_folder(self._host.root, spec.endpoint)), http=config, token=token, label_token=label_token,
        )  # fmt: skip

    def _token(self, reference: str, key: str) -> str:
        """Return the digest of a token, or nothing without one."""
        if not reference:
            return ""
        return digest(self._host.secrets.bearer_token(reference, key=f"deployer.http.{key}", issued_here=True))

    def _lay_out(self, folder: Path, spec: EndpointSpec) -> Path:
        """Return the bundle's folder, which appears atomically. Where it lies already, a damaged file is replaced."""
        there = folder / "bundles" / spec.bundle
        if there.is_dir():
            self._host.blobs.get_folder(spec.bundle, there)
        else:
            part = there.with_name(f"{spec.bundle}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.parent.mkdir(mode=0o700, exist_ok=True)
            self._host.blobs.get_folder(spec.bundle, part)
            part.rename(there)
        return there

    def _clean(self, folder: Path, spec: EndpointSpec) -> None:
        """Keep the bundles of this change and the two before: a draining server may still map its file."""
        laid = sorted((folder / "bundles").iterdir(), key=lambda path: path.stat().st_mtime)
        for old in [path for path in laid if path.name != spec.bundle][:-2]:
            shutil.rmtree(old, ignore_errors=True)

    def _end(self, endpoint: str, folder: Path) -> None:
        """End the supervisor. If it does not react, kill it; its server then drains by itself."""
        process = supervisor_of(folder)
        if reacts(folder):
            os.kill(process, signal.SIGTERM)
            patience = self._config.drain_seconds + self._config.grace_seconds + self._config.start_timeout + 10.0
            self._until(lambda: not alive(folder), patience, f"endpoint {endpoint} does not stop")
            return
        os.kill(process, signal.SIGKILL)
        self._until(lambda: not alive(folder), 10.0, f"the supervisor of {endpoint} cannot be killed")

    def _settle(self, folder: Path) -> None:
        """End the processes that a killed supervisor left, and record that the endpoint is stopped."""
        status = read(folder / STATUS, Status)
        if status is None or status.ended:
            return
        end_orphan(folder, self._config.drain_seconds + self._config.grace_seconds + 5.0)
        write(folder / STATUS, msgspec.structs.replace(status, stopped=True, worker=0, serving=None))

    def _tell(self, folder: Path, settings: Settings) -> None:
        if alive(folder):
            os.kill(supervisor_of(folder), signal.SIGHUP)
            return
        end_orphan(folder, settings.patience)
        (folder / STATUS).unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "mlopsfw_deployer_http.supervisor", "--folder", str(folder)]
        with _log(folder) as log:
            subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True
            )

    def _await(self, folder: Path, settings: Settings) -> None:
        revision, seen = settings.spec.revision, None
        log = f"Its log is {folder / LOG}."

        def decided() -> bool:
            nonlocal seen
            lives = alive(folder)  # asked first: the state that the last supervisor wrote counts
            seen = read(folder / STATUS, Status)
            if not lives and (seen is None or seen.attempt.state == "starting"):
                raise ServingError(f"the supervisor of {settings.spec.endpoint} ended while it started", hint=log)
            return seen is not None and seen.attempt.revision == revision and seen.attempt.state != "starting"

        self._until(
            decided, settings.http.start_timeout + 10.0, f"endpoint {settings.spec.endpoint} did not start", log
        )
        if seen is not None and seen.attempt.state == "failed":
            if seen.ended:  # or the next change would go to a supervisor that is about to end
                self._until(lambda: not alive(folder), 10.0, "its supervisor does not end", log)
            going_on = f" Version {seen.serving.version} still serves." if seen.serving else ""
            detail = seen.attempt.detail
            raise ServingError(
                f"{settings.spec.model}@{settings.spec.version} cannot be served: {detail}", hint=log + going_on
            )

    def _until(self, done: Any, seconds: float, complaint: str, hint: str = "") -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                raise ServingError(f"{complaint} within {seconds:g} s", hint=hint)
            time.sleep(_POLL)

    # -- asking ----------------------------------------------------------------------------------------------------------

    def _gone(self, endpoint: str, status: Status, log: str) -> EndpointStatus:
        if status.stopped:
            return EndpointStatus(endpoint=endpoint, state="stopped", log=log)
        detail = status.attempt.detail or (
            f"its supervisor, process {status.supervisor}, is dead; run: mlopsfw endpoints start {endpoint} (log: {log})"
        )
        return EndpointStatus(
            endpoint=endpoint, state="failed", detail=detail, log=log, revision=status.attempt.revision
        )

    def _ask(self, url: str) -> tuple[bool, str]:
        """Return whether the server is ready, and if not, its reason.

        A process that is replaced may have taken the connection just before it drains: the next one reaches the new process.
        """
        for _ in range(_ASKED):
            ready, why = self._ask_once(url)
            if ready or why != _NOT_READY:
                break
            time.sleep(_POLL)
        return ready, why

    def _ask_once(self, url: str) -> tuple[bool, str]:
        parts = urlsplit(url)
        host = parts.hostname or "127.0.0.1"
        connection = http.client.HTTPConnection(_WILDCARDS.get(host, host), parts.port, timeout=5.0)
        try:
            connection.request("GET", "/v2/health/ready")
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            return False, f"it does not answer: {error}"
        finally:
            connection.close()
        return answer.status == http.HTTPStatus.OK, "" if answer.status == http.HTTPStatus.OK else _NOT_READY


def _withdraw(folder: Path) -> None:
    """Ask for what is served again, so that a change that failed is not made later; end a supervisor that serves nothing."""
    status = read(folder / STATUS, Status)
    served = status.serving if status is not None else None
    settings = read(folder / f"revision-{served.revision}.json", Settings) if served is not None else None
    if settings is not None:
        write_changed(folder / WANTED, settings)
    if alive(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor_of(folder), signal.SIGTERM if settings is None else signal.SIGHUP)


def _facts(status: Status) -> dict[str, Any]:
    facts: dict[str, Any] = {"supervisor": status.supervisor, "worker": status.worker, "restarts": status.restarts}
    if status.attempt.state == "failed":
        facts["refused"] = {"revision": status.attempt.revision, "reason": status.attempt.detail}
    return facts


def _log(folder: Path) -> IO[bytes]:
    rotate(folder / LOG)
    return os.fdopen(os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
