"""A server on 127.0.0.1 that answers as Vault does for KV version 2, and can be told to refuse, to be sealed or to hang."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TOKEN = "hvs.test-token"


class Vault:
    def __init__(self):
        self.secrets = {}  # mount/path -> fields, or the answer to a path that is not there
        self.behaviour = None  # status, body and headers of every answer; or "hang", "drip"
        self.asked = []  # headers and path of each request
        self.over = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def put(self, target, value):
        """Write a field as `vault kv patch` does; the target is MOUNT/data/PATH#FIELD."""
        path, _, field = target.partition("#")
        self.secrets.setdefault(path, {})[field] = value

    def answer(self, path, token):
        if self.behaviour is not None:
            return self.behaviour
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}, {}
        found = self.secrets.get(path)
        if isinstance(found, tuple):
            return found
        if found is None and "/data/" not in f"/{path}/":
            warning = "Invalid path for a versioned K/V secrets engine. See the API docs"
            return 404, {"errors": [], "warnings": [warning]}, {}
        if found is None:
            return 404, {"errors": []}, {}
        metadata = {"version": 1, "destroyed": False, "deletion_time": ""}
        return 200, {"data": {"data": found, "metadata": metadata}, "warnings": None}, {}

    def handler(self):
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                vault.asked.append((dict(self.headers), self.path))
                path = unquote(self.path).removeprefix("/v1/")
                answer = vault.answer(path, self.headers.get("X-Vault-Token"))
                if answer == "hang":
                    vault.over.wait(10)
                    return
                if answer == "drip":
                    self.drip()
                    return
                status, body, headers = answer
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def drip(self):
                try:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    while not vault.over.wait(0.05):
                        self.wfile.write(b" ")
                except OSError:
                    return

            def log_message(self, *_):
                pass

        return Handler

    def close(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
