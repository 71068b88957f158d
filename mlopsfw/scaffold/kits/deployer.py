"""The deployer keeps the promises of its role."""

from __future__ import annotations

import pytest

from mlopsfw.roles import Deployer, Host
from mlopsfw.scaffold.deployer import SampleDeployer
from mlopsfw.testing.deployer import DeployerConformance


class TestSampleDeployer(DeployerConformance):
    """The bundles are the kit's: small ONNX models, which `pip install 'mlopsfw[http]'` can load."""

    @pytest.fixture
    def deployer(self, host: Host) -> Deployer:
        """Return the deployer."""
        return SampleDeployer(host)
