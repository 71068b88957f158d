"""The metric `money`: what answers and outcomes are worth, by a table of the file. It stands beside AUC wherever metrics do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec

from mlopsfw.kernel.base.errors import ConfigError, UsageError
from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.hookspecs import hookimpl
from mlopsfw.kernel.roles.metric import Metric
from mlopsfw.kernel.roles.provider import Provider

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.kernel.roles.host import Host
else:
    np = lazy("numpy")

MONEY = "money"
_TASKS = ("binary", "multiclass", "regression")
_TWO = 2  # classes
_PREDICTIONS = 1000  # a text names the money of so many
_WHOLE = 100  # a text of this sum and above has no fraction
_Cost = Annotated[float, msgspec.Meta(ge=0)]


class MoneyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[metric.money]`. Without options the metric is left out.

    Args:
        gain: What a row brings, by its true class (rows of the table, in the order of the model's classes) and by the class that is
            decided for (its columns). Negative where it costs.
        threshold: The probability of the second of two classes from which it is decided for. By default each row is decided so that
            the expected gain is largest.
        over: Of a regression, what each unit costs by which an answer is too large.
        under: Of a regression, what each unit costs by which an answer is too small.
    """

    gain: tuple[tuple[float, ...], ...] = ()
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    over: _Cost = 0.0
    under: _Cost = 0.0

    def __post_init__(self) -> None:
        for row, values in enumerate(self.gain):
            if len(values) != len(self.gain):
                raise _wrong(f"row {row} has {len(values)} numbers, and the table has {len(self.gain)} rows")
        if len(self.gain) == 1:
            raise _wrong("it has one class")


def _wrong(what: str) -> ConfigError:
    hint = "A row for each true class and a column for each decision, such as gain = [[0, -5], [-100, 20]]."
    return ConfigError(f"{what}: it has a number for each true class and each decision", key="gain", hint=hint)


def money(
    config: MoneyConfig, labels: np.ndarray, outputs: Mapping[str, np.ndarray], weight: np.ndarray | None
) -> float | None:
    """Return the mean gain of a row; None where the options say nothing about such a model.

    A decision by the expected gain is that of Elkan (The Foundations of Cost-Sensitive Learning, 2001, equation 1). Raise `UsageError`
    where the table has other classes than the model.
    """
    main = np.asarray(next(iter(outputs.values())), dtype=np.float64)
    if labels.dtype.kind == "f":
        error = main - labels
        gains = -np.where(error > 0, config.over * error, -config.under * error)
        return float(np.average(gains, weights=weight)) if config.over or config.under else None
    if not config.gain:
        return None
    p = np.stack([1 - main, main], axis=1) if main.ndim == 1 else main
    gain = np.array(config.gain)
    if len(gain) != p.shape[1]:
        raise UsageError(
            f"metric.money.gain has {len(gain)} classes, and the model has {p.shape[1]}",
            hint="Write a row and a column for each class, in the model's order.",
        )
    if config.threshold is not None and main.ndim == 1:
        chosen = (main >= config.threshold).astype(np.int64)
    else:
        chosen = (p @ gain).argmax(axis=1)
    return float(np.average(gain[labels, chosen], weights=weight))


def value_text(name: str, value: float, error: float | None = None, form: str = ".3f") -> str:
    """Return a metric with its standard error as a text, such as `auc 0.695 ± 0.004`; money as that of 1,000 predictions.

    Args:
        name: The metric.
        value: Its value.
        error: Its standard error; None for none.
        form: The format of numbers that are no money.
    """
    numbers = [value] if error is None else [value, error]
    if name != MONEY:
        return f"{name} {' ± '.join(f'{number:{form}}' for number in numbers)}"
    sums = [_PREDICTIONS * number for number in numbers]
    texts = [f"{each:,.0f}" if abs(sums[0]) >= _WHOLE else f"{each:.3g}" for each in sums]
    return f"{name} {' ± '.join(texts)} per {_PREDICTIONS:,} predictions"


@hookimpl
def mlopsfw_metrics() -> Iterable[Provider[Metric]]:
    """Offer the metric `money`."""
    yield Provider(MONEY, MoneyConfig, _build, "What a row brings, by a table of gains")


def _build(config: MoneyConfig, _host: Host) -> Metric:
    priced = [len(config.gain) == _TWO, len(config.gain) > _TWO, bool(config.over or config.under)]
    tasks = tuple(task for task, has_price in zip(_TASKS, priced, strict=True) if has_price)
    return Metric(compute=partial(money, config), higher_is_better=True, tasks=tasks or _TASKS)
