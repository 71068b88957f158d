"""The fits of a validation: each trains on some of the rows and answers others, as a cached child of the step `validate`.

So fits run side by side, one that was made before a kill is not made again, and a report that asks more of the same folds trains nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.pipeline.run.child import GIVEN
from mlopsfw.training.crossfit import check_classes, fit_rows, joined, judged_by

if TYPE_CHECKING:
    import polars as pl

    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.engine import Failure, StepResult
    from mlopsfw.kernel.roles.training import Trainer
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.pipeline.cache.key import Fingerprint
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.pipeline.run.children import Children
    from mlopsfw.training.crossfit import Judged, Subject
    from mlopsfw.training.folds import Fold

OUTPUT = "predictions"
"""The output of a child, and of its step."""
_SEEN = 10_000  # training rows of a fit that it also answers
_PATIENCE = 0.05  # seconds
_AT, _LEARNED, _VALUES = "at", "learned", "output."


class PlannedFit(NamedTuple):
    """A fit to make.

    Args:
        trainer: The name of the trainer.
        name: Such as `fold1`, the same for every trainer.
        train: int64 positions to learn from, ascending.
        judge: int64 positions of the rows to answer, ascending.
    """

    trainer: str
    name: str
    train: np.ndarray
    judge: np.ndarray

    @property
    def label(self) -> str:
        """What errors call it."""
        return f"{self.name} of {self.trainer}"

    @property
    def given(self) -> dict[str, str]:
        """What its child identifies it by."""
        return {"trainer": self.trainer, "name": self.name}


class Answers(NamedTuple):
    """What the model of a fit answered.

    Args:
        judged: The rows that judge it.
        learned: Up to 10,000 of the rows that it learned from.
    """

    judged: Judged
    learned: Judged


def planned_folds(trainer: str, folds: Sequence[Fold], name: str = "fold") -> list[PlannedFit]:
    """Return a fit for each fold."""
    return [PlannedFit(trainer, f"{name}{at}", fold.train, fold.validation) for at, fold in enumerate(folds, 1)]


class Fits:
    """The answers of all fits of a validation.

    Args:
        answers: (Trainer, name of the fit) → answers.
    """

    def __init__(self, answers: Mapping[tuple[str, str], Answers]) -> None:
        self._answers = answers

    def get(self, trainer: str, name: str) -> Answers | None:
        """Return the answers of a fit; None if it was not planned."""
        return self._answers.get((trainer, name))

    def folds(self, trainer: str, name: str = "fold") -> Answers:
        """Return the answers of the fits of all folds as one."""
        parts: list[Answers] = []
        while each := self.get(trainer, f"{name}{len(parts) + 1}"):
            fold = len(parts)
            parts.append(Answers(*(rows._replace(fold=np.full(len(rows.at), fold)) for rows in each)))
        return Answers(joined([each.judged for each in parts]), joined([each.learned for each in parts]))


def make_fit(
    subject: Subject, fit: PlannedFit, *, trainer: Trainer, bundles: BundleStore, context: StepContext
) -> pl.DataFrame:
    """Train on the rows of a fit, and return its answers as a table. Called in its child."""
    import polars as pl

    model = fit_rows(subject, fit.train, fit.name, trainer=trainer, bundles=bundles, context=context)
    seen = fit.train
    if len(seen) > _SEEN:
        draw = np.random.Generator(np.random.PCG64(subject.task.seed))
        seen = np.sort(draw.choice(seen, _SEEN, replace=False))
    return pl.concat(
        _packed(judged_by(subject, model, at), learned=learned) for at, learned in ((fit.judge, False), (seen, True))
    )


def _packed(judged: Judged, *, learned: bool) -> pl.DataFrame:
    import polars as pl

    frame = pl.DataFrame({_AT: judged.at, _LEARNED: np.full(len(judged.at), learned)})
    values = (pl.Series(f"{_VALUES}{name}", _plain(each)) for name, each in judged.outputs.items())
    return frame.with_columns(*values)


def _plain(values: np.ndarray) -> Any:
    return values.tolist() if values.dtype == object else values


def _unpacked(subject: Subject, table: pl.DataFrame) -> Answers:
    return Answers(*(_judged(subject, table.filter(table[_LEARNED] == learned)) for learned in (False, True)))


def _judged(subject: Subject, part: pl.DataFrame) -> Judged:
    from mlopsfw.training.crossfit import Judged

    at = part[_AT].to_numpy()
    outputs = {name.removeprefix(_VALUES): part[name].to_numpy() for name in part.columns if name.startswith(_VALUES)}
    weights = None if subject.weights is None else subject.weights[at]
    return Judged(at, np.zeros(len(at), dtype=np.int64), subject.labels[at], outputs, weights)


class FitLoop:
    """Makes the fits of one validation.

    Args:
        subject: All rows.
        children: Make the fits.
        context: Of the step.
        counts: What a fit depends on besides its trainer, its name and the inputs, as JSON values.
    """

    def __init__(self, subject: Subject, children: Children, context: StepContext, counts: Mapping[str, Any]) -> None:
        self._subject, self._children, self._context, self._counts = subject, children, context, counts
        self._past = {child.given.digest: child for child in children.past.children}
        self._made: dict[int, Artifact] = {}

    def run(self, planned: Sequence[PlannedFit], parallel: int) -> Fits:
        """Make the fits, `parallel` at once, or as many as the engine has slots.

        Raises:
            DataError: A fit has rows of one class only to learn from, or failed. The first ends the others.
        """
        for fit in planned:
            check_classes(self._subject, fit.train, fit.label)
        try:
            self._make(planned, self._children.at_once(parallel))
        finally:
            self._children.close()
        load = self._context.values.load
        tables = ((fit, load(self._made[number], "polars.DataFrame")) for number, fit in enumerate(planned))
        return Fits({(fit.trainer, fit.name): _unpacked(self._subject, table) for fit, table in tables})

    def _make(self, planned: Sequence[PlannedFit], slots: int) -> None:
        waiting = deque(self._not_made(planned))
        if reused := len(planned) - len(waiting):
            self._context.log(f"{reused} of {len(planned)} fits were made before")
        while waiting or self._children.running:
            while waiting and len(self._children.running) < slots:
                self._start(*waiting.popleft())
            for number, result in self._children.ended(_PATIENCE):
                self._end(number, planned[number], result)
                self._context.progress(f"{len(self._made)} of {len(planned)} fits", len(self._made) / len(planned))

    def _not_made(self, planned: Sequence[PlannedFit]) -> Iterable[tuple[int, Artifact, Fingerprint]]:
        """Yield the fits that neither an earlier attempt of the step nor the cache has."""
        for number, fit in enumerate(planned):
            key = self._children.key({**self._counts, **fit.given}, (f"trainer.{fit.trainer}",))
            given = self._context.values.store({**fit.given, "key": key.key}, "fit")
            past = self._past.get(given.digest)
            made = past if past and past.outputs else self._children.cached(number, given, key)
            if made is None:
                yield number, given, key
            else:
                self._made[number] = made.outputs[OUTPUT]

    def _start(self, number: int, given: Artifact, key: Fingerprint) -> None:
        past = self._past.get(given.digest)
        self._children.start(number, given, key, output=OUTPUT, attempt=past.attempt + 1 if past else 1)

    def _end(self, number: int, fit: PlannedFit, result: StepResult) -> None:
        self._children.record(number, result, keep=True)
        if result.failure is not None:
            raise DataError(_message(fit, result.failure), hint="`mlopsfw resume` goes on with the fits that are left.")
        self._made[number] = result.outputs[OUTPUT]


def _message(fit: PlannedFit, failure: Failure) -> str:
    kind = "" if failure.type == DataError.__name__ else f"{failure.type}: "
    return f"{fit.label}: {kind}{failure.message.removeprefix(f'{fit.name}: ')}"


def own_fit(context: StepContext, planned: Iterable[PlannedFit]) -> PlannedFit | None:
    """Return the fit that this attempt is a child for; None where it is the step itself."""
    if GIVEN not in context.inputs:
        return None
    given = context.load(GIVEN)
    return next(fit for fit in planned if (fit.trainer, fit.name) == (given["trainer"], given["name"]))
