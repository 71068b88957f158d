"""The kits of verbs, storages and packages: the samples pass, and each mutant fails the test that is made for it."""

from __future__ import annotations

import itertools
import sys

import click
import pytest

from mlopsfw.commands import emit_json, json_option, pass_project
from mlopsfw.scaffold.command import verb
from mlopsfw.testing.command import CommandConformance
from mlopsfw.testing.memory import MemoryStorage
from mlopsfw.testing.package import PackageConformance
from mlopsfw.testing.storage import StorageConformance

# -- verbs ----------------------------------------------------------------------------------------------------------------


def changed(name, body, *options):
    """Return a verb with `--json` that does `body(project, as_json)`."""

    def act(project, *, as_json, **_):
        body(project, as_json)

    act.__doc__ = "Do something."
    command = pass_project(act)
    for option in (json_option, *options):
        command = option(command)
    return click.command(name)(command)


def prints_twice(project, as_json):
    emit_json([])
    emit_json([])


def ends_with_a_code(project, as_json):
    sys.exit(0)


def raises_a_key_error(project, as_json):
    raise KeyError("dataset")


@click.command("no-docstring")
def without_docstring():
    return


@click.command("lenient", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1)
def lenient(words):
    """Do something."""


@click.command("careless")
@click.pass_context
def careless(context):
    """Read a file of the project by itself."""
    (context.find_root().obj["project"] / "mlopsfw.toml").read_text()


RUNS = "it_runs_in_a_project"
VERBS = {
    "prints two documents": (changed("v", prints_twice), "with_json_it_prints_one_document_and_nothing_else"),
    "ends with a code": (changed("v", ends_with_a_code), "it_never_ends_the_process_by_itself"),
    "raises": (changed("v", raises_a_key_error), RUNS),
    "no help of an option": (
        changed("v", lambda project, as_json: emit_json([]), click.option("--all/--some")),
        "its_help_says_what_it_does_and_what_each_option_is_for",
    ),
    "no docstring": (without_docstring, "its_help_says_what_it_does_and_what_each_option_is_for"),
    "takes every option": (lenient, "an_unknown_option_is_a_usage_error"),
    "fails without a project": (careless, "without_a_project_it_works_or_raises_an_error_of_mlopsfw"),
}


def verb_fixtures(command):
    def given(folder):
        (folder / "mlopsfw.toml").write_text('[project]\nname = "kit"\n')
        return {"command": command, "arguments": [], "project": folder}

    return given


@pytest.mark.parametrize(("mutant", "test"), VERBS.values(), ids=VERBS)
def test_a_verb_that_breaks_a_promise_fails_its_test(mutant, test, failing):
    assert test in failing(CommandConformance, verb_fixtures(mutant))


def test_a_sound_verb_passes_all_of_it(failing):
    assert failing(CommandConformance, verb_fixtures(verb)) == set()


# -- storages -------------------------------------------------------------------------------------------------------------


class ShowsItsPassword(MemoryStorage):
    def describe(self):
        return "memory: with password=hunter2"


class ShowsItsPasswordInTheAddress(MemoryStorage):
    def describe(self):
        return "memory://ada:hunter2@here"


class ShowsItsPasswordAlone(MemoryStorage):
    def describe(self):
        return "memory (hunter2)"


class ShowsItsPasswordToDebuggers(MemoryStorage):
    def __repr__(self):
        return "ShowsItsPasswordToDebuggers(secret='hunter2')"


class SaysNothing(MemoryStorage):
    def describe(self):
        return ""


class ReplacesWhatIsThere(MemoryStorage):
    def put_if_absent(self, key, data):
        self.put(key, data)
        return True


class KeepsWhatIsThere(MemoryStorage):
    def put(self, key, data):
        self.put_if_absent(key, data)


class ListsAsItCame(MemoryStorage):
    def list(self, prefix="", *, after=""):
        entries = {each.key: each for each in super().list(prefix, after=after)}
        return iter([entries[key] for key in self._objects if key in entries])


class ListsOnePage(MemoryStorage):
    def list(self, prefix="", *, after=""):
        return itertools.islice(super().list(prefix, after=after), 1000)


class HasNoSize(MemoryStorage):
    def list(self, prefix="", *, after=""):
        return (each._replace(size=0) for each in super().list(prefix, after=after))


class DeletesOnce(MemoryStorage):
    def delete(self, key):
        del self._objects[key]


HIDES = "what_it_says_of_itself_has_no_credentials"
STORAGES = {
    ShowsItsPassword: HIDES,
    ShowsItsPasswordInTheAddress: HIDES,
    ShowsItsPasswordAlone: HIDES,
    ShowsItsPasswordToDebuggers: HIDES,
    SaysNothing: "it_is_a_storage",
    ReplacesWhatIsThere: "put_if_absent_creates_once",
    KeepsWhatIsThere: "put_replaces",
    ListsAsItCame: "list_is_in_order_of_keys",
    ListsOnePage: "list_goes_past_one_page",
    HasNoSize: "entries_carry_the_stores_clock",
    DeletesOnce: "delete_is_idempotent",
}


def storage_fixtures(make):
    def given(_):
        storage = make()
        return {"storage": storage, "reopened": storage, "credentials": ("hunter2",)}

    return given


@pytest.mark.parametrize(("mutant", "test"), STORAGES.items(), ids=[each.__name__ for each in STORAGES])
def test_a_storage_that_breaks_a_promise_fails_its_test(mutant, test, failing):
    assert test in failing(StorageConformance, storage_fixtures(mutant))


# -- packages -------------------------------------------------------------------------------------------------------------

SOUND = """
import msgspec
from mlopsfw import Provider, hookimpl

class C(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass

@hookimpl
def mlopsfw_alerters():
    yield Provider("odd", C, lambda c, h: None, "An odd alerter")
"""
OBSERVER = "\n@hookimpl\ndef mlopsfw_event(event):\n    pass\n"
SECOND = '    yield Provider("even", C, lambda c, h: None, "An even one")\n'
PACKAGES = {
    "two names and one entry point": (SOUND + SECOND, "even, and no entry point alerter.NAME"),
    "a hook without an entry point": (SOUND + OBSERVER, "the hook mlopsfw_event, and no entry point observer.NAME"),
    "an entry point without a provider": (SOUND.replace('"odd"', '"even"'), "offers no alerter called 'odd'"),
    "a lax config": (SOUND.replace("True, forbid_unknown_fields=", "True, kw_only="), "forbid_unknown_fields=True"),
    "a config that can change": (SOUND.replace("frozen=True, ", ""), "can be changed"),
    "a private module": (SOUND + "\nimport mlopsfw.kernel.base.ids\n", "not public"),
    "an import that fails": (SOUND + "\nimport nowhere\n", "nowhere"),
}


@pytest.mark.parametrize(("source", "message"), PACKAGES.values(), ids=PACKAGES)
def test_a_package_that_breaks_a_promise_fails_and_says_how(source, message, install_plugin):
    install_plugin(source, "alerter.odd")
    with pytest.raises(AssertionError, match=message):
        check_package("acme-mlops-0")


def check_package(distribution):
    PackageConformance().test_entry_points_providers_and_configs_agree_and_only_public_modules_are_imported(
        distribution
    )


def test_a_sound_package_passes(install_plugin):
    install_plugin(SOUND + SECOND + OBSERVER, "alerter.odd", "alerter.even", "observer.odd")
    check_package("acme-mlops-0")


def test_a_package_that_is_not_installed_fails(install_plugin):
    with pytest.raises(AssertionError):
        check_package("acme-mlops-9")


def test_each_test_of_the_kit_of_verbs_catches_a_mutant(uncaught):
    assert uncaught(CommandConformance, {test for _, test in VERBS.values()}) == set()
