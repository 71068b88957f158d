"""Model files from elsewhere, without a process for each."""

import pytest

from mlopsfw.project.logged_model import make_bundle


@pytest.fixture
def in_this_process(monkeypatch):
    """Make the bundles of such files in the test's process; test_bundle_subprocess.py holds what the other process adds."""
    for module in ("mlopsfw.project.model_import", "mlopsfw.project.mlflow.importing"):
        monkeypatch.setattr(f"{module}.make_bundle_in_subprocess", make_bundle)
