"""The cache key: moves with everything that can change a result, and with nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from mlopsfw.kernel.base.errors import ConfigError, DataError, UsageError
from mlopsfw.lineage.environment import environment
from mlopsfw.pipeline.cache.closure import code_of
from mlopsfw.pipeline.cache.codebase import Codebase, project_codebase
from mlopsfw.pipeline.cache.env import variables

TOML = '[steps.a]\npython = "steps:run"\n'

STEPS = '''\
"""The step."""
import logging
import numpy as np
from near import middle
LOG = logging.getLogger(__name__)


def run():
    """Do it."""
    return middle(3)


def never():
    return 1
'''

NEAR = """\
import far as distant


def middle(x):
    return distant.low(x) + distant.OFFSET


def unreached(x):
    return x
"""

FAR = '''\
import functools

OFFSET = 4
SCALE = 2
UNUSED = 9


class Base:
    """A base."""

    def double(self, x):
        """Double it."""
        return 2 * x


class Model(Base):
    def apply(self, x):
        return self.double(x) * SCALE


def traced(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)

    return inner


def fallback():
    return 7


@traced
def low(x, extra=fallback()):
    return Model().apply(x) + extra
'''


@pytest.fixture
def wired(bench):
    return bench.write(TOML, steps=STEPS, near=NEAR, far=FAR)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("steps.py", "middle(3)", "middle(4)"),
        ("near.py", "distant.low(x) +", "distant.low(x) -"),
        ("far.py", "apply(x) + extra", "apply(x) - extra"),
        ("far.py", "OFFSET = 4", "OFFSET = 5"),
        ("far.py", "SCALE = 2", "SCALE = 3"),
        ("far.py", "return self.double(x)", "return -self.double(x)"),
        ("far.py", "return 2 * x", "return 3 * x"),
        ("far.py", "return function(*args)", "return -function(*args)"),
        ("far.py", "return 7", "return 8"),
        ("far.py", "extra=fallback()", "extra=1 + fallback()"),
        ("far.py", "@traced\ndef low", "def low"),
        ("far.py", "class Model(Base)", "class Model(dict, Base)"),
        ("near.py", "import far as distant", "import far2 as distant"),
    ],
    ids=[
        "the step itself", "a helper", "a helper two calls away", "a constant as an attribute", "a constant in a method",
        "a method", "an inherited method", "a decorator's body", "a default's function", "a default", "a decorator taken away",
        "a base added", "another module under the same name",
    ],
)  # fmt: skip
def test_a_reachable_edit_changes_the_key(wired, file, old, new):
    wired.write(far2=FAR.replace("return 7", "return 70"))
    before = wired.key()
    wired.edit(file, old, new)
    assert wired.key() != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("steps.py", "return 1", "return 2"),
        ("near.py", "    return x\n", "    return -x\n"),
        ("far.py", "UNUSED = 9", "UNUSED = 10"),
        ("steps.py", '"""Do it."""', '"""Do it well."""'),
        ("far.py", '"""A base."""', '"""The base."""'),
        ("far.py", '"""Double it."""', '"""Twice as much."""'),
        ("steps.py", '"""The step."""', '"""A step."""'),
        ("near.py", "return distant.low(x)", "# why\n\n    return (distant . low( x ))"),
        ("far.py", "class Base:", "class Other:\n    pass\n\n\nclass Base:"),
        ("steps.py", "def never", "if __name__ == '__main__':\n    run()\n\n\ndef never"),
    ],
    ids=[
        "a function beside the step", "a function beside a helper", "a constant nobody reads", "a docstring", "a class's docstring", "a method's docstring",
        "a module's docstring", "a comment and spaces", "a class nobody uses", "what runs only as a script",
    ],
)  # fmt: skip
def test_an_edit_that_cannot_matter_keeps_the_key(wired, file, old, new):
    before = wired.key()
    wired.edit(file, old, new)
    assert wired.key() == before


def test_a_renamed_but_equal_function_keeps_the_key(wired):
    before = wired.key()
    wired.edit("near.py", "middle", "renamed")
    wired.edit("steps.py", "middle", "renamed")
    wired.edit("far.py", "OFFSET", "SHIFT")
    wired.edit("near.py", "OFFSET", "SHIFT")
    assert wired.key() == before


def test_a_step_function_under_another_name_keeps_the_key(wired):
    before = wired.key()
    wired.edit("steps.py", "def run", "def go")
    wired.edit("mlopsfw.toml", "steps:run", "steps:go")
    assert wired.key() == before


def test_a_name_that_can_be_asked_for_counts(bench):
    bench.write(
        TOML,
        steps="def f(x):\n    return 1\n\ndef run():\n    return apply(f)\n\ndef apply(g):\n    return g.__name__\n",
    )
    before = bench.key()
    bench.edit("steps.py", "f(x)", "h(x)")
    bench.edit("steps.py", "apply(f)", "apply(h)")
    assert bench.key() != before


REGISTRY = """\
HANDLERS = {}


def register(function):
    HANDLERS[function.__name__] = function
    return function
"""


@pytest.mark.parametrize(
    "plugin",
    [
        "from registry import register\n\n@register\ndef handle():\n    return 1\n",
        "import registry\n\ndef handle():\n    return 1\n\nregistry.HANDLERS['handle'] = handle\n",
        "import registry\n\ndef handle():\n    return 1\n\nDONE = registry.register(handle)\n",
        "import registry\n\ndef handle(x=registry.register(lambda: 0)):\n    return 1\n\nfor f in (handle,):\n    registry.register(f)\n",
    ],
    ids=["decorator", "assignment into it", "call in an assignment", "loop"],
)
def test_what_registers_itself_at_import_counts_although_nobody_names_it(bench, plugin):
    steps = "import plugin\nfrom registry import HANDLERS\n\ndef run():\n    return [h() for h in HANDLERS.values()]\n"
    bench.write(TOML, steps=steps, registry=REGISTRY, plugin=plugin)
    before = bench.key()
    bench.edit("plugin.py", "return 1", "return 2")
    assert bench.key() != before


def test_a_subclass_that_its_base_takes_note_of_counts(bench):
    base = "class Base:\n    known = []\n    def __init_subclass__(cls):\n        Base.known.append(cls)\n"
    sub = "from base import Base\n\nclass Sub(Base):\n    def value(self):\n        return 1\n"
    bench.write(
        TOML,
        steps="import sub\nfrom base import Base\n\ndef run():\n    return [c().value() for c in Base.known]\n",
        base=base,
        sub=sub,
    )
    before = bench.key()
    bench.edit("sub.py", "return 1", "return 2")
    assert bench.key() != before


@pytest.mark.parametrize(
    "body",
    [
        "import importlib\n\ndef run(name='other'):\n    return importlib.import_module(name).value()\n",
        "from importlib import import_module as load\n\ndef run(name='other'):\n    return load(name).value()\n",
        "import importlib\n\ndef run():\n    return importlib.import_module('other').value()\n",
        "def run():\n    return __import__('other').value()\n",
        "def run():\n    from other import value\n    return value()\n",
        "import other\n\ndef run(name='value'):\n    return getattr(other, name)()\n",
        "from other import *\n\ndef run():\n    return value()\n",
        "import other\n\ndef run():\n    return vars(other)['value']()\n",
        "def run():\n    return eval('__import__(\"other\").value()')\n",
        "import other\nimport sys\n\ndef run():\n    return sys.modules['other'].value()\n",
        "try:\n    from missing_one import value\nexcept ImportError:\n    from other import value\n\ndef run():\n    return value()\n",
        "import other\nTABLE = {'a': other.value}\n\ndef run():\n    return TABLE['a']()\n",
        "from other import value\n\ndef run(call=value):\n    return call()\n",
        "from other import value\n\nrun = lambda: value()\n",
        "from other import value\nfrom functools import partial\n\ndef inner(f):\n    return f()\n\nrun = partial(inner, value)\n",
        "import other\n\nclass Runner:\n    def __call__(self):\n        return other.value()\n\nrun = Runner()\n",
    ],
)  # fmt: skip
def test_however_a_function_is_come_by_an_edit_to_it_changes_the_key(bench, body):
    bench.write(TOML, steps=body, other="def value():\n    return deep()\n\ndef deep():\n    return 1\n")
    before = bench.key()
    bench.edit("other.py", "return 1", "return 2")
    assert bench.key() != before


def test_relative_imports_and_reexports_are_followed(bench):
    bench.write(
        '[steps.a]\npython = "pkg.steps:run"\n',
        {
            "pkg/__init__.py": "from .core import value as renamed\n",
            "pkg/core.py": "from .deep.leaf import leaf\n\ndef value():\n    return leaf()\n",
            "pkg/deep/leaf.py": "def leaf():\n    return 1\n",
            "pkg/steps.py": "from . import renamed\n\ndef run():\n    return renamed()\n",
        },
    )
    before = bench.key()
    bench.edit("pkg/deep/leaf.py", "return 1", "return 2")
    assert bench.key() != before


def test_the_top_level_of_a_package_on_the_way_counts(bench):
    files = {"pkg/__init__.py": "print(1)\n", "pkg/steps.py": "def run():\n    return 1\n"}
    bench.write('[steps.a]\npython = "pkg.steps:run"\n', files)
    before = bench.key()
    bench.edit("pkg/__init__.py", "print(1)", "print(2)")
    assert bench.key() != before


def test_a_package_from_outside_under_the_same_name_counts(bench):
    bench.write(TOML, steps="import json as library\n\ndef run():\n    return library.dumps(1)\n")
    before = bench.key()
    bench.edit("steps.py", "import json as", "import pickle as")
    assert bench.key() != before


@pytest.mark.parametrize(
    "together", ["A, B = 1, 2\n", "if True:\n    A = 1\n    B = 2\n", "A = B = 1\n(A, B) = (3, 4)\n"]
)
def test_names_that_are_bound_together_are_told_apart(bench, together):
    bench.write(TOML, steps=f"{together}\ndef run():\n    return A\n")
    before = bench.key()
    bench.edit("steps.py", "return A", "return B")
    assert bench.key() != before


def test_names_that_are_bound_together_are_told_apart_through_an_alias(bench):
    bench.write(
        TOML, steps="from other import A as x\n\ndef run():\n    return x\n", other="if True:\n    A = 1\n    B = 2\n"
    )
    before = bench.key()
    bench.edit("steps.py", "import A", "import B")
    assert bench.key() != before


def test_mutual_recursion_ends(bench):
    bench.write(
        TOML, steps="def run(n=3):\n    return n and other(n - 1)\n\ndef other(n):\n    return n and run(n - 1)\n"
    )
    before = bench.key()
    bench.edit("steps.py", "and run(n - 1)", "and run(n - 2)")
    assert bench.key() != before


def test_a_syntax_error_names_file_and_line(bench):
    bench.write(TOML, steps="def run():\n    return (\n")
    with pytest.raises(UsageError, match=r"steps\.py:2"):
        bench.key()


def test_a_function_that_is_not_there_is_told_with_the_nearest(bench):
    bench.write('[steps.a]\npython = "steps:rum"\n', steps="def run():\n    return 1\n")
    with pytest.raises(ConfigError, match="has no 'rum'") as caught:
        bench.key()
    assert "'run'" in caught.value.hint
    assert caught.value.line == 5


@pytest.mark.parametrize(
    ("wiring", "says"),
    [
        ("params = { nn = 3 }", "takes no 'nn'"),
        ("", "needs 'n'"),
    ],
)
def test_a_function_that_does_not_take_what_it_is_given_is_found_before_anything_runs(bench, wiring, says):
    bench.write(f"{TOML}{wiring}\n", steps="def run(n, *, context, m=2):\n    return n\n")
    with bench.open() as project, pytest.raises(ConfigError, match=says):
        project.pipeline.fingerprinter().check_function(project.pipeline.graph.nodes["a"])


def test_parameters_options_and_the_names_of_outputs_count(bench):
    bench.write(TOML, steps="def run(n=1):\n    return n\n")
    keys = {bench.key()}
    for line in ("params = { n = 2 }", "params = { n = 2.0 }", 'outputs = ["x"]'):
        bench.write(f"{TOML}{line}\n")
        keys.add(bench.key())
    assert len(keys) == 4


def test_a_declared_file_counts_by_content_and_not_by_time(bench):
    bench.write(f'{TOML}reads = ["data/*.csv"]\n', steps="def run():\n    return 1\n")
    with pytest.raises(DataError, match=r"nothing matches 'data/\*\.csv' in .*, which step 'a' reads"):
        bench.key()
    file = bench.root / "data" / "x.csv"
    file.parent.mkdir()
    file.write_text("1")
    before = bench.key()
    os.utime(file, (1, 1))
    assert bench.key() == before
    file.write_text("2")
    assert bench.key() != before


def test_a_declared_variable_counts_by_its_value_and_unset_is_not_empty(bench, monkeypatch):
    bench.write(TOML, steps="def run():\n    return 1\n")
    before = bench.key()
    bench.write(f"{TOML}env = []\n")
    assert bench.key() == before, "keys without variables are as they were"
    bench.write(f'{TOML}env = ["MYVAR", "OTHER"]\n')
    monkeypatch.delenv("MYVAR", raising=False)
    keys = [bench.key()]
    for value in ("", "a", "b", "a"):
        monkeypatch.setenv("MYVAR", value)
        keys.append(bench.key())
    assert len(set(keys)) == 4
    assert keys[2] == keys[4]
    monkeypatch.setenv("UNDECLARED", "x")
    assert bench.key() == keys[4]


def test_the_key_holds_a_declared_variable_only_as_a_slow_digest_of_name_and_value(monkeypatch):
    monkeypatch.setenv("ONE", "the value")
    monkeypatch.setenv("TWO", "the value")
    digests = variables(["ONE", "TWO"])
    assert digests["ONE"] != digests["TWO"]
    assert "the value" not in str(digests)
    assert hashlib.sha256(b"the value").hexdigest() not in digests.values()


@pytest.mark.parametrize("env", ['["A=b"]', '[""]', '["A B"]', '"MYVAR"', "[1]"])
def test_what_cannot_be_a_variable_is_refused_with_its_line(bench, env):
    bench.write(f"{TOML}env = {env}\n", steps="def run():\n    return 1\n")
    with pytest.raises(ConfigError, match=r"mlopsfw\.toml:\d+.*steps\.a\.env"):
        bench.key()


def test_the_environment_is_read_from_the_names_of_metadata_folders(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (
        first / "Foo_Bar-1.2.dist-info",
        second / "foo.bar-1.0.dist-info",
        second / "x-3.egg-info",
        second / "x",
    ):
        folder.mkdir(parents=True)
    found = environment([str(first), str(second), str(tmp_path / "absent")])
    assert (found["foo-bar"], found["x"]) == ("1.2", "3")
    assert "python" in found


def test_what_a_package_brings_along_counts_no_more_once_it_was_imported(tmp_path):
    """As Ray does: `import ray` puts a folder of its own on sys.path, in which packages lie."""
    site = tmp_path / "lib" / "site-packages"
    inner = site / "ray" / "thirdparty_files"
    for metadata in (site / "ray-2.50.dist-info", inner / "psutil-7.2.2.dist-info"):
        metadata.mkdir(parents=True)
    assert environment([str(inner), str(site)]) == environment([str(site)])
    assert environment([str(site)])["ray"] == "2.50"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return an installer into a folder on the path: `site("thing", "1.0", needs=["other"], record="thing/__init__.py,,")`."""
    folder = tmp_path / "site" / "site-packages"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH", "")])]))

    def install(name, version, needs=(), record="", entry_points=""):
        for old in folder.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir()
        lines = "".join(f"Requires-Dist: {each}\n" for each in needs)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}\nA text.\n")
        (info / "RECORD").write_text(record)
        (info / "entry_points.txt").write_text(entry_points)
        if record:
            (folder / record.partition("/")[0]).mkdir(exist_ok=True)
            (folder / record.partition(",")[0]).touch()

    return install


IMPORTS = {
    "by the name of the package": ("import thing", "thing/__init__.py,,"),
    "by another name": ("import gadget.part", "gadget/part.py,,"),
    "of a helper": ("from helper import value", "thing/__init__.py,,"),
    "inside a function": ("", "thing/__init__.py,,"),
}


@pytest.mark.parametrize("how", IMPORTS)
def test_an_installed_package_that_is_imported_changes_the_key_with_its_version(bench, site, how):
    line, record = IMPORTS[how]
    inside = "    import thing\n" if not line else ""
    bench.write(TOML, steps=f"{line}\n\ndef run():\n{inside}    return 1\n", helper="import thing\nvalue = 1\n")
    site("thing", "1.0", record=record)
    before = bench.key()
    site("thing", "1.1", record=record)
    assert bench.key() != before


@pytest.mark.parametrize(
    "needs", [["deep"], ["deep>=1; python_version > '3'"], ["deep[more]; extra == 'parquet'"], ["middle"]]
)
def test_what_an_imported_package_requires_counts_too(bench, site, needs):
    bench.write(TOML, steps="import thing\n\ndef run():\n    return 1\n")
    site("thing", "1.0", needs, record="thing/__init__.py,,")
    site("middle", "1.0", ["thing", "deep"])
    before = bench.key()
    site("deep", "2.0")
    assert bench.key() != before


def test_what_plugs_into_an_imported_package_counts_too(bench, site):
    bench.write(TOML, steps="import thing\n\ndef run():\n    return 1\n")
    site("thing", "1.0", record="thing/__init__.py,,")
    before = bench.key()
    site("driver", "2.0", entry_points="[thing.drivers]\nfast = driver:Fast\n")
    assert bench.key() != before


def test_a_package_that_is_imported_where_it_is_installed_changes_the_key_when_it_comes(bench, site):
    bench.write(
        TOML, steps="try:\n    import thing\nexcept ImportError:\n    thing = None\n\ndef run():\n    return 1\n"
    )
    before = bench.key()
    site("thing", "1.0", record="thing/__init__.py,,")
    assert bench.key() != before


UNRELATED = {
    "a package": {},
    "a tool of developers that a package's extra names": {"needs": ["tool; extra == 'all'"], "tool": "mypy"},
    "what only a package's tests need": {"needs": ["tool; extra == 'test'"]},
    "a program": {"entry_points": "[console_scripts]\ntool = tool:main\n"},
}


@pytest.mark.parametrize("imports", ["", "import thing\n"])
@pytest.mark.parametrize("what", UNRELATED)
def test_what_is_installed_and_not_reached_changes_no_key(bench, site, what, imports):
    facts = UNRELATED[what]
    bench.write(TOML, steps=f"{imports}\ndef run():\n    return 1\n")
    site("thing", "1.0", facts.get("needs", ()), record="thing/__init__.py,,")
    before = bench.key()
    name = facts.get("tool", "tool")
    site(name, "99.0", entry_points=facts.get("entry_points", ""), record=f"{name}/__init__.py,,")
    assert bench.key() == before


@pytest.mark.parametrize("code", ["import importlib\n\ndef run(name='x'):\n    return importlib.import_module(name)\n",
                                  "import subprocess\n\ndef run():\n    return subprocess.call('tool')\n",
                                  "def run():\n    return eval('1')\n"])  # fmt: skip
def test_code_that_cannot_be_followed_counts_all_that_is_installed(bench, site, code):
    bench.write(TOML, steps=code)
    before = bench.key()
    site("tool", "1.0")
    assert bench.key() != before


@pytest.mark.slow
def test_a_run_after_an_unrelated_package_was_installed_takes_every_step_from_the_cache_and_why_names_the_one_that_counts(
    bench, site
):
    bench.write(TOML, steps="import thing\n\ndef run():\n    return 1\n")
    site("thing", "1.0", record="thing/__init__.py,,")
    bench.run()
    site("mypy", "99.0")
    assert bench.run().outputs
    assert bench.ran() == []
    site("thing", "2.0", record="thing/__init__.py,,")
    with bench.open() as project:
        (reason,) = project.pipeline.plan(steps=("a",))[0].reasons
    assert reason == "package thing: '1.0' → '2.0'"


def test_a_library_that_is_on_the_path_without_being_installed_counts_by_its_source(bench, tmp_path, monkeypatch):
    library = tmp_path / "library"
    library.mkdir()
    (library / "shared.py").write_text("def value():\n    return 1\n")
    monkeypatch.syspath_prepend(str(library))
    bench.write(TOML, steps="import shared\n\ndef run():\n    return shared.value()\n")
    before = bench.key()
    (library / "shared.py").write_text("def value():\n    return 2\n")
    assert bench.key() != before


def test_facts_kept_on_disk_give_the_same_code_and_never_a_stale_one(wired):
    def digest(store: Path | None) -> str:
        codebase = Codebase([wired.root], store)
        found = code_of(codebase, "steps:run").digest
        codebase.save()
        return found

    store = wired.root / "facts.json"
    assert digest(store) == digest(store) == digest(None)
    wired.edit("far.py", "return 7", "return 8")
    assert digest(store) == digest(None)
    store.write_text("{broken")
    assert digest(store) == digest(None)


def test_planning_imports_no_module_of_the_project(wired):
    for name in ("near", "far", "steps"):
        sys.modules.pop(name, None)  # other tests run steps in this process
    wired.key()
    assert not {"near", "far", "steps"} & sys.modules.keys()


@pytest.mark.parametrize("folder", ["somewhere/site-packages", "somewhere/dist-packages", "target"])
def test_what_an_installer_put_outside_this_environment_is_no_code_of_the_project(tmp_path, monkeypatch, folder):
    """A user's site, another environment's, `pip install --target`: their versions stand for them, and none of their files is read."""
    installed, own = tmp_path / folder, tmp_path / "own"
    for place in (installed, own):
        (place / "shared").mkdir(parents=True)
        (place / "shared" / "__init__.py").touch()
    if folder == "target":
        (installed / "shared-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(installed)
    assert project_codebase(tmp_path, (), None).module("shared") is None
    monkeypatch.syspath_prepend(own)
    assert project_codebase(tmp_path, (), None).module("shared").file == own / "shared" / "__init__.py"


NAMED = """
[trainer]
use = "sklearn"
[trainer.sklearn]
factory = "models:TARGET"
[steps.a]
use = "train"
task = "binary"
target = "y"
inputs = { train = "rows" }
[steps.rows]
python = "models:rows"
"""
MODELS = """
from sklearn.linear_model import LogisticRegression
STRENGTH = 1.0
def rows(): return 1
def make(): return inner()
def inner(): return LogisticRegression(C=STRENGTH)
class Model(LogisticRegression):
    def fit(self, X, y): return super().fit(X * STRENGTH, y)
"""


@pytest.mark.parametrize("target", ["make", "Model"])
def test_code_that_the_options_of_a_provider_name_counts_with_all_that_it_reaches(bench, target):
    bench.write(NAMED.replace("TARGET", target), models=MODELS)
    before = bench.key("a")
    bench.edit("models.py", "def rows(): return 1", "def rows(): return 2")
    assert bench.key("a") == before
    bench.edit("models.py", "STRENGTH = 1.0", "STRENGTH = 2.0")
    assert bench.key("a") != before


def test_an_option_that_names_no_code_of_the_project_is_text(bench):
    bench.write(NAMED.replace("models:TARGET", "elsewhere:make"), models=MODELS)
    before = bench.key("a")
    bench.edit("models.py", "STRENGTH = 1.0", "STRENGTH = 2.0")
    assert bench.key("a") == before
