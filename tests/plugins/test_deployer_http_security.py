"""The field's vulnerabilities, as far as they concern a model server: each one tried here, none of them works."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import ROW, RunningServer, ask, infer_body

from mlopsfw.kernel.base.errors import ConfigError, MissingExtra
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.project.facade import Project
from mlopsfw_deployer_http import HttpConfig
from mlopsfw_deployer_http.deployer import HttpDeployer
from mlopsfw_deployer_http.gate import Gate, digest
from mlopsfw_deployer_http.listener import Limits
from mlopsfw_deployer_http.message import Refusal, Request
from mlopsfw_deployer_http.service import PUBLIC

pytestmark = pytest.mark.server

INFER = "/v2/models/delay/infer"
TOKEN = "correct-horse-battery-staple"
METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]
REQUEST = json.dumps(infer_body(ROW)).encode()


def post(body: bytes = REQUEST, *headers: str, path: str = INFER) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("captures")) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("captures"), token=TOKEN) as running:
        yield running


# -- a client's path is opened (MLflow CVE-2023-1177 and its many patches) -------------------------------------------------

_DOTS = ["..", "%2e%2e", "%252e%252e", "..;", "\uff0e\uff0e", "%c0%ae%c0%ae", ".%00.", "..%5c", "..\\", "%u002e%u002e"]
_SCHEMES = [
    "file:///etc/passwd",
    "file:etc/passwd",
    "//evil.example/x",
    "http://169.254.169.254/latest",
    "s3://bucket/key",
]
_ENDS = ["#", "?", ";", "%00", "/", "%23", "%3f", "%0d%0aHost:%20evil"]
PAYLOADS = [
    *(f"/{dots}/canary" for dots in _DOTS),
    *(f"/v2/models/{dots}/{dots}/canary" for dots in _DOTS),
    *(f"/v2/models/delay/versions/{dots}/infer" for dots in _DOTS),
    *(f"/{scheme}" for scheme in _SCHEMES),
    *(f"/v2/models/{scheme}/infer" for scheme in _SCHEMES),
    *(f"/v2/models/delay{end}/canary" for end in _ENDS),
    *(f"/v2/models/delay/versions/3{end}x/infer" for end in _ENDS),
    *(f"/labels{end}x/../../canary" for end in _ENDS),
]


def test_no_path_that_a_client_sends_is_opened_or_written(server: RunningServer, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    assert len(PAYLOADS) >= 60
    for path in PAYLOADS:
        target = path.replace("canary", str(canary).lstrip("/")).encode("utf-8", "surrogateescape")
        for method in (b"GET", b"PUT", b"DELETE", b"POST"):
            answer = server.raw(method + b" " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status = answer.split(b" ")[1]
            described = (
                b"?" in target and target.split(b"?")[0].decode() in server.service.routes
            )  # no part of the path
            assert status.startswith(b"4") or (described and method == b"GET"), (method, target, answer)
            assert b"untouched" not in answer
    assert canary.read_text() == "untouched"
    assert list(tmp_path.iterdir()) == [canary]


def test_no_name_uri_or_id_in_a_body_is_opened(server: RunningServer, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("untouched")
    for payload in [*PAYLOADS, str(canary), canary.as_uri()]:
        body = infer_body({**ROW, "carrier": payload}, id="x")
        assert server.ask("POST", INFER, body)[0] == 200  # a category like any other
        body["inputs"][0]["name"] = payload
        status, answer, _ = server.ask("POST", INFER, body)
        assert status == 400
        assert "untouched" not in answer["error"]
    assert canary.read_text() == "untouched"


# -- pickle (BentoML 2024-2912, 2025-27520; MLflow 2024-37052) --------------------------------------------------------------


class _Sentinel:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


_KINDS = [
    "application/json", "application/x-pickle", "application/pickle", "application/python-pickle", "application/octet-stream",
    "application/vnd.bentoml+pickle", "application/vnd.bentoml.multipart", "application/x-numpy", "application/x-npy",
    "application/x-joblib", "application/x-dill", "application/cloudpickle", "application/x-python-serialize", "text/plain",
    "text/csv", "multipart/form-data; boundary=x", "application/x-parquet", "application/vnd.apache.arrow.stream",
    "application/x-www-form-urlencoded", "application/msgpack", "*/*",
]  # fmt: skip


def test_a_pickle_is_never_loaded_whatever_it_is_called(server: RunningServer, tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    for protocol in range(6):
        payload = pickle.dumps(_Sentinel(sentinel), protocol=protocol)
        pickletools.dis(payload, io.StringIO())
        for kind in _KINDS:
            for path in (INFER, "/invocations", "/labels"):
                assert server.ask("POST", path, payload, Content_Type=kind)[0] in (400, 415)
    assert not sentinel.exists()


def test_the_server_process_ends_any_attempt_to_unpickle_a_class() -> None:
    code = """
import pickle, io
import numpy, onnxruntime
from mlopsfw_deployer_http.server import refuse_pickle
from mlopsfw.kernel.base.errors import ServingError
evil = pickle.dumps(print)
refuse_pickle()
for load in (pickle.loads, lambda data: pickle._Unpickler(io.BytesIO(data)).load()):
    try:
        load(evil)
    except ServingError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", "refused"]


# -- routes without auth (MLflow 2026-0545, Ray 2023-48022) ----------------------------------------------------------------


def test_every_route_but_health_asks_for_the_token(guarded: RunningServer) -> None:
    assert {"/v2/health/live", "/v2/health/ready"} == PUBLIC
    for path, methods in guarded.service.routes.items():
        for method in methods:
            body = {} if method == "POST" else None
            without = guarded.ask(method, path, body)
            assert without[0] == (200 if path in PUBLIC else 401), path
            if path not in PUBLIC:
                assert without[2]["www-authenticate"] == "Bearer"
            assert guarded.ask(method, path, body, Authorization=f"Bearer {TOKEN}")[0] in (200, 400), path


def test_what_is_no_route_asks_for_the_token_too(guarded: RunningServer) -> None:
    assert guarded.ask("GET", "/nothing")[0] == 401
    assert guarded.ask("DELETE", "/metrics")[0] == 401


@pytest.mark.parametrize("value", ["", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {digest(TOKEN)}",
                                   "Bearer \xff\xfe", f"Bearer {TOKEN[:-1]}"])  # fmt: skip
def test_only_the_token_itself_opens(guarded: RunningServer, value: str) -> None:
    assert guarded.ask("POST", INFER, infer_body(ROW), Authorization=value)[0] == 401


@pytest.mark.parametrize("length", ["Content-Length: 600000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(("token", "path"), [("x", INFER), (TOKEN, "/nothing")])
def test_a_body_of_a_request_that_is_refused_is_not_kept(
    guarded: RunningServer, length: str, token: str, path: str
) -> None:
    part = b"x" * 300_000
    chunk = b"%x\r\n%b\r\n" % (len(part), part) if "chunked" in length else part
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{length}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=30) as client:
        client.sendall(head + chunk)
        while not (arriving := [each for each in list(guarded.listener._connections) if each.in_message]):
            time.sleep(0.005)
        while arriving[0]._size < len(part):
            time.sleep(0.005)
        assert arriving[0]._body == []
        client.sendall(chunk + (b"0\r\n\r\n" if "chunked" in length else b""))
        assert client.recv(65536).split(b" ")[1] == (b"404" if token == TOKEN else b"401")
        client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")  # the connection stays
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_who_may_not_pass_is_not_told_to_continue(guarded: RunningServer) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n".encode()
    assert guarded.raw(head + b"\r\n").startswith(b"HTTP/1.1 401")
    known = guarded.raw(head + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode(), timeout=0.5)
    assert known.startswith(b"HTTP/1.1 100")


def test_a_second_authorization_header_is_refused(guarded: RunningServer) -> None:
    request = post(REQUEST, "Host: localhost", "Authorization: Bearer x", f"Authorization: Bearer {TOKEN}")
    assert guarded.raw(request).startswith(b"HTTP/1.1 400")


class _Nothing:
    """A host of which nothing may be needed before the configuration is found wrong."""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_listening_beyond_this_machine_without_a_token_refuses_to_start(host: str) -> None:
    with pytest.raises(ConfigError, match="no token is set"):
        HttpDeployer(HttpConfig(host=host), _Nothing())  # type: ignore[arg-type]


def test_a_token_must_be_a_reference_and_is_stored_hashed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVING_TOKEN", TOKEN)
    with pytest.raises(ConfigError, match="must be a reference"):
        project.secrets.resolve(TOKEN)
    assert TOKEN not in digest(project.secrets.resolve("env:SERVING_TOKEN"))


@pytest.mark.parametrize("token", ["", " ", "\n", "short", "fifteen-letters", "a" * 16])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("keys", ['token = "env:TOK"', 'token = "env:GOOD"\nlabel_token = "env:TOK"'])
def test_a_deploy_with_an_empty_or_short_token_is_refused(
    make_project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, host: str, token: str, keys: str
) -> None:
    monkeypatch.setenv("TOK", token)
    monkeypatch.setenv("GOOD", "long-enough-to-serve")
    project = make_project(f'[deployer.http]\nhost = "{host}"\n{keys}\n')
    spec = EndpointSpec(endpoint="delay", model="delay", version=1, bundle="0" * 64, revision=1)
    with pytest.raises(ConfigError, match="TOK"):
        project.providers.deployer().deployer.deploy(spec)
    assert project.providers.deployer().deployer.status("delay").state == "stopped"


# -- DNS rebinding and CSRF (MLflow 2025-14279; Ray 2025-62593) -------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]",
                                  "localhost:80@evil.example", "localhost evil.example", "127.0.0.1:port", "", "2130706433"])  # fmt: skip
@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_host_is_refused_on_every_method(server: RunningServer, host: str, method: str) -> None:
    for path in ("/v2/health/live", INFER, "/nothing"):
        assert server.ask(method, path, Host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80"])
def test_our_own_hosts_are_answered(server: RunningServer, host: str) -> None:
    assert server.ask("GET", "/v2/health/live", Host=host)[0] == 200


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost/v2/health/live", "localhost", 200),
        ("HTTP://localhost:80/v2/health/live?x=1", "evil.example", 200),  # the target's authority counts alone
        ("http://localhost/nothing", "localhost", 404),
        ("http://localhost", "localhost", 404),
        ("http://evil.example/v2/health/live", "localhost", 403),
        ("http://user@localhost/v2/health/live", "localhost", 403),
        ("http:///v2/health/live", "localhost", 403),
    ],
)
def test_a_target_may_be_a_whole_url_whose_host_counts(
    server: RunningServer, target: str, host: str, status: int
) -> None:
    answer = server.raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "file://", "http://localhost.evil.example", ""]
)
def test_another_sites_page_is_refused(server: RunningServer, origin: str) -> None:
    for method in METHODS:
        for path in ("/v2/health/live", INFER, "/nothing"):
            assert server.ask(method, path, Host="localhost", Origin=origin)[0] == 403
    assert server.ask("POST", INFER, infer_body(ROW), Host="localhost", Origin="http://localhost")[0] == 200


def test_no_answer_lets_other_sites_read_it(server: RunningServer) -> None:
    headers = server.ask("OPTIONS", INFER, Host="localhost")[2]
    assert not [name for name in headers if name.startswith("access-control")]


# -- smuggling and malformed requests (h11 2025-43859) ----------------------------------------------------------------------

_HOST = "Host: localhost"
SMUGGLED = {
    "two lengths": post(REQUEST, _HOST, "Content-Length: 3"),
    "two equal lengths": post(REQUEST, _HOST, f"Content-Length: {len(REQUEST)}"),
    "length list": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3, 3\r\n\r\nabc",
    "length and chunked": post(b"0\r\n\r\n", _HOST, "Transfer-Encoding: chunked"),
    "chunked twice": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "unknown coding": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "bad chunk trailer": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
    "chunk size overflow": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "negative chunk": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    "trailing length": b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
    "space before colon": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length : 3\r\n\r\nabc",
    "signed length": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: +3\r\n\r\nabc",
    "hexadecimal length": b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x3\r\n\r\nabc",
    "folded header": b"GET /x HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
    "bare newlines": b"GET /x HTTP/1.1\nHost: localhost\n\n",
    "NUL in a header": b"GET /x HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "two hosts": b"GET /x HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no host": b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no HTTP": b"hello\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SMUGGLED)
def test_an_ambiguous_request_is_answered_400_and_the_connection_ends(server: RunningServer, name: str) -> None:
    followed = SMUGGLED[name] + b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = server.raw(followed)
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1
    assert b"connection: close" in answer


def test_pipelined_requests_are_answered_in_order_each_with_its_own(server: RunningServer) -> None:
    bodies = [
        json.dumps(infer_body(*[ROW] * rows, id=f"r{rows}")).encode() for rows in (1, 2000, 3)
    ]  # the second is answered aside
    requests = b"".join(post(body, "Host: localhost") for body in bodies[:-1]) + post(
        bodies[-1], _HOST, "Connection: close"
    )
    answer = server.raw(requests)
    assert [part.split(b'"')[0] for part in answer.split(b'"id":"')[1:]] == [b"r1", b"r2000", b"r3"]


def test_a_long_pipeline_is_no_long_head_wherever_a_read_ends(server: RunningServer) -> None:
    request = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nX-Padding: " + b"x" * 37 + b"\r\n\r\n"
    last = request.replace(b"X-Padding", b"Connection: close\r\nX-Padding")
    assert server.raw(request * 4_999 + last).count(b"HTTP/1.1 200 OK") == 5_000
    status = server.raw(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000).split(b" ")[1]
    assert status == b"431"


@pytest.mark.parametrize(
    ("path", "said"), [(f"{INFER}/", "nothing at this path"), ("/v2/models/other/infer", "and no other")]
)
def test_an_unknown_path_says_whether_the_model_is_unknown(server: RunningServer, path: str, said: str) -> None:
    status, answer, _ = server.ask("POST", path, infer_body(ROW))
    assert (status, said in answer["error"]) == (404, True)


def test_an_upgrade_is_not_taken(server: RunningServer) -> None:
    answer = server.raw(
        b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_response_header_cannot_be_injected(server: RunningServer) -> None:
    for payload in ("a\r\nSet-Cookie: x=1", "a\nb", "\x00"):
        status, answer, headers = server.ask("POST", INFER, infer_body(ROW, id=payload))
        assert (status, "set-cookie" in headers) == (400, False)
        assert "\n" not in json.dumps(answer)


# -- bombs, floods and slow clients -------------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_refused_before_it_is_read(server: RunningServer) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {8 * 2**20 + 1}\r\n\r\n"
    began = time.monotonic()
    answer = server.raw(head.encode())
    assert answer.startswith(b"HTTP/1.1 413")
    assert time.monotonic() - began < 3


def test_a_body_that_grows_over_the_limit_is_cut_off_and_its_client_sees_why(tmp_path: Path) -> None:
    with RunningServer(tmp_path, limits=Limits(body=10_000)) as server:
        chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        answer = server.raw(b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 2000)
        assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 40_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 600_000,
                                  b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: 1\r\n" % n for n in range(200))])  # fmt: skip
def test_a_head_over_the_limit_is_refused(server: RunningServer, head: bytes) -> None:
    assert server.raw(head).startswith(b"HTTP/1.1 431")


def test_a_request_that_does_not_arrive_is_given_up(tmp_path: Path) -> None:
    with RunningServer(tmp_path, limits=Limits(receive=0.3, idle=0.5)) as server:
        assert server.raw(b"GET / HTTP/1.1\r\nHost: lo").startswith(b"HTTP/1.1 408")
        assert server.raw(b"") == b""  # idle: closed without a word


@pytest.mark.slow
def test_slow_clients_do_not_hold_up_the_others(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        quiet = _p99(server.port)
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
        stop = threading.Event()

        def drip() -> None:
            for byte in post(REQUEST, _HOST):
                for client in slow:
                    client.send(bytes([byte]))
                if stop.wait(0.01):
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        busy = _p99(server.port)
        stop.set()
        dripping.join()
        for client in slow:
            client.close()
    assert busy < max(10 * quiet, 0.05)


def _p99(port: int, requests: int = 300) -> float:
    taken = []
    for _ in range(requests):
        began = time.perf_counter()
        assert ask(port, "POST", INFER, infer_body(ROW))[0] == 200
        taken.append(time.perf_counter() - began)
    return sorted(taken)[int(requests * 0.99)]


def test_a_client_that_does_not_read_is_dropped_and_memory_stays_flat(tmp_path: Path) -> None:
    with (
        RunningServer(tmp_path, limits=Limits(receive=0.5)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
        client.settimeout(5)
        with pytest.raises(OSError):  # noqa: PT012 - it ends when the server has had enough
            for _ in range(2000):
                client.sendall(request)
        assert server.ask("GET", "/v2/health/live")[0] == 200


# -- what is left on disk and in logs ----------------------------------------------------------------------------------------


def test_under_any_umask_what_is_captured_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with RunningServer(tmp_path / "captures") as server:
            server.ask("POST", INFER, infer_body(ROW))
    finally:
        os.umask(before)
    for path in (tmp_path / "captures", *(tmp_path / "captures").iterdir()):
        assert path.stat().st_mode & 0o077 == 0


def test_a_fault_of_ours_is_one_line_in_the_log_and_tells_the_client_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunningServer(tmp_path) as server:
        monkeypatch.setattr(server.service, "_scorer", None)
        status, answer, _ = server.ask("POST", INFER, infer_body({**ROW, "carrier": "\x1b[31m\r\nforged"}))
    assert status == 500
    assert answer == {"error": "the server failed on this request; its log has the error"}
    (line,) = capfd.readouterr().err.strip().split("\n")
    assert msgspec.json.decode(line)["event"] == "fault"
    assert "\x1b" not in line


def test_a_process_allows_itself_the_descriptors_it_needs_and_knows_its_limit() -> None:
    code = """
import resource
from mlopsfw_deployer_http.server import raise_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))
print(raise_open_files(100), raise_open_files(400), raise_open_files(4096), resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "100 400 448 (512, 512)"


@pytest.mark.parametrize(
    ("named", "sent"),
    [("fd00::1", b"[fd00::1]:80"), ("[FD00::1]", b"[fd00::1]"), ("Models.Example", b"models.example:8080")],
)
def test_a_further_name_is_answered_however_it_is_written(named: str, sent: bytes) -> None:
    Gate([named]).check(Request("GET", "/", {b"host": sent}), public=False)
    with pytest.raises(Refusal):
        Gate([]).check(Request("GET", "/", {b"host": sent}), public=False)


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mlopsfw\[http\]'"):
        _ = project.providers.deployer().deployer


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_no_mangled_request_brings_the_server_down(server: RunningServer, data: st.DataObject) -> None:
    whole = bytearray(post(REQUEST, "Host: localhost", "Connection: close"))
    for _ in range(data.draw(st.integers(1, 4))):
        at, change = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.binary(max_size=4))
        whole[at : at + data.draw(st.integers(0, 8))] = change
    with socket.create_connection(("127.0.0.1", server.port), timeout=5.0) as client:
        client.sendall(bytes(whole))
        client.shutdown(socket.SHUT_WR)  # a request cut short is then not waited for
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    statuses = re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert all(status[:1] in b"24" for status in statuses), answer
    assert server.ask("GET", "/v2/health/ready")[0] == 200
