"""Metrics of plugins: evaluated, compared, gated and watched as mlopsfw's own are, and their answers checked with blame."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import polars as pl
import pytest

from mlopsfw.kernel.base.errors import ConfigError, PluginError, UsageError
from mlopsfw.kernel.roles.names import KINDS
from mlopsfw.models.metrics import OWN
from mlopsfw.steps import comparison
from mlopsfw.steps.scored import Scored

sys.path.insert(0, str(Path(__file__).parent.parent / "plugins"))
from bundles import write_bundle
from drift_windows import against, baseline, examine, make, window

COST = """
import msgspec
import numpy as np
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Metric

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: float = 1.0

def build(config, host):
    def cost(labels, outputs, weight):
        main = next(iter(outputs.values()))
        BODY
    return Metric(compute=cost, higher_is_better=False, tasks=TASKS)

@hookimpl
def mlopsfw_metrics():
    yield Provider("cost", Config, build, "What wrong answers cost")
"""
BODY = "return float(np.average(config.price * ((main >= 0.5) != (labels == 1)), weights=weight))"
ROWS = """
import polars as pl
from pathlib import Path
from mlopsfw.roles import BundleFolder

def trained(folder):
    return BundleFolder(Path(folder))

def rows():
    return pl.DataFrame({
        "distance": [100.0, 500.0, 900.0, 2500.0] * 40,
        "hour": [6, 9, 14, 22] * 40,
        "carrier": ["UA", "AA", "B6", "DL"] * 40,
        "red_eye": [False, False, False, True] * 40,
        "late": ([False, True, False, True] * 13 + [True, True, False, False] * 27),
    })
"""
TOML = """
[steps.rows]
python = "rows:rows"
[steps.trained]
python = "rows:trained"
params = { folder = "FOLDER" }
[steps.evaluate]
inputs = { model = "trained", rows = "rows" }
champion = "models:/delay@champion"
segments = ["carrier"]
[steps.gate]
inputs = { metrics = "evaluate", champion = "evaluate.champion" }
rules = ["cost <= 5", "cost <= champion.cost + 1"]
model = "delay"
"""


@pytest.fixture
def cost(install_plugin):
    """Return an installer of the metric `cost`, whose function has a body."""
    return lambda body=BODY, tasks='("binary",)', facts="higher_is_better=False": install_plugin(
        COST.replace("BODY", body).replace("TASKS", tasks).replace("higher_is_better=False", facts), "metric.cost"
    )


@pytest.fixture
def models(bench):
    """A project with two versions of a model, of which the second is the champion."""
    bench.write(TOML.replace("FOLDER", str(bench.root.with_name("b0.0"))), rows=ROWS)
    with bench.open() as project:
        for bias in (0.0, 3.0):
            made = project.registry.register("delay", write_bundle(project, bench.root.with_name(f"b{bias}"), bias))
        project.registry.promote("delay", made.version)
    return bench


def scored(models):
    """Return the pipeline's rows, and what version 1 answers."""
    namespace: dict = {}
    exec(ROWS, namespace)
    rows = namespace["rows"]()
    with models.open() as project:
        version = project.registry.resolve("models:/delay@1")
        bundle = project.bundles.open(project.blobs.get_folder(version.bundle, models.root / "x"))
        return rows, bundle.predict_table(rows)[bundle.manifest.outputs[0].name]


def evaluated(bench, done, output="metrics"):
    return bench.value(done, "evaluate", output)


def test_a_plugins_metric_is_evaluated_compared_by_segment_and_gated(cost, models):
    cost()
    models.edit("mlopsfw.toml", 'segments = ["carrier"]', 'segments = ["carrier"]\nmetric = "cost"')
    done = models.run()
    assert done.status == "done", done.failure
    found, champion = evaluated(models, done), evaluated(models, done, "champion")
    rows, probability = scored(models)
    assert found["cost"] == pytest.approx(float(((probability >= 0.5) != rows["late"].to_numpy()).mean()))
    assert set(found) >= {"cost", "auc", "log_loss", "accuracy"}
    assert all("cost" in each for each in found["segments"]["carrier"].values())
    compared = found["compare"]
    assert (compared["metric"], compared["model"], compared["champion"]) == ("cost", found["cost"], champion["cost"])
    assert compared["better"] == (found["cost"] < champion["cost"])


def test_the_metric_of_the_comparison_and_money_have_intervals_also_by_segment_and_a_gate_can_ask_for_them(models):
    models.edit("mlopsfw.toml", 'segments = ["carrier"]', 'segments = ["carrier"]\nmetric = "log_loss"\nmin_rows = 1')
    models.edit(
        "mlopsfw.toml", '"cost <= 5", "cost <= champion.cost + 1"', '"segments.carrier.*.intervals.money.low < -3"'
    )
    with (models.root / "mlopsfw.toml").open("a") as file:
        file.write("[metric.money]\ngain = [[0, -5], [-10, 20]]\n")
    done = models.run()
    assert done.status == "refused"
    found = evaluated(models, done)
    assert set(found["intervals"]) == {"log_loss", "money"}
    values = found["segments"]["carrier"]
    assert [name for name, each in values.items() if not each["intervals"]] == ["AA", "B6"], "all rows are alike there"
    for each in (found, values["DL"]):
        assert each["intervals"]["money"]["low"] < each["money"] < each["intervals"]["money"]["high"]
    assert found["intervals"]["log_loss"]["low"] < found["log_loss"] < found["intervals"]["log_loss"]["high"]
    assert "segments.carrier.*.intervals.money.low" in done.failure.message


def test_intervals_of_many_rows_are_those_of_few_but_for_the_way_to_compute_them(monkeypatch):
    draw = np.random.default_rng(0)
    answers = draw.random(3000)
    labels = (draw.random(3000) < answers).astype(np.int64)
    bundle = SimpleNamespace(manifest=SimpleNamespace(task="binary"))
    model = Scored(bundle, pl.DataFrame({"x": answers}), labels, {"probability": answers}, None)
    few = comparison._ends(OWN, {"auc"}, model, np.arange(3000) // 30)["auc"]
    monkeypatch.setattr(comparison, "_MANY", 100)
    many = comparison._ends(OWN, {"auc"}, model, np.arange(3000) // 30)["auc"]
    assert many != few
    assert many == pytest.approx(few, abs=0.005)


def test_the_comparison_with_the_champion_tells_the_money_beside_its_metric(models):
    models.edit("mlopsfw.toml", '"cost <= 5", "cost <= champion.cost + 1"', '"compare.money.low <= compare.money.gain"')
    with (models.root / "mlopsfw.toml").open("a") as file:
        file.write("[metric.money]\ngain = [[0, -5], [-10, 20]]\n")
    done = models.run()
    assert done.status == "done", done.failure
    found, champion = evaluated(models, done), evaluated(models, done, "champion")
    compared = found["compare"]
    assert compared["metric"] == "auc"
    assert compared["money"]["gain"] == pytest.approx(found["money"] - champion["money"])
    told = f"money {1000 * found['money']:,.0f} per 1,000 predictions, the champion's"
    with models.open() as project:
        assert told in project.runs.log(done.run, "evaluate")


def test_intervals_count_the_values_of_the_group(models):
    models.edit("mlopsfw.toml", 'segments = ["carrier"]', 'metric = "log_loss"')
    alone = evaluated(models, models.run())["intervals"]["log_loss"]
    models.edit("mlopsfw.toml", 'metric = "log_loss"', 'metric = "log_loss"\ngroup = "hour"')
    assert evaluated(models, models.run())["intervals"] == {}, "four hours are too few to say"
    assert alone["low"] < alone["high"]


def test_a_comparison_has_the_interval_of_the_difference_and_a_gate_can_ask_for_it(cost, models):
    cost()
    models.edit("mlopsfw.toml", 'segments = ["carrier"]', 'metric = "log_loss"')
    models.edit("mlopsfw.toml", '"cost <= 5"', '"compare.low <= compare.gain", "compare.high >= compare.gain"')
    done = models.run()
    assert done.status == "done"
    compared = evaluated(models, done)["compare"]
    assert compared["low"] <= compared["gain"] <= compared["high"]
    assert compared["low"] < compared["high"]


def test_weights_count_in_every_metric_of_an_evaluation(cost, models):
    """The column `hour` as weight; the weights of red-eye flights alone, which leave the other segment empty."""
    cost()
    models.edit("mlopsfw.toml", 'segments = ["carrier"]', 'segments = ["red_eye"]\nmetric = "cost"\nweight = "hour"')
    models.edit("mlopsfw.toml", ', "cost <= champion.cost + 1"', "")
    by_hour = evaluated(models, models.run())
    rows, probability = scored(models)
    wrong, weight = (probability >= 0.5) != rows["late"].to_numpy(), rows["hour"].to_numpy()
    assert by_hour["cost"] == pytest.approx(np.average(wrong, weights=weight))
    assert by_hour["accuracy"] == pytest.approx(1 - np.average(wrong, weights=weight))
    assert by_hour["compare"]["champion"] != pytest.approx(wrong.mean())
    models.edit("mlopsfw.toml", 'weight = "hour"', 'weight = "red_eye"')
    segments = evaluated(models, models.run())["segments"]["red_eye"]
    assert segments["false"] == {"rows": 120.0, "intervals": {}}
    assert segments["true"]["cost"] == pytest.approx(wrong[rows["red_eye"].to_numpy()].mean())
    models.edit("mlopsfw.toml", 'weight = "red_eye"', 'weight = "hours"')
    assert "weight: the rows have no column 'hours'" in str(models.run().failure)


def test_a_gate_on_a_plugins_metric_refuses(cost, models):
    cost()
    models.edit("mlopsfw.toml", '"cost <= 5", "cost <= champion.cost + 1"', '"cost <= 0.01"')
    done = models.run()
    assert (done.status, done.failed) == ("refused", "gate")
    assert "cost <= 0.01: does not hold" in str(done.failure)


@pytest.mark.usefixtures("processes")
def test_options_versions_and_disabling_count_for_the_cache(cost, models):
    module = cost()
    models.edit("mlopsfw.toml", ', "cost <= champion.cost + 1"', "")
    first = models.run()
    assert models.ran(first.run) == ["rows", "trained", "evaluate", "gate"]
    assert "evaluate" not in models.ran(models.run().run)
    models.edit("mlopsfw.toml", "[steps.rows]", "[metric.cost]\nprice = 2.0\n[steps.rows]")
    second = models.run()
    assert "evaluate" in models.ran(second.run)
    assert evaluated(models, second)["cost"] == pytest.approx(2 * evaluated(models, first)["cost"])
    (site,) = [Path(folder) for folder in sys.path if (Path(folder) / f"{module}.py").exists()]
    (site / f"{module}.py").write_text(COST.replace("BODY", "return 4.0").replace("TASKS", '("binary",)'))
    third = models.run()
    assert evaluated(models, third)["cost"] == 4.0
    models.edit("mlopsfw.toml", "[steps.rows]", '[plugins]\ndisabled = ["metric.cost"]\n[steps.rows]')
    models.edit("mlopsfw.toml", '"cost <= 5"', '"auc <= 1"')
    assert "cost" not in evaluated(models, models.run())


# -- answers --------------------------------------------------------------------------------------------------------------------

LABELS, OUTPUTS = (
    np.array([0, 1, 1, 0]),
    {"probability": np.array([0.1, 0.9, 0.4, 0.2]), "text": np.array(list("abcd"))},
)
BAD = {
    "NaN": ("return float('nan')", "it returned nan"),
    "infinite": ("return float('inf')", "it returned inf"),
    "an array": ("return main", r"it returned an array of shape \(4,\)"),
    "an array of one": ("return np.array([0.5])", "it returned an array of shape"),
    "a text": ("return '0.5'", "it returned a str"),
    "a truth value": ("return True", "it returned a bool"),
    "sys.exit": ("import sys; sys.exit(0)", "would have ended mlopsfw"),
}


@pytest.mark.parametrize(("body", "says"), BAD.values(), ids=BAD)
def test_an_answer_that_is_no_number_names_the_plugin(cost, project, body, says):
    cost(body)
    with pytest.raises(PluginError, match=says) as caught:
        project.metrics.evaluate("binary", LABELS, OUTPUTS)
    assert any("metric.cost" in note and note.endswith("in Metric.compute") for note in caught.value.__notes__)


@pytest.mark.parametrize("body", ["labels[0] = 1; return 1.0", "main[:] = 0; return 1.0"])
def test_a_metric_cannot_change_the_rows(cost, project, body):
    cost(body)
    with pytest.raises(ValueError, match="read-only") as caught:
        project.metrics.evaluate("binary", LABELS, OUTPUTS)
    assert "metric.cost" in caught.value.__notes__[0]


def test_a_metric_gets_every_column_of_the_answer_the_main_one_first(cost, project):
    cost("assert list(outputs) == ['probability', 'text']; return 2.0")
    assert project.metrics.evaluate("binary", LABELS, OUTPUTS, only=["cost"]) == {"cost": 2.0}


def test_an_undefined_metric_is_left_out_and_one_of_another_task_is_not_asked(cost, project):
    cost("return None", '("binary", "ranking")')
    assert "cost" not in project.metrics.evaluate("binary", LABELS, OUTPUTS)
    assert "cost" not in project.metrics.evaluate("regression", LABELS.astype(float), {"v": OUTPUTS["probability"]})
    assert project.metrics.evaluate("ranking", LABELS, OUTPUTS) == {}


def test_mlopsfws_own_metrics_come_first_and_are_as_without_the_plugin(cost, make_project):
    before = make_project().metrics.evaluate("binary", LABELS, OUTPUTS)
    cost()
    after = make_project().metrics.evaluate("binary", LABELS, OUTPUTS)
    assert list(after) == [*before, "cost"]
    assert {name: after[name] for name in before} == before


def test_what_is_built_must_be_a_metric(install_plugin, project):
    install_plugin(
        COST.replace("return Metric(", "return dict(").replace("BODY", BODY).replace("TASKS", "()"), "metric.cost"
    )
    with pytest.raises(PluginError, match="it returned a dict instead of a Metric") as caught:
        project.metrics.of("binary")
    assert "metric.cost" in caught.value.__notes__[0]


@pytest.mark.parametrize("name", KINDS["metric"].reserved)
def test_a_metric_cannot_be_called_as_a_fact_of_the_evaluation(install_plugin, project, name):
    code = COST.replace('"cost"', f'"{name}"').replace("BODY", "return -7.0").replace("TASKS", '("binary",)')
    install_plugin(code, f"metric.{name}")
    assert name not in project.metrics.of("binary")


def test_wrong_options_are_an_error_with_their_key(cost, make_project):
    cost()
    with pytest.raises(ConfigError, match=r"metric\.cost\.prize"):
        make_project("[metric.cost]\nprize = 1\n").metrics.of("binary")


def test_two_plugins_of_one_name_are_an_error_that_names_both(cost, project):
    cost()
    cost()
    with pytest.raises(PluginError, match=r"acme-mlops-0 1\.2 .* and acme-mlops-1 1\.2"):
        project.metrics.of("binary")


def test_a_comparison_by_a_metric_that_there_is_not_names_the_nearest(models):
    models.edit("mlopsfw.toml", 'segments = ["carrier"]', 'metric = "acuracy"')
    done = models.run()
    assert done.failed == "evaluate"
    assert "no metric 'acuracy'" in str(done.failure)


# -- windows --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "worse"), [(1.0, False), (0.2, True)])
def test_a_monitor_watches_a_plugins_metric_in_its_direction(cost, project, factor, worse):
    cost()
    frame = make(np.random.default_rng(1))
    now = float(((frame["probability"] >= 0.5) != frame["label"]).mean())
    known = baseline(frame, metrics={"cost": now * factor, "rows": 4000.0})
    seen = msgspec.structs.replace(window(frame, labelled=True), metrics=project.metrics)
    report = examine(against(seen, known), known)
    assert report.metrics["cost"] == pytest.approx(now)
    assert ("cost" in {finding.subject for finding in report.findings}) == worse


@pytest.mark.parametrize(("bounded", "worse"), [(True, True), (False, False)])
def test_a_monitor_judges_the_loss_of_a_bounded_metric_as_it_is(cost, project, bounded, worse):
    """0.07 is more than the 0.02 that a share may fall, and less than the tenth that another number may."""
    cost("return float(np.mean((main >= 0.5) == (labels == 1)))", facts=f"higher_is_better=True, bounded={bounded}")
    frame = make(np.random.default_rng(1), rows=20_000)
    now = float(((frame["probability"] >= 0.5) == frame["label"]).mean())
    known = baseline(frame, metrics={"cost": now + 0.07, "rows": 20_000.0})
    seen = msgspec.structs.replace(window(frame, labelled=True), metrics=project.metrics)
    report = examine(against(seen, known), known)
    assert ("cost" in {finding.subject for finding in report.findings}) == worse


def test_an_alarm_tells_the_money_of_a_thousand_predictions_beside_auc(make_project):
    metrics = make_project("[metric.money]\ngain = [[0, -5], [-10, 20]]\n").metrics
    frame = make(np.random.default_rng(1))
    seen = msgspec.structs.replace(window(frame, labelled=True), metrics=metrics)
    known = baseline(frame, metrics={"money": 12.0, "auc": 0.9, "rows": 4000.0})
    report = examine(against(seen, known), known)
    (worse,) = [each for each in report.findings if each.subject == "money"]
    told = re.search(
        r"money ([\d,]+) ± [\d,]+ per 1,000 predictions, was 12,000 per 1,000 predictions at evaluation", worse.message
    )
    assert int(told[1].replace(",", "")) == round(1000 * report.metrics["money"])
    assert re.search(r"auc 0\.\d+ ± .*money", report.summary)


def test_windows_of_a_project_carry_its_metrics(cost, project):
    cost()
    assert project.windows._metrics is project.metrics
    assert "cost" in project.metrics
    with pytest.raises(UsageError):
        project.metrics["csot"]
    assert not project.metrics["cost"].higher_is_better
