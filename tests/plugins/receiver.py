"""A real HTTP receiver for webhooks on 127.0.0.1, which can be told to fail, redirect, drip or hang."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    def __init__(self, port=0):
        self.got = []  # (headers, body)
        self.behaviour = []  # consumed one per request; then 204
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self.handler())
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                what = receiver.behaviour.pop(0) if receiver.behaviour else 204
                if what == "drip":
                    return self.drip()
                if what == "lost":  # it has the alert, and the sender never learns of it
                    receiver.got.append((dict(self.headers), body))
                    return None
                if what == "hang":
                    time.sleep(3)
                    return None
                if what == "redirect":
                    self.send_response(307)
                    self.send_header("Location", receiver.url)
                else:
                    receiver.got.append((dict(self.headers), body)) if what == 204 else None
                    self.send_response(what)
                self.end_headers()
                return None

            def drip(self):
                try:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
                    for _ in range(200):
                        self.wfile.write(b"x")
                        time.sleep(0.05)
                except OSError:
                    return

            def log_message(self, *_):
                pass

        return Handler

    def ids(self):
        return [next(v for k, v in headers.items() if k.lower() == "webhook-id") for headers, _ in self.got]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
