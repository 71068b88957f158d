"""The command line in a pipe whose reader has had enough."""

from __future__ import annotations

import subprocess
import sys


def test_a_reader_that_goes_away_is_no_error_to_tell():
    listing = f"{sys.executable} -m mlopsfw plugins list | head -1"
    out = subprocess.run(["bash", "-c", listing], check=False, capture_output=True, text=True)
    assert out.stdout.startswith("name")
    assert out.stderr == ""
