"""An HTTP file server for tests, on 127.0.0.1, that can be told to misbehave: each request takes the next trick of its file."""

from __future__ import annotations

import gzip
import re
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Served:
    """A file that is served.

    Args:
        body: What is in it.
        headers: Sent with it.
        tricks: What the next requests get instead, in order.
        wants: The Authorization that it asks for.
        ranges: Whether it can be had from the middle.
    """

    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    tricks: list[Callable[[Handler, Served], None]] = field(default_factory=list)
    wants: str = ""
    ranges: bool = True


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_args):
        """Say nothing."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.seen.append((path, dict(self.headers)))
        served = self.server.files.get(path)
        self.close_connection = True
        if served is None:
            self.say(404)
        elif served.wants and self.headers.get("Authorization") != served.wants:
            self.say(401)
        elif served.tricks:
            served.tricks.pop(0)(self, served)
        else:
            self.serve(served)

    def serve(self, served, cut=None):
        """Answer as RFC 9110 has it; `cut`: drop the connection after so many bytes."""
        etag, modified = served.headers.get("ETag"), served.headers.get("Last-Modified")
        asked = self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")
        if (etag and asked[0] == etag) or (not asked[0] and modified and asked[1] == modified):
            self.say(304, served.headers)
            return
        start = self.start_of(served)
        body, headers = served.body[start:], dict(served.headers)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(served.body) - 1}/{len(served.body)}"
        self.say(206 if start else 200, headers, body, cut)

    def start_of(self, served):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        held = self.headers.get("If-Range") in (None, served.headers.get("ETag"))
        return int(found[1]) if found and held and served.ranges else 0

    def say(self, status, headers=(), body=b"", cut=None):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if "Content-Length" not in dict(headers) and "Transfer-Encoding" not in dict(headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])


class Files(ThreadingHTTPServer):
    """The server.

    Args:
        scheme: `http` or `https`.
    """

    daemon_threads = True

    def __init__(self, scheme="http"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.scheme = scheme

    def handle_error(self, *_args):
        """Say nothing: a client that goes away is what some tests are about."""

    def put(self, path, body, **facts):
        self.files[path] = Served(body, **facts)
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}{path}"


@contextmanager
def http_files(certificate: Path | None = None, key: Path | None = None):
    """Serve until left."""
    server = Files("https" if certificate else "http")
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


# -- tricks ------------------------------------------------------------------------------------------------------------------


def drops(after):
    return lambda handler, served: handler.serve(served, cut=after)


def drops_and_changes(after):
    def trick(handler, served):
        handler.serve(served, cut=after)
        served.headers["ETag"] = '"two"'

    return trick


def answers(status, **headers):
    return lambda handler, _served: handler.say(
        status, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def redirects(to, status=302):
    return lambda handler, _served: handler.say(status, {"Location": to})


def promises(length):
    """Say that there are `length` bytes, and send those there are."""
    return lambda handler, served: handler.say(200, {**served.headers, "Content-Length": str(length)}, served.body)


def hangs(seconds):
    def trick(handler, served):
        handler.say(200, served.headers | {"Content-Length": str(len(served.body))})
        handler.wfile.flush()
        time.sleep(seconds)

    return trick


def packs(handler, served):
    handler.say(200, {**served.headers, "Content-Encoding": "gzip"}, gzip.compress(served.body))


def chunks(handler, served):
    handler.say(200, {**served.headers, "Transfer-Encoding": "chunked"})
    for start in range(0, len(served.body), 1000):
        part = served.body[start : start + 1000]
        handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
    handler.wfile.write(b"0\r\n\r\n")


def cuts_chunks(handler, served):
    handler.say(200, {**served.headers, "Transfer-Encoding": "chunked"})
    handler.wfile.write(f"{len(served.body):x}\r\n".encode() + served.body[:10])


def tells_no_length(handler, served):
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nETag: " + served.headers["ETag"].encode() + b"\r\n\r\n" + served.body)
