"""What is logged of scikit-learn's estimators in one run: class, parameters, training score, time, and the curves that they keep."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import msgspec

from mlopsfw.pipeline.run.autolog.sink import Sink, name_of, plain

_SCORED = 10_000  # rows that a training score is computed on, at most
_MOST_LABELS = 100
_CURVES = ("loss_curve_", "validation_scores_", "train_score_", "validation_score_")

_inside: ContextVar[bool] = ContextVar("mlopsfw_autolog_fit", default=False)


class Estimators:
    """The estimators that one run fits.

    Args:
        sink: Where to write.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink, self._lock = sink, threading.Lock()
        self._labels: dict[tuple[str, bytes], str] = {}  # by class and parameters
        self._counts: Counter[str] = Counter()  # fits by label
        self._running = 0

    def logs(self, estimator: object) -> bool:
        """Return whether a fit that begins now is logged: of a model, and none that another fit calls.

        Threads of joblib do not inherit the context of the fit that started them.
        """
        model = hasattr(type(estimator), "predict") or hasattr(type(estimator), "fit_predict")
        in_joblib = self._running > 0 and type(threading.current_thread()).__module__ == "multiprocessing.dummy"
        return model and not _inside.get() and not in_joblib

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """Within the block, fits are parts of another one."""
        token = _inside.set(True)
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            _inside.reset(token)
            with self._lock:
                self._running -= 1

    def fitted(self, estimator: Any, data: Sequence[Any], seconds: float) -> None:
        """Log a fit that has ended.

        Args:
            estimator: What was fitted.
            data: The positional arguments: rows, and labels if there are any.
            seconds: How long it took.
        """
        params = estimator.get_params(deep=True)
        label, number = self._label(type(estimator).__name__, {name: plain(value) for name, value in params.items()})
        if not label:
            return
        if number == 0:
            rows = {"rows": len(data[0])} if data and hasattr(data[0], "__len__") else {}
            with suppress(Exception):  # a sparse matrix has a shape, but no length
                rows["rows"], rows["columns"] = data[0].shape
            best = {f"best.{name}": value for name, value in getattr(estimator, "best_params_", {}).items()}
            self._sink.params(label, {"class": name_of(type(estimator)), **params, **rows, **best})
        for name, value in {"fit_seconds": seconds, **self._scores(estimator, data)}.items():
            self._sink.log.log(f"{label}.{name}", value, number)
        for name, curve in _curves(estimator):
            for step, value in enumerate(curve):
                self._sink.log.log(f"{label}.{name}", float(value), step)

    def _label(self, name: str, params: Mapping[str, Any]) -> tuple[str, int]:
        """Return what the run calls an estimator, and how often one with these parameters was fitted before; "" for too many."""
        key = (name, msgspec.json.encode(params, order="sorted"))
        with self._lock:
            if key not in self._labels:
                if len(self._labels) >= _MOST_LABELS:
                    return "", 0
                same = sum(other == name for other, _ in self._labels)
                self._labels[key] = f"{name}_{same + 1}" if same else name
            label = self._labels[key]
            self._counts[label] += 1
            return label, self._counts[label] - 1

    def _scores(self, estimator: Any, data: Sequence[Any]) -> dict[str, float]:
        scores = {}
        with suppress(Exception):  # it has none
            scores["best_score"] = float(estimator.best_score_)
        if len(data) > 1 and data[1] is not None and hasattr(estimator, "score"):
            every = -(-_length(data[0]) // _SCORED)
            with self.fitting():
                scores["training_score"] = float(
                    estimator.score(*(each[::every] if every > 1 else each for each in data[:2]))
                )
        return scores


def _length(rows: Any) -> int:
    return int(rows.shape[0] if hasattr(rows, "shape") else len(rows))


def _curves(estimator: Any) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield the numbers by iteration that an estimator keeps, such as a loss by epoch, or a metric by tree of an `eval_set`."""
    for name in _CURVES:
        curve = getattr(estimator, name, None)
        if curve is not None and len(curve) and not hasattr(curve[0], "__len__"):
            yield name.rstrip("_"), curve
    for rows, metrics in (getattr(estimator, "evals_result_", None) or {}).items():
        for metric, curve in metrics.items():
            yield f"{rows}.{metric}", curve
