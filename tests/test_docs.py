"""The documentation says what the code does: every hook with its exact signature, every verb, every error."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from mlopsfw.cli.verbs import VERBS
from mlopsfw.kernel.base import errors
from mlopsfw.kernel.roles import hookspecs

ROOT = Path(__file__).parent.parent
HOOKS = {name: spec for name, spec in vars(hookspecs).items() if name.startswith("mlopsfw_")}


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_documented_with_its_exact_signature_and_an_example(name):
    signature = f"{name}{inspect.signature(HOOKS[name])}".replace("'", "")
    assert f"`{signature}`" in text("docs/hooks.md")
    assert "Example::" in (HOOKS[name].__doc__ or "")


def test_no_hook_is_documented_that_is_not_there():
    assert set(re.findall(r"^### `(mlopsfw_\w+)", text("docs/hooks.md"), re.MULTILINE)) == set(HOOKS)


def test_every_error_stands_in_the_tree_at_the_top_of_its_module():
    names = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.MlopsfwError)}
    assert names == {n for n in names if re.search(rf"\b{n}\b", errors.__doc__ or "")}


def test_the_exit_codes_in_the_tree_are_the_exit_codes():
    for name, code in re.findall(r"(\w+) +(\d+)(?: |$)", errors.__doc__ or "", re.MULTILINE):
        assert getattr(errors, name).exit_code == int(code), name


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_text_of_its_own(verb):
    from mlopsfw.cli.root import cli

    command = cli.get_command(None, verb)
    assert command.help
    assert len(command.help) > 20


def test_every_local_link_in_the_documentation_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name} → {target}"
            assert not anchor or anchor in anchors(file), f"{page.name} → {target}#{anchor}"


def anchors(page):
    """Return what a link may name in a page: its headings, as GitHub and the site spell them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


# -- what is claimed of alarms ---------------------------------------------------------------------------------------------

MEASURED = [
    "a day effect has 1% of the variance | 0.915 | 0 | 0",
    "a day effect has 10% of the variance | 1 | 0 | 0",
    "neighbouring days correlate by 0.5 | 1 | 0.03 | 0.21",
    "neighbouring days correlate by 0.7 | 1 | 0.19 | 0.60",
    "neighbouring days correlate by 0.9 | 1 | 0.96 | 1",
    "weekends lie 0.5 standard deviations off | 1 | 0 | 0",
    "a yearly season, which training has seen | 1 | 1 | 1",
    "a slow walk, within the range of training | 1 | 1 | 1",
    "flights of New York, 2013, their days shuffled | 1 | 0.071 | 0",
    "mean + 0.25 standard deviations | 0 | 0.07 | 0.90 | 1",
    "missing from 1% to 3% | 0 | 0 | 0 | 0",
]


@pytest.mark.parametrize("row", MEASURED)
def test_monitoring_prints_how_often_it_alarms_without_a_change_and_what_it_finds(row):
    assert f"| {row} |" in text("docs/monitoring.md")


@pytest.mark.parametrize("name", ["README.md", "docs/monitoring.md", "docs/drift.md"])
def test_a_level_is_claimed_with_its_condition_and_its_measurement(name):
    page = text(name)
    assert "exchangeable" in page
    assert re.search(r"4\.1%|0\.041", page)
    assert "false-alarm budget" not in page


def test_the_online_detectors_state_their_condition_under_the_table_of_their_rates():
    table, _, after = text("docs/core-online.md").partition("none stated |\n")
    assert "under the condition below" in table
    assert after.lstrip().startswith("**The condition**")
    assert "17 to 34" in after[:900]


@pytest.mark.parametrize("verb", ["drift", "monitor"])
def test_the_help_of_drift_and_monitor_says_what_spans_of_time_cannot_show(verb):
    from mlopsfw.cli.root import cli

    words = " ".join((cli.get_command(None, verb).help or "").split())
    assert "exchangeable" in words
    assert {"drift": "cannot show that something has changed since", "monitor": "without a change"}[verb] in words
