"""What a step is given: a share of progress is checked where it is given, and a full disk does not end the step for its sake."""

from __future__ import annotations

from dataclasses import MISSING, fields

import numpy as np
import pytest

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.pipeline.graph.step import StepContext


def context(file):
    needed = [each.name for each in fields(StepContext) if each.default is MISSING and each.default_factory is MISSING]
    return StepContext(**dict.fromkeys(needed) | {"progress_file": file})


@pytest.mark.parametrize("share", [float("nan"), -0.1, 1.1, 2, float("inf"), "x", None, np.float32("nan")])
def test_a_share_of_progress_outside_of_0_to_1_is_refused(share, tmp_path):
    with pytest.raises(UsageError, match=r"(?s)progress\('fitting', .*from 0 to 1"):
        context(tmp_path / "progress.json").progress("fitting", share)


def test_a_phase_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(UsageError, match="progress"):
        context(tmp_path / "progress.json").progress(None, 0.5)


@pytest.mark.parametrize(("share", "shown"), [(0, 0.0), (1, 1.0), (np.float32(0.5), 0.5), (np.int64(1), 1.0)])
def test_any_real_number_from_0_to_1_is_a_share(share, shown, tmp_path):
    context(tmp_path / "progress.json").progress("fitting", share)
    assert (tmp_path / "progress.json").read_text() == f'["fitting",{shown}]'


def test_what_a_sum_of_shares_rounds_beyond_1_is_1(tmp_path):
    share = sum([0.1] * 3) / 0.3
    assert share > 1
    context(tmp_path / "progress.json").progress("fitting", share)
    assert (tmp_path / "progress.json").read_text() == '["fitting",1.0]'


def test_progress_that_cannot_be_written_ends_no_step(tmp_path):
    context(tmp_path / "gone" / "progress.json").progress("fitting", 0.5)
