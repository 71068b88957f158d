"""A project with a registered model, for the tests of monitoring; they share `captured`, which pytest keeps off the path."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from captured import TOML, HeldClock, numbers

from mlopsfw.cli import run
from mlopsfw.kernel.roles.bundle import Manifest, SignatureColumn
from mlopsfw.models.bundle.manifest import outputs_for
from mlopsfw_core import Reference


@pytest.fixture
def project(monitored):
    """A project with the drift monitor and a registered model, and no captured prediction yet."""
    return monitored(TOML)


@pytest.fixture
def monitored(make_project, tmp_path):
    """Return a maker of such projects with another configuration. The model's bundle holds a profile of one number."""
    return lambda toml: with_model(make_project(toml), tmp_path)


def with_model(made, tmp_path):
    """Register two versions of a model."""
    made.clock = HeldClock()
    folder = tmp_path / "bundle"
    folder.mkdir()
    manifest = Manifest(
        task="binary", target="late", inputs=(SignatureColumn(name="x", type="number"),), outputs=outputs_for("binary", (False, True)),
        classes=(False, True), formats={"onnx": "m"}, files={}, facts={"importance": {"x": 0.9}},
    )  # fmt: skip
    profile = {"x": Reference.fit(numbers(5000), name="x").to_dict()}
    (folder / "bundle.json").write_bytes(msgspec.json.encode(manifest))
    (folder / "profile.json").write_bytes(msgspec.json.encode(profile))
    metrics = {"auc": 0.7, "baseline": {"majority": {"auc": 0.5}}}
    made.registry.register("delay", made.blobs.put_folder(folder), metrics=metrics)
    (folder / "more").write_text("second version")
    made.registry.register("delay", made.blobs.put_folder(folder), metrics=metrics)
    return made


@pytest.fixture
def verb(monkeypatch, capsys, tmp_path):
    """Run a command line in the project; return its exit code, what it printed, and what it complained of."""
    monkeypatch.chdir(tmp_path)

    def run_(*arguments):
        code = run(["--project", str(tmp_path / "project"), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_
