"""The kit of storages catches what breaks a stream, a limit or the end: each mutant fails the test that is made for it."""

from __future__ import annotations

import time

import pytest

from mlopsfw.errors import StorageError
from mlopsfw.kernel.roles.storage import PART
from mlopsfw.scaffold.storage import SampleStorage
from mlopsfw.testing.memory import MemoryStorage
from mlopsfw.testing.storage import StorageConformance

STREAM = "a_stream_is_the_whole_object_in_parts"
MEMORY = "a_large_file_is_never_whole_in_memory"
COMPLETE = "a_put_is_not_seen_before_it_is_complete"
LIMIT = "an_object_above_its_limit_is_refused_and_leaves_nothing"
CLOSE = "close_loses_nothing_and_a_call_afterwards_is_refused_or_works"
OTHERS = "closing_one_view_leaves_the_others_open"


class DropsTheTail(SampleStorage):
    def stream(self, key):
        (*parts, _) = super().stream(key)
        return iter(parts)


class GivesOnePartTwice(SampleStorage):
    def stream(self, key):
        first, *parts = super().stream(key)
        return iter([first, first, *parts[1:]])


class GivesItAllAtOnce(SampleStorage):
    def stream(self, key):
        yield self.get(key)


class ReadsTheFileWhole(SampleStorage):
    def put(self, key, data):
        super().put(key, data if isinstance(data, bytes) else data.read_bytes())


class ShowsWhatIsNotComplete(SampleStorage):
    def put(self, key, data):
        super().put(key, b"begun")
        time.sleep(0.3)
        super().put(key, data)


class TakesMoreThanItSays(MemoryStorage):
    max_object = 1000


class LosesAllAtTheEnd(MemoryStorage):
    def close(self):
        self._objects.clear()


class FallsOverAfterTheEnd(MemoryStorage):
    def close(self):
        self._objects = None


class EndsOnce(SampleStorage):
    def close(self):
        assert not self._closed
        super().close()


class EndsForEverybody(SampleStorage):
    _closed = False

    def __init__(self, file):
        super().__init__(file)
        del self._closed

    def close(self):
        EndsForEverybody._closed = True
        del self._connections[:]


MUTANTS = {
    DropsTheTail: (STREAM, {"size": 2 * PART + 1}),
    GivesOnePartTwice: (STREAM, {"size": 2 * PART + 1}),
    GivesItAllAtOnce: (STREAM, {"size": 2 * PART + 1}),
    ReadsTheFileWhole: (MEMORY, {}),
    ShowsWhatIsNotComplete: (COMPLETE, {"how": "put"}),
    TakesMoreThanItSays: (LIMIT, {"how": "put_if_absent"}),
    LosesAllAtTheEnd: (CLOSE, {}),
    FallsOverAfterTheEnd: (CLOSE, {}),
    EndsOnce: (CLOSE, {}),
    EndsForEverybody: (OTHERS, {}),
}


def run(make, test, more, folder):
    given = {"storage": make(folder), "reopened": make(folder), "tmp_path": folder} | more
    act = getattr(StorageConformance, f"test_{test}")
    act(StorageConformance(), **{name: given[name] for name in act.__code__.co_varnames[1 : act.__code__.co_argcount]})


def made(kind):
    return lambda folder: kind() if issubclass(kind, MemoryStorage) else kind(folder / "sample.sqlite")


@pytest.mark.parametrize(
    ("mutant", "test", "more"), [(m, *t) for m, t in MUTANTS.items()], ids=lambda each: getattr(each, "__name__", "")
)
def test_a_storage_that_breaks_a_promise_fails_its_test(mutant, test, more, tmp_path):
    with pytest.raises((AssertionError, TypeError, StorageError, pytest.fail.Exception)):
        run(made(mutant), test, more, tmp_path)


@pytest.mark.parametrize(("test", "more"), [(t, m) for t, m in MUTANTS.values()])
def test_the_sample_from_which_they_are_made_passes_each(test, more, tmp_path):
    run(made(SampleStorage), test, more, tmp_path)
