"""A real S3 server for tests: Ceph's RGW over one monitor and one in-memory OSD, on 127.0.0.1, with free ports.

Needs Debian's radosgw, ceph-mon, ceph-osd and ceph-common. Everything runs in the foreground as our own children, so that what is
stopped is what was started. As a script it serves until it is interrupted: `python tests/servers/s3.py FOLDER`.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import shutil
import socket
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ports import free_ports

KEY, SECRET = "test", "testsecret"
VARIABLE = "S3_SERVER_SECRET"
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")
CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]
public addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
mon max pg per osd = 1000
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
run dir = {root}/run
admin socket = {root}/run/$name.asok
log file = {root}/log/$name.log
keyring = {root}/keyring
mon data = {root}/mon
osd data = {root}/osd
mon data avail warn = 1
mon data avail crit = 1
[client.rgw]
rgw data = {root}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw thread pool size = 64
"""


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Args:
        port: Where it listens on 127.0.0.1.
    """

    port: int
    appends = True  # Delta tables can be appended to
    wrong = ({"aws_secret_access_key": "wrong"}, {"aws_access_key_id": "nobody"})  # options that it refuses

    @property
    def options(self) -> dict[str, str]:
        """Options for `[storage.object.options]`."""
        return {
            "aws_endpoint": f"http://127.0.0.1:{self.port}",
            "aws_access_key_id": KEY,
            "aws_secret_access_key": SECRET,
            "aws_region": "us-east-1",
            "allow_http": "true",
        }

    @property
    def referring(self) -> dict[str, str]:
        """The same for a file, which holds no secret in clear: `conftest` sets the variable."""
        return self.options | {"aws_secret_access_key": f"env:{VARIABLE}"}

    def make_bucket(self, name: str) -> str:
        """Make a bucket; return its URL."""
        status = self._put(f"/{name}")
        if status != 200:
            raise RuntimeError(f"making the bucket {name} was answered with {status}")
        return f"s3://{name}"

    def _put(self, path: str) -> int:
        """PUT with an empty body, signed (AWS Signature Version 4): obstore makes no buckets."""
        host, stamp = f"127.0.0.1:{self.port}", datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        empty = hashlib.sha256(b"").hexdigest()
        headers = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": stamp}
        names = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        request = hashlib.sha256(f"PUT\n{path}\n\n{lines}\n{names}\n{empty}".encode()).hexdigest()
        scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
        key = f"AWS4{SECRET}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{request}".encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("PUT", path, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def s3_server(root: Path):
    """Start a server whose files lie in `root`, which is made anew; stop it at the end."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise RuntimeError(
            f"{', '.join(missing)} not found; run: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-common"
        )
    root.mkdir(parents=True, exist_ok=True)
    for name in ("mon", "osd", "run", "log", "rgw"):
        (root / name).mkdir()
    daemons: list[subprocess.Popen] = []
    try:
        yield S3Server(_start(root, daemons))
    finally:
        for daemon in reversed(daemons):
            daemon.kill()  # nothing in there is to be kept
            daemon.wait()


def _start(root: Path, daemons: list[subprocess.Popen]) -> int:
    mon2, mon1, port = free_ports(3)
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    config = ["-c", str(root / "ceph.conf")]
    (root / "ceph.conf").write_text(CONFIG.format(fsid=fsid, root=root, mon1=mon1, mon2=mon2, port=port))
    _make_keys(root)
    addresses = f"[v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]"
    _run("monmaptool", "--create", "--addv", "a", addresses, "--fsid", fsid, str(root / "monmap"))
    _run("ceph-mon", *config, "--mkfs", "-i", "a", "--monmap", str(root / "monmap"), "--keyring", str(root / "keyring"))

    def serve(*command: str) -> None:
        log = (root / "log" / f"{command[0]}.out").open("wb")
        with log:
            daemons.append(subprocess.Popen([*command, *config, "-f"], stdout=log, stderr=log))

    serve("ceph-mon", "-i", "a")
    _run("ceph", *config, "osd", "new", osd, "0")
    _run("ceph", *config, "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")
    _run("ceph-osd", *config, "-i", "0", "--mkfs", "--osd-uuid", osd)
    serve("ceph-osd", "-i", "0")
    serve("radosgw", "-n", "client.rgw", "--cluster", "ceph")
    _wait_for(port, daemons, root)
    _run(
        "radosgw-admin", *config, "-n", "client.rgw", "user", "create",
        "--uid=test", "--display-name=test", f"--access-key={KEY}", f"--secret={SECRET}",
    )  # fmt: skip
    return port


def _make_keys(root: Path) -> None:
    ring = str(root / "keyring")
    _run("ceph-authtool", "-C", ring, "-g", "-n", "mon.", "--cap", "mon", "allow *")
    for name, caps in {
        "client.admin": {"mon": "allow *", "osd": "allow *", "mds": "allow *", "mgr": "allow *"},
        "client.rgw": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
        "osd.0": {"mon": "allow profile osd", "osd": "allow *", "mgr": "allow profile osd"},
    }.items():
        _run("ceph-authtool", ring, "-g", "-n", name, *(part for cap in caps.items() for part in ("--cap", *cap)))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")


def _wait_for(port: int, daemons: list[subprocess.Popen], root: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and all(daemon.poll() is None for daemon in daemons):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    outputs = "\n".join(
        f"{log.name}: {log.read_text(errors='replace')[-1000:]}" for log in (root / "log").glob("*.out")
    )
    raise RuntimeError(f"the S3 server did not start:\n{outputs}")


def main() -> None:
    """Serve until interrupted."""
    with s3_server(Path(sys.argv[1])) as server:
        sys.stdout.write(f"{server.make_bucket('test')} {server.options}\n")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
