"""The source keeps the promises of its role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mlopsfw.errors import DataError
from mlopsfw.roles import Source, SourceRequest
from mlopsfw.scaffold.source import SampleSource
from mlopsfw.testing.source import SourceConformance


class TestSampleSource(SourceConformance):
    """The share has one folder of two files."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return the folder with its files."""
        folder = tmp_path / "share" / "hall"
        folder.mkdir(parents=True)
        (folder / "a.csv").write_text("n,t\n7,x\n", encoding="utf-8")
        (folder / "b.csv").write_text("n,t\n8,y\n", encoding="utf-8")
        return folder

    @pytest.fixture
    def source(self, folder: Path) -> Source:
        """Return the source on that share."""
        return SampleSource(folder.parent)

    @pytest.fixture
    def place(self) -> SourceRequest:
        """Return a request for both files."""
        return request("sample://hall")

    @pytest.fixture
    def content(self, folder: Path) -> Mapping[str, bytes]:
        """Return what the files hold."""
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}

    @pytest.fixture
    def missing(self) -> SourceRequest:
        """Return a request for a file that does not exist."""
        return request("sample://hall/gone.csv")

    @pytest.fixture
    def change(self, folder: Path) -> Callable[[], object]:
        """Return what changes a file."""
        return lambda: (folder / "b.csv").write_text("n,t\n", encoding="utf-8")

    def test_no_url_leads_out_of_the_share(self, source: Source, folder: Path) -> None:
        (folder.parent.parent / "secret.csv").touch()
        with pytest.raises(DataError, match="does not exist"):
            source.find(request("sample://hall/../../secret.csv"))


def request(url: str) -> SourceRequest:
    """Return a request for what a URL names."""
    return SourceRequest(url=url, named=url, suffixes=(".csv",))
