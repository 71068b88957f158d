"""`DeployerConformance`: what every deployer must do, as a test class. A plugin's author subclasses it and overrides a fixture and `ask`.

class TestAcmeDeployer(DeployerConformance):
    @pytest.fixture
    def deployer(self, host):
        return AcmeDeployer(AcmeConfig(), host)

    def ask(self, deployer, status, columns):            # a batch deployer is asked by `score`, and needs none
        return requests.post(f"{status.url}/predict", json=columns).json()
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mlopsfw.kernel.base.errors import MlopsfwError, ServingError, UsageError
from mlopsfw.kernel.roles.deployer import BatchDeployer, Deployer, EndpointSpec, EndpointStatus, Route
from mlopsfw.kernel.roles.host import Host
from mlopsfw.project.facade import Project
from mlopsfw.testing.bundles import COLUMNS, Bundles, write_bundles

ENDPOINT = "contract"
BAD_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "A",
    "a b",
    "a\n",
    "a\x00",
    "%2e%2e",
    "con",
    "\uff0e\uff0e",
    "a" * 101,
]


class DeployerConformance:
    """Conformance of a deployer: ready when it says so, answers and keeps them, the old one goes on until then.

    A deployer of mode `batch` has no URL, and is asked by `score`.
    """

    @pytest.fixture
    def project(self, tmp_path: Path) -> Iterator[Project]:
        """A project in a folder of its own, with all that a deployer's processes need."""
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "mlopsfw.toml").write_text('[project]\nname = "contract"\n', encoding="utf-8")
        with Project.open(folder) as project:
            yield project

    @pytest.fixture
    def host(self, project: Project) -> Host:
        """What the deployer is built with."""
        return project.host("deployer.contract")

    @pytest.fixture
    def deployer(self, host: Host) -> Deployer:
        """Return a deployer that serves nothing yet. Override this."""
        raise NotImplementedError("override the fixture `deployer`")

    @pytest.fixture
    def bundles(self, host: Host, tmp_path: Path) -> Bundles:
        """Return bundles that the host has stored. They are ONNX models."""
        return write_bundles(host, tmp_path)

    @pytest.fixture
    def served(self, deployer: Deployer, bundles: Bundles) -> Iterator[Deployer]:
        """A deployer that serves revision 1; stopped afterwards."""
        deployer.deploy(spec(1, bundles.first))
        yield deployer
        deployer.stop(ENDPOINT)

    def ask(
        self, deployer: Deployer, status: EndpointStatus, columns: Mapping[str, list[Any]]
    ) -> Mapping[str, list[Any]]:
        """Send rows, given as columns, to what answers at `status.url`; return the outputs. Override this for mode `online`."""
        if isinstance(deployer, BatchDeployer):
            answers = list(deployer.score(status.endpoint, [columns]))
            assert len(answers) == 1, "one answer a request"
            return {name: list(values) for name, values in answers[0].outputs.items()}
        raise NotImplementedError("override `ask`: send the columns to status.url, and return the outputs as lists")

    def test_it_declares_its_mode(self, deployer: Deployer) -> None:
        assert deployer.mode in ("online", "batch")
        assert deployer.mode == "online" or isinstance(deployer, BatchDeployer)

    def test_an_endpoint_that_was_never_deployed_is_stopped(self, deployer: Deployer) -> None:
        assert deployer.status(ENDPOINT).state == "stopped"
        assert deployer.stop(ENDPOINT).state == "stopped"

    def test_a_deployed_endpoint_is_ready_and_says_what_it_serves(self, served: Deployer) -> None:
        status = served.status(ENDPOINT)
        assert (status.endpoint, status.state, status.model, status.version, status.revision) == (
            ENDPOINT, "ready", "model", 1, 1,
        )  # fmt: skip
        assert status.url or served.mode == "batch"
        assert not status.log or Path(status.log).is_file()

    def test_it_answers_as_the_model_does(self, served: Deployer, bundles: Bundles, host: Host, tmp_path: Path) -> None:
        self.asked(served, host, tmp_path, bundles.first)
        served.deploy(spec(2, bundles.second))
        self.asked(served, host, tmp_path, bundles.second)

    def test_what_it_answered_is_captured_and_outlives_a_change_and_the_end(
        self, served: Deployer, bundles: Bundles, project: Project
    ) -> None:
        answers = [self.ask(served, served.status(ENDPOINT), COLUMNS)]
        served.deploy(spec(2, bundles.second))
        answers += [self.ask(served, served.status(ENDPOINT), COLUMNS)]
        served.stop(ENDPOINT)
        rows = project.captures.scan(ENDPOINT).collect()
        assert rows.height == 2 * len(COLUMNS["distance"])
        captured = rows.sort("version", "distance").to_dicts()
        assert len({row["prediction_id"] for row in captured}) == len(captured)
        assert [(row["version"], row["revision"], row["distance"]) for row in captured] == [
            (version, version, distance) for version in (1, 2) for distance in COLUMNS["distance"]
        ]
        answered = [value for answer in answers for value in answer["probability"]]
        assert [row["probability"] for row in captured] == pytest.approx(answered)

    def test_personal_columns_are_treated_as_in_training_before_they_are_captured(
        self, deployer: Deployer, bundles: Bundles, project: Project
    ) -> None:
        treated = msgspec.structs.replace(spec(1, bundles.first), pii={"passenger": "mask", "name": "drop"})
        status = deployer.deploy(treated)
        try:
            answer = self.ask(deployer, status, {**COLUMNS, "name": COLUMNS["passenger"]})
        finally:
            deployer.stop(ENDPOINT)
        assert answer["seen"] == ["A***", "G***", "R***"]  # what the model saw
        captured = project.captures.scan(ENDPOINT).collect()
        assert captured.height == len(COLUMNS["passenger"])
        assert "name" not in captured.columns
        assert sorted(captured["passenger"].to_list()) == ["A***", "G***", "R***"]

    def test_rows_that_the_model_does_not_take_are_refused_and_not_captured(
        self, served: Deployer, project: Project
    ) -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011 - an error of a protocol's client, or of mlopsfw
            self.ask(served, served.status(ENDPOINT), {"distance": [1.0]})
        assert self.ask(served, served.status(ENDPOINT), COLUMNS)
        served.stop(ENDPOINT)
        assert project.captures.scan(ENDPOINT).collect().height == len(COLUMNS["distance"])

    def test_extras_that_the_model_lacks_are_refused_and_nothing_is_captured(
        self, served: Deployer, project: Project
    ) -> None:
        if not isinstance(served, BatchDeployer):
            pytest.skip("only a batch deployer is asked by `score`")
        with pytest.raises(MlopsfwError):
            list(served.score(ENDPOINT, [COLUMNS], alpha=0.1))
        with pytest.raises(MlopsfwError):
            list(served.score(ENDPOINT, [COLUMNS], explain=True))
        self.ask(served, served.status(ENDPOINT), COLUMNS)
        assert project.captures.scan(ENDPOINT).collect().height == len(COLUMNS["distance"])

    def test_a_change_replaces_what_is_served_at_the_same_place(self, served: Deployer, bundles: Bundles) -> None:
        before = served.status(ENDPOINT)
        after = served.deploy(spec(2, bundles.second))
        assert (after.state, after.version, after.revision) == ("ready", 2, 2)
        assert after.url == before.url

    def test_a_bundle_that_cannot_be_loaded_is_refused_and_the_old_one_goes_on(
        self, served: Deployer, bundles: Bundles
    ) -> None:
        with pytest.raises(ServingError):
            served.deploy(spec(2, bundles.broken))
        status = served.status(ENDPOINT)
        assert (status.state, status.version) == ("ready", 1)
        assert served.deploy(spec(3, bundles.second)).version == 3

    def test_a_bundle_that_is_not_stored_is_refused_and_the_old_one_goes_on(self, served: Deployer) -> None:
        with pytest.raises(MlopsfwError):
            served.deploy(spec(2, "0" * 64))
        assert served.status(ENDPOINT).version == 1

    def test_routes_are_served_or_refused_and_never_ignored(self, served: Deployer, bundles: Bundles) -> None:
        route = Route(version=3, bundle="0" * 64, weight=0.5)
        with pytest.raises(MlopsfwError):  # this one's bundle is not stored
            served.deploy(msgspec.structs.replace(spec(2, bundles.second), routes=(route,)))
        assert served.status(ENDPOINT).version == 1

    def test_a_first_bundle_that_cannot_be_loaded_leaves_nothing_behind(
        self, deployer: Deployer, bundles: Bundles
    ) -> None:
        with pytest.raises(ServingError):
            deployer.deploy(spec(1, bundles.broken))
        assert deployer.status(ENDPOINT).state in ("failed", "stopped")
        assert deployer.deploy(spec(2, bundles.first)).state == "ready"
        assert deployer.stop(ENDPOINT).state == "stopped"

    def test_an_older_revision_does_not_come_back(self, served: Deployer, bundles: Bundles) -> None:
        served.deploy(spec(3, bundles.second))
        with pytest.raises(ServingError):
            served.deploy(spec(2, bundles.first))
        assert served.status(ENDPOINT).revision == 3

    def test_deploying_the_same_revision_again_changes_nothing(self, served: Deployer, bundles: Bundles) -> None:
        before = served.status(ENDPOINT)
        assert served.deploy(spec(1, bundles.first)) == before

    def test_a_stopped_endpoint_can_be_deployed_again(self, served: Deployer, bundles: Bundles) -> None:
        assert served.stop(ENDPOINT).state == "stopped"
        assert served.stop(ENDPOINT).state == "stopped"
        assert served.deploy(spec(2, bundles.second)).state == "ready"

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_a_name_that_could_leave_its_place_is_refused(self, deployer: Deployer, name: str) -> None:
        hostile = EndpointSpec(endpoint=name, model="model", version=1, bundle="0" * 64, revision=1)
        with pytest.raises(UsageError):
            deployer.deploy(hostile)
        with pytest.raises(UsageError):
            deployer.status(name)
        with pytest.raises(UsageError):
            deployer.stop(name)

    def asked(self, served: Deployer, host: Host, folder: Path, bundle: str) -> None:
        """Compare an answer with that of the bundle itself."""
        model = host.bundles.open(host.blobs.get_folder(bundle, folder / f"opened-{bundle}"))
        wanted = {name: values.tolist() for name, values in model.predict(COLUMNS).items()}
        answer = self.ask(served, served.status(ENDPOINT), COLUMNS)
        assert answer.keys() == wanted.keys()
        assert answer["probability"] == pytest.approx(wanted["probability"])
        assert answer["seen"] == wanted["seen"]


def spec(revision: int, bundle: str) -> EndpointSpec:
    """Return the specification that the tests serve: version and revision are the same number."""
    return EndpointSpec(endpoint=ENDPOINT, model="model", version=revision, bundle=bundle, revision=revision)
