"""Several deployers side by side: each endpoint remembers its own, whichever verb asks, and another one can take it over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlopsfw.cli import run
from mlopsfw.kernel.base.errors import ConfigError, PluginError, ServingError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.project.facade import Project
from mlopsfw.serving.changes import serving

SHELF = """
import json, msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.errors import ServingError
from mlopsfw.roles import DeployerMode, EndpointSpec, EndpointStatus

class C(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: int = 1
    full: bool = False
    stuck: bool = False
    mode: str = "online"

class Shelf:
    "Serves nothing, but keeps the contract: each instance has a file of what it serves."
    def __init__(self, config, host):
        self.config, self.host, self.mode = config, host, config.mode

    def _file(self, endpoint):
        return self.host.private_folder() / f"{endpoint}.json"

    def score(self, endpoint, requests):
        return iter(())
    def deploy(self, spec):
        if self.config.full:
            raise ServingError("the shelf is full")
        self._file(spec.endpoint).write_bytes(msgspec.json.encode(spec))
        return self.status(spec.endpoint)

    def status(self, endpoint):
        try:
            spec = msgspec.json.decode(self._file(endpoint).read_bytes(), type=EndpointSpec)
        except FileNotFoundError:
            return EndpointStatus(endpoint=endpoint, state="stopped")
        url = f"http://127.0.0.1:{self.config.port}"
        return EndpointStatus(endpoint=endpoint, state="ready", url=url, model=spec.model, version=spec.version, revision=spec.revision)

    def stop(self, endpoint):
        if self.config.stuck:
            raise RuntimeError("it does not let go")
        self._file(endpoint).unlink(missing_ok=True)
        return self.status(endpoint)

@hookimpl
def mlopsfw_deployers():
    yield Provider("shelf", C, Shelf, "A shelf")
"""
TWO = '[deployer]\nuse = "shelf"\n[deployer.nightly]\nuse = "shelf"\nmode = "batch"\n'

Act = Callable[[Project], Any]


@pytest.fixture
def shelves(
    make_project: Callable[..., Project], install_plugin: Callable[..., str], tmp_path: Path
) -> Callable[..., Project]:
    """Return a maker of projects with these deployers, and three versions of the model `delay`."""
    install_plugin(SHELF, "deployer.shelf")

    def make(toml: str = TWO) -> Project:
        project = make_project(toml)
        for version in (1, 2, 3):
            folder = tmp_path / str(version)
            if not folder.exists():
                folder.mkdir()
                (folder / "bundle.json").write_text(str(version))
                project.registry.register("delay", project.blobs.put_folder(folder))
        project.registry.promote("delay", 1)
        return project

    return make


@pytest.fixture
def project(shelves: Callable[..., Project]) -> Project:
    """A project whose default deployer is `shelf`, and which has `nightly` too."""
    return shelves()


def state(project: Project, deployer: str) -> str:
    return project.providers.deployer(deployer).deployer.status("delay").state


def test_a_new_endpoint_is_the_default_deployers_and_a_named_one_can_be_chosen(project: Project) -> None:
    default = project.endpoints.deploy("delay")
    named = project.endpoints.deploy("delay", "scores", deployer="nightly")
    assert (default.deployer, default.mode) == ("shelf", "online")
    assert (named.deployer, named.mode) == ("nightly", "batch")
    assert [change.deployer for change in project.endpoints.history("scores")] == ["nightly"]


@pytest.mark.parametrize(
    ("act", "version"),
    [
        (lambda project: project.endpoints.deploy("models:/delay@3"), 3),
        (lambda project: project.endpoints.rollback("delay"), 1),
        (lambda project: project.endpoints.supervise("delay"), 2),
        (lambda project: project.endpoints.status("delay"), 2),
        (lambda project: project.endpoints.stop("delay"), 0),
    ],
    ids=["deploy", "rollback", "supervise", "status", "stop"],
)
def test_every_verb_asks_the_deployer_that_serves_the_endpoint(project: Project, act: Act, version: int) -> None:
    for number in (1, 2):
        project.endpoints.deploy(f"models:/delay@{number}", deployer="nightly")
    with Project.open(project.root) as later:
        status = act(later)
        assert (status.deployer, status.version) == ("nightly", version)
        assert later.providers.deployer("nightly").deployer.status("delay").version == version
        assert state(later, "shelf") == "stopped"


def test_an_endpoint_that_was_stopped_comes_back_at_its_own_deployer(project: Project) -> None:
    project.endpoints.deploy("delay", deployer="nightly")
    project.endpoints.stop("delay")
    assert project.endpoints.deploy("delay").deployer == "nightly"


def test_a_deployer_that_takes_an_endpoint_over_has_the_former_one_stop_it(project: Project) -> None:
    project.endpoints.deploy("delay")
    assert project.endpoints.deploy("delay", deployer="nightly").deployer == "nightly"
    assert (state(project, "shelf"), state(project, "nightly")) == ("stopped", "ready")
    assert [(c.deployer, c.state) for c in project.endpoints.history("delay")] == [
        ("shelf", "stopped"), ("nightly", "ready"),
    ]  # fmt: skip
    assert project.endpoints.deploy("delay", deployer="shelf").deployer == "shelf"
    assert (state(project, "shelf"), state(project, "nightly")) == ("ready", "stopped")


def test_a_deployer_that_cannot_take_an_endpoint_over_leaves_it_where_it_is(shelves: Callable[..., Project]) -> None:
    project = shelves(TWO + "full = true\n")
    project.endpoints.deploy("delay")
    with pytest.raises(ServingError, match="the shelf is full"):
        project.endpoints.deploy("models:/delay@2", deployer="nightly")
    assert project.endpoints.status("delay").deployer == "shelf"
    assert (state(project, "shelf"), project.endpoints.status("delay").version) == ("ready", 1)


def test_a_former_deployer_that_does_not_let_go_is_named_and_asked_again(shelves: Callable[..., Project]) -> None:
    toml = (
        '[deployer]\nuse = "front"\n[deployer.front]\nuse = "shelf"\nstuck = true\n[deployer.nightly]\nuse = "shelf"\n'
    )
    project = shelves(toml)
    project.endpoints.deploy("delay")
    with pytest.raises(
        ServingError, match=r"nightly serves delay now, but the deployer front could not stop it.*let go"
    ):
        project.endpoints.deploy("delay", deployer="nightly")
    assert project.endpoints.status("delay").deployer == "nightly"
    with Project.open(project.root, overrides=["deployer.front.stuck=false"]) as repaired:
        repaired.endpoints.deploy("delay")
        assert state(repaired, "front") == "stopped"


def test_a_ledger_of_before_is_read_and_its_endpoints_are_the_default_deployers(project: Project) -> None:
    stream, version = project.ledger.stream("endpoint/delay"), project.registry.resolve("models:/delay@1")
    body = {"revision": 1, "model": "delay", "version": 1, "bundle": version.bundle}
    stream.append(PlainRecord("endpoint.wanted", body))
    stream.append(PlainRecord("endpoint.ready", {"revision": 1, "url": "x"}))
    assert project.endpoints.supervise("delay").deployer == "shelf"
    assert project.endpoints.deploy("models:/delay@2").deployer == "shelf"
    assert state(project, "shelf") == "ready"  # the change without a name is of the same deployer: it is not stopped
    assert project.endpoints.deploy("models:/delay@2", deployer="nightly").deployer == "nightly"
    assert state(project, "shelf") == "stopped"


def test_another_default_moves_no_endpoint(project: Project) -> None:
    project.endpoints.deploy("delay")
    with Project.open(project.root, overrides=["deployer.use=nightly", "deployer.shelf.port=2"]) as later:
        assert later.endpoints.deploy("models:/delay@2").deployer == "shelf"
        assert later.endpoints.deploy("delay", "another").deployer == "nightly"


def test_without_a_default_each_endpoint_names_its_own(shelves: Callable[..., Project]) -> None:
    project = shelves('[deployer.front]\nuse = "shelf"\n[deployer.nightly]\nuse = "shelf"\n')
    with pytest.raises(ConfigError, match="none of front, nightly is the default deployer"):
        project.endpoints.deploy("delay")
    project.endpoints.deploy("delay", deployer="front")
    assert project.endpoints.deploy("models:/delay@2").deployer == "front"


def test_an_unknown_deployer_is_refused_with_the_nearest_name_and_nothing_is_wanted(project: Project) -> None:
    with pytest.raises(ConfigError, match="no deployer is called 'nightli'") as raised:
        project.endpoints.deploy("delay", deployer="nightli")
    assert "nightly" in raised.value.hint
    assert project.endpoints.list() == []


def test_a_deployer_that_is_missing_is_named_with_its_endpoint_and_hides_no_other(
    shelves: Callable[..., Project], capsys: pytest.CaptureFixture[str]
) -> None:
    project = shelves()
    project.endpoints.deploy("delay")
    project.endpoints.deploy("delay", "scores", deployer="nightly")
    project = shelves('[deployer]\nuse = "shelf"\n')
    for act in (project.endpoints.status, project.endpoints.stop, project.endpoints.supervise):
        with pytest.raises(ConfigError, match="endpoint scores is served by the deployer 'nightly'"):
            act("scores")
    assert run(["--project", str(project.root), "endpoints", "list", "--json"]) == 0
    rows = {row["endpoint"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["delay"]["state"], rows["scores"]["state"]) == ("ready", "unknown")
    assert "nightly" in rows["scores"]["detail"]
    assert [f.level for f in project.doctor.examine() if f.check == "endpoints"] == ["error"]


def test_doctor_asks_each_endpoints_own_deployer_and_names_it(project: Project) -> None:
    project.endpoints.deploy("delay")
    project.endpoints.deploy("delay", "scores", deployer="nightly")
    said = [f.message for f in project.doctor.examine() if f.check == "endpoints"]
    assert said == ["delay: ready, deployer shelf (online)", "scores: ready, deployer nightly (batch)"]
    project.providers.deployer("nightly").deployer.stop("scores")  # behind the ledger's back, as a reboot does
    levels = {f.message.partition(":")[0]: f.level for f in project.doctor.examine() if f.check == "endpoints"}
    assert levels == {"delay": "ok", "scores": "warning"}


def test_doctor_compares_revisions_whatever_a_deployer_says_of_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.endpoints.deploy("delay")
    deployer = project.providers.deployer("shelf").deployer
    status = msgspec.structs.replace(deployer.status("delay"), detail="should the disk fill, captures stop")
    monkeypatch.setattr(deployer, "status", lambda _: status)
    assert [f.level for f in project.doctor.examine() if f.check == "endpoints"] == ["ok"]


def test_listings_show_the_deployer(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.endpoints.deploy("delay", deployer="nightly")
    for words in (["endpoints", "list"], ["endpoints", "status", "delay"]):
        assert run(["--project", str(project.root), *words]) == 0
        assert "nightly" in capsys.readouterr().out
    assert project.index.listing("endpoints", 10)[0]["deployer"] == "nightly"


@pytest.mark.parametrize(
    "toml",
    [
        '[deployer]\nuse = "shelf"\n[deployer.nightly]\nuse = "shelf"\nport = 5\n',
        '[deployer]\nuse = "shelf"\n[deployer.nightly]\nuse = "shelf"\n[deployer.nightly.shelf]\nport = 5\n',
        '[deployer]\nuse = "nightly"\n[deployer.nightly]\nuse = "shelf"\n',
        '[deployer]\nuse = "shelf"\n[deployer.shelf]\nport = 5\n',
        '[deployer]\nuse = "shelf"\n',
    ],
)
def test_a_port_of_the_command_line_is_the_chosen_deployers(
    shelves: Callable[..., Project], capsys: pytest.CaptureFixture[str], toml: str
) -> None:
    project = shelves(toml)
    chosen = ["--deployer", "nightly"] if "nightly" in toml else []
    assert run(["--project", str(project.root), "deploy", "delay", *chosen, "--port", "77"]) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:77\n"
    assert run(["--project", str(project.root), "deploy", "delay", "--port", "78"]) == 0  # remembered
    assert capsys.readouterr().out == "http://127.0.0.1:78\n"


def test_the_step_deploy_chooses_its_deployer(shelves: Callable[..., Project]) -> None:
    step = '[steps.deploy]\nmodel = "models:/delay@1"\n'
    project = shelves(TWO + step + 'deployer = "nightly"\n')
    assert run(["--project", str(project.root), "run"]) == 0
    assert project.endpoints.status("delay").deployer == "nightly"
    assert run(["--project", str(shelves(TWO + step).root), "run"]) == 0
    assert project.endpoints.status("delay").deployer == "nightly"
    misspelt = shelves(TWO + step + 'deployer = "nightli"\n')
    assert run(["--project", str(misspelt.root), "run"]) == 2


def test_a_mode_that_is_none_is_an_error_that_names_the_plugin(shelves: Callable[..., Project]) -> None:
    project = shelves('[deployer]\nuse = "shelf"\n[deployer.shelf]\nmode = "sometimes"\n')
    with pytest.raises(PluginError, match="its mode is 'sometimes'") as raised:
        project.endpoints.deploy("delay")
    assert "acme-mlops-0" in "".join(raised.value.__notes__)


def _killed_deploy(project: Project, version: int, deployer: str) -> None:
    """Record what a deployment leaves that was killed before its deployer answered."""
    body = {"revision": version, "model": "delay", "version": version, "deployer": deployer}
    bundle = project.registry.resolve(f"models:/delay@{version}").bundle
    project.ledger.stream("endpoint/delay").append(PlainRecord("endpoint.wanted", {**body, "bundle": bundle}))


@pytest.mark.parametrize("killed", ["shelf", "nightly"])
def test_a_takeover_stops_every_deployer_that_may_serve_though_a_deployment_was_killed(
    project: Project, killed: str
) -> None:
    project.endpoints.deploy("delay")
    _killed_deploy(project, 2, killed)
    project.endpoints.deploy("models:/delay@3", deployer="nightly")
    assert (state(project, "shelf"), state(project, "nightly")) == ("stopped", "ready")


@pytest.mark.parametrize("killed", ["shelf", "nightly"])
def test_stop_stops_every_deployer_that_may_serve_though_a_deployment_was_killed(project: Project, killed: str) -> None:
    project.endpoints.deploy("delay")
    _killed_deploy(project, 2, killed)
    project.endpoints.stop("delay")
    assert (state(project, "shelf"), state(project, "nightly")) == ("stopped", "stopped")
    assert serving(project.endpoints.history("delay")) is None


def test_an_endpoint_is_called_stopped_only_after_every_former_deployer_stopped(
    shelves: Callable[..., Project],
) -> None:
    toml = (
        '[deployer]\nuse = "front"\n[deployer.front]\nuse = "shelf"\nstuck = true\n[deployer.nightly]\nuse = "shelf"\n'
    )
    project = shelves(toml)
    project.endpoints.deploy("delay")
    with pytest.raises(ServingError, match="nightly serves delay now"):
        project.endpoints.deploy("delay", deployer="nightly")
    with pytest.raises(ServingError, match=r"delay is to stop, but the deployer front could not stop it.*let go"):
        project.endpoints.stop("delay")
    assert serving(project.endpoints.history("delay")) is not None
    with Project.open(project.root, overrides=["deployer.front.stuck=false"]) as repaired:
        repaired.endpoints.stop("delay")
        assert (state(repaired, "front"), state(repaired, "nightly")) == ("stopped", "stopped")
        assert serving(repaired.endpoints.history("delay")) is None


def test_a_change_that_becomes_ready_late_stops_no_deployer_of_a_later_change(project: Project) -> None:
    project.endpoints.deploy("delay")
    _killed_deploy(project, 2, "nightly")
    late = project.endpoints.history("delay")[-1]
    project.endpoints.deploy("models:/delay@3", deployer="shelf")
    project.endpoints._deploy("delay", late)
    assert state(project, "shelf") == "ready"
