"""Lets these tests share `blocks` and `story`, which pytest's importlib mode keeps off the path, and a company's package."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from blocks import ROOT


@pytest.fixture
def acme(tmp_path_factory, monkeypatch):
    """Install examples/acme-plugin, which the pages take their plugins from."""
    folder = ROOT / "examples" / "acme-plugin"
    info = tmp_path_factory.mktemp("site") / "acme_mlops-1.2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-mlops\nVersion: 1.2.0\n")
    points = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]["mlopsfw.v1"]
    (info / "entry_points.txt").write_text("[mlopsfw.v1]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()))
    monkeypatch.syspath_prepend(folder / "src")
    monkeypatch.syspath_prepend(info.parent)
