"""`MonitorConformance`: what every monitor promises."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mlopsfw.kernel.roles.monitoring import Monitor, Number, Report, Signals, Window
from mlopsfw.monitoring.decision import is_alarm
from mlopsfw.monitoring.reporting import report_of
from mlopsfw.monitoring.settings import AlarmRule

_SEVERITIES = ("critical", "warning", "info")


class MonitorConformance:
    """Subclass it, and override the fixtures. Each window has its baseline in it.

    - `monitor`: one with its default configuration, or a sensible one.
    - `calm`: a window that is like its baseline.
    - `changed`: a window in which something must be found. Two findings or more also show their order.
    - `state`: what the monitor keeps of the windows before; None, as for the first window, if it is not overridden.
    """

    @pytest.fixture
    def monitor(self) -> Monitor:
        """Override: the monitor."""
        raise NotImplementedError

    @pytest.fixture
    def calm(self) -> Window:
        """Override: a window without a change."""
        raise NotImplementedError

    @pytest.fixture
    def changed(self) -> Window:
        """Override: a window with a change."""
        raise NotImplementedError

    @pytest.fixture
    def state(self) -> Any:
        """Override: the state that the monitor has before the windows."""
        return None

    def test_a_window_without_a_change_is_calm(self, monitor: Monitor, calm: Window, state: Any) -> None:
        assert not _alarm(monitor.signals(calm, state), calm)

    def test_a_change_is_an_alarm_with_findings(self, monitor: Monitor, changed: Window, state: Any) -> None:
        signals = monitor.signals(changed, state)
        assert signals.findings
        assert _alarm(signals, changed)

    def test_findings_are_worst_first(self, monitor: Monitor, changed: Window, state: Any) -> None:
        signals = monitor.signals(changed, state)
        ranks = [_SEVERITIES.index(finding.severity) for finding in signals.findings]
        assert ranks == sorted(ranks)
        if not changed.baseline.importance:
            for kind, severity in {(finding.kind, finding.severity) for finding in signals.findings}:
                effects = _effects(signals, kind, severity)
                assert effects == sorted(effects, reverse=True)

    def test_what_is_given_is_of_the_types_that_are_declared(self, monitor: Monitor, changed: Window) -> None:
        signals = monitor.signals(changed, None)
        content = msgspec.to_builtins(signals, builtin_types=(bytes,))
        assert msgspec.convert(content, Signals) == signals

    def test_the_report_says_of_the_window_what_is_so(self, monitor: Monitor, changed: Window, state: Any) -> None:
        signals = monitor.signals(changed, state)
        report = report_of("kit", changed, signals, AlarmRule())
        place = ("endpoint", "model", "version", "start", "end")
        assert [getattr(report, name) for name in place] == [getattr(changed, name) for name in place]
        assert report.rows == changed.rows.num_rows
        assert 0 <= report.labelled <= report.rows

    def test_no_count_goes_beyond_the_window(self, monitor: Monitor, changed: Window, state: Any) -> None:
        """A number that is called after a count of the window is that count."""
        counts = {"rows": changed.rows.num_rows, "labelled": report_of("", changed, Signals(), AlarmRule()).labelled}
        for number in monitor.signals(changed, state).numbers:
            assert number.value == counts.get(number.name, number.value)
            for name in counts.keys() & number.facts.keys():
                assert number.facts[name] <= counts[name]

    def test_the_same_window_and_state_give_the_same_signals(
        self, monitor: Monitor, calm: Window, changed: Window, state: Any
    ) -> None:
        first = monitor.signals(changed, state)
        monitor.signals(calm, state)
        assert monitor.signals(changed, state) == first

    def test_the_state_survives_being_stored(self, monitor: Monitor, calm: Window, changed: Window, state: Any) -> None:
        after = monitor.signals(calm, state).state
        stored = after if isinstance(after, bytes) else msgspec.json.decode(msgspec.json.encode(after))
        assert monitor.signals(changed, stored) == monitor.signals(changed, after)

    def test_the_rows_and_the_state_are_left_as_they_were(self, monitor: Monitor, changed: Window, state: Any) -> None:
        before, kept = changed.rows.slice(0), msgspec.json.encode(state)
        monitor.signals(changed, state)
        assert changed.rows.equals(before)
        assert msgspec.json.encode(state) == kept

    def test_a_window_of_few_or_no_rows_is_no_alarm_and_says_so(self, monitor: Monitor, calm: Window) -> None:
        for rows in (0, 1):
            few = msgspec.structs.replace(calm, rows=calm.rows.slice(0, rows))
            signals = monitor.signals(few, None)
            assert not _alarm(signals, few)
            assert signals.compared is False or rows
            assert signals.summary

    def test_a_report_survives_json(self, monitor: Monitor, changed: Window, state: Any) -> None:
        report = report_of("kit", changed, monitor.signals(changed, state), AlarmRule())
        assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report

    def test_the_page_stands_alone(self, monitor: Monitor, changed: Window, state: Any) -> None:
        report = report_of("kit", changed, monitor.signals(changed, state), AlarmRule())
        for past in ((), (report, report)):
            page = monitor.page(report, msgspec.structs.replace(changed, past=past))
            if page is None:
                return
            assert "<script" not in page
            assert "http-equiv" in page
            assert "Content-Security-Policy" in page
            assert "src=" not in page


def _alarm(signals: Signals, window: Window) -> bool:
    return is_alarm(signals, window.baseline.importance, AlarmRule(), look=window.look)


def _effects(signals: Signals, kind: str, severity: str) -> list[float]:
    """Return the effects of the findings of a kind and severity that have a number, in their order."""
    numbers: dict[str, Number] = {number.name: number for number in signals.numbers}
    subjects = [each.subject for each in signals.findings if (each.kind, each.severity) == (kind, severity)]
    return [effect for name in subjects if name in numbers and (effect := numbers[name].effect) is not None]
