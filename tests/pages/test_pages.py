"""Every page has one frame: texts in it are text, markup is what the page's own code made."""

from __future__ import annotations

import pytest

from mlopsfw.data.contracts import page
from mlopsfw.data.contracts.results import Report, Result
from mlopsfw.pages import framed

PARTS = {"graph": "<svg>$title</svg>", "edges": "", "nodes": "$nodes"}
RUNS = "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
FETCHES = (
    "<img src=MARK/img><script src=MARK/script></script><link rel=stylesheet href=MARK/link><iframe src=MARK/frame></iframe>"
    "<style>@import 'MARK/import'; * { background: url(MARK/background) }</style><svg><image href=MARK/image /></svg>"
)


def test_title_and_footer_are_texts_and_nothing_in_them_or_in_a_part_is_a_placeholder():
    page = framed("mlopsfw.lineage", "<b>$style</b>", "<i>$body", **PARTS)
    assert page.count("&lt;b&gt;$style&lt;/b&gt;") == 2  # in the head, and above the body
    assert "<footer>&lt;i&gt;$body</footer>" in page
    assert "<svg>$title</svg>" in page
    assert page.count("$nodes") == 1


def test_a_page_is_one_file_whose_policy_forbids_scripts_and_loading():
    page = framed("mlopsfw.data.contracts", "t", "f", state="", summary="", contract="", broken="", rules="")
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not {word for word in ("<script", "<link", "url(", "@import", "http:", "https:") if word in page}
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")


@pytest.mark.server
def test_a_real_browser_runs_and_fetches_what_stands_in_a_page_without_a_frame(browser):
    assert "<title>pwned" in browser.open(RUNS + FETCHES.replace("MARK", browser.url))
    assert {"/img", "/script", "/link", "/frame", "/image"} <= set(browser.asked)


@pytest.mark.server
def test_what_slipped_through_unescaped_would_be_stopped_by_the_frames_policy(browser):
    slipped = RUNS + FETCHES.replace("MARK", browser.url)
    out = browser.open(framed("mlopsfw.lineage", "t", "f", **{**PARTS, "graph": slipped}))
    assert "<title>t</title>" in out
    assert browser.asked == []


@pytest.mark.server
def test_a_real_browser_runs_and_fetches_nothing_that_a_checks_names_and_values_hold(browser):
    text = RUNS + "</title></style>" + FETCHES.replace("MARK", browser.url)
    broken = Result(
        rule=text, columns=(text,), level="fail", status="fail", failing=1, share=1.0, expected=text, found=text,
        examples=({"row": "0", text: text},),
    )  # fmt: skip
    out = browser.open(page.render(Report(subject=text, contract=text, digest=text, rows=1, results=(broken,))))
    assert out.index("<title>&lt;script&gt;") < out.index("</table>")
    assert browser.asked == []
