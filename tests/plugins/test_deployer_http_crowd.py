"""Too many connections: those that nobody waits on make way, and health is answered whatever the others do."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_bundle
from load import Load
from serving import ROW, RuleBundle, RunningServer, ask, infer_body

from mlopsfw.kernel.base.errors import ServingError
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.project.facade import Project
from mlopsfw_deployer_http import crowd
from mlopsfw_deployer_http.listener import Limits

pytestmark = pytest.mark.server

INFER = "/v2/models/delay/infer"
BODY = json.dumps(infer_body(ROW)).encode()
HEAD = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
QUIET = {
    "silent": b"",
    "slow head": HEAD[:40],
    "slow body": HEAD + BODY[:50],
    "idle after a request": b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "half a chunk": HEAD.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked") + b"5\r\nab",
}


@pytest.fixture
def held() -> Iterator[Callable[[int, int, bytes], list[socket.socket]]]:
    """Open connections that send something and then nothing; they are closed afterwards."""
    with contextlib.ExitStack() as stack:

        def connect(port: int, count: int, sent: bytes) -> list[socket.socket]:
            made = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]
            for client in made:
                client.sendall(sent)
            if sent.startswith(b"GET"):  # a connection is idle only after the server has answered it
                for client in made:
                    await_answer(client)
            return made

        yield connect


def await_answer(client: socket.socket) -> None:
    """Wait until the server has answered or closed the connection."""
    client.settimeout(10)
    with contextlib.suppress(ConnectionError):
        client.recv(1)


@pytest.mark.parametrize("kind", QUIET)
def test_quiet_connections_shut_nobody_out(tmp_path: Path, held: Any, kind: str) -> None:
    with RunningServer(tmp_path, limits=Limits(connections=64)) as server:
        for _ in range(3):
            held(server.port, 70, QUIET[kind])
            for _ in range(5):
                assert server.ask("GET", "/v2/health/live")[0] == 200
                assert server.ask("POST", INFER, infer_body(ROW))[0] == 200
        assert server.listener.open <= 64


def test_silent_connections_go_before_one_that_has_sent_requests(tmp_path: Path, held: Any) -> None:
    with RunningServer(tmp_path, limits=Limits(connections=64)) as server:
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        with contextlib.closing(client):
            client.request("GET", "/v2/health/live")
            assert client.getresponse().read()
            before = client.sock
            held(server.port, 200, b"")
            client.request("GET", "/v2/health/live")
            assert client.getresponse().status == 200
            assert client.sock is before


def test_busy_clients_keep_their_connections_and_further_ones_are_told_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "_BUSY", 60.0)  # a machine may be slow
    with RunningServer(tmp_path, limits=Limits(connections=64)) as server, contextlib.ExitStack() as stack:
        clients = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=10) for _ in range(56)]
        for client in clients:
            stack.callback(client.close)

        def ask_all() -> list[socket.socket]:
            for client in clients:
                client.request("POST", INFER, BODY, {"Content-Type": "application/json"})
                answer = client.getresponse()
                assert (answer.status, bool(answer.read())) == (200, True)
            return [client.sock for client in clients]

        ask_all()
        before = ask_all()
        for _ in range(20):
            status, answer, headers = server.ask("POST", INFER, infer_body(ROW))
            assert (status, headers["retry-after"]) == (503, "1"), answer
        assert server.ask("GET", "/v2/health/live")[0] == 200
        assert ask_all() == before
        monkeypatch.setattr(crowd, "_BUSY", 0.0)  # once they are idle, they make way
        time.sleep(0.1)
        assert server.ask("POST", INFER, infer_body(ROW))[0] == 200


class Waiting(RuleBundle):
    """Answers once it is told to: all who asked before wait."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        self.go.wait(20)
        return super().predict(columns)


def test_where_all_wait_for_an_answer_health_and_metrics_are_answered_and_others_told_to_come_back(
    tmp_path: Path, held: Any
) -> None:
    bundle, limits = Waiting(), Limits(connections=64, inline=0)
    with RunningServer(tmp_path, limits=limits, bundle=bundle) as server, contextlib.ExitStack() as stack:
        stack.callback(bundle.go.set)
        waiting = held(server.port, 56, HEAD + BODY)  # all but the reserve
        _until(lambda: server.listener.open == 56)
        time.sleep(0.2)
        for path in ("/v2/health/live", "/v2/health/ready", "/metrics") * 20:
            status, _, headers = server.ask("GET", path)
            assert (status, headers["connection"]) == (200, "close")
        status, answer, headers = server.ask("POST", INFER, infer_body(ROW))
        assert (status, headers["retry-after"]) == (503, "1"), answer
        held(server.port, 30, b"")  # the reserve is no one's to keep
        time.sleep(0.2)
        assert server.ask("GET", "/v2/health/live")[0] == 200
        bundle.go.set()
        for client in waiting:
            assert client.recv(65536).startswith(b"HTTP/1.1 200"), "no one who waits for an answer is shut out"


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["silent", "slow head"])
def test_a_connection_that_does_not_begin_is_closed_early(tmp_path: Path, held: Any, kind: str) -> None:
    with RunningServer(tmp_path, limits=Limits(begin=0.3)) as server:
        (client,) = held(server.port, 1, QUIET[kind])
        client.settimeout(5)
        answer = client.recv(1000)
        assert answer == b"" if kind == "silent" else answer.startswith(b"HTTP/1.1 408")


def test_a_slow_body_is_given_up_and_a_client_that_sends_nothing_more_is_closed_after_its_answer(
    tmp_path: Path, held: Any
) -> None:
    with RunningServer(tmp_path, limits=Limits(receive=0.3)) as server:
        (slow,) = held(server.port, 1, QUIET["slow body"])
        (half,) = held(server.port, 1, HEAD + BODY)
        half.shutdown(socket.SHUT_WR)
        for client, status in ((slow, b"408"), (half, b"200")):
            client.settimeout(5)
            answer = b"".join(iter(lambda c=client: c.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 " + status)


def test_a_half_open_client_whose_batch_is_computed_gets_its_answer(tmp_path: Path, held: Any) -> None:
    with RunningServer(tmp_path, limits=Limits(inline=0)) as server:
        (half,) = held(server.port, 1, (HEAD + BODY) * 3)
        half.shutdown(socket.SHUT_WR)
        half.settimeout(5)
        assert b"".join(iter(lambda: half.recv(65536), b"")).count(b"HTTP/1.1 200") == 3


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project("[deployer.http]\ndrain_seconds = 0.2\ncompact_seconds = 0\n")


@pytest.mark.parametrize(("limit", "serves"), [(64, False), (100, False), (256, True)])
def test_a_limit_of_open_files_with_which_nothing_can_be_served_refuses_to_deploy(
    project: Project, tmp_path: Path, limit: int, serves: bool
) -> None:
    bundle = write_bundle(project, tmp_path / "bundle", 0.0)
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
from pathlib import Path
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.kernel.base.errors import ServingError
from mlopsfw.project.facade import Project
spec = EndpointSpec(endpoint="delay", model="delay", version=1, bundle="{bundle}", revision=1)
try:
    print(Project.open(Path({str(project.root)!r})).providers.deployer().deployer.deploy(spec).url)
except ServingError as error:
    print(error)
"""
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        if serves:
            port = int(done.stdout.strip().rsplit(":", 1)[1])
            assert ask(port, "POST", INFER, infer_body(ROW))[0] == 200
        else:
            assert f"may open {limit} files here, but needs at least 128" in done.stdout
            assert "LimitNOFILE" in done.stdout
    finally:
        project.providers.deployer().deployer.stop("delay")


@pytest.mark.slow
@pytest.mark.nightly
def test_ten_times_the_clients_that_keep_it_busy_cost_a_tenth_of_its_answers_at_most_and_no_memory(
    tmp_path: Path,
) -> None:
    rates: dict[int, list[float]] = {16: [], 160: []}
    with RunningServer(tmp_path) as server:
        before = _resident()
        for clients in (16, 160) * 5:
            began = time.monotonic()
            with Load(server.port, clients) as load:
                time.sleep(2.0)
            rates[clients].append(len(load.seen["ids"]) / (time.monotonic() - began))
            assert load.seen["failed"] == []
        assert _resident() - before < 64 << 20
    assert statistics.median(rates[160]) >= 0.9 * statistics.median(rates[16]), rates


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_thousands_of_silent_connections_to_a_real_endpoint_shut_nobody_out(
    project: Project, tmp_path: Path, held: Any
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 6000:
        pytest.skip("this process may not open 6000 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6000), hard))
    spec = EndpointSpec(
        endpoint="delay", model="delay", version=1, bundle=write_bundle(project, tmp_path / "b", 0.0), revision=1
    )
    try:
        port = int(project.providers.deployer().deployer.deploy(spec).url.rsplit(":", 1)[1])
        for _ in range(2):
            held(port, 2300, b"")
            assert ask(port, "GET", "/v2/health/ready")[0] == 200
            assert ask(port, "POST", INFER, infer_body(ROW))[0] == 200
        metrics = ask(port, "GET", "/metrics")[1].decode()
        assert "mlopsfw_evicted_total" in metrics
        assert project.providers.deployer().deployer.status("delay").facts["restarts"] == 0
    except ServingError as error:
        pytest.fail(str(error))
    finally:
        project.providers.deployer().deployer.stop("delay")
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_fault_that_repeats_is_told_once_and_counted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(RuleBundle):
        def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
            raise LookupError("carrier" if len(columns["hour"]) == 1 else "other")

    with RunningServer(tmp_path, bundle=Broken()) as server:
        for _ in range(50):
            assert server.ask("POST", INFER, infer_body(ROW))[0] == 500
    lines = capfd.readouterr().err.strip().split("\n")
    assert [json.loads(line)["event"] for line in lines] == ["fault"]
    assert "LookupError" in json.loads(lines[0])["traceback"]
