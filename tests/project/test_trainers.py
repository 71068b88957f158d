"""The border of trainers: what a plugin's trainer returns and declares is checked, and an error names the plugin."""

from __future__ import annotations

import traceback

import pytest

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.base.errors import BundleError, PluginError
from mlopsfw.project.facade import Project
from mlopsfw.testing.trainer import Context, training_rows, training_task

SOURCE = """
import numpy as np
from pathlib import Path
from msgspec import Struct
from mlopsfw.roles import OutputColumn, Provider, SignatureColumn, TrainedModel, hookimpl
class Config(Struct, forbid_unknown_fields=True): ...
def model(context, **changes):
    file = context.scratch / "model.bin"
    file.write_bytes(b"model")
    whole = dict(inputs=(SignatureColumn(name="x", type="number"),), files={{"model.bin": file}}, formats={{"acme": "model.bin"}})
    return TrainedModel(**whole | changes)
class Acme:
    tasks = {tasks}
    abilities = {abilities}
    def fit(self, task, train, valid, context):
        return {answer}
@hookimpl
def mlopsfw_trainers(): yield Provider("acme", Config, lambda config, host: Acme(), "")
"""


def acme(install_plugin, make_project, **declared):
    whole = {"answer": "model(context)", "tasks": '("regression",)', "abilities": "()"} | declared
    install_plugin(SOURCE.format(**whole), "trainer.acme")
    return make_project('[trainer]\nuse = "acme"\n')


def fit(project: Project, tmp_path, **more):
    return project.providers.trainer().fit(
        training_task("regression", **more), TableHandle.of(training_rows(20)), None, Context.under(tmp_path, "acme")
    )


WRONG = {
    "None": ("None", "None"),
    "a dict": ("{'plan': b''}", "a dict"),
    "a bundle's folder": ("context.scratch", "Path"),
    "a class": ("TrainedModel", "a StructMeta"),
    "no inputs": ("model(context, inputs=())", "TrainedModel.inputs"),
    "inputs that are names": ("model(context, inputs=('x',))", "TrainedModel.inputs"),
    "examples that are a list": ("model(context, examples=[1])", "TrainedModel.examples"),
    "a list of files": ("model(context, files=[])", "TrainedModel.files"),
    "a file that is not there": ("model(context, files={'model.bin': Path('gone.bin')})", "gone.bin"),
    "a file's name for its path": ("model(context, files={'model.bin': 'model.bin'})", r"files\['model.bin'\]"),
    "a folder": ("model(context, files={'model.bin': context.scratch})", r"files\['model.bin'\]"),
    "a format of no file": ("model(context, formats={'acme': 'other.bin'})", "other.bin"),
    "outputs that are names": ("model(context, outputs=('value',))", "TrainedModel.outputs"),
    "an output that is text": ("model(context, outputs='value')", "TrainedModel.outputs"),
    "an output of no type": ("model(context, outputs=(OutputColumn(name='value', type='float'),))", "'value'.*'float'"),
    "a quantile beyond 1": (
        "model(context, outputs=(OutputColumn(name='value', type='number', quantile=1.5),))",
        r"'value'.*quantile",
    ),
    "an input of no type": ("model(context, inputs=(SignatureColumn(name='x', type='float'),))", "'x'.*'float'"),
    "no format": ("model(context, formats={})", "TrainedModel.formats"),
    "classes that are floats": ("model(context, classes=(0.5, 1.5))", "TrainedModel.classes"),
    "a metric that is text": ("model(context, metrics={'rmse': '0.5'})", r"metrics\['rmse'\].*'0.5'"),
    "a metric that is None": ("model(context, metrics={'rmse': None})", r"metrics\['rmse'\]"),
    "a metric that is an array": ("model(context, metrics={'rmse': np.zeros(3)})", r"metrics\['rmse'\]"),
    "a metric that is not a number": ("model(context, metrics={'rmse': float('nan')})", r"metrics\['rmse'\].*nan"),
    "an infinite metric": ("model(context, metrics={'rmse': float('inf')})", r"metrics\['rmse'\].*inf"),
    "a metric without a name": ("model(context, metrics={1: 0.5})", "TrainedModel.metrics"),
    "a fact that is not a number": (
        "model(context, facts={'importance': {'x': [1.0, float('nan')]}})",
        r"facts\['importance'\]\['x'\]\[1\] is no finite number",
    ),
    "facts that are no JSON": ("model(context, facts={'model': object()})", "TrainedModel.facts"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_trained_model_is_refused_and_names_the_plugin(what, install_plugin, make_project, tmp_path):
    answer, words = WRONG[what]
    project = acme(install_plugin, make_project, answer=answer)
    with pytest.raises(PluginError, match=words) as caught:
        fit(project, tmp_path)
    assert "raised by plugin 'trainer.acme' (acme-mlops-0 1.2) in Trainer.fit" in "".join(
        traceback.format_exception(caught.value)
    )
    assert caught.value.hint


def test_classes_of_a_regression_are_refused_and_name_the_plugin(install_plugin, make_project, tmp_path):
    project = acme(install_plugin, make_project, answer="model(context, classes=('a', 'b'))")
    with pytest.raises(BundleError, match="a regression model has no classes") as caught:
        fit(project, tmp_path)
    assert "plugin 'trainer.acme'" in "".join(caught.value.__notes__)


def test_outputs_without_a_quantile_that_was_asked_for_are_refused_and_name_the_plugin(
    install_plugin, make_project, tmp_path
):
    outputs = "(OutputColumn(name='value', type='number'), OutputColumn(name='low', type='number', quantile=0.1))"
    project = acme(
        install_plugin, make_project, answer=f"model(context, outputs={outputs})", abilities='("quantiles",)'
    )
    with pytest.raises(BundleError, match=r"the quantile 0\.9 of the target, and declares no output") as caught:
        fit(project, tmp_path, quantiles=(0.1, 0.9))
    assert "plugin 'trainer.acme'" in "".join(caught.value.__notes__)
    assert fit(project, tmp_path / "lower", quantiles=(0.1,)).outputs


@pytest.mark.parametrize(
    ("fact", "error"), [("1 / 0", ZeroDivisionError), ("np.float64(1)", PluginError), ("float('inf')", PluginError)]
)
def test_a_fact_that_is_asked_later_and_fails_names_the_plugin(fact, error, install_plugin, make_project, tmp_path):
    project = acme(install_plugin, make_project, answer=f"model(context, facts={{'late': lambda: {fact}}})")
    ask = fit(project, tmp_path).facts["late"]
    with pytest.raises(error) as caught:
        ask()
    assert "plugin 'trainer.acme' (acme-mlops-0 1.2) in TrainedModel.facts['late']" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("space", "error"), [("1 / 0", ZeroDivisionError), ("['size']", PluginError), ("{'size': {'lo': 1}}", PluginError)]
)
def test_a_space_that_is_none_names_the_plugin_that_suggests_it(space, error, install_plugin, make_project):
    config = f"class Config(Struct, forbid_unknown_fields=True):\n    search_space = property(lambda self: {space})\n"
    source = SOURCE.replace(
        "class Config(Struct, forbid_unknown_fields=True): ...\n", config.replace("{", "{{").replace("}", "}}")
    )
    install_plugin(source.format(answer="1", tasks='("regression",)', abilities="()"), "trainer.acme")
    with pytest.raises(error) as caught:
        make_project('[trainer]\nuse = "acme"\n').providers.trainer_options("", {})
    assert "plugin 'trainer.acme'" in "".join(caught.value.__notes__)


def test_a_trained_model_passes_with_its_metrics_as_floats(install_plugin, make_project, tmp_path):
    project = acme(install_plugin, make_project, answer="model(context, metrics={'a': np.float32(0.5), 'b': 3})")
    metrics = fit(project, tmp_path).metrics
    assert metrics == {"a": 0.5, "b": 3.0}
    assert {type(value) for value in metrics.values()} == {float}


@pytest.mark.parametrize(("name", "value"), [("tasks", "'regression'"), ("tasks", "None"), ("abilities", "(1,)")])
def test_names_that_are_no_collection_are_refused_and_name_the_plugin(name, value, install_plugin, make_project):
    project = acme(install_plugin, make_project, **{name: value})
    with pytest.raises(PluginError, match=rf"Trainer\.{name} is") as caught:
        getattr(project.providers.trainer(), name)
    assert "plugin 'trainer.acme'" in "".join(caught.value.__notes__)


STEPS = """
[steps.rows]
python = "work:rows"
[steps.train]
use = "train"
inputs = {{ train = "rows"{inputs} }}
task = "{task}"
target = "{task}"
{more}
"""
WORK = "from mlopsfw.testing.trainer import training_rows\ndef rows(): return training_rows(50)\n"


@pytest.mark.parametrize(
    ("asked", "words", "name"),
    [
        ({"task": "binary"}, "does not learn binary models", "acme"),
        ({"more": 'weight = "count"'}, "would ignore the weights of rows", "ridge"),
        ({"inputs": ', valid = "rows"'}, "would ignore validation rows", "acme"),
        ({"more": 'derive = { twice = "count * 2" }'}, "would ignore derived columns", "ridge"),
        ({"more": "quantiles = [0.1, 0.9]"}, "would ignore quantiles", "ridge"),
    ],
)
def test_a_step_asks_no_trainer_for_what_it_does_not_declare(asked, words, name, install_plugin, bench):
    install_plugin(SOURCE.format(answer="1 / 0", tasks='("regression",)', abilities="()"), "trainer.acme")
    trainer = "[trainer]" if name == "acme" else f"[trainer.{name}]"
    bench.write(
        f'{trainer}\nuse = "acme"\n' + STEPS.format(**{"task": "regression", "more": "", "inputs": ""} | asked),
        work=WORK,
    )
    failure = bench.run().failure
    assert f"the trainer {name!r} {words}" in failure.message
    assert "raised by plugin 'trainer.acme' (acme-mlops-0 1.2) in Trainer.fit" in failure.message
    assert "step.train" not in failure.message
    assert failure.type == "UsageError"


def test_a_step_whose_trainer_returns_a_dict_fails_with_the_plugins_code(install_plugin, bench):
    install_plugin(SOURCE.format(answer="{}", tasks='("regression",)', abilities="()"), "trainer.acme")
    bench.write('[trainer]\nuse = "acme"\n' + STEPS.format(task="regression", more="", inputs=""), work=WORK)
    done = bench.run()
    assert done.exit_code == 5
    assert "the trainer returned a dict: {}, not a TrainedModel" in done.failure.message
    assert "raised by plugin 'trainer.acme'" in done.failure.message
