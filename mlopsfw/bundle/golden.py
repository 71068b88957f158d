"""Golden rows: made-up rows and the model's answers to them, replayed whenever a bundle is opened.

They are drawn from the feature plan, never from the training rows, so that a bundle holds no one's data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mlopsfw.bundle.files import GOLDEN, read_listed
from mlopsfw.errors import BundleError, GoldenMismatch
from mlopsfw.features.plan import Lookup, Ramp, Scale

if TYPE_CHECKING:
    from mlopsfw.bundle.loaded import LoadedBundle
    from mlopsfw.contracts.bundle import SignatureColumn
    from mlopsfw.features import FeaturePlan

_ROWS = 16
_NULL_SHARE = 0.2
_TOLERANCE = (
    1e-4  # of the largest answer: other machines' vector units round differently, another model does not answer alike
)
_LONGEST = 16 << 20
_MINUTES_OF_1970_TO_2033 = 33_000_000


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`golden.json`.

    Args:
        columns: Input → values, one a row.
        outputs: Output → what the model answered.
    """

    columns: dict[str, list[Any]]
    outputs: dict[str, Any]


def golden_rows(plan: FeaturePlan, seed: int = 0) -> dict[str, list[Any]]:
    """Return made-up columns that reach what the plan knows: usual and extreme numbers, known and unknown categories, nulls."""
    draw = np.random.default_rng(seed)
    return {column.name: _with_nulls(_made_up(plan, column, draw), column, draw) for column in plan.inputs}


def answers(bundle: LoadedBundle, columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the model's outputs as lists."""
    return {name: values.tolist() for name, values in bundle.predict(columns).items()}


def replay(bundle: LoadedBundle) -> None:
    """Raise `GoldenMismatch` where the model answers its golden rows otherwise than it did when the bundle was made."""
    data = read_listed(bundle.folder, bundle.manifest, GOLDEN, _LONGEST)
    try:
        golden = msgspec.json.decode(data, type=Golden)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BundleError(f"{bundle.folder / GOLDEN} cannot be read: {error}") from None
    found = bundle.predict(golden.columns)
    for name in bundle.manifest.outputs:
        _compare(bundle, name, np.asarray(golden.outputs.get(name)), found[name])


def _compare(bundle: LoadedBundle, name: str, expected: np.ndarray, found: np.ndarray) -> None:
    if expected.shape != found.shape or expected.dtype.kind not in "fiu":
        raise GoldenMismatch(f"{bundle.folder}: {name} of the golden rows has another shape than was stored")
    if not found.size:
        return
    difference = np.abs(found.astype(np.float64) - expected)
    if not difference.max() <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
        row = int(np.argmax(difference.reshape(len(found), -1).max(axis=1)))
        raise GoldenMismatch(
            f"{bundle.folder}: {name} of golden row {row} is off by {difference.max():.3g}",
            hint="The runtime or the machine computes something else than where the model was made; do not serve it.",
        )


def _made_up(plan: FeaturePlan, column: SignatureColumn, draw: np.random.Generator) -> list[Any]:
    own = [op for op in plan.operations if op.column == column.name]
    if column.type == "boolean":
        return [bool(value) for value in draw.integers(0, 2, _ROWS)]
    if column.type == "string":
        return _texts(own, draw)
    if column.type in ("date", "datetime"):
        moments = draw.integers(0, _MINUTES_OF_1970_TO_2033, _ROWS).astype("M8[m]")
        texts = [str(moment) for moment in moments]
        return [text[:10] for text in texts] if column.type == "date" else [f"{text}:00Z" for text in texts]
    values = _numbers(own, draw)
    return [round(value) for value in values] if column.type == "integer" else values


def _texts(own: list[Any], draw: np.random.Generator) -> list[Any]:
    known = next((op.values for op in own if isinstance(op, Lookup)), ())
    made = [f"unseen-{number}" for number in range(_ROWS // 4)] or [""]
    choices = [*known[:200], *made]
    return [choices[at] for at in draw.integers(0, len(choices), _ROWS)]


def _numbers(own: list[Any], draw: np.random.Generator) -> list[float]:
    """Spread over what was seen, and a little beyond; within what 64-bit integers hold."""
    low, high = -3.0, 3.0
    for operation in own:
        if isinstance(operation, Scale):
            low, high = operation.mean - 3 / operation.factor, operation.mean + 3 / operation.factor
        elif isinstance(operation, Ramp):
            low, high = operation.edges[0], operation.edges[-1]
    values = draw.uniform(-0.1, 1.1, _ROWS) * (high / 2 - low / 2) * 2 + low
    return [float(f"{value:.6g}") for value in np.clip(values, -9e15, 9e15)]


def _with_nulls(values: list[Any], column: SignatureColumn, draw: np.random.Generator) -> list[Any]:
    null = draw.random(len(values)) < (_NULL_SHARE if column.nullable else 0.0)
    return [None if gone else value for value, gone in zip(values, null.tolist(), strict=True)]
