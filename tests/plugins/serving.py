"""A small real bundle, and a server for it in a thread: for tests of what goes over the wire, without training anything."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import math
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np

from mlopsfw.capturelog.times import Bounds
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.base.errors import SignatureMismatch
from mlopsfw.kernel.roles.bundle import Bundle, Manifest, SignatureColumn
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw.privacy.requests import Requests
from mlopsfw.privacy.treatments import Treatment
from mlopsfw.serving.recorder import Recorder
from mlopsfw.worker import Scorer
from mlopsfw_deployer_http.gate import Gate, digest
from mlopsfw_deployer_http.listener import Limits, Listener
from mlopsfw_deployer_http.metrics import Metrics
from mlopsfw_deployer_http.quota import Quota
from mlopsfw_deployer_http.service import LABELS, Service

MANIFEST = Manifest(
    task="binary",
    target="late",
    inputs=(
        SignatureColumn(name="distance", type="number", nullable=True),
        SignatureColumn(name="hour", type="integer"),
        SignatureColumn(name="carrier", type="string"),
        SignatureColumn(name="red_eye", type="boolean"),
    ),
    outputs=outputs_for("binary", (False, True)),
    classes=(False, True),
    formats={},
    files={},
)
SPEC = EndpointSpec(endpoint="delay", model="delay", version=3, bundle="b" * 64, revision=1)
ROW: dict[str, Any] = {"distance": 500.0, "hour": 7, "carrier": "UA", "red_eye": False}
KINDS = {"number": (float, int), "integer": (int,), "boolean": (bool,), "string": (str,)}


class RuleBundle:
    """`sigmoid(distance / 1000 + hour / 24 + len(carrier) + red_eye)`: each row's answer depends on that row alone."""

    folder = Path()

    def __init__(self, classes: tuple[Any, ...] = MANIFEST.classes) -> None:
        self.manifest = msgspec.structs.replace(MANIFEST, classes=classes)

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        for column in MANIFEST.inputs:
            for row, value in enumerate(columns[column.name]):
                self._check(column, row, value)
        return {"probability": np.array([rule(*row) for row in zip(*(columns[k] for k in ROW), strict=True)])}

    @staticmethod
    def _check(column: SignatureColumn, row: int, value: Any) -> None:
        if value is None and column.nullable:
            return
        if not isinstance(value, KINDS[column.type]) or (isinstance(value, bool) and column.type != "boolean"):
            raise SignatureMismatch(f"{value!r} is no {column.type}", column=column.name, row=row)

    def profile(self) -> dict[str, Any]:
        return {}


def rule(distance: float | None, hour: int, carrier: str, red_eye: bool) -> float:
    return 1 / (1 + math.exp(-((distance or 0.0) / 1000 + hour / 24 + len(carrier) + red_eye - 3)))


class RunningServer:
    """A server in a thread of this process; `port` is where it listens."""

    def __init__(
        self,
        captures: Path,
        *,
        token: str = "",
        limits: Limits | None = None,
        drain: float = 0.2,
        requests: Requests | None = None,
        bundle: Bundle | None = None,
        label_token: str = "",
        quota: Quota | None = None,
    ) -> None:
        self._own = {LABELS: digest(label_token)} if label_token else {}
        self._bundle, self._quota = bundle or RuleBundle(), quota or Quota(10_000, 2_000.0)
        self._requests = requests or Requests(Treatment({}), Treatment({}))
        self.captures, self._token, self._limits, self._drain = captures, token, limits or Limits(), drain
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        scorer = Scorer(self._bundle, Recorder(SPEC, self._bundle.manifest, SystemClock(), self._requests, Bounds()))
        self.capture = CaptureWriter(self.captures, scorer.header)
        gate = Gate((), digest(self._token) if self._token else "", self._own)
        self.service = Service(
            scorer, gate, Metrics(endpoint="delay"),
            lambda: {"captured_total": self.capture.captured}, self._quota,
        )  # fmt: skip
        self.listener = Listener(self.service, self.capture, self._limits)
        await self.listener.start(self._socket)
        self._started.set()
        await self._end.wait()
        await self.listener.drain(self._drain, 5.0, keep_accepting=False)
        self.capture.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def drain(self) -> None:
        """Begin to drain, as SIGTERM does."""
        self._loop.call_soon_threadsafe(self._end.set)

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self.drain()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Send one request on a connection of its own; return status, decoded body and headers."""
        return ask(self.port, method, path, body, **headers)

    def raw(self, data: bytes, *, timeout: float = 5.0) -> bytes:
        """Send bytes, and return all that comes back until the server closes or `timeout` passes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as client:
            client.sendall(data)
            return b"".join(_until_closed(client))


def _until_closed(client: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while part := client.recv(65536):
            yield part


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
    """Send one request to 127.0.0.1; headers are given with `_` for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    data = body if isinstance(body, bytes) or (body is None and method != "POST") else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} if data is not None else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body=data, headers=sent)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    kind = answer.getheader("content-type") or ""
    return (
        answer.status,
        json.loads(text) if kind.startswith("application/json") and text else text,
        dict(answer.headers),
    )


def infer_body(*rows: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return an Open Inference Protocol request for `rows`."""
    types = {"distance": "FP64", "hour": "INT64", "carrier": "BYTES", "red_eye": "BOOL"}
    inputs = [
        {"name": name, "datatype": types[name], "shape": [len(rows)], "data": [row[name] for row in rows]}
        for name in types
    ]
    return {"inputs": inputs, **more}
