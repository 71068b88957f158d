"""Sending: a line of a file, or a POST through the HTTP client; any 2xx means that the receiver has it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.http import check_url, deliver
from mlopsfw_observer_openlineage.waiting import Waiting

if TYPE_CHECKING:
    from mlopsfw.roles import Host
    from mlopsfw_observer_openlineage import OpenLineageConfig


def send(event: dict[str, Any], config: OpenLineageConfig, host: Host) -> None:
    """Write the event, or POST it and those that wait. Raise `DeliveryFailed` where the receiver does not have it."""
    body = msgspec.json.encode(event)
    if config.file:
        _append(host.root / config.file, body + b"\n")
    else:
        Waiting(host.private_folder("waiting"), host.clock).send(body, lambda waiting: _post(waiting, config, host))


def _post(body: bytes, config: OpenLineageConfig, host: Host) -> None:
    headers = {"Content-Type": "application/json"}
    if config.secret:
        token = host.secrets.bearer_token(config.secret, key="observer.openlineage.secret")
        headers["Authorization"] = f"Bearer {token}"
    url = host.secrets.reveal(config.url)
    check_url(url, key="observer.openlineage.url")
    deliver(url, body, headers, timeout=config.timeout, allow_private=config.allow_private)


def _append(file: Path, line: bytes) -> None:
    """Append in one write, so that two processes' lines never mix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)
