"""Names what a benchmark ran on: the processor, the instructions and the sort that the core chose there, and the load.

A ratio means little without them: NumPy's sort alone differs sixfold between two processors.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np

from mlopsfw_core import _sorting

_ABOUT = Path("/proc/cpuinfo")


def machine() -> dict[str, str]:
    """Return what is known of the machine, each under its name."""
    about = _processor()
    flags = about.get("flags", "").split()
    wide = next((name for name in ("avx512f", "avx2") if name in flags), "baseline")
    numbers = f", family {about['cpu family']}, model {about['model']}" if "cpu family" in about else ""
    return {
        "processor": about.get("model name", platform.processor() or platform.machine()) + numbers,
        "cores": str(os.cpu_count()),
        "instructions": wide,
        "sort": _sorting.PATH if _sorting.PATH != "NumPy" else f"NumPy {np.__version__}",
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


def machine_line() -> str:
    """Return the same in one line."""
    return "; ".join(f"{name}: {value}" for name, value in machine().items())


def _processor() -> dict[str, str]:
    """Read what Linux says of its first processor; nothing elsewhere."""
    if not _ABOUT.exists():
        return {}
    first = _ABOUT.read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
