"""What the people on duty rely on: a monitor of means, and an alerter whose file also shows who has taken an alert."""

import os
from collections.abc import Iterable
from math import isfinite
from pathlib import Path

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import ConfigError, DeliveryFailed
from mlopsfw.roles import Alert, AlertChange, Alerter, Finding, Monitor, Number, Receipt, Signals, Window


class MonitorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[monitor]]` with `use = "acme"`: the share by which a mean may change, and the rows that a window needs."""

    limit: float = 0.25
    min_rows: int = 50


class AcmeMonitor(Monitor):
    def __init__(self, config: MonitorConfig) -> None:
        self._config = config

    def signals(self, window: Window, state: dict[str, float] | None) -> Signals:  # of the windows before: means
        means, rows, limit = _means(window), window.rows.num_rows, self._config.limit
        if rows < self._config.min_rows:
            return Signals(compared=False, state=state, summary=f"{rows} rows are too few to compare.")
        if state is None:
            return Signals(compared=False, state=means, summary="This is the first window.")
        changes = {name: abs(means[name] - old) / (abs(old) or 1.0) for name, old in state.items() if name in means}
        order = sorted(changes, key=lambda name: (-changes[name], name))
        moved = {name: 0.8 * state[name] + 0.2 * means[name] for name in order}
        findings = tuple(_finding(name, changes[name]) for name in order if changes[name] > limit)
        numbers = tuple(_number(name, means[name], changes[name], limit) for name in order)
        return Signals(numbers=numbers, findings=findings, state={**state, **means, **moved})


def _number(name: str, mean: float, change: float, limit: float) -> Number:
    return Number(name=name, kind="drift", value=mean, effect=change, threshold=limit, changed=change > limit)


def _finding(name: str, change: float) -> Finding:
    message = f"The mean of {name} differs by {change:.0%} from the windows before."
    return Finding(kind="drift", subject=name, severity="warning", message=message, value=change)


def _means(window: Window) -> dict[str, float]:
    import pyarrow.compute as pc

    numbers = [field.name for field in window.rows.schema if str(field.type) in ("int64", "double", "float")]
    means = {name: pc.mean(window.rows[name]).as_py() for name in numbers}
    return {name: mean for name, mean in means.items() if mean is not None and isfinite(mean)}


@hookimpl
def mlopsfw_monitors() -> Iterable[Provider[Monitor]]:
    yield Provider("acme", MonitorConfig, lambda config, _: AcmeMonitor(config), "Means against the windows before")


class AlerterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[[alerter]]` with `use = "acme"`: `log` is the file to append to, relative to the project."""

    log: str = "acme-alerts.jsonl"


class AcmeAlerter(Alerter):
    """Appends to `log`. The receipt is the place of an alert in the file; what people do about the alert refers to it."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def deliver(self, alert: Alert) -> Receipt:
        return Receipt(id=str(self._append(alert)), link=self._log.absolute().as_uri())

    def update(self, alert: Alert, change: AlertChange) -> None:
        self._append({"about": alert.receipt.id if alert.receipt else "", "change": change})

    def _append(self, record: object) -> int:
        try:
            with self._log.open("ab") as file:
                place = file.tell()
                file.write(msgspec.json.encode(record) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                return place
        except OSError as error:  # such as a full disk: mlopsfw tries again later
            raise DeliveryFailed(f"{self._log}: {error.strerror}") from error

    def check(self) -> None:
        if not self._log.parent.is_dir():
            raise ConfigError(f"the folder {self._log.parent} does not exist", hint="Make it, or change `log`.")


@hookimpl
def mlopsfw_alerters() -> Iterable[Provider[Alerter]]:
    yield Provider("acme", AlerterConfig, lambda config, host: AcmeAlerter(host.root / config.log), "Acme's alert log")
