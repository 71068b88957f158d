"""The monitor role, and the report it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa


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

    kind: Literal["drift", "quality", "performance", "bias"]
    subject: str
    severity: Literal["info", "warning", "critical"]
    message: str
    value: float | None = None
    threshold: float | None = None
    pvalue: float | None = None
    facts: dict[str, Any] = {}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The rows to examine.

    Args:
        endpoint: The endpoint they were captured at, or a name for rows from elsewhere.
        model, version: What answered them.
        start, end: Event time, RFC 3339 with zone, start included, end excluded.
        rows: Inputs and outputs, one row a prediction; columns as in the signature, plus the outputs, `prediction_id`,
            `event_time` and `processed_time`.
        labels: `prediction_id`, `label`, `label_time`: what has arrived so far, the last correction of each. `label` is
            of the type of the model's classes, and one of them; a number for regression.
        labels_aside: Why a row's label is not among them → how many such rows there are: its id means several
            predictions, or it is no class of the model.
        look, looks: A window may be looked at again as its labels come: which look this is, from 1, and how many there
            can be. The level at which labels raise an alarm is to be split over them. From the second look on only
            findings of `performance` and `bias` count.
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


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What to compare with.

    Args:
        profile: Column → `mlopsfw_core.Reference` as a dict: the bundle's training profile.
        task, target, outputs, classes: From the bundle's manifest.
        importance: Column → share of the model's decision it carries, where known.
        metrics: The model's metrics at evaluation.
    """

    profile: Mapping[str, Any]
    task: str
    target: str
    outputs: tuple[str, ...]
    classes: tuple[str | int | bool, ...] = ()
    importance: Mapping[str, float] = {}
    metrics: Mapping[str, float] = {}


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a monitor says of one window.

    Args:
        monitor: The monitor's name in the configuration. mlopsfw fills it in.
        endpoint, model, version, start, end: The window. mlopsfw fills them in.
        rows: How many rows it saw; `labelled` of them had a label.
        labels_aside: As in the window: why labels were set aside → how many. Whoever runs the monitor fills it in.
        alarm: Whether the monitor calls for attention.
        compared: Whether there was enough to judge. A window that was not compared is not calm: it resolves no alert.
        summary: One sentence.
        findings: Worst first.
        columns: One dict a column, most drifted first: `column, type, statistic, value, pvalue, effect, threshold,
            drifted`.
        metrics: Realised or estimated metrics of the window.
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
    """Examines windows of captured predictions."""

    def examine(self, window: Window, baseline: Baseline) -> Report:
        """Compare the window with the baseline. Never changes the rows; too few rows is said, not an error."""
        ...

    def page(self, report: Report, window: Window, baseline: Baseline) -> str | None:
        """Return one self-contained HTML page, or None if this monitor draws none."""
        ...
