"""Shows the ratios that the benchmarks print at the end of a run, also without `-s`: they are what a benchmark is run for."""

from __future__ import annotations


def pytest_terminal_summary(terminalreporter):
    shown = [
        report.capstdout.strip()
        for report in terminalreporter.getreports("passed")
        if report.nodeid.startswith("benchmarks/")
    ]
    if any(shown):
        terminalreporter.section("ratios")
        terminalreporter.write_line("\n".join(filter(None, shown)))
