"""`PackageConformance`: what every package of plugins promises, whatever their roles.

class TestPackage(PackageConformance):
    @pytest.fixture
    def distribution(self):
        return "acme-mlops"
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


class PackageConformance:
    """Subclass it, and override the fixture. The package is installed, also as `pip install -e`.

    - `distribution`: its name.
    """

    @pytest.fixture
    def distribution(self) -> str:
        """Override: the name of the distribution."""
        raise NotImplementedError

    def test_entry_points_providers_and_configs_agree_and_only_public_modules_are_imported(
        self, distribution: str
    ) -> None:
        """`mlopsfw plugins check`, in a process of its own, so that nothing is imported that a test imported before."""
        words = [sys.executable, "-m", "mlopsfw", "plugins", "check", distribution, "--json"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        results = json.loads(done.stdout) if done.stdout.strip() else []
        failed = [f"{each['plugin']}, {each['check']}: {each['message']}" for each in results if not each["ok"]]
        assert not failed, "\n".join(failed)
        assert done.returncode == 0, done.stderr
        assert results
