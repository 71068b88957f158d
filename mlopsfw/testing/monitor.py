"""`MonitorConformance`: what every monitor promises."""

from __future__ import annotations

import pytest

from mlopsfw.kernel.roles.monitoring import Baseline, Monitor, Report, Window


class MonitorConformance:
    """Subclass it, and override the fixtures.

    - `monitor`: one with its default configuration, or a sensible one.
    - `calm`: a window and its baseline between which nothing has changed.
    - `changed`: a window and its baseline between which something must be found.
    """

    @pytest.fixture
    def monitor(self) -> Monitor:
        """Override: the monitor."""
        raise NotImplementedError

    @pytest.fixture
    def calm(self) -> tuple[Window, Baseline]:
        """Override: a window without a change."""
        raise NotImplementedError

    @pytest.fixture
    def changed(self) -> tuple[Window, Baseline]:
        """Override: a window with a change."""
        raise NotImplementedError

    def test_a_window_without_a_change_is_calm(self, monitor: Monitor, calm: tuple[Window, Baseline]) -> None:
        assert not monitor.examine(*calm).alarm

    def test_a_change_is_an_alarm_with_findings_worst_first(
        self, monitor: Monitor, changed: tuple[Window, Baseline]
    ) -> None:
        report = monitor.examine(*changed)
        assert report.alarm
        assert report.findings

    def test_the_same_window_gets_the_same_report(self, monitor: Monitor, changed: tuple[Window, Baseline]) -> None:
        assert monitor.examine(*changed) == monitor.examine(*changed)

    def test_the_rows_are_left_as_they_were(self, monitor: Monitor, changed: tuple[Window, Baseline]) -> None:
        window, baseline = changed
        before = window.rows.slice(0)
        monitor.examine(window, baseline)
        assert window.rows.equals(before)

    def test_a_window_of_few_or_no_rows_is_said_to_be_so(self, monitor: Monitor, calm: tuple[Window, Baseline]) -> None:
        import msgspec

        window, baseline = calm
        for rows in (0, 1):
            report = monitor.examine(msgspec.structs.replace(window, rows=window.rows.slice(0, rows)), baseline)
            assert report.rows == rows
            assert not report.alarm
            assert report.summary
            assert rows or not report.compared

    def test_a_report_survives_json(self, monitor: Monitor, changed: tuple[Window, Baseline]) -> None:
        import msgspec

        report = monitor.examine(*changed)
        assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report

    def test_the_page_stands_alone(self, monitor: Monitor, changed: tuple[Window, Baseline]) -> None:
        window, baseline = changed
        page = monitor.page(monitor.examine(window, baseline), window, baseline)
        if page is not None:
            assert "<script" not in page
            assert "http-equiv" in page
            assert "Content-Security-Policy" in page
            assert "src=" not in page
