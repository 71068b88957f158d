"""Tests write to memory where the system has room there; what is about the disk writes to the disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    os.environ.get("TMPDIR") != "/dev/shm",
    reason="no file system in memory with room for the tests, or TMPDIR names another",
)


def test_the_folder_of_a_test_lies_in_memory(tmp_path):
    assert tmp_path.is_relative_to("/dev/shm")
    assert Path(tempfile.gettempdir()) == Path("/dev/shm")


@pytest.mark.disk
def test_the_folder_of_a_test_about_the_disk_lies_elsewhere(tmp_path):
    assert not tmp_path.is_relative_to("/dev/shm")
    (tmp_path / "file").write_text("it is a folder of the test's own")
