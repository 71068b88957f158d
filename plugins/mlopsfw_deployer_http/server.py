"""The server process: `python -m mlopsfw_deployer_http.server --state FILE`. Loads one model, and answers until it is stopped.

Under a supervisor it receives the listening socket and a control socket. It reports `ready` or the reason of a failure, answers each `ping`
from its event loop, and obeys `replace` (another process answers from now on) and `stop`. Without a supervisor it binds the address in FILE,
and ends on SIGTERM or Ctrl-C.

"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.errors import MlopsfwError, ServingError
from mlopsfw.roles import Resources
from mlopsfw.worker import Scorer, open_scorer
from mlopsfw_deployer_http.gate import Gate
from mlopsfw_deployer_http.listener import Limits, Listener
from mlopsfw_deployer_http.logs import FaultLog, log
from mlopsfw_deployer_http.metrics import Metrics
from mlopsfw_deployer_http.quota import Quota
from mlopsfw_deployer_http.service import LABELS, Service
from mlopsfw_deployer_http.settings import Settings, read

_OWN_FILES = 64  # descriptors besides connections: libraries, logs, segments
_BURST = 1024  # most connections accepted in one turn of the event loop, before any is counted
_FEWEST = 64  # connections below which a server is not worth starting
_SWITCH = 0.0005  # seconds for which a long request may keep the interpreter from the event loop
_ROOM = 64 << 20  # bytes that requests need at least, whatever the model
_YOUNG = 10_000  # objects made between two collections, each of which takes less than a millisecond
PING, ALIVE = b"ping\n", b"alive\n"
FAILED = 3  # exit status of a process that could not load its model


def refuse_pickle() -> None:
    """End any attempt to unpickle a class in this process: nothing here needs it, and hostile bytes may try it."""

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event == "pickle.find_class":
            raise ServingError("unpickling is refused in a server")

    sys.addaudithook(hook)


def raise_open_files(wanted: int) -> int:
    """Raise the limit of descriptors for `wanted` connections; return how many connections there can be.

    A server that runs out of descriptors drops connections silently; one that knows its limit answers 503.

    Raises:
        ServingError: The hard limit is too low to serve.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = wanted + _OWN_FILES + _BURST
    if hard != resource.RLIM_INFINITY:
        target = min(target, hard)
    if soft != resource.RLIM_INFINITY and soft < target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    possible = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft - _OWN_FILES)
    if possible < min(wanted, _FEWEST):
        raise ServingError(
            f"a server may open {soft} files here, but needs at least {_OWN_FILES + _FEWEST}, since each connection takes one",
            hint=f"Raise the hard limit, such as `ulimit -n 8192` or LimitNOFILE=8192; {wanted} connections need {wanted + _OWN_FILES}.",
        )
    return possible


def limit_memory(memory: str) -> None:
    """Let this process allocate no more than `memory`, which may be empty. What it needs beyond is then a `MemoryError` of one request.

    Raises:
        ServingError: It holds more already, with the model loaded; or the system is not Linux.
    """
    if not memory:
        return
    import resource

    limit, status = Resources(memory=memory).bytes, Path("/proc/self/status")
    if not status.is_file():
        raise ServingError("memory needs Linux", hint="Omit it from [deployer.http].")
    held = next(line for line in status.read_text().splitlines() if line.startswith("VmData"))
    if (taken := int(held.split()[1]) << 10) + _ROOM > limit:
        raise ServingError(
            f"memory = {memory} is too little: the server takes {taken >> 20:,} MiB with the model, before any request",
            hint=f'Write [deployer.http] memory = "{(taken + _ROOM >> 20) + 1}MiB" or more.',
        )
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def bind(settings: Settings, port: int) -> socket.socket:
    """Return a listening socket on the settings' host."""
    family = socket.AF_INET6 if ":" in settings.http.host else socket.AF_INET
    listening = socket.create_server((settings.http.host.strip("[]"), port), family=family, backlog=1024)
    listening.settimeout(0.0)
    return listening


class Serving:
    """Serves one model on one event loop.

    Args:
        settings: The settings of the endpoint.
        scorer: The model.
    """

    def __init__(self, settings: Settings, scorer: Scorer) -> None:
        self._http, limits = settings.http, Limits(body=settings.http.max_body, compute=settings.http.answer_seconds)
        self._limits = msgspec.structs.replace(limits, connections=raise_open_files(limits.connections))
        self._capture = CaptureWriter(Path(settings.captures), scorer.header)
        spec = settings.spec
        metrics = Metrics(endpoint=spec.endpoint, model=spec.model, version=str(spec.version))
        own = {LABELS: settings.label_token} if settings.label_token else {}
        gate = Gate((self._http.host, *self._http.hosts), settings.token, own)
        quota = Quota(self._http.labels_per_request, self._http.labels_per_second)
        self._service = Service(scorer, gate, metrics, self._gauges, quota)
        self._begun, self._revision = time.time(), spec.revision
        self._listener: Listener | None = None

    def _gauges(self) -> dict[str, float]:
        return {
            "captured_total": self._capture.captured,
            "lost_total": self._capture.lost,
            "connections": self._listener.open if self._listener else 0,
            "evicted_total": self._listener.evicted if self._listener else 0,
            "revision": self._revision,
            "start_seconds": self._begun,
        }

    async def start(self, listening: socket.socket) -> None:
        """Answer the requests on `listening`."""
        self._listener = Listener(self._service, self._capture, self._limits)
        await self._listener.start(listening)

    @property
    def stuck(self) -> bool:
        """Whether one step of the computation of a request exceeds `answer_seconds`."""
        return self._listener is not None and self._listener.batches.computing > self._http.answer_seconds

    async def end(self, *, keep_accepting: bool) -> None:
        """Drain. All captured records are durable when this returns."""
        assert self._listener is not None  # noqa: S101 - start comes first
        await self._listener.drain(self._http.drain_seconds, self._http.grace_seconds, keep_accepting=keep_accepting)
        self._capture.close()


async def serve(serving: Serving, listening: socket.socket, control: socket.socket | None) -> None:
    """Serve until a signal or the supervisor ends it."""
    loop = asyncio.get_running_loop()
    ending: asyncio.Future[bool] = loop.create_future()  # whether to keep accepting while it drains

    def end(*, keep_accepting: bool) -> None:
        if not ending.done():
            ending.set_result(keep_accepting)

    def asked_to_end() -> None:
        if control is None:
            end(keep_accepting=True)
        else:  # another process takes over first; then the supervisor stops this one
            with contextlib.suppress(OSError):
                control.sendall(msgspec.json.encode({"leaving": os.getpid()}) + b"\n")

    faults = FaultLog()
    loop.set_exception_handler(lambda loop, context: _tell_faults(loop, context, faults))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end)
    await serving.start(listening)
    if control is not None:
        loop.add_reader(control, lambda: _listen_to(control, serving, end))
        control.sendall(msgspec.json.encode({"ready": os.getpid()}) + b"\n")
    keep_accepting = await ending
    if control is not None:
        loop.remove_reader(control)
    await serving.end(keep_accepting=keep_accepting)


def _listen_to(control: socket.socket, serving: Serving, end: Callable[..., None]) -> None:
    """Obey the supervisor. If it has ended, no other process accepts connections."""
    try:
        words = control.recv(4096)
    except OSError:
        words = b""  # the supervisor has ended without an order
    if PING in words and not serving.stuck:
        with contextlib.suppress(OSError):
            control.send(ALIVE, socket.MSG_DONTWAIT)
    order = words.replace(PING, b"")
    if order or not words:
        end(keep_accepting=order != b"replace\n")


def _tell_faults(_: asyncio.AbstractEventLoop, context: dict[str, Any], faults: FaultLog) -> None:
    """Log the exception of a callback of the event loop."""
    error = context.get("exception")
    faults.write(error if error is not None else RuntimeError(), message=str(context.get("message"))[:200])


def main(arguments: list[str]) -> int:
    """Run one server process; return its exit status."""
    parser = argparse.ArgumentParser(prog="mlopsfw_deployer_http.server")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--listen", type=int, help="descriptor of a listening socket")
    parser.add_argument("--control", type=int, help="descriptor of the supervisor's socket")
    options = parser.parse_args(arguments)
    os.umask(0o077)
    control = socket.socket(fileno=options.control) if options.control is not None else None
    sys.setswitchinterval(_SWITCH)
    settings = read(options.state, Settings)
    if settings is None:
        raise SystemExit(f"{options.state} does not exist")
    refuse_pickle()
    try:
        scorer = open_scorer(settings.spec, Path(settings.bundle), Path(settings.root), settings.config)
        serving = Serving(settings, scorer)
        limit_memory(settings.http.memory)
    except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor must hear of it
        return _failed(error, control)
    gc.freeze()  # what is loaded stays; a collection that went through it would delay requests
    gc.set_threshold(_YOUNG, 100, 100)
    bound = options.listen is not None
    listening = socket.socket(fileno=options.listen) if bound else bind(settings, settings.http.port)
    log("serving", pid=os.getpid(), revision=settings.spec.revision, bundle=settings.spec.bundle)
    _run(serve(serving, listening, control))
    log("ended", pid=os.getpid(), revision=settings.spec.revision)
    return 0


def _failed(error: Exception, control: socket.socket | None) -> int:
    text = str(error) if isinstance(error, MlopsfwError) else f"{type(error).__name__}: {error}"
    log("failed", error=text, notes=list(getattr(error, "__notes__", ())))
    if control is not None:
        control.sendall(msgspec.json.encode({"failed": text}) + b"\n")
    return FAILED


def _run(main: Any) -> None:
    try:
        import uvloop
    except ImportError:  # not on Windows; asyncio's own loop does the same, slower
        asyncio.run(main)
    else:
        uvloop.run(main)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
