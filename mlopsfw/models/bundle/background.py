"""Background rows of a bundle: what an explanation compares a row with. Drawn from the training profile column by column, so no row is anybody's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlopsfw.models.bundle.files import GOLDEN, PROFILE, read_listed

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.bundle import SignatureColumn
    from mlopsfw.models.bundle.loaded import LoadedBundle

ROWS = 32
_LONGEST = 16 << 20
_MICROS = (1e14, 4e15)  # of 1973 and 2096: a profile does not say whether it counts micro- or nanoseconds


def background(bundle: LoadedBundle) -> dict[str, list[Any]]:
    """Return 32 rows as a request holds them, spread evenly over each column's distribution in training, in an order of its own.

    A column that the profile has no values of (personal, hashed, lists, tensors, or without a profile) has those of the golden rows.
    """
    profile: Mapping[str, Any] = bundle.profile() if PROFILE in bundle.manifest.files else {}
    golden = msgspec.json.decode(read_listed(bundle.folder, bundle.manifest, GOLDEN, _LONGEST))["columns"]
    draw = np.random.Generator(np.random.PCG64(0))
    rows = {}
    for column in bundle.manifest.inputs:
        values = _spread(column, profile.get(column.name, {}))
        if values is None:
            examples = golden[column.name]
            values = [examples[at % len(examples)] for at in range(ROWS)]
        rows[column.name] = [values[at] for at in draw.permutation(ROWS)]
    return rows


def _spread(column: SignatureColumn, reference: Mapping[str, Any]) -> list[Any] | None:
    """Return 32 values at equal steps of a column's distribution, nulls among them; None where the profile holds no values."""
    counts: Mapping[str, int] = (reference.get("categories") or {}).get("counts") or {}
    points: Sequence[float] = (reference.get("numbers") or {}).get("points") or ()
    if not (counts or points) or (column.type == "datetime" and not _in_micros(points or map(float, counts))):
        return None
    missing = (reference["nulls"] + reference["nan"]) / reference["rows"] if column.nullable else 0.0
    nulls = min(round(ROWS * missing), ROWS - 1)
    at = (np.arange(ROWS - nulls) + 0.5) / (ROWS - nulls)
    if counts:
        totals = np.cumsum([*counts.values()])
        chosen = [[*counts][place] for place in np.searchsorted(totals, at * totals[-1])]
    else:
        chosen = np.asarray(points, dtype=np.float64)[(at * len(points)).astype(np.int64)].tolist()
    return [_value(column, each) for each in chosen] + [None] * nulls


def _in_micros(points: Iterable[float]) -> bool:
    return all(_MICROS[0] <= each <= _MICROS[1] for each in points)


def _value(column: SignatureColumn, value: Any) -> Any:
    """Return a value of a profile as a request holds it."""
    match column.type:
        case "boolean":
            return value in ("true", 1.0)
        case "integer":
            return round(float(value))
        case "number":
            return float(value)
        case "date":
            return str(np.datetime64(round(float(value)), "D"))
        case "datetime":
            return f"{np.datetime64(round(float(value)), 'us')}Z"
        case _:
            return value
