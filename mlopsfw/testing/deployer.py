"""`DeployerConformance`: what every deployer must do, as a test class. A plugin's author subclasses it and overrides two fixtures.

class TestAcmeDeployer(DeployerConformance):
    @pytest.fixture
    def deployer(self, host):
        return AcmeDeployer(AcmeConfig(), host)

    @pytest.fixture
    def bundles(self, host):
        return Bundles(first=…, second=…, broken=…)   # digests of folders stored with host.blobs
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mlopsfw.kernel.base.errors import MlopsfwError, ServingError, UsageError
from mlopsfw.kernel.roles.deployer import Deployer, EndpointSpec

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


class Bundles(NamedTuple):
    """Digests of stored bundles.

    Args:
        first, second: Can be served, and differ.
        broken: Cannot be served.
    """

    first: str
    second: str
    broken: str


class DeployerConformance:
    """Conformance of a deployer: ready when it says so, the old one goes on until then, older revisions stay away."""

    @pytest.fixture
    def deployer(self) -> Deployer:
        """Return a deployer that serves nothing yet. Override this."""
        raise NotImplementedError("override the fixture `deployer`")

    @pytest.fixture
    def bundles(self) -> Bundles:
        """Return bundles that the deployer's host has stored. Override this."""
        raise NotImplementedError("override the fixture `bundles`")

    @pytest.fixture
    def served(self, deployer: Deployer, bundles: Bundles) -> Iterator[Deployer]:
        """A deployer that serves revision 1; stopped afterwards."""
        deployer.deploy(spec(1, bundles.first))
        yield deployer
        deployer.stop(ENDPOINT)

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


def spec(revision: int, bundle: str) -> EndpointSpec:
    """Return the specification that the tests serve: version and revision are the same number."""
    return EndpointSpec(endpoint=ENDPOINT, model="model", version=revision, bundle=bundle, revision=revision)
