"""Changes, ends and deaths under load: what was answered was captured, and nothing fails that need not.

The clients are a process of their own (`load.py`): 16 keep-alive connections that never send a request twice.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bundles import write_broken, write_bundle
from load import Load

from mlopsfw.kernel.base.errors import ServingError
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.project.facade import Project
from mlopsfw_deployer_http.deployer import HttpDeployer
from mlopsfw_deployer_http.settings import STATUS, Settings, Status, read

pytestmark = [pytest.mark.server, pytest.mark.slow]

CLIENTS = 16
CHANGES = int(os.environ.get("MLOPSFW_CHANGES", "20"))  # a hundred by hand: MLOPSFW_CHANGES=100


class Endpoint:
    """An endpoint `delay` whose revisions alternate between two bundles."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.bundles = [write_bundle(project, folder / f"bundle{n}", float(n)) for n in range(2)]
        self.broken = write_broken(project, folder / "broken")
        self.revision = 0
        self.port = int(self.change().url.rsplit(":", 1)[1])

    def change(self, bundle: str = ""):
        self.revision += 1
        return self.project.providers.deployer().deployer.deploy(
            EndpointSpec(
                endpoint="delay", model="delay", version=self.revision, revision=self.revision,
                bundle=bundle or self.bundles[self.revision % 2],
            )
        )  # fmt: skip

    @property
    def worker(self) -> int:
        """The server process, once there is one that answers."""
        while (status := self.project.providers.deployer().deployer.status("delay")).state != "ready":
            time.sleep(0.02)
        return status.facts["worker"]

    def captured(self) -> set[str]:
        return set(self.project.captures.scan("delay").select("prediction_id").collect()["prediction_id"])


@pytest.fixture
def endpoint(make_project: Callable[..., Project], tmp_path: Path) -> Iterator[Endpoint]:
    project = make_project("[deployer.http]\ndrain_seconds = 1.5\ncompact_seconds = 0\n")
    yield Endpoint(project, tmp_path)
    project.providers.deployer().deployer.stop("delay")


def test_a_change_that_was_given_up_is_never_served_however_late_it_is_ready(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(_: object, folder: Path, settings: Settings) -> None:
        while read(folder / STATUS, Status).attempt.revision != settings.spec.revision:
            time.sleep(0.005)
        raise ServingError("it did not start")

    with monkeypatch.context() as patch:
        patch.setattr(HttpDeployer, "_await", give_up)
        with pytest.raises(ServingError, match="did not start"):
            endpoint.change()
    deployer = endpoint.project.providers.deployer().deployer
    while "refused" not in (status := deployer.status("delay")).facts:
        assert status.revision == 1
        time.sleep(0.05)
    assert (status.state, status.revision) == ("ready", 1)
    assert "given up" in status.facts["refused"]["reason"]
    assert endpoint.change().revision == 3


@pytest.mark.timeout(400)
def test_changes_under_load_fail_no_request(endpoint: Endpoint) -> None:
    with Load(endpoint.port, CLIENTS) as load:
        for number in range(CHANGES):
            if number % 20 == 10:
                with pytest.raises(ServingError):
                    endpoint.change(endpoint.broken)  # gets no traffic: no answer names it
            endpoint.change()
    assert load.seen["failed"] == []
    assert load.requests > 100 * CHANGES
    assert set(load.seen["bundles"]) == set(endpoint.bundles)
    assert set(load.seen["ids"]) <= endpoint.captured()


def test_a_server_that_gets_sigterm_under_load_fails_no_request(endpoint: Endpoint) -> None:
    gaps = []
    with Load(endpoint.port, CLIENTS) as load:
        for _ in range(5):
            time.sleep(0.3)
            gone, began = endpoint.worker, time.monotonic()
            os.kill(gone, signal.SIGTERM)
            while endpoint.worker == gone:
                time.sleep(0.02)
            gaps.append(time.monotonic() - began)
        time.sleep(0.3)
    assert load.seen["failed"] == []
    assert max(load.seen["seconds"]) < max(gaps) + 1.0  # it waits for the next server at most


def test_an_endpoint_that_is_stopped_under_load_answers_what_it_took(endpoint: Endpoint) -> None:
    with Load(endpoint.port, CLIENTS) as load:
        time.sleep(1.0)
        endpoint.project.providers.deployer().deployer.stop("delay")
    held = [error for connection, error in load.seen["failed"] if connection == "held"]
    assert len(held) <= CLIENTS, (
        held
    )  # nobody listens any more; a connection it held is closed once, between two requests
    assert set(load.seen["ids"]) <= endpoint.captured()


@pytest.mark.faults
def test_a_killed_server_costs_what_was_in_flight_loses_no_capture_and_is_back_in_two_seconds(
    endpoint: Endpoint,
) -> None:
    kills, gaps = 5, []
    with Load(endpoint.port, CLIENTS) as load:
        for _ in range(kills):
            time.sleep(0.5)
            os.kill(endpoint.worker, signal.SIGKILL)
            began = time.monotonic()
            time.sleep(0.05)  # until the supervisor has seen it
            assert endpoint.worker
            gaps.append(time.monotonic() - began)
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", "import mlopsfw_deployer_http.server, onnxruntime"], check=True)
        imports = time.monotonic() - began
    assert len(load.seen["failed"]) <= kills * CLIENTS
    assert statistics.median(gaps) < max(2.0, 3 * imports)  # the clients keep the cores busy, and others may, too
    assert load.requests > 1_000
    assert set(load.seen["ids"]) <= endpoint.captured()
    assert endpoint.project.providers.deployer().deployer.status("delay").facts["restarts"] == kills


@pytest.mark.faults
def test_a_killed_supervisor_lets_its_server_finish_and_loses_no_capture(endpoint: Endpoint) -> None:
    with Load(endpoint.port, CLIENTS) as load:
        time.sleep(1.0)
        status = endpoint.project.providers.deployer().deployer.status("delay")
        os.kill(status.facts["supervisor"], signal.SIGKILL)
        time.sleep(2.5)
        again = endpoint.change()
        time.sleep(0.5)
    assert again.url == status.url
    held = [error for connection, error in load.seen["failed"] if connection == "held"]
    assert len(held) <= CLIENTS, (
        held
    )  # nobody listens any more; a connection it held is closed once, between two requests
    assert set(load.seen["ids"]) <= endpoint.captured()
