"""Runs the tests of a kit on what may break its promises."""

from __future__ import annotations

import inspect

import pytest


def suite(kit):
    """Return the tests of a kit by name."""
    return {name.removeprefix("test_"): test for name, test in vars(kit).items() if name.startswith("test_")}


@pytest.fixture
def failing(tmp_path):
    """Return a function that runs each test of a kit and returns the names of those that fail.

    Its arguments are the kit and `given(folder)`, which makes the fixtures anew for each test. A test that has parameters
    of its own is left out.
    """

    def run(kit, given):
        failed = set()
        for name, test in suite(kit).items():
            folder = tmp_path / f"{len(list(tmp_path.iterdir()))}-{name[:20]}"
            folder.mkdir()
            fixtures = {"tmp_path": folder, **given(folder)}
            wanted = list(inspect.signature(test).parameters)[1:]
            if set(wanted) <= set(fixtures):
                try:
                    test(kit(), **{each: fixtures[each] for each in wanted})
                except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever way it fails
                    failed.add(name)
        return failed

    return run


@pytest.fixture
def uncaught():
    """Return a function that names the tests of a kit that catch none of some mutants."""
    return lambda kit, caught: set(suite(kit)) - set(caught)
