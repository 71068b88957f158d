"""The metric role: a number that says how good a model's answers are, and the direction in which it is better."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlopsfw.kernel.base.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy("numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: what a metric's provider builds.

    Args:
        compute: Returns the number of `(labels, outputs, weight)`, or None where it is undefined on these rows. The
            arrays are read-only. `labels` are int64 codes in the order of the classes, or float64 for a model without
            classes; `outputs` are the columns of the answer by name, the main one first (`[rows]`, or
            `[rows, classes]` of a multiclass model); `weight` is float64 `[rows]`, None where all rows count equally.
        higher_is_better: Whether a larger value is better.
        tasks: The tasks that it is computed for, such as `binary` and `regression`.
        bounded: Whether its values lie between 0 and 1. A monitor judges their loss as it is, and that of others
            relative to the value at evaluation.
    """

    compute: Callable[[np.ndarray, Mapping[str, np.ndarray], np.ndarray | None], float | None]
    higher_is_better: bool
    tasks: tuple[str, ...]
    bounded: bool = False

    def __post_init__(self) -> None:
        if not callable(self.compute) or not all(isinstance(b, bool) for b in (self.higher_is_better, self.bounded)):
            raise TypeError("Metric.compute is a function, Metric.higher_is_better and Metric.bounded True or False")
        if not isinstance(self.tasks, tuple) or not self.tasks or not all(isinstance(t, str) for t in self.tasks):
            raise TypeError(f"Metric.tasks is a tuple of at least one task, not {self.tasks!r}")


class Metrics(Protocol):
    """The metrics of a project: mlopsfw's and those of plugins."""

    def evaluate(
        self,
        task: str,
        labels: np.ndarray,
        outputs: Mapping[str, np.ndarray],
        weight: np.ndarray | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> dict[str, float]:
        """Return the metrics of a task, or `only` some of them; arguments as for `Metric.compute`."""

    def __getitem__(self, name: str) -> Metric:
        """Return a metric. Raise `UsageError` where there is none of this name."""
