"""Folders that killed processes of the engine `ray` left on a node."""

from __future__ import annotations

import os

import pytest

group = pytest.importorskip("mlopsfw_engine_ray.group")


def test_folders_of_dead_processes_go_and_a_number_that_another_user_has_stops_nothing(tmp_path, monkeypatch):
    def kill(pid, _signal):
        if error := {1: ProcessLookupError, 2: PermissionError}.get(pid):
            raise error

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(os, "kill", kill)
    for name in ("group-1-a", "group-2-b", "group-3-c", "other-1-d"):
        (tmp_path / name).mkdir()
    group._remove_left("group-")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["group-2-b", "group-3-c", "other-1-d"]
