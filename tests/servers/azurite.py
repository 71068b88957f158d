"""A real Azure Blob server for tests, Microsoft's Azurite, on 127.0.0.1 and a free port; installed by npm where it is not there.

Its account and key are the ones that are published for it.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import http.client
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ports import free_ports

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "3.35.0"


class NotInstalled(Exception):
    """There is no server to run."""


@dataclass(frozen=True)
class Azurite:
    """A running server.

    Args:
        port: Where it listens on 127.0.0.1.
    """

    port: int
    appends = False  # it does not know `startFrom`, by which deltalake lists a log from a version on
    wrong = (
        {"azure_storage_account_key": "d3Jvbmc="},
        {"azure_storage_account_name": "nobody"},
    )  # options that it refuses

    @property
    def options(self) -> dict[str, str]:
        """What opens its containers."""
        return {
            "azure_storage_account_name": ACCOUNT,
            "azure_storage_account_key": KEY,
            "azure_storage_endpoint": f"http://127.0.0.1:{self.port}/{ACCOUNT}",
            "allow_http": "true",
        }

    def make_bucket(self, name: str) -> str:
        """Make a container; return its URL."""
        now = email.utils.formatdate(usegmt=True)
        headers = f"x-ms-date:{now}\nx-ms-version:2021-08-06\n"
        signed = f"PUT{chr(10) * 12}{headers}/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
        asked = {
            "x-ms-date": now,
            "x-ms-version": "2021-08-06",
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
            "Content-Length": "0",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("PUT", f"/{ACCOUNT}/{name}?restype=container", headers=asked)
        answer = connection.getresponse()
        assert answer.status == http.HTTPStatus.CREATED, answer.read()
        connection.close()
        return f"az://{name}"


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """Run the server with its files in `folder`.

    Raises:
        NotInstalled: There is no `azurite-blob`, and npm does not install it.
    """
    program = shutil.which("azurite-blob") or _installed(folder / "program")
    port = free_ports(1)[0]
    command = [program, "--silent", "--location", str(folder), "--blobPort", str(port), "--skipApiVersionCheck"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, "--disableTelemetry"], stdout=log, stderr=log)
    try:
        _await(server, port)
        yield Azurite(port)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _installed(folder: Path) -> str:
    folder.mkdir()
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"azurite@{VERSION}"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotInstalled(f"Azurite is not there, and npm does not install it: {error}") from None
    return str(folder / "node_modules" / ".bin" / "azurite-blob")


def _await(server: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "Azurite ended while it started"
        time.sleep(0.1)
    raise TimeoutError("Azurite does not listen")
