"""The installed steps as a project offers them: bundled and third parties' by one hook."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from mlopsfw.cli import run as cli
from mlopsfw.errors import ConfigError, PluginConflict, PluginError
from mlopsfw.kernel.plugins.catalog import Catalog
from mlopsfw.kernel.plugins.manager import PluginManager
from mlopsfw.project.config.schema import config_schema
from mlopsfw.project.steps import StepParts

BUNDLED = {
    "alert", "check", "deploy", "evaluate", "features", "gate", "ingest", "join", "leakage", "monitor", "register",
    "split", "sql", "train",
}  # fmt: skip
CLEAN = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Host, Step, StepContext

class CleanParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    column: str
    least: float = 0.0

def build(params, host):
    def run(context):
        rows = context.load("rows")
        context.log_metric("rows", rows.height)
        return {"rows": rows.filter(rows[params.column] > params.least)}
    return Step(run=run, inputs=("rows",), outputs=("rows",))

@hookimpl
def mlopsfw_steps():
    yield Provider("acme-clean", CleanParams, build, "Acme's cleaning")
"""
PIPELINE = """
[steps.made]
python = "work:made"
[steps.clean]
use = "acme-clean"
inputs = { rows = "made" }
column = "x"
"""
WORK = "import polars as pl\ndef made():\n    return pl.DataFrame({'x': [-1.0, 1.0, 2.0]})\n"


def step_of(body: str, outputs: str = '("result",)', more: str = "") -> str:
    """Return a plugin whose step does `body`."""
    return f"""
import sys
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Step
class Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True): ...
def build(params, host):
    def run(context{more}):
        {body}
    return Step(run=run, outputs={outputs})
@hookimpl
def mlopsfw_steps():
    yield Provider("acme-odd", Empty, build, "")
"""


@pytest.fixture
def acme(install_plugin, bench):
    """A project that uses a company's step, installed beside ours."""
    install_plugin(CLEAN, "step.acme-clean")
    return bench.write(PIPELINE, work=WORK)


def test_the_bundled_steps_come_by_the_hook(project):
    claims = {claim.name for claim in project.plugins.catalog.of("step")}
    assert claims >= BUNDLED
    assert {project.plugins.provider("step", name)[1].name for name in BUNDLED} == BUNDLED


def test_an_unknown_step_is_an_error_that_names_the_nearest_one_whose_ever_it_is(make_project, install_plugin):
    install_plugin(CLEAN, "step.acme-clean")
    with pytest.raises(ConfigError, match=r"mlopsfw\.toml:5: steps\.a\.use: no installed step is called 'jion'") as e:
        _ = make_project('[steps.a]\nuse = "jion"\n').pipeline.graph
    assert "'join'" in e.value.hint
    assert 'python = "module:function"' in e.value.hint
    with pytest.raises(ConfigError) as e:
        _ = make_project('[steps.a]\nuse = "acme-claen"\n').pipeline.graph
    assert "'acme-clean'" in e.value.hint


def test_a_pipeline_imports_the_steps_that_it_selects_and_no_other_and_builds_no_plugin(make_project):
    project = make_project(
        '[steps.split]\nby = "fraction"\ntest = 0.2\ninputs = { rows = "data:/a" }\n'
        '[steps.train]\ntask = "binary"\ntarget = "y"\ninputs = { train = "split" }\n'
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom mlopsfw import Project\n"
        f"project = Project.open(Path({str(project.root)!r}))\n"
        "project.pipeline.graph\n"
        f"print(sorted(name for name in {BUNDLED} if f'mlopsfw.steps.{{name}}' in sys.modules))\n"
        "print([m for m in sys.modules if m.startswith(('mlopsfw_trainer', 'polars', 'pyarrow', 'numpy'))])\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["['split', 'train']", "[]"]


# -- a company's step ------------------------------------------------------------------------------------------------------


def test_a_third_partys_step_runs_as_ours_do(acme):
    outcome = acme.run()
    assert outcome.status == "done", outcome.failure
    assert acme.value(outcome, "clean", "rows")["x"].to_list() == [1.0, 2.0]
    assert acme.run().status == "done"
    assert acme.ran() == []


def test_a_third_partys_step_is_listed_without_an_import(install_plugin, capsys):
    install_plugin("raise SystemExit('imported')", "step.acme-clean")
    assert cli(["plugins", "list", "--json"]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["name"] == "step.acme-clean"]
    assert (row["distribution"], row["version"], row["state"]) == ("acme-mlops-0", "1.2", "ok")


def test_a_third_partys_step_has_its_options_checked_with_the_line(make_project, install_plugin):
    install_plugin(CLEAN, "step.acme-clean")
    for wrong, says in (("colum = 'x'", "'column'"), ("column = 'x'\nleest = 1", "'least'"), ("column = 'x'\nneds = []", "'needs'")):  # fmt: skip
        toml = f'[steps.clean]\nuse = "acme-clean"\ninputs = {{ rows = "data:/a" }}\n{wrong}\n'
        with pytest.raises(ConfigError, match=r"mlopsfw\.toml:\d+: steps\.clean\.\w+: unknown key") as caught:
            _ = make_project(toml).pipeline.graph
        assert says in caught.value.hint


@pytest.mark.parametrize(("named", "key"), [(", key='seed'", "steps.odd.seed"), ("", "steps.odd")])
def test_a_third_partys_check_is_named_by_its_key_or_by_its_step(bench, install_plugin, named, key):
    check = f"def check():\n    from mlopsfw.errors import ConfigError\n    raise ConfigError('no'{named})\n"
    install_plugin(check + step_of("return {}", '("result",), check=check'), "step.acme-odd")
    with pytest.raises(ConfigError) as caught:
        bench.write('[steps.odd]\nuse = "acme-odd"\n').run()
    assert caught.value.key == key


def test_two_steps_of_one_name_are_refused_and_both_are_named(acme, install_plugin):
    install_plugin(CLEAN, "step.acme-clean")
    with pytest.raises(PluginConflict, match=r"acme-mlops-0 1\.2.*acme-mlops-1 1\.2"), acme.open() as project:
        _ = project.pipeline.graph


def test_a_third_partys_step_that_raises_is_blamed_by_name(bench, install_plugin):
    install_plugin(step_of("1 / 0"), "step.acme-odd")
    outcome = bench.write('[steps.odd]\nuse = "acme-odd"\n').run()
    assert outcome.exit_code == 5
    assert "raised by plugin 'step.acme-odd' (acme-mlops-0 1.2) in Step.run" in outcome.failure.message


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return {'reslut': 1}", r"returned \['reslut'\], not \['result'\]"),
        ("return 1", "returned a int"),
        ("sys.exit(3)", "SystemExit"),
    ],
)
def test_what_a_third_partys_step_does_wrong_is_blamed_on_it(body, says, bench, install_plugin):
    install_plugin(step_of(body), "step.acme-odd")
    outcome = bench.write('[steps.odd]\nuse = "acme-odd"\n').run()
    assert outcome.exit_code in {1, 5}
    assert re.search(says, outcome.failure.message)
    assert "raised by plugin 'step.acme-odd' (acme-mlops-0 1.2)" in outcome.failure.message


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (step_of("return {}", '"result"'), "Step.outputs is a tuple of names"),
        (step_of("return {}", '("result",), env="REGION"'), "Step.env is a tuple of names"),
        (step_of("return {}", "()"), "Step.outputs names at least one"),
        (step_of("return {}", '("a", "a")'), "none twice"),
        (step_of("return {}").replace("return Step", "return None and Step"), "build returned a NoneType"),
    ],
)
def test_what_a_third_partys_step_is_built_wrong_with_is_blamed_on_it(source, says, make_project, install_plugin):
    install_plugin(source, "step.acme-odd")
    with pytest.raises((TypeError, PluginError), match=says) as caught:
        _ = make_project('[steps.odd]\nuse = "acme-odd"\n').pipeline.graph
    assert any("step.acme-odd" in note for note in caught.value.__notes__)


# -- the parts of a project that a step names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", ["by the plugin", "by the project"])
def test_a_third_partys_step_runs_again_when_a_declared_variable_changes(declared, bench, install_plugin, monkeypatch):
    by_plugin = declared == "by the plugin"
    install_plugin(step_of("return {'result': 1}", f'("result",), env={("REGION",) * by_plugin}'), "step.acme-odd")
    bench.write('[steps.odd]\nuse = "acme-odd"\n' + 'env = ["REGION"]\n' * (not by_plugin))
    keys = []
    for region in ("north", "south", "north"):
        monkeypatch.setenv("REGION", region)
        keys.append(bench.key("odd"))
    assert keys[0] == keys[2] != keys[1]


def test_a_step_gets_the_parts_that_it_names(bench, install_plugin):
    install_plugin(step_of("return {'result': [m.name for m in models.models()]}", more=", models"), "step.acme-odd")
    outcome = bench.write('[steps.odd]\nuse = "acme-odd"\n').run()
    assert outcome.status == "done", outcome.failure
    assert bench.value(outcome, "odd") == []


def test_a_step_never_gets_the_project(make_project, install_plugin):
    install_plugin(step_of("return {}", more=", project"), "step.acme-odd")
    with pytest.raises(PluginError, match="cannot have: 'project'") as caught:
        _ = make_project('[steps.odd]\nuse = "acme-odd"\n').pipeline.graph
    assert "alerts, bundles, children, contracts" in caught.value.hint


def test_every_part_can_be_had_and_is_not_made_before_a_step_runs(project):
    parts = StepParts(project)
    names = parts.named(lambda alerts, bundles, contracts, datasets, endpoints, models, monitoring, runs: None)
    assert "datasets" not in vars(project)
    assert set(parts.get(names)) == set(names)


# -- the cache -------------------------------------------------------------------------------------------------------------


def test_a_third_partys_distribution_and_code_count_for_the_cache(acme, tmp_path):
    before = acme.key("clean")
    assert acme.key("clean") == before
    (info,) = (tmp_path / "site").glob("*.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-mlops-0\nVersion: 1.3\n")
    newer = acme.key("clean")
    assert newer != before
    (module,) = (tmp_path / "site").glob("*.py")
    module.write_text(module.read_text().replace("> params.least", ">= params.least"))
    assert acme.key("clean") not in {before, newer}


def test_an_installed_packages_code_counts_where_it_cannot_be_followed(tmp_path, monkeypatch):
    from mlopsfw.kernel.plugins.catalog import Claim
    from mlopsfw.pipeline.cache.codebase import Codebase
    from mlopsfw.pipeline.cache.plugin_version import plugin_version

    package = tmp_path / "acme_installed"
    package.mkdir()
    for name in ("__init__", "inner"):
        (package / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    claim = Claim("step", "acme-clean", "acme_installed", "acme", "1.2", 1)
    before = plugin_version(claim, Codebase([]))
    assert before.startswith("acme 1.2, code ")
    (package / "inner.py").write_text("x = 1")
    assert plugin_version(claim, Codebase([])) != before


# -- the schema ------------------------------------------------------------------------------------------------------------


VALID = [
    'use = "acme-clean"\ncolumn = "x"\ninputs = { rows = "made" }\nretries = 2',
    'use = "acme-clean"\nparams = { column = "x" }',
    'python = "work:made"\nparams = { anything = 1 }',
    'use = "sql"\nquery = "SELECT 1"',
]
INVALID = [
    'use = "acme-claen"\ncolumn = "x"',
    'use = "acme-clean"\ncolunm = "x"',
    'use = "acme-clean"\ncolumn = 1',
    'use = "acme-clean"',
    'python = "work:made"\nanything = 1',
]


@pytest.fixture
def valid(install_plugin):
    """Return whether an editor takes a text as `mlopsfw.toml`."""
    import tomllib

    jsonschema = pytest.importorskip("jsonschema")
    install_plugin(CLEAN, "step.acme-clean")
    install_plugin(CLEAN.replace("least: float", "most: float").replace("acme-clean", "acme-other"), "step.acme-other")
    schema = jsonschema.Draft202012Validator(config_schema(PluginManager(Catalog())))
    return lambda text: schema.is_valid(tomllib.loads(text))


@pytest.mark.parametrize("step", VALID)
def test_an_editor_takes_a_step_that_is_right(step, valid):
    assert valid(f"[steps.a]\n{step}\n")


@pytest.mark.parametrize("step", INVALID)
def test_an_editor_marks_a_step_that_is_wrong(step, valid):
    assert not valid(f"[steps.a]\n{step}\n")


def test_an_editor_knows_a_step_by_its_own_name_and_no_plugins_record_is_taken_for_anothers(valid):
    assert valid('[steps.split]\nby = "fraction"\n')
    assert not valid('[steps.split]\nby = "chance"\n')
    assert valid('[steps.split]\npython = "work:split"\n')
    assert valid('[steps.acme-clean]\ncolumn = "x"\nleast = 1.0\n')
    assert not valid('[steps.acme-other]\ncolumn = "x"\nleast = 1.0\n')
