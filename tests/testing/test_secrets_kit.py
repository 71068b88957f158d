"""The kit of secret stores: a store in memory passes it, and each store that breaks one promise fails the test of that promise."""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections import deque
from typing import ClassVar

import pytest

from mlopsfw.errors import ConfigError, SecretUnavailable
from mlopsfw.testing.secrets import SecretsConformance


class Memory:
    """The secrets lie in a dictionary of the system, which is none of the store's."""

    def __init__(self, system):
        self.fetch = system.get

    def read(self, target):
        value = self.fetch(target)
        if value is None:
            raise ConfigError(f"mem:{target} does not exist")
        return value


class Cached(Memory):
    def __init__(self, system):
        super().__init__(system)
        self.cache = {}

    def read(self, target):
        return self.cache.setdefault(target, super().read(target))


class Keeping(Memory):
    last: ClassVar = deque(maxlen=1)

    def read(self, target):
        value = super().read(target)
        self.last.append(value)
        return value


class Stripping(Memory):
    def read(self, target):
        return super().read(target).split("\n")[0]


class Ascii(Memory):
    def read(self, target):
        return super().read(target).encode("ascii", "replace").decode()


class Printing(Memory):
    def read(self, target):
        value = super().read(target)
        sys.stdout.write(f"read {value}")
        return value


class Logging(Memory):
    def read(self, target):
        value = super().read(target)
        logging.getLogger("mem").debug("read %s", value)
        return value


class Nameless(Memory):
    def read(self, target):
        value = self.fetch(target)
        if value is None:
            raise ConfigError("no such secret")
        return value


class Telling(Memory):
    def __init__(self, system):
        super().__init__(system)
        self.all = lambda: dict(system)

    def read(self, target):
        value = self.fetch(target)
        if value is None:
            raise ConfigError(f"mem:{target} is not among {self.all()}")
        return value


class Raw(Memory):
    def read(self, target):
        if self.fetch(target) is None:
            raise KeyError(target)
        return super().read(target)


class Normalising(Memory):
    def read(self, target):
        return super().read(target if self.fetch(target) else "first")


class Shared(Memory):
    def read(self, target):
        self.target = target
        time.sleep(0.002)
        return super().read(self.target)


class Silent(Memory):
    """Answers for a system that is away."""

    def __init__(self, system):
        super().__init__(system or {"first": "an old value"})


MUTANTS = {
    Cached: "test_a_secret_that_was_changed_is_read_anew",
    Keeping: "test_no_secret_is_printed_logged_or_kept_in_the_store",
    Stripping: "test_a_secret_is_returned_as_it_was_written",
    Ascii: "test_a_secret_is_returned_as_it_was_written",
    Printing: "test_no_secret_is_printed_logged_or_kept_in_the_store",
    Logging: "test_no_secret_is_printed_logged_or_kept_in_the_store",
    Nameless: "test_a_secret_that_is_not_there_is_an_error_that_names_it",
    Telling: "test_a_secret_that_is_not_there_is_an_error_that_names_it",
    Raw: "test_a_target_of_any_form_is_read_or_refused_without_showing_another_secret",
    Normalising: "test_a_target_of_any_form_is_read_or_refused_without_showing_another_secret",
    Shared: "test_secrets_are_read_from_several_threads_at_once",
    Silent: "test_a_store_whose_system_does_not_answer_says_so",
}


class Away(Memory):
    def read(self, target):
        raise SecretUnavailable(f"mem:{target}: nobody answers")


@pytest.fixture
def system():
    return {}


class TestMemory(SecretsConformance):
    @pytest.fixture
    def store(self, system):
        return Memory(system)

    @pytest.fixture
    def write(self, system):
        return system.__setitem__

    @pytest.fixture
    def unreachable(self):
        return Away({})


@pytest.mark.parametrize(("mutant", "test"), MUTANTS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_store_that_breaks_a_promise_fails_the_test_of_that_promise(mutant, test, system, capfd, caplog):
    method = getattr(SecretsConformance(), test)
    known = {
        "store": mutant(system),
        "write": system.__setitem__,
        "targets": ("first", "second"),
        "unreachable": mutant({}),
        "capfd": capfd,
        "caplog": caplog,
    }
    names = inspect.signature(method).parameters
    cases = [{mark.args[0]: value} for mark in getattr(method, "pytestmark", ()) for value in mark.args[1]]
    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):  # noqa: PT012 - one of the cases fails
        for case in cases or [{}]:
            system.clear()
            method(**{name: value for name, value in (known | case).items() if name in names})
