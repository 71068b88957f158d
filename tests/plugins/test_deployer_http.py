"""The deployer `http` keeps the contract, and the whole way from a registered model to captured predictions is walked once."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bundles import ROWS, spec_of, write_broken, write_bundle
from serving import ROW, ask, infer_body

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import ServingError
from mlopsfw.kernel.roles.deployer import Deployer, EndpointStatus
from mlopsfw.project.facade import Project
from mlopsfw.testing.deployer import DeployerConformance, spec
from mlopsfw_deployer_http.deployer import HttpDeployer

pytestmark = pytest.mark.server

TOML = "[deployer.http]\ndrain_seconds = 0.2\ncompact_seconds = 0\n"
TOKEN = "a-long-random-token"


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(TOML)


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


class TestHttpDeployer(DeployerConformance):
    """The contract, by real processes."""

    @pytest.fixture
    def project(self, make_project: Callable[..., Project]) -> Project:
        return make_project(TOML)

    @pytest.fixture
    def deployer(self, project: Project) -> Deployer:
        return project.providers.deployer().deployer

    def ask(
        self, deployer: Deployer, status: EndpointStatus, columns: Mapping[str, list[Any]]
    ) -> Mapping[str, list[Any]]:
        code, body, _ = ask(port_of(status.url), "POST", "/invocations", {"inputs": columns})
        assert code == 200, body
        return {name: [row[name] for row in body["predictions"]] for name in body["predictions"][0]}


# -- the whole way -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def delay(project: Project, tmp_path: Path) -> Iterator[Project]:
    """A project with three versions of the model `delay`, the third one broken; its endpoint is stopped afterwards."""
    for version, bias in ((1, 0.0), (2, 1.0)):
        project.registry.register("delay", write_bundle(project, tmp_path / str(version), bias))
    project.registry.register("delay", write_broken(project, tmp_path / "3"))
    project.registry.promote("delay", 1)
    yield project
    project.providers.deployer().deployer.stop("delay")


def predict(url: str, *rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    status, body, _ = ask(port_of(url), "POST", "/v2/models/delay/infer", infer_body(*rows, **more))
    assert status == 200, body
    return body


def test_from_a_registered_model_to_captured_predictions_and_their_labels(delay: Project) -> None:
    url = delay.endpoints.deploy("models:/delay@champion").url
    answer = predict(
        url,
        ROW,
        {**ROW, "carrier": "never seen", "distance": None},
        id="x",
        parameters={"event_time": "2013-04-01T12:00:00Z"},
    )
    first, second = answer["parameters"]["prediction_ids"]
    label = {"prediction_id": second, "label": True, "label_time": "2013-04-02T12:00:00Z"}
    assert ask(port_of(url), "POST", "/labels", {"labels": [label]})[0] == 200
    rows = delay.captures.scan("delay", "2013-04-01T00:00:00Z", "2013-04-02T00:00:00Z").sort("prediction_id").collect()
    assert rows["prediction_id"].to_list() == [first, second]
    assert rows["client_request_id"].to_list() == ["x", "x"]
    assert rows["probability"].to_list() == pytest.approx(answer["outputs"][0]["data"])
    assert rows["distance"].to_list() == [500.0, None]
    assert set(rows["bundle"]) == {delay.registry.resolve("models:/delay@1").bundle}
    assert delay.labels.scan("delay").collect()["label"].to_list() == [True]


@pytest.mark.parametrize(
    ("setting", "status"), [("", 200), ('[capture]\nmax_event_age = "30d"\n', 400)], ids=["default", "30d"]
)
def test_how_old_an_event_may_be_at_a_served_endpoint_is_a_setting(
    make_project: Callable[..., Project], tmp_path: Path, setting: str, status: int
) -> None:
    project = make_project(TOML + setting)
    project.registry.register("delay", write_bundle(project, tmp_path / "1", 0.0))
    url = project.endpoints.deploy("models:/delay@1").url
    try:
        body = infer_body(ROW, parameters={"event_time": "2013-04-01T12:00:00Z"})
        assert ask(port_of(url), "POST", "/v2/models/delay/infer", body)[0] == status
        absurd = infer_body(ROW, parameters={"event_time": "0001-01-01T00:00:00+23:59"})
        assert ask(port_of(url), "POST", "/v2/models/delay/infer", absurd)[0] == 400
    finally:
        project.providers.deployer().deployer.stop("delay")


def test_a_served_answer_is_the_bundles_own(delay: Project, tmp_path: Path) -> None:
    url = delay.endpoints.deploy("models:/delay@1").url
    rows = [{name: ROWS[name][n].as_py() for name in ROW} for n in range(8)]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert (
        run(
            [
                "--project",
                str(delay.root),
                "predict",
                "models:/delay@1",
                str(file),
                "--out",
                str(tmp_path / "out.parquet"),
            ]
        )
        == 0
    )
    offline = pl.read_parquet(tmp_path / "out.parquet")["probability"].to_list()
    assert predict(url, *rows)["outputs"][0]["data"] == pytest.approx(offline, abs=0)


def test_deploy_roll_back_and_stop_by_the_command_line(delay: Project, capsys: pytest.CaptureFixture[str]) -> None:
    def mlopsfw(*words: str) -> tuple[int, str]:
        code = run(["--project", str(delay.root), *words])
        return code, capsys.readouterr().out

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert mlopsfw("deploy", "models:/delay@champion", "--port", str(port)) == (0, f"http://127.0.0.1:{port}\n")
    assert mlopsfw("deploy", "models:/delay@2")[0] == 0
    assert mlopsfw("deploy", "models:/delay@3")[0] == 1
    code, text = mlopsfw("endpoints", "status", "delay", "--json")
    shown = json.loads(text)
    assert (code, shown["status"]["state"], shown["status"]["version"]) == (0, "ready", 2)
    assert [change["state"] for change in shown["history"]] == ["ready", "ready", "failed"]
    assert mlopsfw("endpoints", "rollback", "delay")[0] == 0
    assert ask(port, "GET", "/v2/models/delay")[1]["versions"] == ["1"]
    assert [row["state"] for row in json.loads(mlopsfw("endpoints", "list", "--json")[1])] == ["ready"]
    assert '"event": "serving"' in mlopsfw("endpoints", "logs", "delay")[1]
    assert mlopsfw("endpoints", "stop", "delay") == (0, "delay: stopped\n")
    assert mlopsfw("endpoints", "status", "delay")[0] == 1


def test_the_deploy_step_of_a_pipeline_serves_what_it_is_told(
    make_project: Callable[..., Project], delay: Project
) -> None:
    project = make_project(TOML + '[steps.deploy]\nmodel = "models:/delay@champion"\n')
    assert run(["--project", str(project.root), "run"]) == 0
    (change,) = project.people.show(project.endpoints.history("delay"))
    assert (change.version, change.state, change.reason.startswith("run ")) == (1, "ready", True)
    assert run(["--project", str(project.root), "--set", "steps.deploy.model=models:/delay@3", "run"]) != 0
    assert project.endpoints.status("delay").version == 1


def test_serving_in_the_foreground_ends_with_the_terminal(delay: Project) -> None:
    command = [sys.executable, "-m", "mlopsfw", "--project", str(delay.root), "serve", "models:/delay@1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shown:
        assert shown.stdout
        url = shown.stdout.readline().split()[0]
        assert predict(url, ROW)["model_version"] == "1"
        shown.send_signal(signal.SIGINT)
        assert shown.wait(30) == 0
    assert delay.endpoints.status("delay").state == "stopped"


def test_a_bundle_that_was_damaged_where_it_is_served_is_made_whole_by_the_next_deploy(delay: Project) -> None:
    status = delay.endpoints.deploy("models:/delay@1")
    answer = predict(status.url, ROW)["outputs"]
    delay.endpoints.stop("delay")
    (file,) = delay.workspace.root.rglob("bundles/*/model.onnx")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert predict(delay.endpoints.deploy("models:/delay@1").url, ROW)["outputs"] == answer


def test_an_endpoint_that_was_stopped_comes_back_on_its_port(delay: Project) -> None:
    before = delay.endpoints.deploy("models:/delay@1").url
    delay.endpoints.stop("delay")
    assert delay.endpoints.deploy("models:/delay@1").url == before


def test_a_running_endpoint_keeps_its_address(delay: Project) -> None:
    delay.endpoints.deploy("models:/delay@1")
    with (
        Project.open(delay.root, overrides=["deployer.http.port=1"]) as moved,
        pytest.raises(ServingError, match="keeps that while it runs"),
    ):
        moved.endpoints.deploy("models:/delay@2")


def test_a_port_that_is_taken_is_told(delay: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            Project.open(delay.root, overrides=[f"deployer.http.port={port}"]) as moved,
            pytest.raises(ServingError, match=f"cannot listen on 127.0.0.1, port {port}"),
        ):
            moved.endpoints.deploy("models:/delay@1")


def test_a_first_start_that_failed_is_told_while_its_supervisor_is_still_there(delay: Project, tmp_path: Path) -> None:
    broken = write_broken(delay, tmp_path / "broken")
    with pytest.raises(ServingError):
        delay.providers.deployer().deployer.deploy(spec(1, broken))
    with (delay.private_folder("plugins", "deployer.http", "contract") / "supervisor.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its supervisor is gone: nothing holds the folder
        assert delay.providers.deployer().deployer.status("contract").state == "failed"


def test_a_supervisor_that_is_killed_takes_its_server_along_and_is_started_again(delay: Project) -> None:
    first = delay.endpoints.deploy("models:/delay@1")
    os.kill(first.facts["supervisor"], signal.SIGKILL)
    _until(lambda: not Path(f"/proc/{first.facts['worker']}").exists())
    status = delay.endpoints.status("delay")
    assert (status.state, "should serve delay@1" in status.detail) == ("failed", True)
    again = delay.endpoints.supervise("delay")
    assert (again.state, again.url, again.revision) == ("ready", first.url, 1)


def test_the_server_process_maps_nothing_heavy(delay: Project) -> None:
    status = delay.endpoints.deploy("models:/delay@1")
    predict(status.url, ROW)
    mapped = Path(f"/proc/{status.facts['worker']}/maps").read_text()
    assert "onnxruntime" in mapped
    for heavy in ("polars", "pyarrow", "libtorch", "deltalake", "pandas", "obstore"):
        assert heavy not in mapped, heavy


def test_the_token_guards_a_real_endpoint_and_lies_nowhere(
    make_project: Callable[..., Project], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVING_TOKEN", TOKEN)
    project = make_project(f'{TOML}token = "env:SERVING_TOKEN"\nhost = "0.0.0.0"\n')
    status = project.providers.deployer().deployer.deploy(spec(1, write_bundle(project, tmp_path / "bundle", 0.0)))
    try:
        port = port_of(status.url)
        assert status.state == "ready"
        assert ask(port, "GET", "/v2")[0] == 401
        assert ask(port, "GET", "/v2", Authorization=f"Bearer {TOKEN}")[0] == 200
        for file in project.state.rglob("*"):
            assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file
        for process in (status.facts["supervisor"], status.facts["worker"]):
            assert TOKEN.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
    finally:
        project.providers.deployer().deployer.stop("contract")


def test_under_any_umask_the_endpoints_files_are_private(delay: Project) -> None:
    before = os.umask(0)
    try:
        delay.endpoints.deploy("models:/delay@1")
    finally:
        os.umask(before)
    for path in (delay.private_folder("plugins", "deployer.http", "delay"), delay.state / "captures" / "delay"):
        assert path.stat().st_mode & 0o077 == 0
    for name in ("wanted.json", "status.json", "server.log", "supervisor.lock"):
        assert (delay.private_folder("plugins", "deployer.http", "delay") / name).stat().st_mode & 0o077 == 0


def test_what_was_captured_is_moved_into_its_table_while_it_serves(
    make_project: Callable[..., Project], tmp_path: Path
) -> None:
    project = make_project(TOML.replace("compact_seconds = 0", "compact_seconds = 0.5"))
    project.registry.register("delay", write_bundle(project, tmp_path / "1", 0.0))
    url = project.endpoints.deploy("models:/delay@1").url
    try:
        (identity,) = predict(url, ROW)["parameters"]["prediction_ids"]
        _until(lambda: project.tables.exists("captures/delay"))  # type: ignore[attr-defined]
        assert project.tables.scan("captures/delay").collect()["prediction_id"].to_list() == [identity]
    finally:
        project.providers.deployer().deployer.stop("delay")


def test_a_client_that_keeps_its_connection_is_told_to_leave_and_is_answered_until_then(delay: Project) -> None:
    url = delay.endpoints.deploy("models:/delay@1").url
    client = http.client.HTTPConnection("127.0.0.1", port_of(url))
    body, headers = json.dumps(infer_body(ROW)), {"Content-Type": "application/json"}

    def send() -> tuple[str, str | None]:
        client.request("POST", "/v2/models/delay/infer", body, headers)
        answer = client.getresponse()
        return json.loads(answer.read())["model_version"], answer.getheader("connection")

    assert send() == ("1", None)
    delay.providers.deployer().deployer.deploy(spec_of(delay, 2))
    assert send() == ("1", "close")  # the old server answers on the connection it holds, and ends it
    assert send() == ("2", None)
    client.close()


def _until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(("answers", "ready"), [([503, 200], True), ([503] * 9, False)])
def test_a_process_that_drains_answers_for_no_other(answers, ready):
    """It may have taken the connection just before the one that replaces it was ready."""

    class Drained(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answers.pop(0))
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Drained) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = object.__new__(HttpDeployer)._ask(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert said == (ready, "" if ready else "it is not ready")
