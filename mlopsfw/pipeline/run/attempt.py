"""`Attempt`: one try at a step, with the cache key of its result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.engine import Failure, Handle
    from mlopsfw.pipeline.cache.events import Result
    from mlopsfw.pipeline.cache.key import Fingerprint
    from mlopsfw.pipeline.graph.model import Node


@dataclass(kw_only=True)
class Attempt:
    """One attempt in flight."""

    node: Node
    number: int
    inputs: dict[str, Artifact]  # exact, as in the key: data:/x may mean another version later
    key: str
    fingerprint: Fingerprint
    began: float
    handle: Handle | None = None
    stopped: Failure | None = None
    kept: Result | None = None


def checkpoints_of(key: str) -> str:
    """Return the name of the folder in which the attempts at a step with a cache key keep checkpoints."""
    return f"checkpoints-{key[:16]}"
