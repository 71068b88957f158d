"""The step role: one act of a pipeline, selected by `use = "name"`, and the parts of a project that it can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.alerting import Alert
    from mlopsfw.kernel.roles.deployer import EndpointStatus
    from mlopsfw.kernel.roles.monitoring import Report


def _no_facts() -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step with its options read: what a step's provider builds.

    Args:
        run: Does the work and returns output name → value, exactly `outputs`. A value is a table, a JSON value, a
            `Path`, a `BundleFolder` or an `Artifact`. The first argument is the `StepContext`; every further parameter
            is the name of a part of the project, which `run` then gets.
        inputs: Parameter names that must be wired.
        optional: Parameter names that may be wired; `context.inputs` lacks those that are not.
        variadic: Whether further inputs under any name are accepted.
        each: Inputs on whose parts the step may run one at a time, because their rows do not depend on each other; None
            for any input.
        outputs: Names of the values that `run` returns; a bare `step` reference means the first.
        version: Part of the cache key. Raise it when the same inputs give another result.
        cacheable: False for a step whose point is its effect, such as a deployment: it runs every time.
        plugins: Roles whose selected providers the step uses, such as `"trainer"`. Their versions and options are part
            of the cache key.
        reads: Files and globs, relative to the project, that the step opens. Their content is part of the cache key.
        facts: Returns whatever else the result depends on, such as an alias's target, as a small JSON value for the
            cache key. Its parameters are names of parts of the project.
    """

    run: Callable[..., Mapping[str, object]]
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    variadic: bool = False
    each: tuple[str, ...] | None = ()
    outputs: tuple[str, ...] = ("result",)
    version: int = 1
    cacheable: bool = True
    plugins: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    facts: Callable[..., Mapping[str, object]] = _no_facts

    def __post_init__(self) -> None:
        for name in (
            "inputs",
            "optional",
            "outputs",
            "plugins",
            "reads",
            *(("each",) if self.each is not None else ()),
        ):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
                raise TypeError(f"Step.{name} is a tuple of names, not {value!r}")
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise TypeError(f"Step.outputs names at least one value, and none twice: {self.outputs!r}")


# -- parts of a project that a step can name ---------------------------------------------------------------------------


class ModelVersion(Protocol):
    """One version of a registered model."""

    @property
    def ref(self) -> str:
        """`models:/name@3`."""
        ...

    @property
    def bundle(self) -> str:
        """Digest of its bundle."""
        ...

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Its metrics."""
        ...


class Models(Protocol):
    """The part `models`: registered models."""

    def resolve(self, reference: str) -> ModelVersion:
        """Return the version that `models:/name@alias` means. Raise `UnknownName`."""
        ...


class Endpoints(Protocol):
    """The part `endpoints`: what is served."""

    def deploy(self, model: str, name: str | None = None, *, reason: str = "") -> EndpointStatus:
        """Serve a model version at an endpoint, called after the model where `name` is None. Raise `ServingError`."""
        ...


class Examination(Protocol):
    """One monitor's report about one window."""

    @property
    def report(self) -> Report:
        """What the monitor says."""
        ...


class Monitoring(Protocol):
    """The part `monitoring`: windows of captured predictions, examined by the selected monitors."""

    def examine(self, endpoint: str, start: datetime, end: datetime) -> Sequence[Examination]:
        """Examine the predictions whose event time lies in [start, end), each model version by itself."""
        ...


class Alerts(Protocol):
    """The part `alerts`: what the selected alerters deliver."""

    def raise_(
        self,
        group: str,
        severity: Literal["info", "warning", "critical"],
        title: str,
        text: str,
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> Alert:
        """Raise an alert; one that the group has open already is counted as repeated instead."""
        ...

    def pump(self) -> object:
        """Deliver what is due."""
        ...


class Runs(Protocol):
    """The part `runs`: runs of the pipeline."""

    def datasets_of(self, run: str, step: str) -> Sequence[str]:
        """Return the dataset versions that the inputs of a run's step came from, as exact references."""
        ...
