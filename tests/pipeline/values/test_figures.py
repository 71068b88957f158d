"""Figures are kept as PNG or HTML files. Values that are no figures are kept as before."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from mlopsfw.kernel.base.errors import DataError
from mlopsfw.project.script_run import start_run


@pytest.fixture
def figure():
    """A figure of matplotlib, of a subclass of one's own."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    class Mine(Figure):
        pass

    mine = Mine()
    mine.subplots().plot([1, 3, 2])
    return mine


def test_a_figure_of_matplotlib_is_kept_as_png_with_equal_bytes_for_equal_drawings(project, figure):
    with start_run(project=project) as run:
        first, second = run.log_artifact(figure, "loss"), run.log_artifact(figure, "again")
    assert (first.kind, first.meta["name"], first.blob == second.blob) == ("file", "loss.png", True)
    assert project.blobs.get(first.blob).startswith(b"\x89PNG")


def test_an_image_of_pillow_is_kept_as_png(project):
    image = pytest.importorskip("PIL.Image")
    with start_run(project=project) as run:
        artifact = run.log_artifact(image.new("RGB", (4, 3), "red"), "pixels")
    assert artifact.meta["name"] == "pixels.png"


def test_a_figure_of_plotly_is_kept_as_a_page_that_needs_no_network(project, monkeypatch):
    module = ModuleType("plotly.basedatatypes")
    source = "class BaseFigure:\n    def write_html(self, file, include_plotlyjs):\n        file.write_text(f'<html>{include_plotlyjs}')\n"
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, "plotly.basedatatypes", module)
    with start_run(project=project) as run:
        artifact = run.log_artifact(module.BaseFigure(), "sketch")
    assert artifact.meta["name"] == "sketch.html"
    assert project.blobs.get(artifact.blob) == b"<html>True"


def test_a_step_returns_a_figure(bench):
    pytest.importorskip("matplotlib")
    body = "from matplotlib.figure import Figure\ndef run():\n    return Figure()\n"
    outcome = bench.write('[steps.a]\npython = "steps:run"\n', steps=body).run(debug=True)
    assert outcome.outputs["a"]["result"].meta["name"] == "a.result.png"


def test_an_object_that_is_no_figure_is_refused_as_ever(project):
    with start_run(project=project) as run, pytest.raises(DataError):
        run.log_artifact(object(), "thing")
