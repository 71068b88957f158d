"""Every example of the documentation is what the code takes: commands, configuration and Python."""

from __future__ import annotations

import re
import subprocess
import textwrap
import tomllib

import pytest
from blocks import PAGES, ROLES, RUN, STORIES, blocks_of, commands, complaint, inline, is_name, missing_imports, names
from story import laid_over, written

from mlopsfw.data.contracts.loading import load_contract
from mlopsfw.project.facade import Project

RUNS = {"sh", "toml", "python", "console"}
LANGUAGES = {"sh", "toml", "python", "console", "text", "ini", "{toctree}"}
NOT_RUN = {
    "data.md": ["needs a web server and a bucket", "needs a PostgreSQL server"],
    "installation.md": ["installs packages", "installs packages"],
    "pipelines.md": [
        "needs a Ray cluster",
        "needs a Ray cluster with a GPU",
        "its limits are those of another project",
    ],
    "privacy.md": ["needs the id of a person of this project"],
    "serving.md": ["needs root and systemd", "needs supervisord"],
    "training.md": [
        "needs a Ray cluster",
        "its code is in the example",
        "the example has a test of its own",
        "takes ten minutes",
    ],
    "training-quality.md": ["downloads packages, and takes hours"],
}
"""Page → why blocks of it do not run. It may only become shorter."""
ELSEWHERE = {
    "README.md": "its first commands, its data and its core run in test_readme.py; the rest is in serving.md, monitoring.md and lineage.md",
    "migration.md": "its scripts run in test_migration.py",
    "tutorial.md": "it runs in test_tutorial.py",
    "writing-plugins.md": "it shows excerpts, which the tests above compile and read; tests/scaffold runs what `plugins new` writes",
}
"""Page whose blocks do not run from top to bottom → what is tested of it instead."""

(BASE,) = [block.text for block in blocks_of("README.md", "toml")]
"""The pipeline over which the parts of a configuration are laid."""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_its_language(page):
    wrong = [block.place for block in blocks_of(page) if block.language not in LANGUAGES and not block.command]
    assert wrong == []


def test_the_blocks_that_do_not_run_only_become_fewer():
    reasons = {page: [block.reason for block in blocks_of(page) if block.reason] for page in PAGES}
    assert {page: why for page, why in reasons.items() if why} == NOT_RUN


def test_every_page_with_an_example_runs():
    having = {page for page in PAGES if any(block.language in RUNS and not block.reason for block in blocks_of(page))}
    assert having == {*RUN, *STORIES, *ELSEWHERE}


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
    below = BASE
    for block in blocks_of(page, "toml"):
        if block.file in ("", "mlopsfw.toml"):
            read(block.text, tmp_path, below, whole=bool(block.file))
            if page in STORIES and not block.reason:  # the story lays the next block over this one
                below = written(laid_over(tomllib.loads(below), tomllib.loads(block.text)))
        elif "contract" in tomllib.loads(block.text):
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
            assert load_contract(tmp_path / block.file).columns, block.place
        else:
            assert block.file == "pyproject.toml", block.place


def read(text, folder, below, *, whole):
    """Read a configuration, or a part laid over the one below, with the options of every plugin and step."""
    overlay = re.sub(r"^(\[\[?)(?=\w)", r"\1env.docs.", text, flags=re.MULTILINE)
    (folder / "mlopsfw.toml").write_text(text if whole else f"{below}\n{overlay}", encoding="utf-8")
    with Project.open(folder, env=None if whole else "docs") as project:
        for role, selection in project.config.chosen():
            project.plugins.selected(role, selection, project.config)
        assert project.pipeline.graph.nodes or not project.config.steps
