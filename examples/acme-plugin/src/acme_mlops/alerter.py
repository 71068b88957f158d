"""An alerter that appends each alert as one line of JSON to a file, durable before it returns."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from mlopsfw.errors import ConfigError, DeliveryFailed
from mlopsfw.roles import Alert, Alerter, Receipt


class AcmeAlerter(Alerter):
    """Appends to `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def deliver(self, alert: Alert) -> Receipt:
        """Append the alert; a full or read-only disk is a failed delivery, tried again later."""
        line = msgspec.json.encode(alert) + b"\n"
        try:
            with self._log.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
                return Receipt(id=str(file.tell()), link=self._log.as_uri())
        except OSError as error:
            raise DeliveryFailed(f"{self._log}: {error.strerror}") from error

    def check(self) -> None:
        """Look whether the folder of the log is there."""
        if not self._log.parent.is_dir():
            raise ConfigError(f"the folder {self._log.parent} does not exist", hint="Make it, or change `log`.")
