"""The outcome of a comparison as a table: a row for each column."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlopsfw_core import ColumnDrift

SHOWN = ("column", "type", "statistic", "value", "pvalue", "effect", "threshold", "drifted")
"""The fields of each column, in this order."""


def column_row(drift: ColumnDrift) -> dict[str, Any]:
    """Return the row of a column. A number that is not finite becomes None."""
    row = {name: value for name, value in asdict(drift).items() if name in SHOWN}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}
