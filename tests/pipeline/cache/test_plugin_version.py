"""A third party's trainer in the cache key: by its code and files, editable or installed, whatever its version says."""

from __future__ import annotations

import os
import sys

import pytest

from mlopsfw.kernel.plugins.catalog import Claim
from mlopsfw.pipeline.cache.codebase import project_codebase
from mlopsfw.pipeline.cache.plugin_version import plugin_version

PLUGIN = """
import msgspec
from mlopsfw import Provider, hookimpl
from acme_trainer.learning import rate
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True): ...
class Acme:
    tasks, abilities = ("binary",), ()
    def fit(self, task, train, valid, context): return rate()
@hookimpl
def mlopsfw_trainers(): yield Provider("acme", Options, lambda config, host: Acme(), "")
"""
FILES = {"__init__.py": PLUGIN, "learning.py": "def rate():\n    return 1\n", "settings.json": "{}"}
RECORD = """acme_trainer/__init__.py,sha256=a,1
acme_trainer/learning.py,sha256=b,1
acme_shared/core.py,sha256=c,1
acme_trainer-1.2.dist-info/direct_url.json,sha256=d,1
acme_trainer/__pycache__/learning.cpython-311.pyc,,
../../../bin/acme,sha256=e,1
"""
TOML = """
[trainer]
use = "acme"
[steps.a]
use = "train"
task = "binary"
target = "y"
inputs = { train = "rows" }
[steps.rows]
python = "steps:run"
"""
FINDER = """
import sys
from importlib.machinery import PathFinder
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, [{folder!r}]) if name == "acme_trainer" else None
"""


class Installation:
    """A distribution with a trainer, installed in one way."""

    def __init__(self, how, tmp_path, monkeypatch):
        self.site = tmp_path / "env" / "site-packages"
        self.code = (self.site if how == "installed" else tmp_path / "checkout") / "acme_trainer"
        for name, text in FILES.items():
            self.write(name, text)
        info = self.site / "acme_trainer-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-trainer\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text("[mlopsfw.v1]\ntrainer.acme = acme_trainer\n")
        self.record = info / "RECORD"
        self.record.write_text(RECORD if how == "installed" else "acme_trainer-1.2.dist-info/METADATA,sha256=d,1\n")
        monkeypatch.syspath_prepend(str(self.site))
        if how == "editable by its folder":
            monkeypatch.syspath_prepend(str(self.code.parent))
        if how == "editable by an import hook":
            found = {}
            exec(FINDER.format(folder=str(self.code.parent)), found)
            monkeypatch.setattr(sys, "meta_path", [found["Finder"], *sys.meta_path])

    def write(self, name, text):
        self.code.mkdir(parents=True, exist_ok=True)
        (self.code / name).write_text(text)


@pytest.fixture(params=["installed", "editable by its folder", "editable by an import hook"])
def installation(request, tmp_path, monkeypatch):
    yield Installation(request.param, tmp_path, monkeypatch)
    for name in [name for name in sys.modules if name.startswith("acme_trainer")]:
        del sys.modules[name]


@pytest.fixture
def key(bench, installation):
    """Return a function that returns the key of a training step with the trainer."""
    bench.write(TOML, steps="def run():\n    return 1\n")

    def now():
        with bench.open() as project:
            prints = project.pipeline.fingerprinter()
            return prints.fingerprint(project.pipeline.graph.nodes["a"], {}).key

    return now


@pytest.mark.parametrize("name", ["__init__.py", "learning.py", "settings.json"])
def test_a_trainer_that_is_edited_at_the_same_version_changes_the_key(name, installation, key):
    before = key()
    assert key() == before
    text = FILES[name]
    installation.write(name, text.replace("1", "2").replace("return rate()", "return 2 * rate()").replace("{}", "[]"))
    assert key() != before


@pytest.mark.parametrize("installation", ["editable by its folder"], indirect=True)
def test_a_comment_in_a_trainer_whose_code_is_followed_changes_nothing(installation, key):
    before = key()
    installation.write("learning.py", "# as in the paper\ndef rate():\n    return 1\n")
    assert key() == before


@pytest.mark.parametrize("installation", ["installed"], indirect=True)
def test_a_reinstallation_of_equal_version_with_other_files_changes_the_key(installation, key):
    before = key()
    installation.record.write_text(RECORD.replace("sha256=c", "sha256=other"))
    assert key() != before


@pytest.mark.parametrize("installation", ["installed"], indirect=True)
@pytest.mark.parametrize("line", ["sha256=d", "sha256=e", "cpython-311"])
def test_a_reinstallation_of_the_same_files_changes_nothing(line, installation, key):
    before = key()
    installation.record.write_text(RECORD.replace(line, line[:-1]))
    os.utime(installation.code / "learning.py", (1, 1))
    assert key() == before


def test_the_version_of_a_bundled_trainer_stands_for_it(tmp_path):
    claim = Claim("trainer", "torch", "mlopsfw_trainer_torch", "mlopsfw", "9.9", 1)
    assert plugin_version(claim, project_codebase(tmp_path, (), None)) == "mlopsfw 9.9"
