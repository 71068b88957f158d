"""Labels as they enter: each is kept as one of its model's classes, or refused with its row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mlopsfw.capturelog.labels import as_class, check_labels
from mlopsfw.capturelog.records import LabelRows
from mlopsfw.capturelog.times import Bounds
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.bundle import Manifest
from mlopsfw.models.bundle.manifest import outputs_for

NOW = 1_700_000_000_000_000


def manifest(task: Any, classes: Sequence[Any]) -> Manifest:
    outputs = outputs_for(task, classes)
    return Manifest(task=task, target="late", inputs=(), outputs=outputs, classes=tuple(classes), formats={}, files={})


def keep(column: str, value: Any) -> Any:
    assert column == "late"
    return value


def test_labels_are_kept_as_a_server_and_a_file_give_them() -> None:
    rows = [
        {"prediction_id": "a", "label": 1},
        {"prediction_id": "b", "label": False, "label_time": "2023-11-14T00:00:00Z"},
    ]
    assert check_labels(rows, manifest("binary", (False, True)), keep, Bounds(), NOW) == LabelRows(
        ids=["a", "b"], labels=[True, False], label_times=[NOW, 1_699_920_000_000_000], received_time=NOW
    )


def test_a_label_is_treated_as_its_column_was_in_training() -> None:
    rows = [{"prediction_id": "a", "label": "someone"}]
    kept = check_labels(rows, manifest("multiclass", ("h:someone", "b")), lambda _, value: f"h:{value}", Bounds(), NOW)
    assert kept.labels == ["h:someone"]


@pytest.mark.parametrize(
    ("task", "classes", "given", "kept"),
    [
        ("binary", (False, True), 1, True),
        ("binary", (False, True), 0.0, False),
        ("binary", (0, 1), True, 1),
        ("multiclass", ("UA", "AA", "1"), "1", "1"),
        ("regression", (), 7, 7.0),
    ],
)
def test_a_label_is_kept_as_the_class_it_equals(task: str, classes: Sequence[Any], given: Any, kept: Any) -> None:
    found = as_class(given, manifest(task, classes))
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("task", "classes", "given"),
    [
        ("binary", (False, True), 2), ("binary", (False, True), "true"), ("multiclass", ("1", "2"), 1), ("multiclass", ("a",), ""),
        ("regression", (), "7"), ("regression", (), True), ("regression", (), float("nan")), ("regression", (), float("inf")),
    ],
)  # fmt: skip
def test_what_is_no_label_of_the_model_is_refused(task: str, classes: Sequence[Any], given: Any) -> None:
    with pytest.raises(DataError):
        as_class(given, manifest(task, classes))
