"""Protect a dataset with personal columns: refuse rows that would be, or already are, stored in clear."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from mlopsfw.data.intake.quarantine import WITHHELD
from mlopsfw.kernel.base.errors import DataError, UsageError
from mlopsfw.kernel.base.ids import check_name

if TYPE_CHECKING:
    from mlopsfw.data.datasets.versions import DatasetVersion
    from mlopsfw.privacy.treatments import Treatment


_LOCATED = re.compile(r"^.+?:\d+(?=:)")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def withheld(error: DataError, columns: Collection[str]) -> DataError:
    """Return an error about rows without their values: errors are shown, logged, and recorded in a run's events."""
    located = _LOCATED.match(error.message)
    if located:
        return DataError(
            f"{located[0]}: {WITHHELD}", hint="Correct the row, or allow bad rows to go to the quarantine (--max-bad)."
        )
    message = _QUOTED.sub(lambda match: match[0] if (match[1] or match[2]) in columns else "'…'", error.message)
    return DataError(message, hint=error.hint)


def refuse_clear(base: DatasetVersion, treatment: Treatment) -> None:
    """Raise `DataError` if a version to extend or restore treats a column otherwise than its mark says now."""
    for column, mark in treatment.marks.items():
        if column in base.columns and base.pii.get(column) != mark:
            was = base.pii.get(column)
            raise DataError(
                f"{base.ref} holds {column!r} {f'as {was!r}' if was else 'in plain text'}, but the column is now marked {mark!r}",
                hint="Add all rows again with the mode `replace`. Older versions keep their values.",
            )


def refuse_reference(name: str, treatment: Treatment) -> None:
    """Raise `UsageError` for an outside table: marks would require changing it."""
    if treatment.marks:
        raise UsageError(
            f"dataset {check_name(name, 'dataset')!r} has personal columns, and mlopsfw cannot change a table that it only refers to",
            hint="Add the rows instead of a reference, or remove `pii` from [data].",
        )
