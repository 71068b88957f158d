"""Every example of the documentation is what the code takes: commands, configuration and Python."""

from __future__ import annotations

import re
import subprocess
import textwrap
import tomllib

import pytest
from blocks import PAGES, ROLES, ROOT, blocks_of, commands, complaint, inline, is_name, missing_imports, names

from mlopsfw.data.contracts.loading import load_contract
from mlopsfw.project.facade import Project

LANGUAGES = {"sh", "toml", "python", "console", "text", "ini", "{toctree}"}
NOT_RUN = 3
"""How many blocks say why they do not run. It may only become smaller."""

(BASE,) = [block.text for block in blocks_of("README.md", "toml")]
"""The pipeline over which the parts of a configuration are laid."""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_its_language(page):
    wrong = [block.place for block in blocks_of(page) if block.language not in LANGUAGES and not block.command]
    assert wrong == []


def test_the_blocks_that_do_not_run_only_become_fewer():
    reasons = [(block.place, block.reason) for page in PAGES for block in blocks_of(page) if block.reason]
    assert len(reasons) == NOT_RUN, reasons


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_mlopsfw_is_in_the_command_line(page):
    shells = [block for block in blocks_of(page) if block.language == "sh" or block.command]
    found = [(block.place, words) for block in shells for words in commands(block.text) if words[0] == "mlopsfw"]
    found += [("a sentence", words) for words in inline(page)]
    wrong = [(place, " ".join(words), says) for place, words in found if (says := complaint(words))]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_shell_is_shell(page):
    for block in blocks_of(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (block.place, done.stderr)


@pytest.mark.parametrize("page", [*PAGES, *ROLES])
def test_every_block_of_python_compiles_and_its_imports_are_there(page):
    blocks = blocks_of(page) if page in ROLES else blocks_of(page, "python")
    wrong = [(each.place, missing) for each in blocks if (missing := missing_imports(textwrap.dedent(each.text)))]
    assert wrong == []


@pytest.mark.parametrize("page", [*PAGES, *ROLES])
def test_every_name_of_python_in_a_sentence_is_there(page):
    assert [name for name in names(page) if not is_name(name)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_part_of_a_configuration_is_read(page, acme, tmp_path):
    for block in blocks_of(page, "python"):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    for block in blocks_of(page, "toml"):
        if block.file in ("", "mlopsfw.toml"):
            read(block.text, tmp_path, whole=bool(block.file))
        elif "contract" in tomllib.loads(block.text):
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
            assert load_contract(tmp_path / block.file).columns, block.place
        else:
            assert block.file == "pyproject.toml", block.place


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


def read(text, folder, *, whole):
    """Read a configuration, or a part laid over the README's, with the options of every plugin and step."""
    overlay = re.sub(r"^(\[\[?)(?=\w)", r"\1env.docs.", text, flags=re.MULTILINE)
    (folder / "mlopsfw.toml").write_text(text if whole else f"{BASE}\n{overlay}", encoding="utf-8")
    with Project.open(folder, env=None if whole else "docs") as project:
        for role, selection in project.config.chosen():
            project.plugins.selected(role, selection, project.config)
        assert project.pipeline.graph.nodes or not project.config.steps
