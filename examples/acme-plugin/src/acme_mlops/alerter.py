"""An alerter that appends each alert as one line of JSON to a file, durable before it returns."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from mlopsfw.errors import DeliveryFailed
from mlopsfw.roles import Alert


class AcmeAlerter:
    """Appends to `log`."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def deliver(self, alert: Alert) -> None:
        """Append the alert; a full or read-only disk is a failed delivery, tried again later."""
        line = msgspec.json.encode(alert) + b"\n"
        try:
            with self._log.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryFailed(f"{self._log}: {error.strerror}") from error
