"""Fits among several: each has folders and names of its own."""

from __future__ import annotations

from unittest.mock import Mock, call

from mlopsfw.training.crossfit import FitContext


def test_a_fit_reports_and_keeps_files_under_its_own_name(tmp_path):
    whole = Mock(scratch=tmp_path / "scratch", checkpoints=tmp_path / "kept")
    fit = FitContext(whole, "fold1")
    fit.log_metric("loss", 0.5, 3)
    fit.progress("round 1", 0.25)
    assert whole.mock_calls == [call.log_metric("fold1.loss", 0.5, 3), call.progress("fold1: round 1", 0.25)]
    assert (fit.scratch, fit.checkpoints) == (tmp_path / "scratch" / "fold1", tmp_path / "kept" / "fold1")
    assert fit.scratch.is_dir()
