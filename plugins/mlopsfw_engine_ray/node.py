"""What runs on a node: find the shipped code, call the kernel's worker, say which node it was."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import ray

from mlopsfw.roles import StepSpec
from mlopsfw_engine_ray.group import RayLauncher


def attempt(spec: bytes, cpus: float) -> bytes:
    """Run one attempt here; `spec` is a `StepSpec` as JSON, the answer a `StepResult`.

    Processes that the step starts on other nodes get `cpus` cores each if they ask for none.

    The project is where Ray laid out its code: the folder that this process was started in. It is named by the module's
    own variable, since a step of ours may have changed the current folder.
    """
    from mlopsfw.worker import execute

    _running.append(True)
    context = ray.get_runtime_context()
    os.environ["MLOPSFW_NODE"] = context.get_node_id()[:12]
    requested = msgspec.json.decode(spec, type=StepSpec)
    local = msgspec.structs.replace(requested, project=str(CODE))
    return execute(msgspec.json.encode(local), launcher=RayLauncher(cpus))


_running: list[bool] = []


def in_attempt() -> bool:
    """Return whether this process is one that Ray has started for attempts."""
    return bool(_running)


CODE = Path.cwd()
"""Where the project's code lies on this node: Ray starts a worker in its working directory."""
