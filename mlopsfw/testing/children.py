"""The children of a step on a bench: attempts of the same step in this process, one after the other, of which nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlopsfw.kernel.roles.engine import StepResult
from mlopsfw.lineage import canonical
from mlopsfw.pipeline.cache.key import Fingerprint
from mlopsfw.pipeline.run.child import History
from mlopsfw.pipeline.run.failure import failure_of

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact


class InlineChildren:
    """Stands for `mlopsfw.pipeline.run.children.Children`, as far as a step uses it that waits for its children.

    Args:
        attempt: Makes an attempt with one more input, and returns what it stored.
        root: The folder of the project.
    """

    past = History([], 0, 0.0)

    def __init__(self, attempt: Callable[[Artifact], Mapping[str, Artifact]], root: Path) -> None:
        self._attempt, self._root = attempt, root
        self._ended: dict[int, StepResult] = {}

    def at_once(self, most: int) -> int:
        """Return 1, whatever the most is."""
        del most
        return 1

    def key(self, counts: Mapping[str, Any], plugins: Sequence[str]) -> Fingerprint:
        """Return a key of what the child depends on besides the inputs."""
        text = canonical.encode([dict(counts), list(plugins)], "what a child depends on").decode()
        return Fingerprint(step="", runs=text)

    def cached(self, number: int, given: Artifact, key: Fingerprint) -> None:
        """Return nothing: no result is kept."""

    def start(self, number: int, given: Artifact, key: Fingerprint, *, output: str, attempt: int = 1) -> None:
        """Make the child's attempt."""
        del key, attempt
        try:
            self._ended[number] = StepResult(outputs={output: self._attempt(given)[output]})
        except Exception as error:  # noqa: BLE001 - as the engine of a run hands it over
            self._ended[number] = StepResult(failure=failure_of(error, self._root))

    @property
    def running(self) -> list[int]:
        """The children whose result was not recorded."""
        return list(self._ended)

    def ended(self, timeout: float) -> Iterator[tuple[int, StepResult]]:
        """Yield the children that have ended."""
        del timeout
        yield from list(self._ended.items())

    def record(self, number: int, result: StepResult, *, keep: bool) -> None:
        """Take note of a result."""
        del result, keep
        del self._ended[number]

    def close(self) -> None:
        """Do nothing: no child outlives `start`."""
