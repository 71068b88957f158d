"""The alerter `sample`: appends each alert as one line of JSON to a file, durable before it returns."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from mlopsfw import Provider, hookimpl
from mlopsfw.errors import ConfigError, DeliveryFailed
from mlopsfw.roles import Alert, AlertChange, Alerter, Host, Receipt


class SampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[alerter]]` with `use = "sample"`.

    Args:
        log: The file to append to, relative to the project.
    """

    log: str = "sample-alerts.jsonl"


class SampleAlerter(Alerter):
    """Appends to `log`. The receipt of an alert is its place in the file, and what a person does about it names this place."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def deliver(self, alert: Alert) -> Receipt:
        """Append the alert. mlopsfw repeats a failed delivery later, so the same id may arrive twice."""
        return Receipt(id=str(self._append(alert)))

    def update(self, alert: Alert, change: AlertChange) -> None:
        """Append what a person did about an alert. Without this method, the receiver is not told."""
        self._append({"about": alert.receipt.id if alert.receipt else "", "change": change})

    def _append(self, record: object) -> int:
        try:
            with self._log.open("ab") as file:
                place = file.tell()
                file.write(msgspec.json.encode(record) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                return place
        except OSError as error:
            raise DeliveryFailed(f"{self._log}: {error.strerror}") from error

    def check(self) -> None:
        """Look whether the folder of the log is there. `doctor` asks."""
        if not self._log.parent.is_dir():
            raise ConfigError(f"the folder {self._log.parent} does not exist", hint="Make it, or change `log`.")


def _build(config: SampleConfig, host: Host) -> Alerter:
    return SampleAlerter(host.root / config.log)


@hookimpl
def mlopsfw_alerters() -> Iterable[Provider[Alerter]]:
    """Offer the alerter."""
    yield Provider("sample", SampleConfig, _build, "Alerts as lines of a file")
