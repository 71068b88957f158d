"""What calls out goes where it was checked to go, says no to everything else, and cannot be held up or flooded."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from mlopsfw.http import LARGEST_ANSWER, EgressError, check_url, is_loopback, post
from mlopsfw.http.addresses import is_public
from mlopsfw.kernel.base.errors import ConfigError

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def listener(answer, *, wrap=None):
    """Serve on a free port: `answer(connection)` is called for each connection; yields the port and the requests seen."""
    server = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, suppress(OSError), wrap(connection) if wrap else connection as spoken:
                    if answer is not drip_handshake:
                        seen.append(whole_request(spoken))
                    answer(spoken)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], seen
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)


def whole_request(connection):
    """Read up to the body, `{}`: closing on unread bytes would take the answer back."""
    request = b""
    while not request.endswith(b"{}") and (more := connection.recv(65536)):
        request += more
    return request


def say(text):
    return lambda connection: connection.sendall(text)


def drip_handshake(connection):
    connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")  # a handshake record that claims 16 KiB
    for _ in range(100):
        connection.sendall(b"\x03")
        time.sleep(0.05)


def call(port, *, host="127.0.0.1", scheme="http", **options):
    return post(f"{scheme}://{host}:{port}/hook?a=b", b"{}", {}, **({"allow_private": True, "timeout": 3.0} | options))


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "192.88.99.1", "192.0.0.1", "192.0.0.8", "192.0.0.170", "::ffff:192.0.0.8", "::1", "::", "::127.0.0.1", "::10.0.0.1", "::ffff:10.1.1.1", "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fe80::1%lo",
    "fec0::1", "fd00::1", "ff02::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_on_the_public_internet_is_known_as_such_in_any_form(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "192.0.0.9"]
)
def test_a_public_address_is_public(address):
    assert is_public(address)


def resolve_to(monkeypatch, *answers):
    """Have names resolve to one list of addresses after the other, as a hostile name server would."""
    asked = []

    def getaddrinfo(host, port, **_):
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr("mlopsfw.http.addresses.socket.getaddrinfo", getaddrinfo)
    return asked


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch):
    resolve_to(monkeypatch, ["8.8.8.8", "127.0.0.1"])
    with listener(say(OK)) as (port, seen):
        with pytest.raises(EgressError, match=r"127\.0\.0\.1, which is not a public address"):
            call(port, host="example.org", allow_private=False)
        assert seen == []


def test_a_name_is_resolved_once_and_the_connection_goes_to_what_was_checked(monkeypatch):
    dialled = []
    monkeypatch.setattr(
        "mlopsfw.http.addresses.socket.create_connection",
        lambda address, *_, **__: dialled.append(address) or refuse(),
    )

    def refuse():
        raise ConnectionRefusedError("not today")

    asked = resolve_to(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])  # the second look would lead inside
    with pytest.raises(EgressError, match="not today"):
        call(80, host="rebind.example", allow_private=False)
    assert (asked, dialled) == (["rebind.example"], [("8.8.8.8", 80)])


def test_the_request_carries_the_hosts_name_and_the_whole_target():
    with listener(say(OK)) as (port, seen):
        assert call(port, host="localhost").status == 204
    assert seen[0].startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert f"Host: localhost:{port}".encode() in seen[0]


def test_a_redirect_is_an_answer_and_is_not_followed():
    with listener(say(OK)) as (inner, visited):
        location = f"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:{inner}/\r\nContent-Length: 0\r\n\r\n".encode()
        with listener(say(location)) as (port, _):
            assert call(port).status == 307
        assert visited == []


def test_no_more_of_an_answer_is_read_than_the_limit():
    with listener(say(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (4 * LARGEST_ANSWER))) as (port, _):
        assert len(call(port).body) == LARGEST_ANSWER


@pytest.mark.parametrize("junk", [b"", b"\0\1\2", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200])
def test_an_answer_that_is_not_http_is_an_error_that_says_so(junk):
    with listener(say(junk)) as (port, _), pytest.raises(EgressError, match="did not answer"):
        call(port)


@pytest.mark.parametrize("url", ["canary", "ftp://h/canary", "http://h:canary/", "http://[canary", "http://h/canary é"])
def test_an_error_about_a_url_shows_no_part_of_it(url):
    with pytest.raises(ConfigError, match=r"alerter\.acme\.url: ") as caught:
        check_url(url, key="alerter.acme.url")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("value", ["two\r\nlines", "canary\0", "…"])
def test_a_header_that_cannot_be_sent_is_an_error_without_its_value(value):
    with listener(say(OK)) as (port, seen):
        with pytest.raises(EgressError, match=r"a header for .* cannot be sent") as caught:
            post(f"http://127.0.0.1:{port}/", b"{}", {"Authorization": f"Bearer canary{value}"}, allow_private=True)
        assert seen in ([], [b""])
    assert "canary" not in str(caught.value)
    assert caught.value.final


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]"])
def test_what_is_this_machine_alone_is_known_as_such(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.corp", "127.0.0.1.corp", "example.org"])
def test_what_others_may_reach_is_not_this_machine_alone(host):
    assert not is_loopback(host)


def test_the_client_is_cheap_to_import():
    code = "import sys, mlopsfw.http; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"httpcore", "h11", "ssl", "email", "http.client"} & set(loaded)


@pytest.mark.parametrize("url", ["http://h/a b", "http://h/\r\nX: y", "http://h/é", "http://h/?q=\t", "http://h/\0"])
def test_a_url_that_could_break_the_request_line_is_refused_as_config(url):
    with pytest.raises(ConfigError):
        check_url(url)


# -- TLS -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of `localhost` that nobody has signed but itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return lambda connection: context.wrap_socket(connection, server_side=True)


def test_a_certificate_that_is_trusted_and_of_that_name_is_accepted(certificate, tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    with listener(say(OK), wrap=tls) as (port, _):
        assert call(port, host="localhost", scheme="https").status == 204


def test_a_certificate_of_another_name_is_refused(certificate, tls, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    with listener(say(OK), wrap=tls) as (port, seen):
        with pytest.raises(EgressError, match="certificate verify failed"):
            call(port, host="127.0.0.1", scheme="https")
        assert seen == []


def test_a_certificate_that_nobody_vouches_for_is_refused(tls):
    with listener(say(OK), wrap=tls) as (port, seen):
        with pytest.raises(EgressError, match="certificate verify failed"):
            call(port, host="localhost", scheme="https")
        assert seen == []


def test_a_handshake_that_drips_ends_with_the_time_limit():
    with listener(drip_handshake) as (port, _):
        began = time.monotonic()
        with pytest.raises(EgressError):
            call(port, scheme="https", timeout=0.5)
        assert time.monotonic() - began < 2.0
