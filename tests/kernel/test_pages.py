"""Every page has one frame: texts in it are text, markup is what the page's own code made."""

from __future__ import annotations

from mlopsfw.pages import framed

PARTS = {"graph": "<svg>$title</svg>", "edges": "", "nodes": "$nodes"}


def test_title_and_footer_are_texts_and_nothing_in_them_or_in_a_part_is_a_placeholder():
    page = framed("mlopsfw.lineage", "<b>$style</b>", "<i>$body", **PARTS)
    assert page.count("&lt;b&gt;$style&lt;/b&gt;") == 2  # in the head, and above the body
    assert "<footer>&lt;i&gt;$body</footer>" in page
    assert "<svg>$title</svg>" in page
    assert page.count("$nodes") == 1


def test_a_page_is_one_file_whose_policy_forbids_scripts_and_loading():
    page = framed("mlopsfw.datacontract", "t", "f", state="", summary="", contract="", broken="", rules="")
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not {word for word in ("<script", "<link", "url(", "@import", "http:", "https:") if word in page}
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
