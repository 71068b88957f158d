"""Shows the ratios that the benchmarks print at the end of a run, also without `-s`, and the machine that they were measured on."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from machine import machine, machine_line


def pytest_terminal_summary(terminalreporter):
    shown = [
        report.capstdout.strip()
        for report in terminalreporter.getreports("passed")
        if report.nodeid.startswith("benchmarks/")
    ]
    if shown:
        terminalreporter.section("ratios")
        terminalreporter.write_line(machine_line())
    if any(shown):
        terminalreporter.write_line("\n".join(filter(None, shown)))


def pytest_benchmark_update_machine_info(machine_info):
    """Keep the same in the file of `--benchmark-json`."""
    machine_info["mlopsfw"] = machine()
