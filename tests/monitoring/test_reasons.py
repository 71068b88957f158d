"""A monitor compares why a model answers with why it answered on the reference rows: a change of reasons shows where no input has drifted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from captured import DAY, START

from mlopsfw.errors import ConfigError, DataError
from mlopsfw.kernel.roles.monitoring import Finding, Number, Signals
from mlopsfw.monitoring.reasons import Reasons, with_reasons
from mlopsfw.project.facade import Project
from mlopsfw.steps import train as train_step
from mlopsfw.testing.step import Bench

TOML = """
[project]
name = "p"
[trainer]
use = "lightgbm"
[trainer.lightgbm]
num_iterations = 40
num_threads = 1
[[monitor]]
use = "drift"
reference = "data:/right@1"
explain = 400
[monitor.drift]
group = "none"
"""


def rows(count, seed, *, tied=False):
    """`late` hangs on x and kind together; where they are tied, kind follows x, and each alone is as before."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=count)
    sign = np.sign(x) if tied else draw.choice([-1.0, 1.0], count)
    kind = np.where(sign > 0, "a", "b")
    return pl.DataFrame(
        {"x": x, "kind": kind, "spare": draw.normal(size=count), "late": x * sign + 0.3 * draw.normal(size=count) > 0}
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reasons")
    (folder / "mlopsfw.toml").write_text(TOML)
    with Project.open(folder) as project:
        options = {"task": "binary", "target": "late", "features": ["x", "kind", "spare"]}
        made = Bench(project, next(iter(train_step.mlopsfw_steps())), options).run({"train": rows(3000, seed=1)})
        project.registry.register("delay", made["model"].blob)
        project.datasets.commit("right", rows(1000, seed=2))
        yield project


def capture(project, day, frame):
    times = pl.datetime_range(START + day * DAY, START + (day + 1) * DAY, DAY / frame.height, closed="left", eager=True)
    project.tables.append(
        "captures/delay",
        frame.drop("late").with_columns(
            pl.Series("prediction_id", [f"{day}-{number}" for number in range(frame.height)]),
            event_time=times.dt.cast_time_unit("us"), processed_time=times.dt.cast_time_unit("us"), model=pl.lit("delay"),
            version=pl.lit(1), bundle=pl.lit("b"), revision=pl.lit(1), probability=pl.lit(0.5),
        ),
    )  # fmt: skip


def reasons(project, day):
    (examined,) = project.monitoring.examine("delay", START + day * DAY, START + (day + 1) * DAY, alert=False)
    columns = {column["column"]: column for column in examined.report.columns}
    return examined, columns


def test_reasons_that_change_are_reported_though_no_input_drifts(project):
    capture(project, 0, rows(600, seed=3))
    capture(project, 1, rows(600, seed=3, tied=True))
    calm, before = reasons(project, 0)
    assert not [name for name, column in before.items() if column["drifted"] and "contribution" in name]
    assert "reasons" not in calm.report.summary
    changed, columns = reasons(project, 1)
    assert not [name for name in ("x", "kind", "spare") if columns[name]["drifted"]]
    assert columns["contribution[kind]"]["drifted"]
    assert columns["contribution[kind]"]["effect"] > 2 * columns["contribution[spare]"]["effect"]
    assert changed.report.alarm
    assert "reasons: " in changed.report.summary
    assert "contribution[kind]" in changed.page.read_text()


def test_the_report_has_the_share_of_each_input_in_the_window(project):
    capture(project, 2, rows(600, seed=4))
    _, columns = reasons(project, 2)
    shares = {name: columns[f"contribution[{name}]"]["importance"] for name in ("x", "kind", "spare")}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["x"] > 5 * shares["spare"]
    assert reasons(project, 2)[0].report == reasons(project, 2)[0].report


def test_a_reference_without_the_models_inputs_and_none_are_refused_in_words(project, make_project):
    project.datasets.commit("less", rows(300, seed=5).drop("spare"))
    other = Project.open(project.root, overrides=['monitor.drift.reference="data:/less@1"'])
    capture(project, 3, rows(300, seed=6))
    with other, pytest.raises(DataError, match="data:/less@1 lacks spare, which the model needs"):
        reasons(other, 3)
    with pytest.raises(ConfigError, match=r"monitor.*explain.*no `reference` names them"):
        make_project('[[monitor]]\nuse = "drift"\nexplain = 100\n').providers.watching()


def test_a_later_look_which_judges_labels_explains_nothing():
    later = SimpleNamespace(look=2, rows=SimpleNamespace(num_rows=5))
    assert Reasons(None, None, None, None).of(later, None) is None


def test_findings_about_the_window_itself_stand_once():
    def signals(subject):
        findings = tuple(
            Finding(kind="drift", subject=each, severity="info", message="m") for each in (subject, "rows")
        )
        return Signals(numbers=(Number(name=subject, kind="drift"),), findings=findings)

    merged = with_reasons(signals("x"), signals("contribution[x]"))
    assert [each.subject for each in merged.findings] == ["x", "rows", "contribution[x]"]
