"""Run one target under atheris: python tests/fuzz/fuzz.py TARGET [libFuzzer options] [folder of inputs]

The first input that raises what its target does not expect, or that crashes the process, is printed and kept as `crash-...`; give
that file instead of a folder to run it again. The core's Python is instrumented, so that inputs which reach new lines are kept and
varied; its C is not, and is watched by AddressSanitizer instead when a build with it comes first on the path (`ci/sanitize.sh`).
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import atheris


def main() -> None:
    """Import the target with the core instrumented, and hand it to libFuzzer."""
    sys.path.insert(0, str(Path(__file__).parent))
    target = sys.argv.pop(1)
    with atheris.instrument_imports(include=["mlopsfw_core", target, "inputs"], enable_loader_override=False):
        module = importlib.import_module(target)
    warnings.simplefilter("error")
    atheris.Setup(sys.argv, module.test_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
