"""Processes that work together on the nodes of the cluster: Ray Train places them, sets up torch's process group and starts them anew.

Nodes share no folder. What the processes need travels through Ray's object store, and what they send through an actor beside the step that waits.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mlopsfw.errors import MissingExtra, PluginError
from mlopsfw.roles import Resources

_RESTARTS = 3
_WAIT = 1.0
_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # the project's code is found from the folder that Ray starts a worker in
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


class Mailbox:
    """What the processes send, until the step takes it, and the last message that is kept.

    Args:
        state: Stands for the last message until there is one.
    """

    def __init__(self, state: bytes) -> None:
        self._kept, self._messages = state, list[bytes]()
        self._arrived = asyncio.Event()

    async def send(self, message: bytes, *, keep: bool) -> None:
        """Add a message."""
        self._messages.append(message)
        if keep:
            self._kept = message
        self._arrived.set()

    async def take(self, seconds: float) -> list[bytes]:
        """Return the messages so far; wait up to `seconds` for the first."""
        if not self._messages:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), seconds)
        taken, self._messages = self._messages, []
        return taken

    async def state(self) -> bytes:
        """Return the last message that is kept."""
        return self._kept


class RayLauncher:
    """Starts processes by Ray Train, each in a place of its own, on as many nodes as there are.

    Args:
        cpus: Cores of a process that asks for none.
    """

    def __init__(self, cpus: float) -> None:
        self._cpus = cpus

    def launch(
        self, target: str, *, count: int, each: Resources, folder: Path, receive: Callable[[bytes], None], state: bytes
    ) -> None:
        """Call `target` in `count` processes, as `mlopsfw.roles.Launcher` says.

        While this process waits, Ray gives its cores to others.

        Raises:
            MissingExtra: Ray Train lacks pandas.
            PluginError: The processes died again and again.
        """
        here: Any = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        mailbox: Any = ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox).remote(state)
        work = {
            "target": target,
            "mailbox": mailbox,
            "code": _code(),
            "folder": f"mlopsfw-{uuid4().hex}-",
            "files": {file.name: ray.put(file.read_bytes()) for file in folder.iterdir() if file.is_file()},
        }
        resources = {"CPU": each.cpus or self._cpus, "GPU": each.gpus, "memory": each.bytes}
        training = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(_train)
        running = training.options(runtime_env={"env_vars": _ENVIRONMENT}).remote(work, count, resources)
        try:
            _relay(running, mailbox, receive)
        finally:
            ray.cancel(running, force=True)
            ray.kill(mailbox)


def _relay(running: Any, mailbox: Any, receive: Callable[[bytes], None]) -> None:
    """Pass messages on until the processes are done."""
    done = False
    while not done:
        done = bool(ray.wait([running], timeout=0)[0])
        for message in ray.get(mailbox.take.remote(0.0 if done else _WAIT)):
            receive(message)
    try:
        ray.get(running)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ImportError):
            raise MissingExtra("a training in several processes on the engine `ray`", "ray-train") from None
        raise PluginError(
            f"a process of the training died, again after {_RESTARTS} restarts: {_cause(error)}",
            hint="Ray's logs on its node have its output. The last checkpoint is kept.",
        ) from None


def _cause(error: ray.exceptions.RayTaskError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])[:300]


def _code() -> list[str]:
    """Return the folders of the import path that lie in the project's code, relative to it."""
    root = Path.cwd()
    return [str(Path(each).relative_to(root)) for each in sys.path if each and Path(each).is_relative_to(root)]


def _train(work: Mapping[str, Any], count: int, resources: Mapping[str, float]) -> None:
    """Run the processes under Ray Train, which adds an actor for their control to the process that it is called in."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    with tempfile.TemporaryDirectory() as folder:
        TorchTrainer(
            _member,
            train_loop_config=dict(work),
            torch_config=TorchConfig(backend="nccl" if resources["GPU"] else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=count,
                use_gpu=bool(resources["GPU"]),
                resources_per_worker={name: amount for name, amount in resources.items() if amount},
                placement_strategy="SPREAD",
            ),
            run_config=RunConfig(
                name="training", storage_path=folder, failure_config=FailureConfig(max_failures=_RESTARTS)
            ),
        ).fit()


def _member(work: Mapping[str, Any]) -> None:
    """Call the target in this process."""
    sys.path[:0] = [str(Path.cwd() / each) for each in work["code"]]
    mailbox = work["mailbox"]

    def send(message: bytes, *, keep: bool = False) -> None:
        ray.get(mailbox.send.remote(message, keep=keep))

    module, _, function = work["target"].partition(":")
    _remove_left(work["folder"])
    with tempfile.TemporaryDirectory(prefix=f"{work['folder']}{os.getpid()}-") as folder:
        for name, data in work["files"].items():
            (Path(folder) / name).write_bytes(ray.get(data))
        getattr(import_module(module), function)(Path(folder), ray.get(mailbox.state.remote()), send)


def _remove_left(prefix: str) -> None:
    """Remove the folders that processes of this group have left on this node because they were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            os.kill(int(folder.name.removeprefix(prefix).partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:  # another user's process has the number now: the folder stays, and the training begins
            continue
