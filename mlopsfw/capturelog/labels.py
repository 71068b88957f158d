"""Labels where they enter, at an endpoint or by hand: the id of a prediction, and one of its model's classes.

A label keeps its type from the door to the metric: it is stored as the model's own class, and read back as one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from mlopsfw.capturelog.classes import find_class, listed, plain
from mlopsfw.capturelog.records import LabelRows
from mlopsfw.kernel.base.errors import DataError

if TYPE_CHECKING:
    from mlopsfw.capturelog.times import Bounds
    from mlopsfw.kernel.roles.bundle import Manifest

Label = str | int | float | bool

LONGEST_ID = 256
"""Characters of the longest id that a label may name a prediction by."""
_SHOWN = 60
_WIDE = 128  # bits of a number that is not worth being spelled out


def check_labels(
    rows: Iterable[Mapping[str, Any]], manifest: Manifest, treat: Callable[[str, Any], Any], bounds: Bounds, now: int
) -> LabelRows:
    """Return labels as they are kept, all or none.

    Args:
        rows: Each with `prediction_id`, `label` and, unless it became known now, `label_time` (a `datetime` with zone, or
            RFC 3339).
        manifest: The model's.
        treat: Returns what the model's training data kept of a column's value: `(column, value) -> value`.
        bounds: How far from now a label's time may lie.
        now: When the labels arrived, microseconds UTC.

    Raises:
        DataError: A row lacks a field, its label is no class of the model, or its time cannot be read or is out of bounds;
            the message names the row.
    """
    ids: list[str] = []
    labels: list[Label] = []
    times: list[int] = []
    for number, row in enumerate(rows):
        label, moment = plain(row.get("label")), row.get("label_time")
        try:
            ids.append(_checked_id(row.get("prediction_id")))
            _check_given(label, moment)
            labels.append(as_class(treat(manifest.target, label), manifest))
            times.append(now if moment is None else bounds.micros(moment, now))
        except DataError as error:
            raise DataError(f"row {number}: {error.message}", hint=error.hint) from None
    return LabelRows(ids=ids, labels=labels, label_times=times, received_time=now)


def as_class(label: Any, manifest: Manifest) -> Label:
    """Return `label` as the model's manifest has it: one of its classes, or a finite number where it has none.

    Raises:
        DataError: It is neither. The message names the classes.
    """
    if not manifest.classes:
        return _finite(plain(label))
    known = find_class(label, manifest.classes)
    if known is None:
        raise DataError(f"the label {_shown(label)} is not a class", hint=f"Classes: {listed(manifest.classes)}.")
    return known


def _checked_id(identity: Any) -> str:
    """Return the id that a label names its prediction by."""
    if not isinstance(identity, str) or not identity:
        raise DataError("`prediction_id` is missing or not text", hint="Give each label its prediction's id.")
    if len(identity) > LONGEST_ID or not identity.isprintable():
        raise DataError(
            f"`prediction_id` must be printable and at most {LONGEST_ID} characters",
            hint="Send the id from `prediction_ids` in the answer.",
        )
    return identity


def _check_given(label: Any, moment: Any) -> None:
    if label is None:
        raise DataError("`label` is missing", hint="Leave out predictions that have no label yet.")
    if moment is not None and not isinstance(moment, str | datetime):
        raise DataError("`label_time` must be a time", hint="Write RFC 3339 with a zone.")


def _finite(label: Any) -> float:
    if isinstance(label, int | float | Decimal) and not isinstance(label, bool):
        with contextlib.suppress(OverflowError):
            number = float(label)
            if math.isfinite(number):
                return number
    raise DataError(f"the label {_shown(label)} is not a finite number", hint="The model's labels are numbers.")


def _shown(label: Any) -> str:
    label = plain(label)
    if isinstance(label, int) and label.bit_length() > _WIDE:
        return f"a whole number of {label.bit_length()} bits"
    shown = repr(label[: _SHOWN + 1] if isinstance(label, str) else label)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
