"""`SecretsConformance`: what every store of secrets promises, as a test class. A plugin's author subclasses it and overrides its fixtures.

class TestAcmeStore(SecretsConformance):
    @pytest.fixture
    def write(self, server):
        return server.put             # a function of a target and a value

    @pytest.fixture
    def store(self, server):
        return AcmeStore(server.url)
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlopsfw.kernel.base.errors import ConfigError, MlopsfwError, SecretUnavailable
from mlopsfw.kernel.roles.secrets import SecretStore

Write = Callable[[str, str], object]
"""Keeps a value under a target in the store's system."""

CANARY = "canary-5d1b7e90f3"
VALUES = (
    "hunter2",
    'with spaces, "quotes" and \\ backslashes',
    "Gr\u00fc\u00dfe \U0001f511",
    "-----BEGIN KEY-----\nabc\n-----END KEY-----",
)
HOSTILE = (
    "",
    " ",
    "/",
    "..",
    "../../etc/passwd",
    "a/../../b",
    "a?b=c",
    "a#b#c",
    "%2e%2e/x",
    "a\nb",
    "a\0b",
    "\udcff",
    "\u202ea",
    "x" * 10_000,
)


class SecretsConformance:
    """Subclass it, and override the fixtures.

    - `store`: a store whose system answers.
    - `write`: a function that keeps a value under a target in that system.
    - `targets`: two targets that the store's form allows; no secret is there before a test writes one.
    - `unreachable`: a store whose system does not answer, or None where that cannot happen.
    """

    @pytest.fixture
    def store(self) -> SecretStore:
        """Override: a store whose system answers."""
        raise NotImplementedError("override the fixture `store`")

    @pytest.fixture
    def write(self) -> Write:
        """Override: what keeps a value under a target."""
        raise NotImplementedError("override the fixture `write`")

    @pytest.fixture
    def targets(self) -> tuple[str, str]:
        """Override where targets have a form: two of them."""
        return "first", "second"

    @pytest.fixture
    def unreachable(self) -> SecretStore | None:
        """Override: a store whose system does not answer."""
        return None

    @pytest.mark.parametrize("value", VALUES, ids=["plain", "quoted", "not ASCII", "several lines"])
    def test_a_secret_is_returned_as_it_was_written(
        self, store: SecretStore, write: Write, targets: tuple[str, str], value: str
    ) -> None:
        write(targets[0], value)
        assert store.read(targets[0]) == value

    def test_each_target_has_its_own_secret(self, store: SecretStore, write: Write, targets: tuple[str, str]) -> None:
        for target in targets:
            write(target, f"of {target}")
        assert [store.read(target) for target in targets] == [f"of {target}" for target in targets]

    def test_a_secret_that_was_changed_is_read_anew(
        self, store: SecretStore, write: Write, targets: tuple[str, str]
    ) -> None:
        for value in ("before", "after"):
            write(targets[0], value)
            assert store.read(targets[0]) == value

    def test_a_secret_that_is_not_there_is_an_error_that_names_it(
        self, store: SecretStore, write: Write, targets: tuple[str, str]
    ) -> None:
        write(targets[0], CANARY)
        with pytest.raises(ConfigError) as caught:
            store.read(targets[1])
        assert targets[1] in caught.value.message
        _show_nothing(caught.value)

    @pytest.mark.parametrize("target", HOSTILE, ids=ascii)
    def test_a_target_of_any_form_is_read_or_refused_without_showing_another_secret(
        self, store: SecretStore, write: Write, targets: tuple[str, str], target: str
    ) -> None:
        write(targets[0], CANARY)
        try:
            value = store.read(target)
        except MlopsfwError as error:
            _show_nothing(error)
        else:
            assert value != CANARY

    def test_a_store_whose_system_does_not_answer_says_so(
        self, unreachable: SecretStore | None, targets: tuple[str, str]
    ) -> None:
        if unreachable is None:
            pytest.skip("the store has no system that could fail to answer")
        with pytest.raises(SecretUnavailable):
            unreachable.read(targets[0])

    def test_no_secret_is_printed_logged_or_kept_in_the_store(
        self,
        store: SecretStore,
        write: Write,
        targets: tuple[str, str],
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        write(targets[0], CANARY)
        with caplog.at_level(0):
            assert store.read(targets[0]) == CANARY
        shown = "".join((*capfd.readouterr(), caplog.text, repr(store), *map(repr, _held(store))))
        assert CANARY not in shown

    def test_secrets_are_read_from_several_threads_at_once(
        self, store: SecretStore, write: Write, targets: tuple[str, str]
    ) -> None:
        for target in targets:
            write(target, f"of {target}")
        asked = [targets[number % 2] for number in range(16)]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(store.read, asked)) == [f"of {target}" for target in asked]


def _show_nothing(error: MlopsfwError) -> None:
    assert CANARY not in "".join(traceback.format_exception(error))


def _held(store: object) -> list[object]:
    """Return what the attributes of a store hold, and those of its class."""
    names = [*getattr(store, "__dict__", {}), *getattr(type(store), "__slots__", ())]
    own = [value for name, value in vars(type(store)).items() if not name.startswith("__")]
    return [getattr(store, name, None) for name in names] + own
