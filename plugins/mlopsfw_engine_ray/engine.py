"""The engine: one Ray task for each attempt, without Ray's own retries: those are the kernel's."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from mlopsfw.errors import PluginError
from mlopsfw.roles import Failure, Handle, StepResult, StepSpec
from mlopsfw_engine_ray import node

if TYPE_CHECKING:
    from mlopsfw_engine_ray import RayConfig

_NOT_SHIPPED = ("/.mlopsfw/", ".git/", ".venv/", "venv/", "__pycache__/", "*.pyc")


class RayHandle:
    """One attempt on the cluster."""

    def __init__(self, reference: Any, grace: float) -> None:
        self._reference, self._grace = reference, grace
        self._result: StepResult | None = None  # kept: Ray forgets the attempt when the engine is closed

    def wait(self, timeout: float | None = None) -> StepResult | None:
        """Return the result, or None when `timeout` seconds pass first. A lost node is a lost attempt."""
        if self._result is None and ray.wait([self._reference], timeout=timeout)[0]:
            try:
                self._result = msgspec.json.decode(ray.get(self._reference), type=StepResult)
            except ray.exceptions.RayError as error:
                self._result = StepResult(failure=_failure(error))
        return self._result

    def cancel(self) -> None:
        """Ask the attempt to stop, which raises `KeyboardInterrupt` in it; then kill its process."""
        ray.cancel(self._reference, force=False)
        if self.wait(self._grace) is None:
            ray.cancel(self._reference, force=True)
            self.wait()


def _failure(error: Exception) -> Failure:
    """Describe what Ray says became of an attempt. What a step raises never comes this way: it is in the result."""
    stopped = isinstance(error, ray.exceptions.TaskCancelledError)
    broken = isinstance(error, ray.exceptions.RuntimeEnvSetupError)
    return Failure(
        type=type(error).__name__,
        message=str(error).strip().partition("\n\n")[0],
        lost=not stopped and not broken,
        retryable=not stopped and not broken,
        exit_code=130 if stopped else 5,
    )


def _knock(address: str) -> None:
    """Raise `OSError` where nobody listens: Ray itself goes on trying for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal() and "//" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


class RayEngine:
    """Steps on a Ray cluster.

    Args:
        config: `[engine.ray]`.
        root: The project's folder; its code is shipped as it is now.

    Raises:
        PluginError: No cluster answers at the address, or this process uses Ray already.
    """

    def __init__(self, config: RayConfig, root: Path) -> None:
        self._config = config
        if ray.is_initialized():
            raise PluginError(
                "this process is connected to Ray already, with another working directory",
                hint="Call ray.shutdown() before you run the pipeline.",
            )
        self._connect(root)
        remote = ray.remote(num_cpus=config.cpus, num_gpus=config.gpus, max_retries=0)
        self._attempt: Any = remote(node.attempt)
        self._handles: list[RayHandle] = []

    def _connect(self, root: Path) -> None:
        environment = {
            "working_dir": str(root),
            "excludes": [*_NOT_SHIPPED, *self._config.exclude],
            "env_vars": {name: os.environ[name] for name in self._config.env if name in os.environ},
        }
        try:
            _knock(self._config.address)
            ray.init(
                address=self._config.address,
                runtime_env=environment,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise PluginError(
                f"no Ray cluster answers at {self._config.address!r}: {error}",
                hint="Start one (`ray start --head`), or correct [engine.ray] address.",
            ) from error

    @property
    def slots(self) -> int:
        """How many attempts can run at once: as configured, or as the cluster's CPUs allow now."""
        if self._config.slots:
            return self._config.slots
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return max(1, int(resources.get("CPU", 1) / max(self._config.cpus, 0.001)))

    def submit(self, spec: StepSpec) -> Handle:
        """Start one attempt; Ray chooses the node."""
        handle = RayHandle(self._attempt.remote(msgspec.json.encode(spec)), self._config.grace)
        self._handles = [h for h in self._handles if h.wait(0) is None] + [handle]
        return handle

    def close(self) -> None:
        """Cancel what still runs and leave the cluster, which goes on."""
        if not ray.is_initialized():
            return
        for handle in self._handles:
            if handle.wait(0) is None:
                handle.cancel()
        self._handles = []
        ray.shutdown()
