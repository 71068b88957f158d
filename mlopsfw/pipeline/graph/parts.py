"""The parts of a project that a step can name, as a plugin's author may rely on them. What else a part has may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.alerting import Alert
    from mlopsfw.kernel.roles.deployer import EndpointStatus
    from mlopsfw.kernel.roles.monitoring import Report
    from mlopsfw.kernel.roles.training import Trainer


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


class Trainers(Protocol):
    """The part `trainers`: the trainers that the configuration names."""

    def __call__(self, name: str = "") -> Trainer:
        """Return the trainer of a name, the default one for none. Raise `ConfigError`."""
        ...
