"""A real forward proxy on 127.0.0.1 for tests: absolute form for http, CONNECT for https. It finds every name on this machine."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Handler(BaseHTTPRequestHandler):
    """Answers one request a connection."""

    def log_message(self, *_args):
        """Say nothing."""

    def refused(self):
        proxy = self.server
        proxy.seen.append((self.command, self.path, dict(self.headers)))
        wanted = f"Basic {base64.b64encode(proxy.wants.encode()).decode()}"
        if proxy.wants and self.headers.get("Proxy-Authorization") != wanted:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", "Basic")
            self.end_headers()
        elif proxy.trick:
            proxy.trick(self.connection)
        else:
            return False
        return True

    def do_CONNECT(self):
        if self.refused():
            return
        with socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2])), 10) as far:
            self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.relay(far)

    def do_POST(self):
        if self.refused():
            return
        parts = urlsplit(self.path)
        headers = "".join(f"{k}: {v}\r\n" for k, v in self.headers.items() if not k.lower().startswith("proxy-"))
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        with socket.create_connection(("127.0.0.1", parts.port or 80), 10) as far:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            far.sendall(f"{self.command} {target} HTTP/1.1\r\n{headers}\r\n".encode() + body)
            self.relay(far)

    do_GET = do_POST  # noqa: N815 - the server's own name

    def relay(self, far):
        there = threading.Thread(target=copy, args=(self.connection, far), daemon=True)
        there.start()
        copy(far, self.connection)
        there.join(10)


def copy(source, sink):
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    for end, half in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with suppress(OSError):
            end.shutdown(half)


class Proxy(ThreadingHTTPServer):
    """The proxy.

    Args:
        certificate: A folder with `cert.pem` and `key.pem`, for a proxy that is spoken to by TLS.
        wants: The user and password that it asks for.
    """

    daemon_threads = True

    def __init__(self, certificate=None, wants=""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen, self.wants, self.trick = [], wants, None
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_args):
        """Say nothing: connections that break are what some tests are about."""

    def url(self, userinfo=""):
        return f"{self.scheme}://{userinfo}{'@' if userinfo else ''}localhost:{self.server_port}"


@contextmanager
def running_proxy(**options):
    """Serve until left."""
    server = Proxy(**options)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
