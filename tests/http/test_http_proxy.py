"""A company's proxy is used as the environment says, and takes nothing from the checks: addresses, certificates, limits."""

from __future__ import annotations

import logging
import os
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from http_proxy import running_proxy

from mlopsfw.http import LARGEST_ANSWER, AddressRefused, EgressError, deliver, get, post
from mlopsfw.http.proxies import proxy_for
from mlopsfw.kernel.base.errors import ConfigError, DataError, DeliveryFailed, StorageUnavailable
from mlopsfw.sources import Dropped, download
from mlopsfw_source_http.file import HttpFile

pytestmark = pytest.mark.server

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
SCHEMES = ("http", "https")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    """Leave the machine's own proxies out."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate for the names of these tests, which is its own authority."""
    folder = tmp_path_factory.mktemp("authority")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
         "-days", "2", "-subj", "/CN=tests", "-addext", "subjectAltName=DNS:target.invalid,DNS:localhost,IP:127.0.0.1,IP:::1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def trusted(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "cert.pem"))
    return authority


class Target(BaseHTTPRequestHandler):
    """Takes what comes; says what its server is to say."""

    def log_message(self, *_args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.path, dict(self.headers)))
        self.server.say(self)

    do_GET = do_POST  # noqa: N815 - the server's own name


def say(status, body=b"", **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@contextmanager
def destination(authority=None, answer=None):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    server.daemon_threads, server.seen, server.say = True, [], answer or say(204)
    server.handle_error = lambda *_: None
    if authority:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.fixture(params=SCHEMES)
def target(request, trusted):
    """A destination by http, and one by https."""
    with destination(trusted if request.param == "https" else None) as server:
        server.scheme = request.param
        server.url = f"{request.param}://target.invalid:{server.server_port}/hook?a=b"
        yield server


@pytest.fixture
def proxy():
    with running_proxy() as server:
        yield server


@pytest.fixture
def through(proxy, monkeypatch):
    """Have everything go through the proxy."""
    monkeypatch.setenv("ALL_PROXY", proxy.url())
    return proxy


def call(url, **options):
    return post(url, b"{}", {"X-Own": "1"}, **({"allow_private": True, "timeout": 5.0} | options))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


# -- which proxy, if any -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_request_goes_to_the_proxy_that_the_environment_names(target, proxy, monkeypatch, variable):
    monkeypatch.setenv(variable.replace("HTTP", target.scheme.upper()).replace("http", target.scheme), proxy.url())
    assert call(target.url).status == 204
    ((command, asked, headers),) = proxy.seen
    port = target.server_port
    if target.scheme == "http":
        assert (command, asked, headers["X-Own"]) == ("POST", target.url, "1")
    else:
        assert (command, asked) == ("CONNECT", f"target.invalid:{port}")
        assert "X-Own" not in headers
    ((path, received),) = target.seen
    assert (path, received["Host"], received["X-Own"]) == ("/hook?a=b", f"target.invalid:{port}", "1")


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, None),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:2"}, "http://q:2"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": ""}, None),
        ({"HTTP_PROXY": "", "ALL_PROXY": "http://p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://q:2"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, None),
        ({"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, "http://p:1"),
        ({"HTTP_PROXY": "p.corp:3128"}, "http://p.corp:3128"),
        ({"HTTP_PROXY": "http://p.corp"}, "http://p.corp:80"),
        ({"HTTP_PROXY": "https://p.corp/"}, "https://p.corp:443"),
        ({"HTTP_PROXY": "http://user:word@[::1]:3128"}, "http://[::1]:3128"),
    ],
)
def test_the_scheme_comes_before_all_and_small_letters_before_capitals(monkeypatch, environment, found):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for("http", "target.invalid", 80)
    assert (str(proxy) if proxy else None) == found
    assert "word" not in repr(proxy)


LISTED = [
    "*", "target.corp", ".target.corp", "*.target.corp", "corp", ".corp", "TARGET.CORP", "target.corp:8080", "a, target.corp ,b",
    "a target.corp",
]  # fmt: skip
ADDRESSES = [
    ("10.1.2.3", "10.1.2.3"), ("10.1.2.3", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3:8080"), ("fd00::5", "fd00::/8"),
    ("fd00::5", "[fd00::5]"), ("fd00::5", "[fd00::5]:8080"), ("fd00::5", "fd00:0::5"),
]  # fmt: skip
OTHERS = [
    ("target.corp", ""), ("target.corp", "arget.corp"), ("target.corp", "target.corp:80"), ("target.corp", "sub.target.corp"),
    ("target.corp", "."), ("target.corp", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.4"), ("10.1.2.3", "10.1.2.3:80"),
    ("10.1.2.3", "192.168.0.0/16"), ("fd00::5", "10.0.0.0/8"), ("110.1.2.3", "10.1.2.3"),
    ("1.1.1.1", "1.1.1"), ("1.1.1.1", ".1.1"), ("10.1.2.3", "*.3"), ("fd00::5", "5"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "listed"), [*(("target.corp", entry) for entry in LISTED), *ADDRESSES])
def test_no_proxy_lists_names_with_all_below_them_addresses_networks_and_ports(monkeypatch, host, listed):
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", listed)
    assert proxy_for("http", host, 8080) is None


@pytest.mark.parametrize(("host", "listed"), OTHERS)
def test_what_no_proxy_does_not_list_goes_through_the_proxy(monkeypatch, host, listed):
    monkeypatch.setenv("HTTP_PROXY", "http://p:1")
    monkeypatch.setenv("no_proxy", listed)
    assert proxy_for("http", host, 8080) is not None


def test_what_no_proxy_lists_is_reached_without_the_proxy(target, through, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "other, localhost")
    assert call(target.url.replace("target.invalid", "localhost")).status == 204
    assert through.seen == []
    with pytest.raises(EgressError, match="not a public address"):  # pinned and checked as ever
        call(target.url.replace("target.invalid", "localhost"), allow_private=False)


@pytest.mark.parametrize(
    "value",
    [
        "socks5://user:word@p:1",
        "http://",
        "http://user:word@p:99999",
        "http://[::1",
        "ftp://p",
        "http://user:12#word@p:1",
        "http://user:1/word@p:1",
        "http://user:1?word@p:1",
    ],
)
def test_a_variable_that_names_no_http_proxy_is_a_config_error_without_its_value(monkeypatch, value):
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigError, match="HTTPS_PROXY names no http or https proxy") as caught:
        call("https://target.invalid/")
    assert "word" not in str(caught.value)


# -- credentials of the proxy --------------------------------------------------------------------------------------------------


def test_the_proxy_gets_its_credentials_and_nobody_else_does(target, proxy, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    proxy.wants = "us@er:wörd:1"
    monkeypatch.setenv("ALL_PROXY", proxy.url("us%40er:w%C3%B6rd%3A1"))
    assert call(target.url).status == 204
    assert proxy.seen[0][2]["Proxy-Authorization"].startswith("Basic ")
    ((_, received),) = target.seen
    assert not [name for name in received if "proxy" in name.lower()]
    assert "send_request_headers" in caplog.text
    assert not [secret for secret in ("Basic", "us%40er", "us@er", "wörd") if secret in caplog.text]


@pytest.mark.parametrize(
    ("userinfo", "problem"), [("", "asks for a user and a password"), ("u:canary-1", "refuses that user")]
)
def test_a_proxy_that_wants_other_credentials_is_named_with_what_to_do(target, proxy, monkeypatch, userinfo, problem):
    proxy.wants = "user:canary-2"
    monkeypatch.setenv("ALL_PROXY", proxy.url(userinfo))
    with pytest.raises(EgressError, match=f"the proxy {proxy.url()} {problem}.*407") as caught:
        call(target.url)
    assert f"export ALL_PROXY=http://USER:PASSWORD@localhost:{proxy.server_port}" in caught.value.hint
    assert caught.value.final
    assert "canary" not in str(caught.value)
    assert target.seen == []


# -- a proxy that fails ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "proxy.invalid"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_is_down_is_named_without_its_credentials_and_with_what_to_do(monkeypatch, host, scheme):
    port = free_port()
    monkeypatch.setenv(f"{scheme}_proxy", f"http://user:canary-3@{host}:{port}")
    with pytest.raises(EgressError, match=f"the proxy http://{host}:{port} did not answer") as caught:
        call(f"{scheme}://target.invalid/")
    assert f"Correct {scheme}_proxy, or list target.invalid in NO_PROXY" in caught.value.hint
    assert not caught.value.final
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("status", "final"), [(403, True), (503, False)])
def test_a_proxy_that_does_not_connect_is_told_from_a_receiver_that_refuses(through, status, final):
    through.trick = lambda connection: connection.sendall(
        f"HTTP/1.1 {status} Not here\r\nContent-Length: 0\r\n\r\n".encode()
    )
    with pytest.raises(
        EgressError, match=f"does not connect to https://target.invalid:443: {status} Not here"
    ) as caught:
        call("https://target.invalid/")
    assert caught.value.final == final
    with pytest.raises(
        DeliveryFailed, match=f"the receiver answered {status}, or the proxy {through.url()} in its stead"
    ):
        deliver("http://target.invalid/", b"{}", {}, allow_private=True)


def drips(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _ in range(200):
        connection.sendall(b"x")
        time.sleep(0.05)


def drips_a_handshake(connection):
    connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    time.sleep(0.1)
    connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")  # a record that claims 16 KiB
    for _ in range(200):
        connection.sendall(b"\x03")
        time.sleep(0.05)


@pytest.mark.parametrize("certified", [False, True], ids=["http proxy", "https proxy"])
@pytest.mark.parametrize("trick", [drips, drips_a_handshake, lambda connection: connection.recv(1)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_drips_or_hangs_ends_with_the_time_limit(trusted, monkeypatch, certified, trick, scheme):
    with running_proxy(certificate=trusted if certified else None) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url())
        proxy.trick = trick
        began = time.monotonic()
        with pytest.raises(EgressError, match="through the proxy"):
            call(f"{scheme}://target.invalid/", timeout=0.4)
        assert time.monotonic() - began < 2.0


def test_a_body_that_drips_ends_with_the_time_limit_and_one_that_floods_with_the_cap(target, through):
    def slowly(handler):
        say(200, Content_Length="1000")(handler)
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    target.say = slowly
    began = time.monotonic()
    with pytest.raises(EgressError, match="did not finish its answer"):
        call(target.url, timeout=0.4)
    assert time.monotonic() - began < 2.0
    target.say = say(200, b"x" * (4 * LARGEST_ANSWER))
    assert len(call(target.url).body) == LARGEST_ANSWER


# -- TLS: of the proxy, and through it -----------------------------------------------------------------------------------------------


def test_a_proxy_by_https_carries_http_and_https(target, trusted, monkeypatch):
    with running_proxy(certificate=trusted, wants="u:p") as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url("u:p"))
        assert call(target.url).status == 204
        assert len(proxy.seen) == len(target.seen) == 1


def test_a_proxy_by_https_whose_certificate_nobody_vouches_for_is_not_spoken_to(authority, target, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with running_proxy(certificate=authority) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url("u:canary"))
        with pytest.raises(EgressError, match="certificate verify failed") as caught:
            call(target.url)
        assert proxy.seen == []
    assert "SSL_CERT_FILE" in caught.value.hint
    assert caught.value.final


@pytest.mark.parametrize(("host", "trust"), [("other.invalid", True), ("target.invalid", False)])
def test_a_destinations_certificate_is_verified_through_the_proxy(authority, through, monkeypatch, host, trust):
    if trust:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "cert.pem"))
    with destination(authority) as server:
        with pytest.raises(EgressError, match="certificate verify failed") as caught:
            call(f"https://{host}:{server.server_port}/")
        assert server.seen == []
    assert caught.value.final
    assert "SSL_CERT_FILE" in caught.value.hint


def test_an_ipv6_address_is_asked_for_in_brackets_and_verified_without(target, through):
    assert call(target.url.replace("target.invalid", "[::1]")).status == 204
    assert f"[::1]:{target.server_port}" in through.seen[0][1]
    assert target.seen[0][1]["Host"] == f"[::1]:{target.server_port}"


# -- addresses -----------------------------------------------------------------------------------------------------------------------


def resolve_to(monkeypatch, names):
    def getaddrinfo(host, port, *_, **__):
        if host not in names:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[host]]

    monkeypatch.setattr("mlopsfw.http.addresses.socket.getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "2130706433", "localhost"])
def test_a_private_address_is_refused_before_the_proxy_hears_of_it(target, through, host):
    with pytest.raises(AddressRefused, match="not a public address"):
        call(target.url.replace("target.invalid", host), allow_private=False)
    assert through.seen == []


def test_a_name_that_resolves_here_to_one_private_address_is_refused(target, proxy, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy.url().replace("localhost", "127.0.0.1"))
    resolve_to(monkeypatch, {"target.invalid": ["8.8.8.8", "10.0.0.1"], "127.0.0.1": ["127.0.0.1"]})
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1, which is not a public address"):
        call(target.url, allow_private=False)
    assert proxy.seen == []


def test_a_name_that_is_public_here_is_the_proxys_to_resolve(target, proxy, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy.url().replace("localhost", "127.0.0.1"))
    resolve_to(monkeypatch, {"target.invalid": ["8.8.8.8"], "127.0.0.1": ["127.0.0.1"]})
    assert call(target.url, allow_private=False).status == 204
    assert "target.invalid" in proxy.seen[0][1]


def test_a_name_that_does_not_resolve_here_is_the_proxys_only_where_the_config_allows_it(target, through):
    with pytest.raises(AddressRefused, match=f"only the proxy {through.url()} of ALL_PROXY would know") as caught:
        call(target.url, allow_private=False)
    assert "allow_private = true" in caught.value.hint
    assert through.seen == []
    assert call(target.url, allow_private=True).status == 204


# -- whoever sends ---------------------------------------------------------------------------------------------------------------------


def file_at(url, **headers):
    return HttpFile(url, headers, allow_private=True, timeout=2.0)


def fetched(url, tmp_path, **headers):
    download(file_at(url, **headers), tmp_path / "copy", 2.0, lambda *_: None, pause=lambda _: None)
    return (tmp_path / "copy").read_bytes()


def test_a_file_comes_through_the_proxy_as_it_is(target, through, tmp_path):
    body = os.urandom(300_000)
    target.say = say(200, body, ETag='"one"')
    assert fetched(target.url, tmp_path, Authorization="Bearer b") == body
    assert target.seen[0][1]["Authorization"] == "Bearer b"
    assert len(through.seen) == 1


def test_a_redirect_to_a_private_address_is_refused_through_a_proxy_too(target, through, tmp_path):
    target.say = say(302, Location=f"{target.scheme}://127.0.0.1:{target.server_port}/secret")
    with pytest.raises(DataError, match="not a public address") as caught:
        fetched(target.url, tmp_path)
    assert "public address redirected" in caught.value.hint
    assert len(target.seen) == 1


def test_each_redirect_goes_through_the_proxy_and_takes_no_credential_to_another_host(through, tmp_path):
    with destination(answer=say(200, b"rows")) as other, destination() as first:
        first.say = say(302, Location=f"http://other.invalid:{other.server_port}/real.csv")
        url = f"http://target.invalid:{first.server_port}/x.csv"
        assert fetched(url, tmp_path, Authorization="Bearer b") == b"rows"
        assert first.seen[0][1]["Authorization"] == "Bearer b"
        assert "Authorization" not in other.seen[0][1]
    assert len(through.seen) == 2


def test_no_proxy_holds_for_each_redirect(through, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with destination(answer=say(200, b"rows")) as first:
        first.say = say(302, Location=f"http://localhost:{first.server_port}/real.csv")
        file = file_at(f"http://127.0.0.1:{first.server_port}/x.csv")
        with pytest.raises(DataError, match="more than 5 redirects"), file.open(0):
            pass
    assert {asked.rpartition("/")[2] for _, asked, _ in through.seen} == {"real.csv"}


def test_a_proxy_that_is_down_is_tried_again_and_then_named_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://u:canary@localhost:{free_port()}")
    with pytest.raises(
        StorageUnavailable, match="could not be read in 5 attempts: the proxy http://localhost"
    ) as caught:
        fetched("https://target.invalid/x.csv", tmp_path)
    assert "Correct HTTPS_PROXY, or list target.invalid in NO_PROXY" in caught.value.hint
    assert "canary" not in str(caught.value)


def test_a_proxy_that_wants_a_password_is_not_asked_five_times(target, through, tmp_path):
    through.wants = "u:p"
    with pytest.raises(DataError, match="asks for a user and a password"):
        fetched(target.url, tmp_path)
    assert len(through.seen) == 1


def test_a_body_that_breaks_off_within_the_tunnel_is_a_dropped_connection(target, through):
    target.say = say(200, b"half", Content_Length="8")
    with pytest.raises(Dropped, match="dropped"), file_at(target.url).open(0) as part:
        list(part.chunks)


def test_pieces_of_a_body_are_no_longer_than_asked_for(target, through):
    target.say = say(200, b"x" * 100_000)
    with get(target.url, {}, allow_private=True) as stream:
        pieces = list(iter(lambda: stream.read(1000), b""))
    assert max(map(len, pieces)) == 1000
    assert sum(map(len, pieces)) == 100_000


@pytest.mark.parametrize("plugin", ["webhook", "openlineage"])
def test_alerts_and_lineage_go_through_the_proxy(target, through, make_project, plugin):
    if plugin == "webhook":
        from mlopsfw.testing.alerter import ALERT
        from mlopsfw_alerter_webhook import WebhookConfig
        from mlopsfw_alerter_webhook.alerter import WebhookAlerter

        WebhookAlerter(
            WebhookConfig(url=target.url, allow_private=True), make_project().host("alerter.webhook")
        ).deliver(ALERT)
    else:
        from mlopsfw import start_run

        project = make_project(f'[observer.openlineage]\nurl = "{target.url}"\nallow_private = true\n')
        with start_run("tuning", project=project):
            pass
    assert len(through.seen) == len(target.seen) >= 1
