"""A webhook receiver, as a team's chat or pager would be: checks the signature (Standard Webhooks), keeps what it got once per id."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Listens on 127.0.0.1 at a free port until it is closed."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.alerts: dict[str, dict[str, Any]] = {}
        self.refused = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                genuine = receiver.signed(self.headers, body)
                if genuine:
                    receiver.alerts[self.headers["webhook-id"]] = json.loads(body)
                else:
                    receiver.refused += 1
                self.send_response(204 if genuine else 401)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        return Handler

    def signed(self, headers: Any, body: bytes) -> bool:
        """Return whether the body carries a signature made with our secret."""
        text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
        return any(hmac.compare_digest(wanted, given) for given in headers["webhook-signature"].split())

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
