"""The engine: one Ray task for each attempt, without Ray's own retries: those are the kernel's."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import ray

from mlopsfw.errors import PluginError
from mlopsfw.roles import (
    NEVER_BEGAN,
    Engine,
    EngineAbility,
    Failure,
    Handle,
    Resources,
    StepResult,
    StepSpec,
    thread_limits,
)
from mlopsfw_engine_ray import node

if TYPE_CHECKING:
    from mlopsfw_engine_ray import RayConfig

_BREAKPOINT = "PYTHONBREAKPOINT"
_NOT_SHIPPED = ("/.mlopsfw/", ".git/", ".venv/", "venv/", "__pycache__/", "*.pyc")


@contextlib.contextmanager
def _own_breakpoints() -> Iterator[None]:
    """Keep what `breakpoint()` does here: Ray sets its own debugger in the environment, which workers of other engines would have, too."""
    before = os.environ.get(_BREAKPOINT)
    try:
        yield
    finally:
        os.environ.pop(_BREAKPOINT, None)
        if before is not None:
            os.environ[_BREAKPOINT] = before


class RayHandle:
    """One attempt on the cluster, watched by a thread of its own.

    Args:
        start: Hands the attempt to Ray and returns Ray's reference.
        slots: A place of the engine's, held while Ray has the attempt.
        grace: Seconds between asking the step to stop and killing its process.
    """

    def __init__(self, start: Callable[[], Any], slots: threading.Semaphore, grace: float) -> None:
        self._start, self._slots, self._grace = start, slots, grace
        self._reference: Any = None
        self._stopped, self._finished = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._result: StepResult | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._slots.acquire(timeout=_LOOK):
            if self._stopped.is_set():
                self._result = NEVER_BEGAN
                self._finished.set()
                return
        try:
            self._result = self._run()
        except ray.exceptions.RayError as error:
            self._result = StepResult(failure=_failure(error))
        except Exception as error:  # noqa: BLE001 - an attempt that has ended has a result, whatever went wrong
            self._result = StepResult(failure=Failure(type=type(error).__name__, message=str(error)))
        finally:
            self._slots.release()
            self._finished.set()

    def _run(self) -> StepResult:
        with self._lock:
            if self._stopped.is_set():
                return NEVER_BEGAN
            self._reference = self._start()
        return msgspec.json.decode(ray.get(self._reference), type=StepResult)

    def wait(self, timeout: float | None = None) -> StepResult | None:
        """Return the result, or None when `timeout` seconds pass first. A lost node is a lost attempt.

        An attempt that waits for another here lends its cores meanwhile, if that one runs: Ray sees its main thread wait.
        """
        end = None if timeout is None else time.monotonic() + timeout
        if timeout != 0 and self._reference is not None and node.in_attempt():
            ray.wait([self._reference], timeout=timeout, fetch_local=False)
        return self._result if self._finished.wait(None if end is None else max(0.0, end - time.monotonic())) else None

    def cancel(self) -> None:
        """Ask the attempt to stop, which raises `KeyboardInterrupt` in it; then kill its process."""
        with self._lock:
            self._stopped.set()
        if self._reference is not None and not self._finished.is_set():
            ray.cancel(self._reference, force=False)
            if not self._finished.wait(self._grace):
                ray.cancel(self._reference, force=True)
        self._finished.wait()


_LOOK = 0.2
"""Seconds between two looks of a waiting attempt at whether it was cancelled."""


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


class RayEngine(Engine):
    """Steps on a Ray cluster.

    Args:
        config: `[engine.ray]`.
        root: The project's folder; its code is shipped as it is now.

    Raises:
        PluginError: No cluster answers at the address, or this process uses Ray already.
    """

    abilities: tuple[EngineAbility, ...] = ("isolate", "kill")

    def __init__(self, config: RayConfig, root: Path) -> None:
        self._config, self._inside = config, node.in_attempt()
        if not self._inside:  # an attempt that makes others uses its own connection, with the same code
            self._connect(root)
        self._attempt: Any = ray.remote(max_retries=0)(node.attempt)
        self._handles: list[RayHandle] = []

    def _connect(self, root: Path) -> None:
        if ray.is_initialized():
            raise PluginError(
                "this process is connected to Ray already, with another working directory",
                hint="Call ray.shutdown() before you run the pipeline.",
            )
        environment = {
            "working_dir": str(root),
            "excludes": [*_NOT_SHIPPED, *self._config.exclude],
            "env_vars": {name: os.environ[name] for name in self._config.env if name in os.environ},
        }
        try:
            _knock(self._config.address)
            with _own_breakpoints():
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

    @cached_property
    def slots(self) -> int:
        """How many attempts can run at once: as configured, or as the cluster's CPUs allowed at first."""
        return self._config.slots or max(1, int(_total("CPU") / max(self._config.cpus, 0.001)))

    @cached_property
    def _places(self) -> threading.Semaphore:
        return threading.BoundedSemaphore(self.slots)

    def capacity(self, asked: Resources) -> Resources:  # noqa: ARG002 - all of it is as cheap
        """Return the most that one node has: an attempt runs on one."""
        nodes = [each["Resources"] for each in ray.nodes() if each["Alive"]]  # type: ignore[no-untyped-call]
        cpus, gpus, memory = (max(each.get(name, 0.0) for each in nodes) for name in ("CPU", "GPU", "memory"))
        return Resources(cpus=cpus, gpus=gpus, memory=f"{int(memory)}B", processes=max(1, int(cpus)))

    def fits(self, asked: Resources, running: Sequence[Resources]) -> bool:
        """Return whether the cluster as a whole has room. If no single node has room, Ray queues the attempt."""
        every = [self._options(each) for each in (asked, *running)]
        needed = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        return len(every) <= self.slots and all(
            sum(each[option] or 0 for each in every) <= _total(name) + _ROUNDING
            for name, option in needed.items()
            if every[0][option]
        )

    def _options(self, asked: Resources) -> dict[str, Any]:
        """Return what Ray sets aside for an attempt: what its step asks for, else what `[engine.ray]` says."""
        cpus, gpus = asked.cpus or self._config.cpus, asked.gpus or self._config.gpus
        return {"num_cpus": cpus, "num_gpus": gpus, "memory": asked.bytes or None}

    def submit(self, spec: StepSpec) -> Handle:
        """Start one attempt; Ray chooses the node."""
        options: dict[str, Any] = self._options(spec.resources)
        if self._inside:  # the cores that this attempt lends while it waits look free again and again
            options["scheduling_strategy"] = "SPREAD"
        if limits := thread_limits(spec.resources):
            options["runtime_env"] = {"env_vars": limits}
        start = partial(self._attempt.options(**options).remote, msgspec.json.encode(spec), self._config.cpus)
        handle = RayHandle(start, self._places, self._config.grace)
        self._handles = [h for h in self._handles if h.wait(0) is None] + [handle]
        return handle

    def close(self) -> None:
        """Cancel what still runs or waits and leave the cluster, which goes on."""
        if not ray.is_initialized():
            return
        for handle in self._handles:
            handle.cancel()
        self._handles = []
        if not self._inside:
            ray.shutdown()


_ROUNDING = 1e-9


def _total(name: str) -> float:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get(name, 0.0)
