"""A real PostgreSQL for tests, on 127.0.0.1 and a free port, run as the unprivileged user postgres where we are root.

Needs Debian's postgresql, whose programs lie under /usr/lib/postgresql/VERSION/bin.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

from ports import free_ports

USER = "mlops"


def programs() -> Path:
    """Return the folder of the newest installed version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    return found[-1]


@contextmanager
def postgres(folder: Path):
    """Yield the URL of a running server whose files lie in `folder`, which is made."""
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", free_ports(1)[0]
    _run("initdb", "-D", data, "-A", "trust", "-U", USER, "--no-sync", folder=folder)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    _run("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start", folder=folder)
    pid = int((data / "postmaster.pid").read_text().split()[0])
    try:
        _run("createdb", "-h", "127.0.0.1", "-p", port, "-U", USER, USER, folder=folder)
        yield f"postgresql://{USER}:not-asked-for@127.0.0.1:{port}/{USER}"
    finally:
        os.kill(pid, signal.SIGINT)  # a fast shutdown
        _run("pg_ctl", "-D", data, "-w", "stop", folder=folder, check=False)


def _run(program: str, *arguments: object, folder: Path, check: bool = True) -> None:
    command = [str(programs() / program), *map(str, arguments)]
    if os.geteuid() == 0:
        command = ["runuser", "-u", "postgres", "--", *command]
    subprocess.run(command, cwd=folder, check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
