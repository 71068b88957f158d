"""The page of a run, or of two: curves of what was logged with steps, tables of the rest, and nothing that a name could run."""

from __future__ import annotations

import math
from base64 import b64encode

import pytest

from mlopsfw.cli import run
from mlopsfw.pipeline.run.events import RunStarted
from mlopsfw.pipeline.run.metrics import Metric
from mlopsfw.pipeline.run.page import curves_of, drawn_curves, run_page
from mlopsfw.pipeline.run.record import RunView
from mlopsfw.project.script_run import start_run


def logged(values, name="loss", source="train"):
    return [Metric(name, value, step, 0.0, source) for step, value in enumerate(values)]


def test_a_curve_is_what_was_logged_with_steps_each_step_once_in_order():
    again = Metric("loss", 0.5, 1, 0.0, "train")
    alone = Metric("auc", 0.7, None, 0.0, "train")
    assert curves_of([*logged([3.0, 2.0, "nan", "-inf", 1.7e308]), again, alone]) == {
        "train.loss": [(0, 3.0), (1, 0.5)]
    }


def test_curves_of_the_machine_come_after_those_of_the_training():
    page = drawn_curves([{"fit.system/cpu": [(0, 1), (1, 2)], "fit.loss": [(0, 1), (1, 2)]}])
    assert page.index("fit.loss") < page.index("fit.system/cpu")


def test_two_runs_share_a_drawing_and_a_table():
    views = [RunView(id=name, params={"rate": rate}) for name, rate in (("a", 0.1), ("b", 0.2))]
    page = run_page([(views[0], logged([3.0, 2.0])), (views[1], logged([4.0, 1.0, 1.0]))])
    (figure,) = page.partition("</style>")[2].split("<figure>")[1:]
    assert figure.count('<path class="run0"') == figure.count('<path class="run1"') == 1
    assert "<td>0.1<td>0.2" in page


@pytest.mark.parametrize("value", [0.0, 1e300, -1e-300])
def test_a_constant_curve_is_drawn_in_the_middle(value):
    assert "M58.0 64.0L312.0 64.0" in run_page([(RunView(id="a"), logged([value, value]))])


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    page = run_page([(RunView(id="a"), logged([math.sin(n / 50) for n in range(10_000)]))])
    (path,) = [part for part in page.split('<path class="run0" d="') if part.startswith("M58.0")]
    points = path.partition('"')[0].split("L")
    assert len(points) <= 402
    assert points[-1].startswith("312.0")


@pytest.mark.parametrize(
    ("view", "title"),
    [
        (RunView(id="a", pipeline="flights", started="2026-11-30T06:10:59Z"), "flights 2026-11-30 06:10 (a)"),
        (RunView(id="a", pipeline="flights", facts=RunStarted(only=("fit", "gate"))), "flights: fit, gate (a)"),
        (RunView(id="a"), "Run (a)"),
    ],
)
def test_a_page_is_called_as_its_reader_knows_the_run(view, title):
    assert f"<title>{title}</title>" in run_page([(view, [])])


def test_a_run_without_curves_has_a_page():
    page = run_page([(RunView(id="a"), [Metric("auc", 0.7, None, 0.0, "")])])
    assert "No metric was logged with more than one step" in page
    assert "Parameters" not in page


def test_an_image_among_the_results_is_in_the_page_and_a_large_one_or_another_file_is_not(project, tmp_path):
    files = {"plot.png": b"\x89PNG", "text.txt": b"text", "large.png": b"x" * ((1 << 20) + 1)}
    with start_run("s", project=project) as opened:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            opened.log_artifact(tmp_path / name)
    page = run_page([(project.runs.get(opened.id), [])], project.blobs.get)
    assert page.count("<img") == 1
    assert f'alt="plot.png" src="data:image/png;base64,{b64encode(files["plot.png"]).decode()}"' in page
    assert "; img-src data:" in page
    assert "img-src" not in run_page([(RunView(id="a"), [])], project.blobs.get)


@pytest.mark.server
def test_a_real_browser_shows_the_images_of_a_page_and_runs_nothing_in_them(browser, project, tmp_path):
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><script>fetch("{browser.url}/svg")</script><image href="{browser.url}/inner"/></svg>'
    (tmp_path / "a.svg").write_text(drawing)
    with start_run("s", project=project) as opened:
        opened.log_artifact(tmp_path / "a.svg")
    page = run_page([(project.runs.get(opened.id), [])], project.blobs.get)
    size = "document.title = [document.images[0].naturalWidth, document.images[0].naturalHeight]"
    asking = page.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    out = browser.open(asking.replace("</html>", f"<script>onload = () => {{ {size} }}</script></html>"))
    assert "<title>40,20" in out
    assert browser.asked == []


@pytest.mark.server
def test_a_real_browser_runs_and_fetches_nothing_that_a_name_or_value_holds(browser):
    text = f"<script>document.title='pwned'</script><img src={browser.url}/img>$title"
    view = RunView(id=text, pipeline=text, params={text: text}, logged={text: 0.5})
    out = browser.open(run_page([(view, logged([1.0, 2.0], text, text))]))
    assert "<svg" in out
    assert "<title>&lt;script&gt;" in out
    assert browser.asked == []


def test_the_verbs_write_the_page(project, tmp_path):
    for rate in (0.1, 0.2):
        with start_run("s", project=project, params={"rate": rate}) as opened:
            opened.log_metric("loss", rate, 0)
            opened.log_metric("loss", rate / 2, 1)
    ids = project.runs.ids()
    files = [tmp_path / "one.html", tmp_path / "two.html"]
    assert run(["--project", str(project.root), "runs", "show", ids[0], "--html", str(files[0])]) == 0
    assert run(["--project", str(project.root), "runs", "diff", *ids, "--html", str(files[1])]) == 0
    drawings = [file.read_text(encoding="utf-8").partition("</style>")[2] for file in files]
    assert [(text.count("<figure>"), text.count('d="M58.0')) for text in drawings] == [(1, 1), (1, 2)]
