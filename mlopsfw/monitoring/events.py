"""What monitoring writes to an endpoint's stream, `monitor/ENDPOINT`."""

from __future__ import annotations

import msgspec

from mlopsfw.kernel.events.record import EventRecord, Text, WordsBlob


class WindowExamined(EventRecord, frozen=True, kw_only=True):
    """A monitor examined a window of an endpoint.

    Args:
        monitor: The monitor.
        model: The model.
        version: Its version.
        start: Where the window begins.
        end: Where it ends.
        rows: How many rows it had.
        labelled: How many of them had a label.
        labels_aside: Reason → how many labels were set aside for it.
        alarm: Whether the monitor calls for attention.
        summary: The result in one sentence.
        metrics: Realised or estimated metrics.
        report: The report, as JSON.
        page: The report as an HTML page; empty for none.
        compared: Whether there was enough to compare; earlier releases did not say.
        drifted: The columns that drifted.
        alerts: Whether alarms become alerts: not in a replay. Earlier releases did not say.
        look: How often the window was looked at, this time too; earlier releases looked once.
        state: What the monitor keeps for the next window; empty for nothing.
        state_before: What the monitor kept of the window before; empty for nothing. Earlier releases did not say.
    """

    type = "window.examined"
    streams = ("monitor/ENDPOINT",)
    monitor: str
    model: str = ""
    version: int | None = None
    start: str
    end: str
    rows: int | None = None
    labelled: int | None = None
    labels_aside: dict[str, int] = {}
    alarm: bool
    summary: Text = ""
    metrics: dict[str, float | None] = {}
    report: WordsBlob = ""
    page: WordsBlob = ""
    compared: bool | None = None
    drifted: tuple[str, ...] = ()
    alerts: bool | None = None
    look: int | None = None
    state: WordsBlob = ""
    state_before: WordsBlob | None = None


class LookRecord(EventRecord, frozen=True, kw_only=True):
    """A watch looked at a window: what the first look and each later one hold.

    Args:
        start: Where the window begins; empty where empty windows were passed in one go.
        until: Where it ends.
        first: When it was first looked at.
        at: When it was looked at now.
        rows: How many rows it had.
        labelled: How many of them had a label.
        look: How often it was looked at.
    """

    start: str = ""
    until: str
    first: str = ""
    at: str = ""
    rows: int | None = None
    labelled: int | None = None
    look: int | None = None


class WatchPassed(LookRecord, frozen=True, kw_only=True):
    """A watch passed a window: the next one begins behind it."""

    type = "watch.passed"
    streams = ("monitor/ENDPOINT",)


class WatchLooked(LookRecord, frozen=True, kw_only=True):
    """A watch looked at a window again, since labels came."""

    type = "watch.looked"
    streams = ("monitor/ENDPOINT",)


class WatchBegun(EventRecord, frozen=True, kw_only=True):
    """A watch of an endpoint began.

    Args:
        start: Where the first window begins.
        set_aside: How many predictions no window holds; earlier releases did not say.
    """

    type = "watch.begun"
    streams = ("monitor/ENDPOINT",)
    start: str = msgspec.field(name="from")
    set_aside: int | None = None


LOOK_EVENTS: dict[str, type[LookRecord]] = {record.type: record for record in (WatchPassed, WatchLooked)}
"""The events of looks, by type."""

EVENTS: tuple[type[EventRecord], ...] = (WindowExamined, WatchPassed, WatchLooked, WatchBegun)
