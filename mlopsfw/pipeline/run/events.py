"""What a run and its scripts write to the stream `run/ID`. What its steps write there stands in `step_events`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from mlopsfw.kernel.events.record import Blob, EventRecord, Text
from mlopsfw.kernel.roles.artifact import Artifact
from mlopsfw.lineage.codestate import CodeRecord
from mlopsfw.pipeline.run import step_events


class RunStarted(EventRecord, frozen=True, kw_only=True):
    """A run began.

    Args:
        pipeline: The pipeline's name, or the name that a script gave.
        steps: The names of its steps.
        config: The configuration, as JSON.
        wiring: Step → parameter → what it takes: another step's output, or a reference. Earlier releases did not say.
        code: The state of the project's code.
        argv: The command line.
        env: The environment, whose overlay the configuration has.
        overrides: The `--set` options.
        only: The steps that were asked for; empty for all.
        environment: The installed distributions with their versions, as JSON.
        process: The process that coordinates the run.
        params: The parameters that a script gave.
        kind: `script` for a run outside of any pipeline.
        reproduces: The run whose results this one makes anew.
        began: When it began, where that was before this event, as of an imported run: RFC 3339, UTC.
    """

    type = "run.started"
    streams = ("run/RUN",)
    pipeline: str = ""
    steps: tuple[str, ...] = ()
    config: Blob = ""
    wiring: dict[str, dict[str, str]] | None = None
    code: CodeRecord = CodeRecord()
    argv: tuple[str, ...] = ()
    env: str = ""
    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    environment: Blob = ""
    process: dict[str, Any] = {}
    params: dict[str, Any] = {}
    kind: str = ""
    reproduces: str = ""
    began: str = ""


class RunHeartbeat(EventRecord, frozen=True, kw_only=True):
    """The coordinator of a run is alive."""

    type = "run.heartbeat"
    streams = ("run/RUN",)


class RunBroken(EventRecord, frozen=True, kw_only=True):
    """A mistake in mlopsfw or in a plugin ended a run.

    Args:
        error: The exception's class.
        message: The exception's message.
    """

    type = "run.broken"
    streams = ("run/RUN",)
    error: str = msgspec.field(name="type")
    message: Text = ""


class RunFinished(EventRecord, frozen=True, kw_only=True):
    """A session of a run ended: for good if the status is `done` or `refused`.

    Args:
        status: `done`, `failed`, `refused` or `interrupted`.
        exit_code: What the command returned.
        seconds: How long the session took.
        error: The class of the exception with which a script failed; earlier releases put it into the message.
        message: The exception's message.
    """

    type = "run.finished"
    streams = ("run/RUN",)
    status: str
    exit_code: int | None = None
    seconds: float = 0.0
    error: str = msgspec.field(name="type", default="")
    message: Text = ""


class RunReproduced(EventRecord, frozen=True, kw_only=True):
    """The results of a run were made anew by this one, and compared.

    Args:
        origin: The run that made them first.
        tolerance: How far apart two numbers may be, as a share of the larger, or of 1.
        verdicts: Step → `equal`, `within` the tolerance, `parted`, `failed`, `taken` as recorded, or `skipped`.
    """

    type = "run.reproduced"
    streams = ("run/RUN",)
    origin: str
    tolerance: float
    verdicts: dict[str, str]


_NO_JSON = ("inf", "-inf", "nan")


def as_values(numbers: Mapping[str, float]) -> dict[str, Any]:
    """Return metrics as JSON values: infinity and not-a-number as texts, since null means a missing value."""
    return {name: number if math.isfinite(number) else str(number) for name, number in numbers.items()}


def as_number(value: Any) -> Any:
    """Return the number that `as_values` wrote; any other value as it is."""
    return float(value) if value in _NO_JSON else value


class MetricsRecorded(EventRecord, frozen=True, kw_only=True):
    """Logged metrics became durable as one segment.

    Args:
        blob: The segment: one metric a line, as JSON.
        count: How many lines it has.
        step: The step that logged them; empty for a script.
        last: The last value of each metric; infinity and not-a-number as texts.
    """

    type = "metrics.segment"
    streams = ("run/RUN",)
    blob: Blob
    count: int = 0
    step: str = ""
    last: dict[str, Any] = {}


class ParamsLogged(EventRecord, frozen=True, kw_only=True):
    """A script logged parameters of its run.

    Args:
        params: Name → JSON value.
    """

    type = "run.params"
    streams = ("run/RUN",)
    params: dict[str, Any]


class ArtifactLogged(EventRecord, frozen=True, kw_only=True):
    """A script logged a value of its run.

    Args:
        name: What the run calls it.
        artifact: The stored value.
    """

    type = "run.artifact"
    streams = ("run/RUN",)
    name: str
    artifact: Artifact


class RunsImported(EventRecord, frozen=True, kw_only=True):
    """Runs were imported from another tracking store. Observers get this event in place of the events of each run.

    Args:
        runs: How many are new.
        first: The id of the one that began first.
        last: The id of the one that began last.
    """

    type = "runs.imported"
    streams = ("import/SOURCE",)
    runs: int
    first: str
    last: str


EVENTS: tuple[type[EventRecord], ...] = (
    RunStarted,
    RunHeartbeat,
    RunBroken,
    RunFinished,
    *step_events.EVENTS,
    RunReproduced,
    MetricsRecorded,
    ParamsLogged,
    ArtifactLogged,
    RunsImported,
)
