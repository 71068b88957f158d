"""A run in a notebook: a real kernel shows its curves and tables, and figures and tables of it are kept."""

from __future__ import annotations

import sys

import pytest

from mlopsfw.pipeline.run.metrics import Metric
from mlopsfw.pipeline.run.notebook import run_html
from mlopsfw.pipeline.run.record import RunView
from mlopsfw.project.script_run import start_run

RUN = """
with mlopsfw.start_run("cells", params={"rate": 0.1}) as run:
    for step in range(3):
        mlopsfw.log_metric("loss", 1 / (step + 1), step)
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    mlopsfw.log_artifact(figure, "drawing")
run
"""
IMPORTS = "import mlopsfw\nimport matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt"
CELLS = (IMPORTS, RUN, "mlopsfw.search_runs()")


@pytest.mark.slow
@pytest.mark.server
def test_a_real_kernel_shows_a_run_and_the_table_of_runs_and_keeps_a_figure(project, browser):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    spec = {"name": "python3", "language": "python", "display_name": "here"}
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS], metadata={"kernelspec": spec}
    )
    client = nbclient.NotebookClient(book, timeout=100, resources={"metadata": {"path": str(project.root)}})
    client.create_kernel_manager()
    client.km._kernel_spec = client.km.kernel_spec
    client.km.kernel_spec.argv[0] = sys.executable
    client.execute()
    run, table = (cell.outputs[-1]["data"]["text/html"] for cell in book.cells[1:])
    assert "<svg" in run
    assert "<td>rate</td><td>0.1</td>" in run
    assert "<td>drawing</td><td>file " in run
    assert "metrics.loss" in table
    file = project.values.load(project.runs.artifact("runs:/latest/drawing"))
    assert file.read_bytes().startswith(b"\x89PNG")
    size = "onload = () => document.title = document.querySelector('path').getBoundingClientRect().width > 100"
    out = browser.open(f"<!doctype html>{run}<script>{size}</script>")
    assert "<title>true" in out


def test_what_a_notebook_shows_is_escaped_and_has_no_curves_of_single_numbers():
    text = "<script>alert(1)</script>"
    view = RunView(id=text, pipeline=text, params={text: text}, logged={text: 0.5})
    html = run_html(view, [Metric(text, 1.0, 0, 0.0), Metric(text, 2.0, 1, 0.0), Metric("once", 1.0, 0, 0.0)])
    assert "<script" not in html
    assert html.count("<figure>") == 1


def test_a_run_that_goes_on_shows_what_it_has_logged(project):
    with start_run("s", project=project) as run:
        run.log_metric("loss", 1.0, 0)
        run.log_metric("loss", 0.5, 1)
        assert "<figure>" in run._repr_html_()
