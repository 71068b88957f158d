"""The monitor role: a window goes in, numbers and findings come out, and mlopsfw makes the report of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.metric import Metrics

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")

Kind = Literal["drift", "quality", "performance", "bias"]
MOST_STATE = 1 << 20  # bytes of a monitor's state, as JSON


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing a monitor found.

    Args:
        kind: `drift`, `quality`, `performance` or `bias`.
        subject: What it is about: a column, an output, a metric.
        severity: `info`, `warning` or `critical`.
        message: One sentence a person can act on.
        value, threshold, pvalue: The numbers behind it, where it has them.
        facts: More: statistic, effect, segment, samples.
    """

    kind: Kind
    subject: str
    severity: Literal["info", "warning", "critical"]
    message: str
    value: float | None = None
    threshold: float | None = None
    pvalue: float | None = None
    facts: dict[str, Any] = {}


class Number(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number of a window, to compare it with other windows.

    Args:
        name: What it measures: a column, an output, a metric.
        kind: As in `Finding`.
        value: The statistic or the metric; None where it is undefined.
        pvalue, effect, threshold, error: Its p-value, effect, smallest effect that counts and standard error, if any.
        changed: Whether it is beyond the monitor's own level and threshold. mlopsfw decides whether that is an alarm.
        facts: More for the report, such as `type`, `statistic` and `importance` of a column.
    """

    name: str
    kind: Kind
    value: float | None = None
    pvalue: float | None = None
    effect: float | None = None
    threshold: float | None = None
    error: float | None = None
    changed: bool = False
    facts: dict[str, Any] = {}

    def __post_init__(self) -> None:
        for name in ("value", "pvalue", "effect", "threshold", "error"):
            if not isfinite(given := getattr(self, name) or 0):
                raise ValueError(f"{name} of the number {self.name!r} is {given}: write None where it is undefined")


class Signals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a monitor says of one window.

    Args:
        numbers: Each name once per kind; columns most changed first.
        findings: Worst first.
        state: What the monitor gets back with the next window: a JSON value or bytes, at most 1 MiB.
        summary: One sentence; mlopsfw writes one where it is empty.
        compared: Whether there was enough to judge. A window that was not compared is not calm: it resolves no alert.
    """

    numbers: tuple[Number, ...] = ()
    findings: tuple[Finding, ...] = ()
    state: Any = None
    summary: str = ""
    compared: bool = True

    def __post_init__(self) -> None:
        names = [(number.kind, number.name) for number in self.numbers]
        if len(set(names)) < len(names) and (twice := next(name for name in names if names.count(name) > 1)):
            raise ValueError(f"the signals have two numbers {twice[1]!r} of kind {twice[0]!r}")
        if (size := len(msgspec.json.encode(self.state))) > MOST_STATE:
            raise ValueError(f"the state takes {size:,} bytes as JSON: keep at most {MOST_STATE:,}")


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What to compare with.

    Args:
        profile: Column → `mlopsfw_core.Reference` as a dict: of the bundle, or of the dataset that `reference` names.
        unprofiled: Inputs and outputs whose type has no statistics: binary columns, lists and tensors.
        task, target, outputs, classes: From the bundle's manifest.
        importance: Column → share of the model's decision it carries, where known.
        metrics: The model's metrics at evaluation.
    """

    profile: Mapping[str, Any] = {}
    unprofiled: tuple[str, ...] = ()
    task: str = ""
    target: str = ""
    outputs: tuple[str, ...] = ()
    classes: tuple[str | int | bool, ...] = ()
    importance: Mapping[str, float] = {}
    metrics: Mapping[str, float] = {}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The rows to examine.

    Args:
        endpoint: The endpoint they were captured at, or a name for rows from elsewhere.
        model, version: What answered them.
        start, end: Event time, RFC 3339 with zone, start included, end excluded.
        rows: One row a prediction: its inputs and outputs, `prediction_id`, `event_time` and `processed_time`.
        labels: `prediction_id`, `label`, `label_time`: what has arrived so far, the last correction of each. `label` is
            of the type of the model's classes, and one of them; a number for regression.
        labels_aside: Why a row's label is not among them → how many such rows there are: its id means several
            predictions, or it is no class of the model.
        look, looks: A window may be looked at again as its labels come: which look this is, from 1, and how many there
            can be. The level at which labels raise an alarm is to be split over them. From the second look on only
            findings of `performance` and `bias` count.
        baseline: What to compare the rows with.
        metrics: Computes the metrics of models, with those of plugins; None where only the rows are known.
        past: The reports of earlier windows of this monitor, endpoint and model, oldest first. `page` gets them;
            `signals` gets none, since its numbers rest on the window and the state alone.
    """

    endpoint: str
    model: str
    version: int
    start: str
    end: str
    rows: pa.Table
    labels: pa.Table | None = None
    labels_aside: Mapping[str, int] = {}
    look: int = 1
    looks: int = 1
    baseline: Baseline = Baseline()
    metrics: Metrics | None = None
    past: tuple[Report, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of one window. mlopsfw makes it of the window and of a monitor's signals.

    Args:
        monitor: The monitor's name in the configuration.
        endpoint, model, version, start, end, labels_aside: The window.
        rows: How many rows it has; `labelled` of them have a label.
        alarm: Whether it calls for attention.
        compared, summary, findings: As in the signals.
        columns: One dict for each number of `drift` or `quality`, such as `{"column": "x", "drifted": True, …}`.
        metrics: The numbers of `performance` and `bias`; the standard error of `auc` is `auc_standard_error`.
    """

    monitor: str = ""
    endpoint: str = ""
    model: str = ""
    version: int = 0
    start: str = ""
    end: str = ""
    rows: int
    labelled: int = 0
    labels_aside: dict[str, int] = {}
    alarm: bool
    compared: bool = True
    summary: str
    findings: tuple[Finding, ...] = ()
    columns: tuple[dict[str, Any], ...] = ()
    metrics: dict[str, float] = {}


class Monitor(Protocol):
    """Examines windows of captured predictions. A subclass inherits the methods that are not abstract."""

    @abstractmethod
    def signals(self, window: Window, state: Any) -> Signals:
        """Examine the window. Never change its rows; too few rows are a window that was not compared, not an error.

        `state` is what this monitor returned for the window before, of the same endpoint and model version; None for
        the first. A window that is examined again gets the same state again.
        """

    def page(self, report: Report, window: Window) -> str | None:  # noqa: ARG002 - for those who draw one
        """Return one self-contained HTML page, or None if this monitor draws none."""
        return None
