"""What stops, hangs, dies or finds no room comes back: real processes, real signals, a process manager of ten lines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from bundles import spec_of, write_bundle
from serving import ROW, ask, infer_body

from mlopsfw.cli import run
from mlopsfw.cli.unit import unit_of
from mlopsfw.kernel.base.errors import ServingError
from mlopsfw.project.facade import Project

pytestmark = [pytest.mark.server, pytest.mark.faults]

TOML = "[deployer.http]\ndrain_seconds = 0.2\ngrace_seconds = 1.0\ncompact_seconds = 0\n"
INFER = "/v2/models/delay/infer"


@pytest.fixture
def delay(make_project: Callable[..., Project], tmp_path: Path) -> Iterator[Project]:
    """A project with two versions of the model `delay`; its endpoint is stopped afterwards."""
    project = make_project(TOML)
    for version, bias in ((1, 0.0), (2, 1.0)):
        project.registry.register("delay", write_bundle(project, tmp_path / str(version), bias))
    yield project
    project.providers.deployer().deployer.stop("delay")


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def answers(port: int) -> bool:
    try:
        return ask(port, "POST", INFER, infer_body(ROW))[0] == 200
    except OSError:
        return False


def until(done: Callable[[], Any], seconds: float) -> float:
    """Wait until `done`; return how long that took."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


# -- a server process that does not answer -------------------------------------------------------------------------------


def test_a_stopped_server_is_replaced_within_five_seconds_and_waiting_clients_are_answered(delay: Project) -> None:
    began = time.monotonic()
    before = delay.endpoints.deploy("models:/delay@1")
    start = time.monotonic() - began  # about a second; more on a machine that has other things to do
    os.kill(before.facts["worker"], signal.SIGSTOP)
    began = time.monotonic()
    assert answers(port_of(before.url)), "sent after it stopped: it waits in the socket's queue for the next process"
    assert time.monotonic() - began < max(5.0, 2.5 + 2 * start)
    until(lambda: delay.endpoints.status("delay").state == "ready", 10.0)  # it answers before its supervisor says so
    assert delay.endpoints.status("delay").facts["restarts"] == 1
    assert not Path(f"/proc/{before.facts['worker']}").exists()
    assert '"event": "hung"' in (delay.private_folder("plugins", "deployer.http", "delay") / "server.log").read_text()


def test_a_server_whose_model_hangs_is_replaced(
    make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_HANGING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    project = make_project(TOML + "answer_seconds = 0.5\n")
    project.registry.register("delay", write_bundle(project, tmp_path / "1", 0.0))
    try:
        before = project.endpoints.deploy("models:/delay@1")
        port = port_of(before.url)
        for rows, times in ((1, 1), (2000, 2)):  # on the event loop, and aside in the thread
            stuck = threading.Thread(target=_ignored, args=(port, [{**ROW, "carrier": "HANG"}] * rows))
            stuck.start()
            time.sleep(0.3)
            until(lambda n=times: project.endpoints.status("delay").facts.get("restarts") == n, 10.0)
            assert answers(port)
            stuck.join()
    finally:
        project.providers.deployer().deployer.stop("delay")


def test_an_answer_that_takes_more_memory_than_the_server_may_have_is_refused_and_the_next_one_is_given(
    make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_HANGING.replace("time.sleep(0.1)", "bytearray(8 << 30)"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    project = make_project(TOML + 'memory = "4GiB"\n')
    project.registry.register("delay", write_bundle(project, tmp_path / "1", 0.0))
    try:
        before = project.endpoints.deploy("models:/delay@1")
        port = port_of(before.url)
        for rows in (1, 2000):  # on the event loop, and aside in the thread
            status, said, _ = ask(port, "POST", INFER, infer_body(*[{**ROW, "carrier": "HANG"}] * rows))
            assert status == 413
            assert "more memory than the server has" in said["error"]
            assert answers(port)
        now = project.endpoints.status("delay").facts
        assert (now["worker"], now["restarts"]) == (before.facts["worker"], 0)
    finally:
        project.providers.deployer().deployer.stop("delay")


def test_too_little_memory_for_the_model_is_refused_at_the_deployment(delay: Project, make_project) -> None:
    project = make_project(TOML + 'memory = "20MiB"\n')
    with pytest.raises(ServingError, match=r"memory = 20MiB is too little: the server takes \d+ MiB with the model"):
        project.endpoints.deploy("models:/delay@1")


_HANGING = """
import sys, time
if "mlopsfw_deployer_http.server" in " ".join(sys.orig_argv):
    from mlopsfw.models.bundle.loaded import LoadedBundle
    predict = LoadedBundle.predict
    def hanging(self, columns):
        while "HANG" in columns["carrier"]:
            time.sleep(0.1)
        return predict(self, columns)
    LoadedBundle.predict = hanging
"""


def _ignored(port: int, rows: list[dict[str, Any]]) -> None:
    with contextlib.suppress(OSError):
        ask(port, "POST", INFER, infer_body(*rows))


def test_a_server_that_computes_a_long_batch_is_not_taken_for_hung(delay: Project) -> None:
    before = delay.endpoints.deploy("models:/delay@1")
    body = infer_body(*[ROW] * 60_000)
    assert ask(port_of(before.url), "POST", INFER, body)[0] == 200
    assert delay.endpoints.status("delay").facts["restarts"] == 0


def test_a_server_that_cannot_start_again_does_not_keep_a_good_version_from_being_deployed(delay: Project) -> None:
    before = delay.endpoints.deploy("models:/delay@1")
    (bundle,) = (delay.private_folder("plugins", "deployer.http", "delay") / "bundles").iterdir()
    bundle.rename(bundle.with_name("away"))
    os.kill(before.facts["worker"], signal.SIGKILL)
    until(
        lambda: (
            "restart failed" in (delay.private_folder("plugins", "deployer.http", "delay") / "server.log").read_text()
        ),
        20.0,
    )
    now = delay.endpoints.deploy("models:/delay@2")
    assert (now.state, now.version) == ("ready", 2)


def test_a_server_that_dies_while_a_change_is_loading_is_replaced(
    make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "import sys, time\nif 'revision-2.json' in ' '.join(sys.orig_argv):\n    time.sleep(6)\n"
    (tmp_path / "sitecustomize.py").write_text(slow)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    project = make_project(TOML)
    for version in (1, 2):
        project.registry.register("delay", write_bundle(project, tmp_path / str(version), float(version)))
    try:
        before = project.endpoints.deploy("models:/delay@1")
        changing = threading.Thread(target=project.endpoints.deploy, args=("models:/delay@2",))
        changing.start()
        time.sleep(0.5)
        os.kill(before.facts["worker"], signal.SIGKILL)
        began = time.monotonic()
        assert ask(port_of(before.url), "GET", "/v2/models/delay")[1]["versions"] == ["1"]
        assert time.monotonic() - began < 5.0
        changing.join()
        assert project.endpoints.status("delay").version == 2
    finally:
        project.providers.deployer().deployer.stop("delay")


# -- a supervisor that is gone, or does not react ------------------------------------------------------------------------


class Kept:
    """`mlopsfw serve endpoints:/delay` under a process manager that starts it again whenever it fails, as `Restart=on-failure` does."""

    def __init__(self, project: Project) -> None:
        self._command = [sys.executable, "-m", "mlopsfw", "--project", str(project.root), "serve", "endpoints:/delay"]
        self._thread = threading.Thread(target=self._keep)
        self.starts, self.process = 0, None

    def _keep(self) -> None:
        code = 1
        while code != 0 and self.starts < 5:
            self.starts += 1
            self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            code = self.process.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.starts = 99
        self.process.terminate()
        self._thread.join(30)
        assert self.process.returncode == 0


def test_a_killed_supervisor_in_the_foreground_comes_back_on_its_port_and_takes_changes(delay: Project) -> None:
    url = delay.endpoints.deploy("models:/delay@1").url
    delay.providers.deployer().deployer.stop("delay")  # as a reboot does: the ledger says on that it should serve
    with Kept(delay) as kept:
        until(lambda: delay.endpoints.status("delay").state == "ready", 20.0)
        now = delay.endpoints.status("delay")
        assert now.facts["supervisor"] == kept.process.pid, "no process is between the manager and what it keeps"
        for _ in range(2):
            os.kill(kept.process.pid, signal.SIGKILL)
            until(lambda: not answers(port_of(url)), 10.0)
            until(lambda: answers(port_of(url)), 20.0)
        until(lambda: delay.endpoints.status("delay").state == "ready", 10.0)
        assert delay.endpoints.status("delay").url == url
        assert delay.endpoints.deploy("models:/delay@2").version == 2
        with pytest.raises(ServingError, match="already has a supervisor"):
            delay.endpoints.run("delay")
    assert delay.endpoints.status("delay").state == "stopped"
    assert "should serve delay@2" in delay.endpoints.status("delay").detail


def test_a_dead_supervisor_is_told_as_dead_with_what_to_do(delay: Project, capsys: pytest.CaptureFixture[str]) -> None:
    before = delay.endpoints.deploy("models:/delay@1")
    os.kill(before.facts["supervisor"], signal.SIGKILL)
    until(lambda: delay.endpoints.status("delay").state != "ready", 5.0)
    assert run(["--project", str(delay.root), "endpoints", "status", "delay", "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)["status"]
    assert shown["state"] == "failed"
    assert re.search(r"supervisor, process \d+, is dead; run: mlopsfw endpoints start delay", shown["detail"])
    again = delay.endpoints.supervise("delay")
    assert (again.state, again.url) == ("ready", before.url), "it waited for the server that still held the port"


def test_a_stopped_supervisor_is_told_and_can_be_ended(delay: Project) -> None:
    before = delay.endpoints.deploy("models:/delay@1")
    lock = delay.private_folder("plugins", "deployer.http", "delay") / "supervisor.lock"
    os.kill(before.facts["supervisor"], signal.SIGSTOP)
    os.utime(lock, (1, 1))  # as after ten seconds
    assert "does not react" in delay.endpoints.status("delay").detail
    with pytest.raises(ServingError, match="does not react"):
        delay.providers.deployer().deployer.deploy(spec_of(delay, 2))
    delay.endpoints.stop("delay")
    assert delay.endpoints.status("delay").state == "stopped"
    until(lambda: not Path(f"/proc/{before.facts['worker']}").exists(), 10.0)


def test_a_stopped_server_of_a_killed_supervisor_does_not_keep_the_port(delay: Project) -> None:
    before = delay.endpoints.deploy("models:/delay@1")
    os.kill(before.facts["worker"], signal.SIGSTOP)
    os.kill(before.facts["supervisor"], signal.SIGKILL)
    until(lambda: delay.endpoints.status("delay").state == "failed", 10.0)  # while it dies it still holds its lock
    again = delay.endpoints.supervise("delay")
    assert (again.state, again.url) == ("ready", before.url)
    assert again.facts["worker"] != before.facts["worker"]
    until(lambda: not Path(f"/proc/{before.facts['worker']}").exists(), 10.0)
    assert answers(port_of(again.url))


def test_stopping_an_endpoint_ends_the_stopped_server_of_a_killed_supervisor(delay: Project) -> None:
    before = delay.endpoints.deploy("models:/delay@1")
    os.kill(before.facts["worker"], signal.SIGSTOP)
    os.kill(before.facts["supervisor"], signal.SIGKILL)
    until(lambda: delay.endpoints.status("delay").state == "failed", 10.0)
    delay.endpoints.stop("delay")
    until(lambda: not Path(f"/proc/{before.facts['worker']}").exists(), 10.0)


def test_what_serves_in_the_foreground_tells_a_process_manager_that_it_is_ready_and_lives(delay: Project) -> None:
    delay.endpoints.deploy("models:/delay@1")
    delay.providers.deployer().deployer.stop("delay")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0mlopsfw-test-{os.getpid()}")
        manager.settimeout(30)
        command = [sys.executable, "-m", "mlopsfw", "--project", str(delay.root), "serve", "endpoints:/delay"]
        environment = {**os.environ, "NOTIFY_SOCKET": f"@mlopsfw-test-{os.getpid()}"}
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            said = [manager.recv(100) for _ in range(3)]
            process.terminate()
            while said[-1] != b"STOPPING=1":
                said.append(manager.recv(100))
            assert process.wait(30) == 0
    assert said[:3] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_a_restart_that_fails_does_not_make_the_version_a_failed_one(delay: Project, tmp_path: Path) -> None:
    delay.endpoints.deploy("models:/delay@1")
    delay.endpoints.deploy("models:/delay@2")
    delay.providers.deployer().deployer.stop("delay")
    port = int((delay.private_folder("plugins", "deployer.http", "delay") / "port").read_text())
    with (
        socket.create_server(("127.0.0.1", port)),
        Project.open(delay.root, overrides=[f"deployer.http.port={port}"]) as moved,
        pytest.raises(ServingError, match="cannot listen"),
    ):
        moved.endpoints.supervise("delay")
    assert delay.endpoints.supervise("delay").version == 2


@pytest.mark.parametrize("folder", ["plain", "50% of $HOME", 'a "quoted" \\ folder'])
def test_the_unit_that_is_printed_is_one_that_systemd_reads(tmp_path: Path, folder: str) -> None:
    root = tmp_path / folder
    root.mkdir()
    text = unit_of(root, "delay")
    assert "Restart=on-failure" in text
    assert '"endpoints:/delay"' in text
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    file = tmp_path / "mlopsfw-delay.service"
    file.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "mlopsfw-delay" in line]) == (0, [])


def test_the_verb_unit_prints_it(delay: Project, capsys: pytest.CaptureFixture[str]) -> None:
    delay.endpoints.deploy("models:/delay@1")
    capsys.readouterr()
    assert run(["--project", str(delay.root), "endpoints", "unit", "delay"]) == 0
    assert capsys.readouterr().out == unit_of(delay.root, "delay")
    assert run(["--project", str(delay.root), "endpoints", "unit", "absent"]) == 2


# -- a disk without room ---------------------------------------------------------------------------------------------------


def test_a_supervisor_survives_a_full_disk_and_writes_its_status_once_there_is_room(
    delay: Project,
) -> None:
    before = delay.endpoints.deploy("models:/delay@1")
    folder, worker = delay.private_folder("plugins", "deployer.http", "delay"), before.facts["worker"]
    _, hard = resource.prlimit(before.facts["supervisor"], resource.RLIMIT_FSIZE)
    resource.prlimit(before.facts["supervisor"], resource.RLIMIT_FSIZE, (0, hard))  # no file takes a byte
    os.kill(worker, signal.SIGKILL)
    until(lambda: answers(port_of(before.url)), 10.0)
    assert json.loads((folder / "status.json").read_text())["worker"] == worker, "nothing could be written"
    resource.prlimit(before.facts["supervisor"], resource.RLIMIT_FSIZE, (hard, hard))
    until(lambda: json.loads((folder / "status.json").read_text())["worker"] != worker, 10.0)
    now = delay.endpoints.status("delay")
    assert (now.state, now.facts["restarts"], now.facts["supervisor"]) == ("ready", 1, before.facts["supervisor"])


# -- the log -----------------------------------------------------------------------------------------------------------------


def test_a_log_that_grows_too_long_is_put_aside_while_it_serves(delay: Project) -> None:
    before = delay.endpoints.deploy("models:/delay@1")
    file = delay.private_folder("plugins", "deployer.http", "delay") / "server.log"
    with file.open("ab") as flood:
        flood.write(b"x" * 1023 + b"\n")
        flood.write((b"x" * 1023 + b"\n") * (17 << 10))
    until(lambda: file.stat().st_size < 1 << 20, 10.0)
    assert file.with_suffix(".log.1").stat().st_size > 16 << 20
    os.kill(before.facts["worker"], signal.SIGTERM)
    until(lambda: '"event": "leaving"' in file.read_text(), 10.0)
    until(lambda: '"event": "serving"' in file.read_text(), 10.0)
