"""A Ray cluster of nodes with folders of their own on this machine, started and ended by process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_METRICS_COLLECTION": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_agent_register_timeout_ms": "120000",
    "RAY_worker_register_timeout_seconds": "180",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
}


def family(pid: int) -> list[int]:
    """Return a process and all that it started, directly or not."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += family(int(child))
    return found


@dataclass
class Node:
    process: subprocess.Popen
    folder: Path

    def kill(self) -> None:
        """Take the whole node away at once, as a power cut would."""
        for pid in family(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()


@dataclass
class Cluster:
    address: str
    root: Path
    nodes: list[Node] = field(default_factory=list)

    def heal(self) -> None:
        """Start a node for each that was killed, at the same address."""
        for number, node in enumerate(self.nodes):
            if node.process.poll() is not None:
                del self.nodes[number]
                self.join(number)
                self.nodes.insert(number, self.nodes.pop())

    def join(self, number: int, tries: int = 6) -> None:
        """Start a node and wait for it, anew if it ends by itself, as Ray's do on a busy machine."""
        where = ["--head", f"--port={self.address.partition(':')[2]}", "--include-dashboard=false"]
        for _ in range(tries):
            folder = self.root / f"n{len(list(self.root.iterdir()))}"
            node = start(folder, f"127.0.0.{number + 1}", where if number == 0 else [f"--address={self.address}"])
            self.nodes.append(node)
            if joined(self, node):
                return
            node.stop()
            self.nodes.remove(node)
        raise AssertionError((node.folder / "output.txt").read_text())


@contextmanager
def ray_cluster(root: Path, nodes: int = 2):
    """Yield a cluster; node 0 is the head. `root` must be short: sockets lie below it."""
    cluster = Cluster(f"127.0.0.1:{free_port()}", root)
    try:
        for number in range(nodes):
            cluster.join(number)
        yield cluster
    finally:
        for node in reversed(cluster.nodes):
            node.stop()


def start(folder: Path, address: str, where: list[str]) -> Node:
    folder.mkdir()
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *where, f"--node-ip-address={address}"]
    # A raylet ends itself if its agents, Python processes, are slow to tell it their ports, as on a busy machine.
    agents = ("dashboard-agent-grpc", "dashboard-agent-listen", "runtime-env-agent", "metrics-export")
    command += [f"--{agent}-port={free_port()}" for agent in agents]
    command += ["--num-cpus=1", f"--temp-dir={folder}", "--object-store-memory=80000000", "--disable-usage-stats"]
    first = ["nice", "-n", "-10"] if os.geteuid() == 0 else []  # before the tests that keep the machine busy
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [*first, *command], stdout=output, stderr=output, env={**os.environ, **ENVIRONMENT}, start_new_session=True
        )
    return Node(process, folder)


def joined(cluster: Cluster, node: Node, seconds: float = 120) -> bool:
    """Return whether all nodes of the cluster live, or False once `node` has ended or the time is over."""
    end = time.monotonic() + seconds
    while node.process.poll() is None and time.monotonic() < end:
        if alive(cluster) == len(cluster.nodes):
            return True
        time.sleep(0.5)
    return False


def alive(cluster: Cluster) -> int:
    """Return how many nodes the head counts. No driver is started for it: that takes seconds of a busy machine."""
    from ray._raylet import GcsClient
    from ray.exceptions import RaySystemError, RpcError

    host, port = cluster.address.split(":")
    with socket.socket() as probe:
        if probe.connect_ex((host, int(port))) != 0:
            return 0
    try:
        nodes = GcsClient(address=cluster.address).get_all_node_info(timeout=10)
    except (RpcError, RaySystemError):
        return 0
    return sum(node.state == 0 for node in nodes.values())


def free_port() -> int:
    """Return a port that Ray does not use for its workers (10002 to 19999)."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if not 10002 <= port <= 19999:
            return port
