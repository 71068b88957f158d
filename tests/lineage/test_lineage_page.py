"""Lineage as a picture, from a prediction, and where names are hostile, chains long or runs broken."""

from __future__ import annotations

import itertools
import json
import re
from html import unescape
from html.parser import HTMLParser

import msgspec
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from mlopsfw.capturelog.records import Header, Predictions, encode
from mlopsfw.capturelog.writer import CaptureWriter
from mlopsfw.data.datasets.events import DatasetCommitted
from mlopsfw.kernel.base.errors import InvalidReference, UnknownName
from mlopsfw.kernel.component import Edge
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.lineage.graph import Lineage
from mlopsfw.lineage.layout import lay_out
from mlopsfw.lineage.page import render

HOSTILE = "01j<script>document.title='pwned'</script>\x1b[2J"
PAYLOADS = [
    "<script>document.title='pwned'</script>",
    "<img src=x onerror=\"document.title='pwned'\">",
    '"><svg onload="document.title=\'pwned\'">',
    "</title></svg><script>document.title='pwned'</script>",
    "' onmouseover='document.title=1",
    "${title}$graph",
    "<script src=MARK/script></script>",
    "</style><style>@import 'MARK/import'; * { background: url(MARK/background) }",
    "<meta http-equiv=refresh content='0;url=MARK/refresh'>",
    '"><iframe src=MARK/frame></iframe>',
    "<image href=MARK/image />",
]


def run(project, *words: str):
    """Run a verb in this process."""
    from mlopsfw.cli.root import cli

    return CliRunner().invoke(cli, ["--project", str(project.root), *words], catch_exceptions=False)


@pytest.fixture
def served(project):
    """A project whose endpoint `delay` answered two requests with version 2 of the model, at its third revision."""
    stream = project.ledger.stream("endpoint/delay")
    for revision, version in ((1, 1), (2, 3), (3, 2)):
        body = {"revision": revision, "model": "delay", "version": version, "bundle": "b" * 64, "reason": ""}
        stream.append(PlainRecord("endpoint.wanted", body))
    header = Header(
        endpoint="delay", revision=3, model="delay", version=2, bundle="b" * 64, inputs=(), outputs=("probability",)
    )
    writer = CaptureWriter(project.captures.folder("delay"), header)
    asked = Predictions(
        ids=["01j-0", HOSTILE], event_times=[0, 0], processed_time=1, inputs={}, outputs={"probability": [0.1, 0.2]}
    )
    writer.write([(encode(asked), 2)])
    writer.close()
    return project


# -- from a prediction -----------------------------------------------------------------------------------------------------


def test_a_prediction_is_traced_to_the_revision_and_the_version_that_made_it_and_to_no_other(served):
    found = served.lineage.walk("predictions:/delay/01j-0")
    assert found.up == (
        Edge("endpoints:/delay@3", "predictions:/delay/01j-0", "answered"),
        Edge("models:/delay@2", "endpoints:/delay@3", "served at"),
    )
    assert found.nodes[found.root]["bundle"] == "b" * 64


def test_a_predictions_inputs_and_outputs_are_not_told(served):
    output = run(served, "lineage", "predictions:/delay/01j-0", "--json").output
    assert "probability" not in output


@pytest.mark.parametrize("ref", ["predictions:/delay/gone", "predictions:/other/01j-0"])
def test_a_prediction_that_was_not_captured_is_told(served, ref):
    with pytest.raises(UnknownName):
        served.lineage.walk(ref)
    assert not (served.state / "captures" / "other").exists()  # asking makes nothing


@pytest.mark.parametrize(
    "ref", ["predictions:/delay", "predictions:/delay/", "predictions:/../x/1", "predictions:/A/1"]
)
def test_what_is_no_reference_to_a_prediction_is_refused(served, ref):
    with pytest.raises(InvalidReference):
        served.lineage.walk(ref)


# -- what used to break the walk ---------------------------------------------------------------------------------------------


def test_a_run_that_asked_for_a_dataset_that_is_not_there_hides_nothing_else(make_project):
    project = make_project(
        '[steps.a]\npython = "made:a"\ninputs = { rows = "data:/gone" }\n', made="def a(rows): ...\n"
    )
    project.datasets.commit("here", pl.DataFrame({"x": [1]}))
    assert run(project, "run").output.count("there is no dataset 'gone'")
    assert project.lineage.walk("data:/here").root == "data:/here@1"
    assert project.lineage.walk(f"runs:/{next(iter(project.runs.ids()))}").up == ()


def test_a_dataset_that_grew_a_thousand_times_is_printed_and_drawn(project):
    first = project.datasets.commit("long", pl.DataFrame({"x": [1]}))
    stream = project.ledger.stream("dataset/long")
    for version in range(2, 1202):
        made = msgspec.structs.replace(first, version=version, digest=f"{version:064x}")
        stream.append(made.record(DatasetCommitted))
    text = run(project, "lineage", "data:/long", "--html", str(project.root / "long.html")).output
    assert text.count("grew into it") == 1200
    assert (project.root / "long.html").read_text(encoding="utf-8").count("<rect") == 1201


# -- the page --------------------------------------------------------------------------------------------------------------


def hostile(payloads=PAYLOADS):
    names = [f"source:{payload}" for payload in payloads]
    edges = tuple(Edge(name, "data:/flights@1", payload) for name, payload in zip(names, payloads, strict=True))
    facts = {name: {"status": payload, "started": payload} for name, payload in zip(names, payloads, strict=True)}
    nodes = {"data:/flights@1": {"rows": 5, "aliases": [payloads[0]]}, **facts}
    return render(Lineage(root=names[0], nodes=nodes, up=edges, down=()))


class Reader(HTMLParser):
    """Notes which elements and attributes a page has."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_hostile_names_add_no_element_and_no_attribute_to_the_page():
    plain, page = Reader(hostile(["a", "b"])), hostile()
    assert (Reader(page).tags, Reader(page).attributes) == (plain.tags, plain.attributes)
    assert "script" not in plain.tags
    assert unescape(page).count("source:${title}$graph") >= 2  # a name is not a template


def test_the_page_forbids_by_policy_what_might_slip_through():
    assert "default-src 'none'; style-src 'unsafe-inline'" in hostile()


@given(st.text(max_size=80))
def test_no_text_whatever_adds_an_element(text):
    page = Reader(hostile([text, "b"]))
    plain = Reader(hostile(["a", "b"]))
    assert (page.tags, page.attributes) == (plain.tags, plain.attributes)


def test_the_verb_writes_the_page_beside_what_it_prints_and_no_control_character_reaches_the_terminal(served):
    ref = f"predictions:/delay/{HOSTILE}"
    done = run(served, "lineage", ref, "--html", str(served.root / "page.html"))
    assert "\x1b[2J" not in done.output
    assert "\\x1b[2J" in done.output  # click leaves out what it takes for colours
    assert "models:/delay@2 served at it" in done.output
    page = (served.root / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("<rect") == 3
    with pytest.raises(UnknownName):
        run(served, "lineage", "predictions:/delay/gone", "--html", str(served.root / "page.html"))
    assert (served.root / "page.html").read_text(encoding="utf-8") == page  # nothing was written over
    result = run(served, "lineage", ref, "--json", "--html", str(served.root / "page.html"))
    assert json.loads(result.output)["root"] == ref


@pytest.mark.server
def test_a_real_browser_executes_and_fetches_nothing_that_a_name_holds(browser):
    out = browser.open(hostile([payload.replace("MARK", browser.url) for payload in PAYLOADS]))
    assert re.search("<title>Lineage of source:", out)
    assert browser.asked == []


def chain(length):
    nodes = {f"data:/step-{n}@1": {} for n in range(length)}
    names = list(nodes)
    edges = tuple(Edge(source=a, how="fed", target=b) for a, b in itertools.pairwise(names))
    return Lineage(root=names[-1], nodes=nodes, up=edges, down=())


@pytest.mark.parametrize("layers", range(1, 7))
def test_from_a_source_to_an_endpoint_the_drawing_fits_a_page_of_1400_pixels(layers):
    page = render(chain(layers))
    size = re.search(r'<svg width="([\d.]+)" height="([\d.]+)" viewBox="0 0 (\d+) (\d+)"', page)
    wide, high, inner, deep = map(float, size.groups())
    assert wide <= 1330  # of 1,400 pixels, without margins and the window's scroll bar
    assert 0.6 <= wide / inner <= 1
    assert high / deep == pytest.approx(wide / inner, rel=1e-4)
    assert max(float(x) for x in re.findall(r'<rect x="([\d.]+)"', page)) + 270 <= inner


def test_what_was_asked_for_can_be_reached_where_the_drawing_is_wider_still():
    page = render(chain(12))
    assert '<a href="#asked">Show data:/step-11@1</a>' in page
    assert page.count('<g id="asked" class="outside root">') == 1
    assert "#asked" not in render(chain(6))


# -- the layout ------------------------------------------------------------------------------------------------------------

graphs = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
)


@given(graphs)
def test_what_leads_to_another_stands_left_of_it_and_no_two_share_a_spot(graph):
    size, pairs = graph
    links = [(str(a), str(b)) for a, b in sorted(pairs) if a < b]  # no circle
    plan = lay_out([str(n) for n in range(size)], links)
    assert all(plan.nodes[a][0] < plan.nodes[b][0] for a, b in links)
    spots = [*plan.nodes.values(), *(spot for route in plan.routes.values() for spot in route[1:-1])]
    assert len(set(spots)) == len(spots)
    for link, route in plan.routes.items():
        assert [spot[0] for spot in route] == list(range(plan.nodes[link[0]][0], plan.nodes[link[1]][0] + 1))
    assert all(0 <= place <= plan.tallest - 1 and 0 <= layer < plan.layers for layer, place in spots)


@given(graphs)
def test_circles_are_laid_out_too(graph):
    size, pairs = graph
    plan = lay_out([str(n) for n in range(size)], [(str(a), str(b)) for a, b in pairs])
    assert len(set(plan.nodes.values())) == size


def test_a_crossing_that_need_not_be_is_not_drawn():
    plan = lay_out("abcd", [("a", "d"), ("b", "c")])
    above = plan.nodes["a"][1] < plan.nodes["b"][1]
    assert (plan.nodes["d"][1] < plan.nodes["c"][1]) == above
