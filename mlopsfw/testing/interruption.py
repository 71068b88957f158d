"""`TrainerInterruption`: what a trainer makes of its checkpoints when it is stopped. Part of `TrainerConformance`."""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from mlopsfw.kernel.roles.training import TrainedModel, Trainer
from mlopsfw.testing.labelled_rows import Rows, training_task
from mlopsfw.testing.training import Context, RecordedData, Stopped


def digests(trained: TrainedModel) -> dict[str, str]:
    """Return the digest of each file of a trained model."""
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in trained.files.items()}


class TrainerInterruption:
    """A training that is stopped, and its checkpoints. The fixtures are those of `TrainerConformance`."""

    def test_stopped_anywhere_it_goes_on_to_the_same_result(
        self, make_rows: Rows, trainer: Trainer, train: Callable[..., TrainedModel], tmp_path: Path, kind: str
    ) -> None:
        rows, task = make_rows(600), training_task(kind)
        rest, valid = rows[:500], rows[500:] if "valid" in trainer.abilities else None
        straight = Context.under(tmp_path, "straight")
        checked = None if valid is None else RecordedData(valid)
        whole = trainer.fit(task, RecordedData(rest), checked, straight)
        for stop in {1, max(1, len(straight.metrics) // 2), len(straight.metrics)}:
            with pytest.raises(Stopped):
                train(task, rest, valid, f"kept-{stop}", stop)
            again = train(task, rest, valid, f"kept-{stop}")
            assert digests(again) == digests(whole)
            assert again.metrics == whole.metrics

    def test_damaged_checkpoints_are_passed_over(
        self, make_rows: Rows, train: Callable[..., TrainedModel], tmp_path: Path, kind: str
    ) -> None:
        rows, task = make_rows(400), training_task(kind)
        whole = train(task, rows, None, "kept")
        for file in (tmp_path / "kept").rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:-1] + b"?")
        assert digests(train(task, rows, None, "kept")) == digests(whole)

    def test_checkpoints_of_other_rows_are_passed_over(
        self, make_rows: Rows, train: Callable[..., TrainedModel], kind: str
    ) -> None:
        task, rows = training_task(kind), make_rows(400)
        train(task, make_rows(400, seed=9), None, "kept")
        assert digests(train(task, rows, None, "kept")) == digests(train(task, rows))
