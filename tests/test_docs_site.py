"""The documentation builds as a site without a warning: every page is reachable, and every link leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"

pytestmark = pytest.mark.slow


def build(source, target):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", str(source), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    built = build(DOCS, tmp_path / "site")
    assert (built.returncode, built.stderr) == (0, "")
    pages = [file for file in (tmp_path / "site").rglob("*.html") if "_static" not in file.parts]
    assert len(pages) > len([*DOCS.glob("*.md")])
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert 'src="http' not in text, page
        assert 'rel="stylesheet" type="text/css" href="http' not in text, page


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "conf.py").write_text((DOCS / "conf.py").read_text())
    (docs / "index.md").write_text("# x\n\n[gone](gone.md), [no heading](#nothing)\n")
    built = build(docs, tmp_path / "site")
    assert built.returncode == 1
    assert built.stderr.count("not found") == 2
