"""Golden rows: generated rows as a request holds them, their features as in training, and the model's outputs. Opening a bundle replays them.

They are drawn from the signature and the feature plan, or given by the trainer, never taken from the training rows: a bundle holds
nobody's data.

"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import numpy as np

from mlopsfw.features.expressions import columns_of
from mlopsfw.features.plan import CATEGORICAL, NUMERIC, FeaturePlan, Lookup, Ramp, Scale
from mlopsfw.kernel.base.errors import BundleError, GoldenMismatch, ServingSkew
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.derived import Call, Constant, Find
from mlopsfw.models.bundle.answers import as_lists
from mlopsfw.models.bundle.files import GOLDEN, read_listed

if TYPE_CHECKING:
    from mlopsfw.models.bundle.loaded import LoadedBundle

_ROWS = 16
_NULL_SHARE = 0.2
_FREE_SIDE = 3  # length of a side of any length
_TOLERANCE = (
    1e-4  # of the largest output: vector units of other machines round differently, but another model differs by more
)
_ALIKE = 1e-5  # the last bit of a logarithm may differ between machines
_LONGEST = 16 << 20
_MINUTES_OF_1970_TO_2033 = 33_000_000


Arrays = Mapping[str, np.ndarray]


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`golden.json`.

    Args:
        columns: Input → values, one a row.
        outputs: Output → the model's values.
        features: The plan's `numeric` and `categorical` arrays for these rows, computed as in training.
    """

    columns: dict[str, list[Any]]
    outputs: dict[str, Any]
    features: dict[str, Any] = {}


Spans = Mapping[str, tuple[float, float]]
"""Column of numbers → the range of most of its values."""


def golden_rows(
    inputs: Sequence[SignatureColumn], plan: FeaturePlan | None, seed: int = 0, spans: Spans | None = None
) -> dict[str, list[Any]]:
    """Return generated columns: usual and extreme numbers, known and unknown categories, lists, tensors and nulls.

    Args:
        inputs: The columns.
        plan: The plan that reads them, whose numbers and categories are covered; None where the model has none.
        seed: The seed of the generator.
        spans: The spans of columns that the plan itself does not know.
    """
    draw = np.random.default_rng(seed)
    made = {column.name: _drawn(plan, column, draw, spans or {}) for column in inputs}
    return {column.name: _with_nulls(made[column.name], column, draw) for column in inputs}


def replay(bundle: LoadedBundle) -> None:
    """Raise `GoldenMismatch` if the model's outputs for its golden rows differ from those at the making of the bundle."""
    data = read_listed(bundle.folder, bundle.manifest, GOLDEN, _LONGEST)
    try:
        golden = msgspec.json.decode(data, type=Golden)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BundleError(f"{bundle.folder / GOLDEN} cannot be read: {error}") from None
    replay_golden(bundle, golden)


def replay_golden(bundle: LoadedBundle, golden: Golden) -> None:
    """Raise `GoldenMismatch` if serving makes other features of these rows, or the model's outputs differ."""
    if golden.features and bundle.plan is not None:
        _replay_features(bundle, bundle.plan, golden)
    outputs = as_lists(bundle.predict(golden.columns))
    for name, values in outputs.items():
        _compare(bundle, name, golden.outputs.get(name), values)


def _replay_features(bundle: LoadedBundle, plan: FeaturePlan, golden: Golden) -> None:
    """Make the features as serving does, one row at a time, and compare them with those of training."""
    expected = {name: np.asarray(values) for name, values in golden.features.items()}
    for row in range(len(next(iter(golden.columns.values()), []))):
        features = plan.numpy({name: values[row : row + 1] for name, values in golden.columns.items()})
        where = f"{bundle.folder}: golden row {row}"
        check_alike(plan, {name: values[row : row + 1] for name, values in expected.items()}, features, where)


def check_alike(plan: FeaturePlan, trained: Arrays, served: Arrays, where: str, *, real: bool = False) -> None:
    """Raise `ServingSkew` if serving made other features of a row than training.

    Args:
        plan: Names the columns that the features are made of.
        trained: `numeric` and `categorical` as training made them, `[1, k]`.
        served: Likewise as serving did.
        where: Which row it is.
        real: Whether it is a row of training. Then everything must be equal to the bit, and errors show no value. Else numbers may
            differ by 1e-5, relatively where they are above 1; codes may not.
    """
    for name, sources in ((NUMERIC, plan.numeric_sources), (CATEGORICAL, plan.categorical_sources)):
        a, b = (np.asarray(arrays.get(name, np.empty((1, 0))), dtype=np.float64) for arrays in (trained, served))
        if a.shape != b.shape:
            raise ServingSkew(
                f"{where}: serving computes {b.shape[-1]} {name} features, but training computed {a.shape[-1]}"
            )
        allowed = 0.0 if real or name == CATEGORICAL else _ALIKE * np.maximum(1.0, np.abs(a))
        wrong = np.argwhere(~(np.abs(a - b) <= allowed))
        if len(wrong):
            at = tuple(wrong[0])
            values = "a different value from training" if real else f"{b[at]:.9g}, but training computed {a[at]:.9g}"
            raise ServingSkew(
                f"{where}: from {sources[at[-1]]!r} serving computes {values}",
                hint="Do not serve the model: its inputs would differ from those in training. Train it again.",
            )


def _compare(bundle: LoadedBundle, name: str, expected: Any, actual: list[Any]) -> None:
    """Compare an output with the stored one: numbers within a tolerance, everything else exactly."""
    stored = msgspec.json.decode(msgspec.json.encode(actual))  # what is no number, as JSON holds it
    a, b = (_numbers_of(values) for values in (expected, stored))
    if a is None or b is None:
        wrong = [
            row
            for row, value in enumerate(stored)
            if not isinstance(expected, list) or expected[row : row + 1] != [value]
        ]
        if wrong or len(expected) != len(stored):
            _differs(bundle, name, wrong[0] if wrong else 0, "")
        return
    if a.shape != b.shape:
        raise GoldenMismatch(f"{bundle.folder}: {name} of the golden rows does not have the stored shape")
    difference = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b))
    if a.size and not difference.max() <= _TOLERANCE * max(1.0, float(np.nanmax(np.abs(a), initial=0.0))):
        row = int(np.argmax(np.nan_to_num(difference, nan=np.inf).reshape(len(a), -1).max(axis=1)))
        _differs(bundle, name, row, f" by {difference.max():.3g}")


def _numbers_of(values: Any) -> np.ndarray | None:
    """Return nested lists of numbers as float64, with NaN for null; None where they hold anything else."""
    try:
        return np.array(values, dtype=np.float64) if not _has_text(values) else None
    except (TypeError, ValueError):
        return None


def _has_text(values: Any) -> bool:
    return any(map(_has_text, values)) if isinstance(values, list) else isinstance(values, str)


def _differs(bundle: LoadedBundle, name: str, row: int, by: str) -> NoReturn:
    raise GoldenMismatch(
        f"{bundle.folder}: {name} of golden row {row} differs{by}",
        hint="Do not serve the model: this runtime or machine computes other results than the one that trained it.",
    )


def _drawn(plan: FeaturePlan | None, column: SignatureColumn, draw: np.random.Generator, spans: Spans) -> list[Any]:
    if column.type == "binary":
        raise BundleError(
            f"no golden row can be made up for the input {column.name!r}, which is binary",
            hint="The trainer gives made-up values of every input in TrainedModel.examples.",
        )
    if column.type == "tensor":
        return [_tensor(column, draw) for _ in range(_ROWS)]
    if column.type == "list":
        items = msgspec.structs.replace(column, type=column.items or "number", items=None)
        return [_drawn(None, items, draw, spans)[: 1 + row % 5] for row in range(_ROWS)]
    return _made_up(plan, column, draw, spans)


def _tensor(column: SignatureColumn, draw: np.random.Generator) -> list[Any]:
    """Return one row's tensor: floats in [0, 1), whole numbers 0 and 1, which also a table of embeddings has."""
    sides = tuple(_FREE_SIDE if side is None else side for side in column.shape)
    kind = np.dtype(column.dtype or "float32")
    made: list[Any] = (
        draw.random(sides).round(3).astype(kind) if kind.kind == "f" else draw.integers(0, 2, sides).astype(kind)
    ).tolist()
    return made


def _made_up(plan: FeaturePlan | None, column: SignatureColumn, draw: np.random.Generator, spans: Spans) -> list[Any]:
    operations = [op for op in plan.operations if op.column == column.name] if plan is not None else []
    if column.type == "boolean":
        return [bool(value) for value in draw.integers(0, 2, _ROWS)]
    if column.type == "string":
        return _texts([*_texts_in_lookup(operations), *(_texts_in_plan(plan, column.name) if plan else ())], draw)
    if column.type in ("date", "datetime"):
        moments = draw.integers(0, _MINUTES_OF_1970_TO_2033, _ROWS).astype("M8[m]")
        texts = [str(moment) for moment in moments]
        return [text[:10] for text in texts] if column.type == "date" else [f"{text}:00Z" for text in texts]
    values = _numbers(operations, draw, spans.get(column.name, (-3.0, 3.0)))
    return [round(value) for value in values] if column.type == "integer" else values


def _texts_in_lookup(operations: list[Any]) -> tuple[str, ...]:
    return next((op.values[:200] for op in operations if isinstance(op, Lookup)), ())


def _texts_in_plan(plan: FeaturePlan, column: str) -> list[str]:
    """Return some texts that derived columns look up, or compare with a column."""
    candidates: list[str] = []
    waiting = [(each.expression, columns_of(each.expression)) for each in plan.derived]
    while waiting:
        expression, reads = waiting.pop()
        match expression:
            case Find(keys=keys, key=key) if column in reads:
                candidates += keys[:100]
                waiting.append((key, columns_of(key)))
            case Call(arguments=arguments):
                waiting += [(each, reads) for each in arguments]
            case Constant(value=str() as text) if column in reads:
                candidates.append(text)
    return sorted(set(candidates))


def _texts(texts: Sequence[str], draw: np.random.Generator) -> list[Any]:
    unseen = [f"unseen-{number}" for number in range(_ROWS // 4)] or [""]
    choices = [*texts, *unseen]
    return [choices[at] for at in draw.integers(0, len(choices), _ROWS)]


def _numbers(operations: list[Any], draw: np.random.Generator, span: tuple[float, float]) -> list[float]:
    """Return numbers over the seen range and a little beyond, within 64-bit integers."""
    low, high = span
    for operation in operations:
        if isinstance(operation, Scale):
            low, high = operation.mean - 3 / operation.factor, operation.mean + 3 / operation.factor
        elif isinstance(operation, Ramp):
            low, high = operation.edges[0], operation.edges[-1]
    values = draw.uniform(-0.1, 1.1, _ROWS) * (high / 2 - low / 2) * 2 + low
    return [float(f"{value:.6g}") for value in np.clip(values, -9e15, 9e15)]


def _with_nulls(values: list[Any], column: SignatureColumn, draw: np.random.Generator) -> list[Any]:
    null = draw.random(len(values)) < (_NULL_SHARE if column.nullable else 0.0)
    is_nullable = column.type != "tensor"
    return [None if missing and is_nullable else value for value, missing in zip(values, null.tolist(), strict=True)]
