"""A load of keep-alive clients in a process of its own: each sends a request, reads the whole answer, and sends the next.

`python load.py PORT CLIENTS` runs until its standard input closes, then prints what it saw as one JSON line. A request counts as
failed unless the whole of a 200 answer came back; no request is ever sent again. A client opens a new connection where the
answer before said `Connection: close`, as HTTP/1.1 asks of it. A failure is told with whether its connection had answered before
(`held`) or may never have been accepted (`new`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

BODY = json.dumps(
    {
        "inputs": [
            {"name": "distance", "datatype": "FP64", "shape": [1], "data": [500.0]},
            {"name": "hour", "datatype": "INT64", "shape": [1], "data": [7]},
            {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["UA"]},
            {"name": "red_eye", "datatype": "BOOL", "shape": [1], "data": [False]},
        ]
    }
).encode()


class Client:
    """One keep-alive client; `seen` is shared by all."""

    def __init__(self, port: int, body: bytes, path: str, seen: dict[str, Any]) -> None:
        self.port, self.seen = port, seen
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.request = head.encode() + body
        self.answered = 0  # on this connection
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            began = time.perf_counter()
            try:
                await self.once()
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.seen["failed"].append(["held" if self.answered else "new", repr(error)])
                self.drop()
                await asyncio.sleep(0.01)
            self.seen["seconds"].append(time.perf_counter() - began)
        self.drop()

    async def once(self) -> None:
        if self.streams is None:
            self.answered = 0  # before it is tried: a refusal is a new connection's, not that of the one before
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            self.seen["connections"] += 1
        reader, writer = self.streams
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(head.split(b"\r\n")[0].decode())
        answer = json.loads(body)
        self.answered += 1
        self.seen["ids"] += answer["parameters"]["prediction_ids"]
        digest = answer["parameters"]["bundle"]
        if f"mlopsfw-bundle: {digest}".encode() not in head:
            raise ValueError("header and body name two models")
        self.seen["bundles"].setdefault(digest, answer["outputs"][0]["data"])
        if answer["outputs"][0]["data"] != self.seen["bundles"][digest]:
            raise ValueError("one model, two answers")
        if b"connection: close" in head:
            self.drop()

    def drop(self) -> None:
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


async def main(port: int, clients: int, body: bytes, path: str) -> dict[str, Any]:
    seen: dict[str, Any] = {"ids": [], "failed": [], "seconds": [], "connections": 0, "bundles": {}}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    await asyncio.gather(*(Client(port, body, path, seen).run(stop) for _ in range(clients)))
    return seen


class Load:
    """The load as a context: it runs while the block runs; afterwards `seen` holds what it saw."""

    def __init__(self, port: int, clients: int, body: bytes = BODY, path: str = "/v2/models/delay/infer") -> None:
        command = [sys.executable, str(Path(__file__)), str(port), str(clients), path]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        self._process.stdin.write(body + b"\n")
        self._process.stdin.flush()
        self.seen: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.seen = json.loads(self._process.communicate()[0])

    @property
    def requests(self) -> int:
        return len(self.seen["seconds"])

    def quantile(self, share: float) -> float:
        return sorted(self.seen["seconds"])[int(self.requests * share)]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sent = sys.stdin.buffer.raw.read(1 << 20).rstrip(b"\n")  # type: ignore[attr-defined]
        sys.stdout.write(json.dumps(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sent, sys.argv[3]))) + "\n")
