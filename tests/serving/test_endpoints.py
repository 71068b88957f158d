"""Which version an endpoint should serve is what its stream says, whoever reads it, whatever became of the processes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopsfw.kernel.base.errors import ServingError, UnknownName, UsageError
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.roles.deployer import DeployerMode, EndpointSpec, EndpointStatus
from mlopsfw.pipeline.run.inputs import Inputs
from mlopsfw.project.facade import Project
from mlopsfw.serving.changes import fold, serving
from mlopsfw.serving.endpoints import Endpoints, NamedDeployer

Act = Callable[[Project], Any]


class Shelf:
    """A deployer that serves nothing but keeps the contract: what stands on it, and which bundle it cannot take."""

    mode: DeployerMode = "online"

    def __init__(self) -> None:
        self.serves: dict[str, EndpointSpec] = {}
        self.broken = ""

    def deploy(self, spec: EndpointSpec) -> EndpointStatus:
        if spec.bundle == self.broken:
            raise ServingError("golden row 0 differs")
        self.serves[spec.endpoint] = spec
        return self.status(spec.endpoint)

    def status(self, endpoint: str) -> EndpointStatus:
        spec = self.serves.get(endpoint)
        if spec is None:
            return EndpointStatus(endpoint=endpoint, state="stopped")
        return EndpointStatus(
            endpoint=endpoint, state="ready", url="http://127.0.0.1:1", model=spec.model, version=spec.version, revision=spec.revision
        )  # fmt: skip

    def stop(self, endpoint: str) -> EndpointStatus:
        self.serves.pop(endpoint, None)
        return self.status(endpoint)


@pytest.fixture
def shelf(project: Project, tmp_path: Path) -> Shelf:
    """A shelf as the project's deployer, and a model `delay` with three versions."""
    shelf = Shelf()
    project.endpoints = Endpoints(
        project.ledger,
        project.registry,
        lambda name: NamedDeployer(name or "shelf", shelf),
        project.personal_columns,
        project.captures,
    )
    for version in (1, 2, 3):
        folder = tmp_path / str(version)
        folder.mkdir()
        (folder / "bundle.json").write_text(str(version))
        project.registry.register("delay", project.blobs.put_folder(folder))
    project.registry.promote("delay", 1)
    return shelf


def history(project: Project) -> list[tuple[int, int, str]]:
    return [(c.revision, c.version, c.state) for c in project.endpoints.history("delay")]


def test_an_endpoint_is_called_after_its_model_and_serves_what_the_alias_means(project: Project, shelf: Shelf) -> None:
    status = project.endpoints.deploy("models:/delay@champion")
    assert (status.endpoint, status.version, status.revision) == ("delay", 1, 1)
    assert project.endpoints.list() == ["delay"]
    assert history(project) == [(1, 1, "ready")]


@pytest.mark.parametrize("ref", ["delay", "models:/delay"])
def test_deploying_a_model_by_its_name_alone_serves_the_champion(project: Project, shelf: Shelf, ref: str) -> None:
    assert project.endpoints.deploy(ref).version == 1


@pytest.mark.parametrize(
    "act",
    [
        lambda project: project.endpoints.deploy("price"),
        lambda project: project.scorer.score_file("price", Path(__file__)),
        lambda project: project.lineage.walk("models:/price"),
        lambda project: Inputs(project.components).resolve("models:/price"),
    ],
    ids=["deploy", "predict", "lineage", "a step's input"],
)
def test_without_a_champion_a_name_alone_is_an_error_everywhere(project: Project, shelf: Shelf, act: Act) -> None:
    project.registry.register("price", project.registry.resolve("models:/delay@3").bundle)
    with pytest.raises(UnknownName, match=r"no champion.*versions 1"):
        act(project)
    assert shelf.serves == {}


def test_changes_at_once_have_revisions_of_their_own(project: Project, shelf: Shelf) -> None:
    others = [Project.open(project.root) for _ in range(4)]
    together = threading.Barrier(len(others))

    def deploy(other: Project) -> None:
        other.endpoints = Endpoints(
            other.ledger,
            other.registry,
            lambda name: NamedDeployer(name or "shelf", shelf),
            other.personal_columns,
            other.captures,
        )
        together.wait()
        for version in (1, 2, 3):
            other.endpoints.deploy(f"models:/delay@{version}")

    threads = [threading.Thread(target=deploy, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [revision for revision, _, _ in history(project)] == list(range(1, 13))


def test_each_change_has_the_next_revision_and_says_why(project: Project, shelf: Shelf) -> None:
    for version in (1, 2, 3):
        project.endpoints.deploy(f"models:/delay@{version}", reason=f"because {version}")
    assert history(project) == [(1, 1, "ready"), (2, 2, "ready"), (3, 3, "ready")]
    assert [c.reason for c in project.people.show(project.endpoints.history("delay"))] == [
        "because 1",
        "because 2",
        "because 3",
    ]


def test_a_version_that_cannot_be_served_leaves_the_one_before(project: Project, shelf: Shelf) -> None:
    project.endpoints.deploy("models:/delay@1")
    shelf.broken = project.registry.resolve("models:/delay@2").bundle
    with pytest.raises(ServingError, match="golden row 0"):
        project.endpoints.deploy("models:/delay@2")
    assert history(project) == [(1, 1, "ready"), (2, 2, "failed")]
    now = serving(project.endpoints.history("delay"))
    assert now is not None
    assert now.version == 1
    assert project.endpoints.status("delay").detail == ""


def test_rollback_serves_what_was_served_before_under_a_new_revision(project: Project, shelf: Shelf) -> None:
    for version in (1, 2):
        project.endpoints.deploy(f"models:/delay@{version}")
    shelf.broken = project.registry.resolve("models:/delay@3").bundle
    with pytest.raises(ServingError):
        project.endpoints.deploy("models:/delay@3")
    assert project.endpoints.rollback("delay").version == 1  # not the one that failed, and not the one that is served
    assert history(project)[-1] == (4, 1, "ready")


def test_there_is_nothing_to_roll_back_to_after_one_version(project: Project, shelf: Shelf) -> None:
    project.endpoints.deploy("models:/delay@1")
    project.endpoints.deploy("models:/delay@1")
    with pytest.raises(UnknownName, match="served nothing before delay@1"):
        project.endpoints.rollback("delay")


def test_a_stopped_endpoint_stays_stopped_until_it_is_deployed(project: Project, shelf: Shelf) -> None:
    project.endpoints.deploy("models:/delay@1")
    assert project.endpoints.stop("delay").state == "stopped"
    assert project.endpoints.supervise("delay").state == "stopped"
    assert project.endpoints.deploy("models:/delay@2").revision == 2
    assert history(project) == [(1, 1, "stopped"), (2, 2, "ready")]


def test_what_should_serve_and_does_not_is_told_and_started_again(project: Project, shelf: Shelf) -> None:
    project.endpoints.deploy("models:/delay@1")
    shelf.serves.clear()  # as after a reboot
    assert project.endpoints.status("delay").detail == "should serve delay@1 (revision 1)"
    assert project.endpoints.supervise("delay").revision == 1
    assert shelf.serves["delay"].version == 1


def test_another_process_reads_the_same(project: Project, shelf: Shelf) -> None:
    project.endpoints.deploy("models:/delay@1")
    project.endpoints.deploy("models:/delay@2", "shadow")
    with Project.open(project.root) as other:
        assert other.endpoints.list() == ["delay", "shadow"]
        assert other.endpoints.history("shadow")[0].version == 2


def test_unknown_endpoints_and_hostile_names_are_refused(project: Project, shelf: Shelf) -> None:
    project.endpoints.deploy("models:/delay@1")
    with pytest.raises(UnknownName, match="there is no endpoint 'dely'"):
        project.endpoints.status("dely")
    for name in ("../x", "a/b", "", "A", "a b", "con"):
        with pytest.raises(UsageError):
            project.endpoints.deploy("models:/delay@1", name)


def test_a_deployers_own_error_is_written_down_as_a_failure(
    project: Project, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(spec: EndpointSpec) -> EndpointStatus:
        raise RuntimeError("no such cluster")

    monkeypatch.setattr(shelf, "deploy", fail)
    with pytest.raises(RuntimeError):
        project.endpoints.deploy("models:/delay@1")
    assert history(project) == [(1, 1, "failed")]


def test_events_of_revisions_that_are_unknown_change_nothing(project: Project, shelf: Shelf) -> None:
    project.endpoints.deploy("models:/delay@1")
    project.ledger.stream("endpoint/delay").append(PlainRecord("endpoint.ready", {"revision": 9, "url": "x"}))
    project.ledger.stream("endpoint/delay").append(PlainRecord("endpoint.seen", {"revision": 1}))
    assert [c.state for c in fold(project.ledger.stream("endpoint/delay").events())] == ["ready"]
