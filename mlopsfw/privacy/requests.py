"""Personal columns of requests: the model is asked what it was trained on, and what is captured is treated before it is written."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from mlopsfw.kernel.base.errors import SignatureMismatch
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.privacy.treatments import Treatment

_VALUES = (str, int, float, list, dict, type(None), bytes, Decimal, dt.date, dt.time, dt.timedelta)
"""What JSON and typed files hold."""


class Requests:
    """How one endpoint treats the rows that it is asked about.

    Args:
        learned: How the model's training data was treated.
        captured: How captured rows are treated.
    """

    def __init__(self, learned: Treatment, captured: Treatment) -> None:
        self._learned = learned
        more = {name: mark for name, mark in captured.marks.items() if learned.marks.get(name) != mark}
        self._kept = captured.only(more)

    @property
    def hashed(self) -> frozenset[str]:
        """Columns that may be of any type in a request: the model sees their keyed hash."""
        return frozenset(name for name, mark in self._learned.marks.items() if mark == "hash")

    def asked(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return a request's columns as the model was trained on them; what was dropped then is left out.

        Raises:
            SignatureMismatch: A marked column holds what is no value of JSON or of a file, so that it has no text to hash.
        """
        if not self._learned.marks:
            return columns
        for name in self._learned.marks:
            for row, value in enumerate(columns.get(name, ())):
                if not isinstance(value, _VALUES):
                    raise SignatureMismatch(f"{value!r} is not a value of any column", column=name, row=row)
        return self._learned.columns(columns)

    def captured(self, columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return what is kept of the columns that the model was asked."""
        return self._kept.columns(columns) if self._kept.marks else columns

    def signature(self, inputs: Sequence[SignatureColumn]) -> tuple[SignatureColumn, ...]:
        """Return the columns that are captured."""
        marks: Mapping[str, str] = self._kept.marks
        return tuple(
            msgspec.structs.replace(column, type="string") if marks.get(column.name) == "hash" else column
            for column in inputs
            if marks.get(column.name) != "drop"
        )

    def label(self, target: str, value: Any) -> Any:
        """Return a label as the target was in the training data."""
        return self._learned.value(target, value)
