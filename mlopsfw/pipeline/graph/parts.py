"""The components of a project that a step can request, as protocols for plugin authors. Other members may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

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
    """The component `models`: registered models."""

    def resolve(self, reference: str) -> ModelVersion:
        """Return the version that `models:/name@alias` names. Raise `UnknownName`."""
        ...


class Endpoints(Protocol):
    """The component `endpoints`: the served models."""

    def deploy(self, model: str, name: str | None = None, *, deployer: str = "", reason: str = "") -> EndpointStatus:
        """Serve a model version at an endpoint, by default one named after the model. Raise `ServingError`.

        `deployer` names a deployer of the configuration; by default the endpoint keeps its own.
        """
        ...


class Examination(Protocol):
    """One monitor's report about one window."""

    @property
    def report(self) -> Report:
        """The monitor's report."""
        ...


class Monitoring(Protocol):
    """The component `monitoring`: examines windows of captured predictions with the selected monitors."""

    def examine(self, endpoint: str, start: datetime, end: datetime) -> Sequence[Examination]:
        """Examine the predictions with event time in [start, end), each model version separately."""
        ...


class Alerts(Protocol):
    """The component `alerts`: delivers alerts through the selected alerters."""

    def raise_(
        self,
        group: str,
        severity: Literal["info", "warning", "critical"],
        title: str,
        text: str,
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> Alert:
        """Raise an alert. If the group has an open one, record a repetition instead."""
        ...

    def pump(self) -> object:
        """Deliver every due alert."""
        ...


class Runs(Protocol):
    """The component `runs`: runs of the pipeline."""

    def datasets_of(self, run: str, step: str) -> Sequence[str]:
        """Return the dataset versions that the inputs of a run's step came from, as exact references."""
        ...


class Trainers(Protocol):
    """The component `trainers`: the trainers in the configuration."""

    def __call__(self, name: str = "", options: Mapping[str, Any] | None = None) -> Trainer:
        """Return the trainer `name`, by default the default one, with other options on top. Raise `ConfigError`."""
        ...


class TrainerOptions(Protocol):
    """The component `trainer_options`: the options of the trainers in the configuration."""

    def __call__(self, name: str, options: Mapping[str, Any]) -> tuple[str, Any]:
        """Return what a trainer is called, and its options with others on top. Raise `ConfigError`."""
        ...
