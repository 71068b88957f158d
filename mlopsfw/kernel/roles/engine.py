"""The engine role: where steps run. An engine carries a `StepSpec` to some process and a `StepResult` back; no more."""

from __future__ import annotations

import math
import os
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import msgspec

from mlopsfw.kernel.roles.artifact import Artifact

_SIZE = r"(\d+(?:\.\d+)?)\s*([kKMGT]i?)?B"
MemorySize = Annotated[str, msgspec.Meta(pattern=rf"^({_SIZE})?$")]
"""An option that holds a size such as `4GiB`, or nothing. `Resources(memory=…).bytes` is the number."""
_CGROUP = Path("/sys/fs/cgroup/memory.max")
_Number = Annotated[float, msgspec.Meta(ge=0)]


class Resources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one attempt of a step asks for; or, of an engine, the most that it can give one attempt.

    Args:
        cpus: Cores, of all its processes together. 0 asks for none in particular: libraries use what they find.
        gpus: Devices; below 1 a share of one.
        memory: Such as `4GiB` or `500MB`; empty asks for none in particular.
        processes: How many processes the step works with, itself included. It starts the others.
    """

    cpus: _Number = 0.0
    gpus: _Number = 0.0
    memory: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": rf"^({_SIZE})?$"})] = ""
    processes: Annotated[int, msgspec.Meta(ge=1)] = 1

    def __post_init__(self) -> None:
        """Raise `ValueError` for what no engine can have."""
        if self.memory and not re.fullmatch(_SIZE, self.memory):
            raise ValueError(f"memory is {self.memory!r}, not a size such as 4GiB or 500MB")
        if not math.isfinite(self.cpus + self.gpus) or (self.gpus > 1 and self.gpus % 1):
            raise ValueError(f"cpus = {self.cpus:g} and gpus = {self.gpus:g}: a number, and above 1 only whole devices")

    @property
    def bytes(self) -> int:
        """The memory in bytes."""
        number, unit = re.fullmatch(_SIZE, self.memory or "0B").groups(default="")  # type: ignore[union-attr]
        return int(float(number) * (1024 if "i" in unit else 1000) ** " KMGT".index(unit[:1].upper() or " "))


def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of this container where it has less."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _CGROUP.read_text().strip() if _CGROUP.is_file() else ""
    return min(pages, int(limit)) if limit.isdecimal() else pages


class StepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a worker needs to run one attempt of one step; references only.

    Args:
        project: The project's folder on the submitting machine. An engine with other nodes ships the folder's code and
            replaces this by where it lies there.
        config: The resolved configuration as JSON (overlays and overrides applied), so that no worker decides anew.
        run: The run's id.
        step: The step's name; `name[3]` for a part of it.
        attempt: From 1.
        epoch: The coordinator's fencing number; the worker's appends carry it.
        inputs: Stored values by parameter name.
        outputs: Names of the values it must return.
        fingerprint: The step's cache key.
        joins: Whether it puts together what the step's parts returned: `inputs` are then `output[number]`.
        resources: What it asks for. It is never more than the engine's `capacity`.
    """

    project: str
    config: str
    run: str
    step: str
    attempt: int
    epoch: int
    inputs: dict[str, Artifact]
    outputs: tuple[str, ...]
    fingerprint: str
    joins: bool = False
    resources: Resources = Resources()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed.

    Args:
        type: The exception's class name.
        message: Its text and notes, with the plugin's name where one is to blame.
        traceback: The formatted traceback.
        exit_code: What the command line would return for it.
        retryable: False where another attempt cannot help (a refused gate, a usage error).
        lost: True where the process or node vanished rather than raised.
    """

    type: str
    message: str
    traceback: str = ""
    exit_code: int = 1
    retryable: bool = True
    lost: bool = False


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one attempt.

    Args:
        outputs: Stored values by output name; empty if it failed.
        failure: None if it succeeded.
        node: Where it ran, `host/pid` or the cluster's node id.
        seconds: Wall time in the worker.
        events: `(stream, seq)` of what the worker appended, for the coordinator to broadcast.
        logs: Digest of the blob with its captured output, or empty.
        metrics: Last value of each metric it logged.
    """

    outputs: dict[str, Artifact] = {}
    failure: Failure | None = None
    node: str = ""
    seconds: float = 0.0
    events: tuple[tuple[str, int], ...] = ()
    logs: str = ""
    metrics: dict[str, Any] = {}


EngineAbility = Literal["isolate", "kill"]
"""`isolate`: an attempt has a process of its own, and is lost alone. `kill`: one that does not stop is ended."""


class Handle(Protocol):
    """A submitted attempt."""

    def wait(self, timeout: float | None = None) -> StepResult | None:
        """Return the result, or None when `timeout` seconds pass first. A vanished worker is a `Failure(lost=True)`."""

    def cancel(self) -> None:
        """Stop the attempt: ask, then kill if it can. Returns when it can write no more, or will end by itself."""


class Launcher(Protocol):
    """Starts processes that work together on several nodes. An engine hands it to `mlopsfw.worker.execute`."""

    def launch(
        self, target: str, *, count: int, each: Resources, folder: Path, receive: Callable[[bytes], None], state: bytes
    ) -> None:
        """Call `module:function` in `count` processes; return when all are done. What `receive` raises ends them.

        The function gets the path of a copy of `folder`, `state`, and `send(message, keep=False)`, which passes it to
        `receive`. torch's process group and torchrun's variables are set. If a process dies, all start anew, up to
        three times, and their state is the last message that was kept.
        """


class Engine(Protocol):
    """Runs steps. Retries, cache and timeouts stay in the kernel. A subclass inherits what is not abstract.

    The worker's side is `mlopsfw.worker.execute(spec: bytes) -> bytes` (JSON of `StepSpec` and `StepResult`):
    an engine only has to get that called in a process that can import mlopsfw and the project's code.
    """

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many attempts can run at once."""

    @property
    def abilities(self) -> Collection[EngineAbility]:
        """What it can do. A step with a time limit is refused by an engine that cannot `kill`."""
        return ()

    def capacity(self, asked: Resources) -> Resources:  # noqa: ARG002 - for costly answers
        """Return the most that one attempt can ever get. A step that asks for more is refused before the run.

        What `asked` does not ask for may be left out. Without this method no step can ask for anything.
        """
        return Resources()

    def fits(self, asked: Resources, running: Sequence[Resources]) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether an attempt would start at once beside those that run (one or more), by what each asked for."""
        return len(running) < self.slots

    @abstractmethod
    def submit(self, spec: StepSpec) -> Handle:
        """Start one attempt; return at once. What does not fit beside those that run waits."""

    @abstractmethod
    def close(self) -> None:
        """Cancel what runs or waits, and let go of workers and connections. Every handle still gives a result."""
