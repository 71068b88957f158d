"""The component of the example passes the suite of components, and each mutant of it fails the test that is made for it."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from mlopsfw.components import Edge, Fact, Held
from mlopsfw.errors import MlopsfwError
from mlopsfw.events import EventRecord
from mlopsfw.testing.component import Bench, ComponentConformance

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "acme-plugin" / "src"))
features = pytest.importorskip("acme_mlops.features")
STORE = features.FeatureStore


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Name the module again, if another test unloaded it: the annotations of its records are resolved by its name."""
    monkeypatch.setitem(sys.modules, features.__name__, features)


def provided():
    return next(iter(features.mlopsfw_components()))


def filled(host, source, rows):
    return [STORE(host).build("spending", source, rows)]


class TestExample(ComponentConformance):
    @pytest.fixture
    def provider(self):
        return provided()

    @pytest.fixture
    def fill(self):
        return filled


class Undeclared(EventRecord, frozen=True, kw_only=True):
    type = "plugin.component.features.opened"


def elsewhere(index):
    for row in index.query("SELECT name, version FROM acme_features", fresh=False):
        yield Edge("data:/people@2", f"features:/{row['name']}@{row['version']}", "computed into")


def both(index):
    yield from elsewhere(index)
    for edge in elsewhere(index):
        yield Edge("data:/people@1", edge.target, "computed into")


def erase_all(store, scope):
    found, sets = store.find(scope), store.sets()
    for ref in found.recorded["features"]:
        old = sets[ref]
        new = store._put([])
        store._append(features.FeaturesBuilt(name=old.name, version=old.version, source=old.source, rows=new))
    if superseded := store._superseded(scope):
        scope.bury(superseded.items())
    return found


def erase_always(store, scope, erase=STORE.erase):
    held = erase(store, scope)
    for built in store.sets().values():
        store._append(built)
    return held


def erase_once(store, scope, erase=STORE.erase):
    return erase(store, scope) if store.find(scope).recorded["features"] else Held()


def erase_with_an_event(store, scope, erase=STORE.erase):
    store._append(Undeclared())
    return erase(store, scope)


def find_all(store, scope):
    return Held({"features": {ref: len(store.rows(ref)) for ref in store.sets() if ref in scope.reached}})


def find_and_write(store, scope, find=STORE.find):
    store._put([{"customer": "nobody"}])
    return find(store, scope)


NUMBERS = itertools.count()


def later(db, name, event, change=features._built):
    change(db, name, event)
    db.execute("UPDATE acme_features SET seq = ?", (next(NUMBERS),))


LINEAGE = "the_lineage_leads_from_the_version_to_what_was_made_of_it"
EXACT = "an_exact_reference_stays_as_it_is_and_its_facts_name_events_that_exist"
NEEDS = "it_needs_the_version_that_it_was_filled_from_and_no_other"
FIND = "find_changes_nothing_and_finds_who_is_there_alone"
ERASE = "erase_leaves_nothing_of_the_subject_and_all_of_the_others"
REPEAT = "erase_can_be_repeated_and_then_writes_nothing"
KILLED = "an_erase_that_is_killed_at_any_write_is_finished_by_the_next"
INDEX = "the_index_made_anew_from_the_same_events_holds_the_same"
TYPES = "every_event_that_it_writes_is_of_a_type_that_it_declares"
ANSWERS = "every_answer_is_of_the_type_that_is_declared"
MUTANTS = {
    "no edges": (features, "_edges", lambda _: (), LINEAGE),
    "edges from another version": (features, "_edges", elsewhere, LINEAGE),
    "edges from both versions": (features, "_edges", both, LINEAGE),
    "edges of another type": (features, "_edges", lambda _: ["data:/people@1"], ANSWERS),
    "another reference": (features, "_exact", lambda ref, _: f"{ref}0", EXACT),
    "an event that does not exist": (features, "_facts", lambda *_: {"a": Fact(1, f"{features.STREAM}#99")}, EXACT),
    "needs nothing": (STORE, "needs", lambda *_: [], NEEDS),
    "needs another version": (STORE, "needs", lambda *_: [(2, "because")], NEEDS),
    "needs versions of every dataset": (STORE, "needs", lambda *_: [(1, "because")], NEEDS),
    "needs a text": (STORE, "needs", lambda *_: [("1", "because")], NEEDS),
    "finds nobody": (STORE, "find", lambda *_: Held({"features": {}}), FIND),
    "finds everybody": (STORE, "find", find_all, FIND),
    "writes while it looks": (STORE, "find", find_and_write, FIND),
    "erases nobody": (STORE, "erase", STORE.find, ERASE),
    "erases everybody": (STORE, "erase", erase_all, ERASE),
    "leaves the old rows": (STORE, "_superseded", lambda *_: {}, ERASE),
    "erases again": (STORE, "erase", erase_always, REPEAT),
    "does not finish": (STORE, "erase", erase_once, KILLED),
    "an index that counts how often it was asked": (features, "_built", later, INDEX),
    "an index that raises": (features, "_built", lambda *_: 1 / 0, INDEX),
    "a type that it does not declare": (STORE, "erase", erase_with_an_event, TYPES),
}


@pytest.mark.filterwarnings("ignore::mlopsfw.kernel.plugins.blame.PluginWarning")
@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_fails(mutant, tmp_path, monkeypatch):
    place, name, mutation, caught = mutant
    monkeypatch.setattr(place, name, mutation)
    bench = Bench(tmp_path / "bench", provided(), {}, filled)
    given = {"provider": provided(), "options": {}, "fill": filled, "tmp_path": tmp_path, "bench": bench}
    test = getattr(ComponentConformance, f"test_{caught}")
    takes = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    with bench.project, pytest.raises((AssertionError, MlopsfwError)):
        test(ComponentConformance(), **{argument: given[argument] for argument in takes})


def test_each_test_of_the_suite_catches_a_mutant():
    tests = {name.removeprefix("test_") for name in vars(ComponentConformance) if name.startswith("test_")}
    assert tests == {caught for *_, caught in MUTANTS.values()}
