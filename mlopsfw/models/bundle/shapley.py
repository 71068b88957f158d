"""Shapley values by sampling, for a model whose runtime has no `explain` of its own. Needs only NumPy, and the model's answers.

A value is the mean of what an input adds when it joins those before it, over 32 orders of the inputs, each with a background row for those
that have not joined (Štrumbelj & Kononenko, Explaining prediction models and individual predictions with feature contributions, 2014,
algorithm 2). An order and its reverse are both taken (Mitchell et al., Sampling Permutations for Shapley Value Estimation, 2022, section
4.1). A row costs 32 · (inputs - 1) answers, above 100 inputs fewer, and the values add up to its answer exactly, whatever the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.kernel.roles.bundle import TASK_OUTPUTS

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.bundle import Manifest

Arrays = Mapping[str, np.ndarray]
_VALUES = 160_000  # of a row's inputs, over half of the orders
_AT_ONCE = 1 << 16  # rows that the model is asked about
_HELD = 1 << 23  # values of inputs, 64 MiB: the rows that lie between two of 10,000 inputs would take 1.6 GB
_FLOOR = 1e-6  # of a probability: a forest may answer 0, whose logarithm is no number


class Sampled:
    """Explains the answers of one model. Holds no state between them; many threads may use it.

    Args:
        manifest: The model's.
        answers: Its answers to columns, as `Model.predict` gets and returns them.
        rows: Background rows, an even number. Above 100 inputs fewer of them are used, so that the cost of a row does not grow.

    Raises:
        UsageError: The answers of such a model are no sums of what each input adds.
    """

    def __init__(self, manifest: Manifest, answers: Callable[[Arrays], Arrays], rows: Arrays) -> None:
        _check(manifest)
        self._manifest, self._answers = manifest, answers
        self._names = [column.name for column in manifest.inputs]
        count = min(len(rows[self._names[0]]), 2 * max(1, _VALUES // len(self._names) ** 2))
        self._rows = {name: values[:count] for name, values in rows.items()}
        self._base = self._sums(self._rows)
        draw = np.random.Generator(np.random.PCG64(0))
        half = [draw.permutation(len(self._names)) for _ in range(count // 2)]
        orders = np.stack([*half, *(order[::-1] for order in half)])
        self._ranks = orders.argsort(axis=1)  # [orders, inputs], the place of each input

    def explain(self, columns: Arrays) -> dict[str, np.ndarray]:
        """Return what each input adds, and under an empty name the mean answer to the background rows: `[rows]`, or `[rows, classes]`."""
        rows, steps = len(columns[self._names[0]]), len(self._names) - 1
        size = max(1, _AT_ONCE // max(1, len(self._base) * steps))
        parts = [
            self._part({name: values[at : at + size] for name, values in columns.items()})
            for at in range(0, rows, size)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in ("", *self._names)}

    def _part(self, columns: Arrays) -> dict[str, np.ndarray]:
        count, names = len(self._base), self._names
        ends, rows = self._sums(columns), len(columns[names[0]])
        start = np.broadcast_to(self._base, (rows, *self._base.shape))
        path = [start[:, :, None], self._between(columns, rows), np.repeat(ends[:, None, None], count, axis=1)]
        added = np.diff(np.concatenate(path, axis=2), axis=2)
        each = np.arange(count)
        values = {name: added[:, each, self._ranks[:, at]].mean(axis=1) for at, name in enumerate(names)}
        return {"": start.mean(axis=1), **values}

    def _between(self, columns: Arrays, rows: int) -> np.ndarray:
        """Return the sums of rows that have some inputs of their own and the others of a background row, `[rows, orders, inputs - 1, …]`."""
        count, steps = len(self._base), len(self._names) - 1
        if not steps:
            return np.empty((rows, count, 0, *self._base.shape[1:]))
        width = max(1, _HELD // (rows * count * len(self._names)))
        spans = [np.arange(at, min(at + width, steps + 1))[:, None] for at in range(1, steps + 1, width)]
        return np.concatenate([self._at(columns, self._ranks[:, None, :] < span, rows) for span in spans], axis=2)

    def _at(self, columns: Arrays, joined: np.ndarray, rows: int) -> np.ndarray:
        """Return the sums where the inputs `joined` [orders, steps, inputs] are the row's own."""
        count, steps = joined.shape[:2]
        own = count + np.arange(rows)[:, None, None]
        mixed = {}
        for at, name in enumerate(self._names):
            places = np.where(joined[None, :, :, at], own, np.arange(count)[None, :, None])
            mixed[name] = np.concatenate([self._rows[name], columns[name]])[places.ravel()]
        sums = self._sums(mixed)
        return sums.reshape(rows, count, steps, *sums.shape[1:])

    def _sums(self, columns: Arrays) -> np.ndarray:
        """Return the answers before the link: log odds, logarithms of the classes' probabilities, or values."""
        main = np.asarray(self._answers(columns)[self._manifest.outputs[0].name], dtype=np.float64)
        if not self._manifest.classes:
            return main
        p = np.clip(main, _FLOOR, 1.0)
        return np.log(p) if main.ndim > 1 else np.log(p) - np.log(np.clip(1 - main, _FLOOR, 1.0))


def _check(manifest: Manifest) -> None:
    if manifest.task not in TASK_OUTPUTS or manifest.outputs[0].type not in ("number", "tensor"):
        raise UsageError(
            f"the answers of a model of the task {manifest.task!r} cannot be explained",
            hint=f"A runtime with `explain` can; without it the task is {', '.join(TASK_OUTPUTS)}.",
        )
    for column in manifest.inputs:
        if None in column.shape:
            raise UsageError(
                f"the answers of a model cannot be explained where the input {column.name!r} has a side of any length",
                hint="Fix the sides of the tensor in the signature.",
            )
