"""The systemd unit of an endpoint, as text."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

_UNIT = """\
# {place}
# Save this file there. Then run: sudo systemctl daemon-reload && sudo systemctl enable --now mlopsfw-{name}
[Unit]
Description=mlopsfw endpoint {name}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
WorkingDirectory={root}
ExecStart={command}
# For secrets that the configuration names as env:NAME, write a file that only this user may read:
# EnvironmentFile=/etc/mlopsfw/{name}.env
Restart=on-failure
RestartSec=1
# 2: the configuration is wrong; a restart would not help.
RestartPreventExitStatus=2
WatchdogSec=10
WatchdogSignal=SIGKILL
TimeoutStartSec=120
TimeoutStopSec=90
KillMode=mixed
LimitNOFILE=8192
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""


def unit_of(root: Path, name: str) -> str:
    """Return a unit file that starts an endpoint again when it dies, when it hangs, and after a reboot.

    Args:
        root: The project's folder.
        name: The endpoint.
    """
    words = [sys.executable, "-m", "mlopsfw", "--project", str(root), "serve", f"endpoints:/{name}"]
    return _UNIT.format(
        place=f"/etc/systemd/system/mlopsfw-{name}.service", name=name, user=getpass.getuser(), root=_escape(root),
        command=" ".join(map(_quoted, words)),
    )  # fmt: skip


def _escape(text: object) -> str:
    return str(text).replace("%", "%%")


def _quoted(word: str) -> str:
    """Quote a word of ExecStart, in which `%`, `$` and backslashes are special (systemd.service(5))."""
    text = _escape(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{text}"'
