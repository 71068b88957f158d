"""Columns of a table as tensors for a user's module: numbers, booleans, tensors, lists, texts and bytes. No plan stands between."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_args

import numpy as np
import polars as pl
import torch

from mlopsfw.errors import DataError, UsageError
from mlopsfw.features.fit import ColumnWish, read_wishes
from mlopsfw.features.padded import padded
from mlopsfw.roles import Dtype, SignatureColumn

if TYPE_CHECKING:
    from torch import Tensor

    from mlopsfw.roles import TrainingTask

_SPAN = (0.05, 0.95)
_EXAMPLES = 16
_CHUNK = 2048, 1 << 24  # rows and bytes that are encoded together, at most
_LETTERS = " abcdefghijklmnopqrstuvwxyzé"


class Input(NamedTuple):
    """One input of a module.

    Args:
        column: What a request sends.
        dtype: The type of the tensor's items.
        shape: The sides of one row's tensor.
    """

    column: SignatureColumn
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """The bytes of one row's tensor."""
        return int(np.dtype(self.dtype).itemsize * math.prod(self.shape))

    def array(self, series: pl.Series) -> np.ndarray:
        """Return the rows of a column, `[rows, *shape]`. Raise `DataError` if a value is missing or has another shape."""
        name = self.column.name
        if self.column.type in ("string", "binary", "list"):
            return padded(series.to_list(), self.dtype, self.shape[0], name)
        flat, sides = _flattened(series)
        if sides != self.shape:
            raise DataError(
                f"the column {name!r} has tensors {list(sides)}, but the module learns from {list(self.shape)}"
            )
        array = flat.to_numpy().astype(self.dtype).reshape(len(series), *self.shape)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise DataError(f"the column {name!r} holds NaN or infinite values", hint=_FILL)
        return array


_FILL = "Fill or drop them in a step before: a module gets no missing value."
_SHAPE = "Give them one shape in a step before."


class ModuleFeatures(NamedTuple):
    """What a module reads of the rows of a table.

    Args:
        inputs: The inputs of the module, in order.
    """

    inputs: tuple[Input, ...]

    @property
    def chunk(self) -> int:
        """How many rows to encode together: of large ones few."""
        rows, size = _CHUNK
        return max(1, min(rows, size // max(1, sum(each.bytes for each in self.inputs))))

    def __call__(self, frame: pl.DataFrame) -> tuple[Tensor, ...]:
        """Return a tensor for each input. Raise `DataError` if a value is missing or has another shape."""
        return tuple(torch.from_numpy(each.array(frame[each.column.name])) for each in self.inputs)


class GrowingInputs:
    """The inputs of a module, from rows whose blocks come after one another. What `inputs_of` refuses is refused here, too.

    Args:
        names: The columns, in the order of the module's arguments.
        length: Bytes of a text, and items of lists of several lengths.
    """

    def __init__(self, names: list[str], length: int) -> None:
        self._names, self._length = names, length
        self.inputs: tuple[Input, ...] = ()

    def add(self, frame: pl.DataFrame) -> None:
        """Add a block. Raise `DataError` if its columns are no tensors, or others than those before."""
        if not frame.height:
            return
        added = inputs_of(frame, self._names, self._length)
        pairs = zip(self.inputs or added, added, strict=True)
        self.inputs = tuple(_joined(*pair, frame[pair[0].column.name], self._length) for pair in pairs)
        for each in self.inputs:
            if each.column.type in ("number", "tensor"):
                each.array(frame[each.column.name])  # refuses NaN


def _joined(before: Input, added: Input, series: pl.Series, length: int) -> Input:
    """Return the input of a column of which some rows are as `before`, and those of `series` as `added`."""
    if before == added:
        return before
    dtype = series.dtype
    if isinstance(dtype, pl.List) and not isinstance(dtype.inner, pl.List | pl.Array):
        return _list(series, length)
    raise DataError(f"the column {series.name!r} holds tensors or bytes of several shapes", hint=_SHAPE)


def inputs_of(frame: pl.DataFrame, names: list[str], length: int) -> tuple[Input, ...]:
    """Return how a module reads columns.

    Args:
        frame: The training rows.
        names: The columns, in the order of the module's arguments.
        length: Bytes of a text, and items of lists of several lengths: longer ones are cut, shorter ones padded with 0.

    Raises:
        DataError: A column holds nulls, or a type that is no tensor.
    """
    return tuple(_input(frame[name], length) for name in names)


def check_options(task: TrainingTask, names: list[str]) -> None:
    """Raise `UsageError` for an option of a column: a module reads columns as they are."""
    for name, wish in read_wishes(task).items():
        if name in names and wish != ColumnWish():
            raise UsageError(
                f"the option `module` cannot heed the options of column {name!r}",
                hint="A module reads columns as they are. Exclude a personal column, and change others in a step before.",
            )


def examples(inputs: tuple[Input, ...], frame: pl.DataFrame, seed: int) -> dict[str, list[Any]]:
    """Return made-up rows as requests send them, within the usual range of the training rows."""
    draw = np.random.default_rng(seed)
    return {each.column.name: _made_up(each, frame[each.column.name], draw) for each in inputs}


def _input(series: pl.Series, length: int) -> Input:
    name, dtype = series.name, series.dtype
    if series.null_count():
        raise DataError(f"the column {name!r} holds nulls", hint=_FILL)
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return Input(SignatureColumn(name=name, type="string"), "uint8", (length,))
    if dtype == pl.Binary:
        if series.bin.size().n_unique() > 1:
            raise DataError(f"the column {name!r} holds bytes of several lengths", hint=_SHAPE)
        return Input(SignatureColumn(name=name, type="binary"), "uint8", (len(series[0]),))
    if isinstance(dtype, pl.List) and series.list.len().n_unique() > 1:
        return _list(series, length)
    flat, sides = _flattened(series)
    kind = _kind(flat)
    if sides:
        column = SignatureColumn(name=name, type="tensor", dtype=cast("Dtype", kind), shape=sides)
        return Input(column, kind, sides)
    simple: Any = {"f": "number", "b": "boolean"}.get(np.dtype(kind).kind, "integer")
    return Input(SignatureColumn(name=name, type=simple), "int64" if simple == "integer" else kind, ())


def _list(series: pl.Series, length: int) -> Input:
    """Return the input of lists of several lengths."""
    kind = _kind(series.explode())
    items: Any = {"f": "number", "b": "boolean"}.get(np.dtype(kind).kind, "integer")
    kind = "int64" if items == "integer" else kind
    return Input(SignatureColumn(name=series.name, type="list", items=items), kind, (length,))


def _flattened(series: pl.Series) -> tuple[pl.Series, tuple[int, ...]]:
    """Return the items of regular nested lists, and the sides of one row."""
    sides: list[int] = []
    flat = series
    while isinstance(flat.dtype, pl.List | pl.Array):
        lists = flat.arr.to_list() if isinstance(flat.dtype, pl.Array) else flat
        lengths = lists.list.len().unique()
        if len(lengths) != 1:
            raise DataError(f"the column {series.name!r} holds tensors of several shapes", hint=_SHAPE)
        sides.append(int(lengths[0]))
        flat = lists.explode()
    if flat.null_count():
        raise DataError(f"the column {series.name!r} holds nulls", hint=_FILL)
    return flat, tuple(sides)


def _kind(flat: pl.Series) -> str:
    """Return the type of a tensor's items: that of the column, but float32 for float64 and decimals."""
    kind = "bool" if flat.dtype == pl.Boolean else str(flat.dtype).lower()
    if kind == "float64" or flat.dtype.is_decimal():
        return "float32"
    if kind not in get_args(Dtype):
        raise DataError(
            f"the column {flat.name!r} holds {flat.dtype}, which is no tensor",
            hint="Encode it in a step before, or `exclude` it.",
        )
    return kind


def _made_up(each: Input, series: pl.Series, draw: np.random.Generator) -> list[Any]:
    if each.column.type == "string":
        return ["".join(draw.choice(list(_LETTERS), draw.integers(1, 20))) for _ in range(_EXAMPLES)]
    flat = series.explode() if each.column.type == "list" else _flattened(series)[0]
    sides = (draw.integers(1, each.shape[0] + 1),) if each.column.type == "list" else each.shape
    if each.column.type == "binary":
        return [draw.bytes(each.shape[0]) for _ in range(_EXAMPLES)]
    if each.dtype == "bool":
        return draw.integers(0, 2, (_EXAMPLES, *sides)).astype(bool).tolist()  # type: ignore[no-any-return]
    values = flat.drop_nulls().to_numpy()
    if np.dtype(each.dtype).kind == "f":
        low, high = np.quantile(values, _SPAN)
        return draw.uniform(low, high, (_EXAMPLES, *sides)).astype(each.dtype).tolist()  # type: ignore[no-any-return]
    return draw.integers(values.min(), values.max(), (_EXAMPLES, *sides), endpoint=True).tolist()  # type: ignore[no-any-return]
