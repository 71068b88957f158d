"""`ComponentConformance`: what every component promises. A plugin's author subclasses it and overrides two fixtures.

class TestAcmeFeatures(ComponentConformance):
    @pytest.fixture
    def provider(self):
        return next(iter(mlopsfw_components()))

    @pytest.fixture
    def fill(self):
        return lambda host, source, rows: [FeatureStore(host).build("spending", source, rows)]

The suite makes a project of its own with the component in it, commits the dataset `people`, has the component filled from it, and asks as
the verbs ask.
"""
# A test's name is its docstring, and asserting is what it is for.

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from mlopsfw.governance.subject import Subject
from mlopsfw.kernel.component import Component, ErasureScope, Held, ReferenceKind
from mlopsfw.kernel.config import ProjectConfig
from mlopsfw.kernel.plugins.catalog import Claim
from mlopsfw.kernel.roles.host import Host
from mlopsfw.kernel.roles.provider import Provider
from mlopsfw.kernel.roles.storage import Storage
from mlopsfw.project.components import bundled
from mlopsfw.project.facade import Project
from mlopsfw.project.plugin_components import behind_border

CANARY, OTHER, STRANGER = "canary-7d1f0c2e", "bo-55aa10", "nobody-93bc41"
PEOPLE = ({"customer": CANARY, "spent": 3}, {"customer": OTHER, "spent": 4})
SOURCE = "data:/people@1"
_KILLS = 20  # writes of an erasure at which it is killed

Fill = Callable[[Host, str, Sequence[Mapping[str, Any]]], Iterable[str]]


class Killed(OSError):
    """The process would have ended here."""


class _Writes:
    """The writes to a storage: counted, and failing from a given one on, as if the process had been killed there."""

    def __init__(self, storage: Storage) -> None:
        self.left: int | None = None
        self.written = 0
        for name in ("put", "put_if_absent", "delete"):
            setattr(storage, name, self._counted(getattr(storage, name)))

    def _counted(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.left is not None and self.written >= self.left:
                raise Killed("the process was killed")
            self.written += 1
            return write(*args, **kwargs)

        return call


class Bench:
    """A component in a project of its own, filled from the first version of the dataset `people`.

    Args:
        folder: The project's.
        provider: The component's.
        options: As they stand in `[component.NAME]`.
        fill: Fills it.
    """

    def __init__(
        self, folder: Path, provider: Provider[Component], options: Mapping[str, Any], fill: Fill | None = None
    ) -> None:
        folder.mkdir(parents=True)
        self.project = Project.open(folder, config=ProjectConfig(name="conformance"), observe=lambda _: None)
        self.storage = _Writes(self.project.storage)
        self.claim = Claim("component", provider.name, "", "the component", "0", 1)
        self.host = self.project.host(self.claim.key)
        self.component = self._built(provider, msgspec.convert(options, provider.config))
        for more in range(2):
            rows = pl.DataFrame(PEOPLE).with_columns(pl.col("spent") + more)
            self.project.datasets.commit("people", rows, "replace")
        self.made = sorted(fill(self.host, SOURCE, PEOPLE)) if fill else []

    def _built(self, provider: Provider[Component], options: msgspec.Struct) -> Component:
        ours = bundled(self.project)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a component that is left out is a warning
            built = [(self.claim, provider.build(options, self.host))]
            (component,) = behind_border(built, ours, lambda: self.project.index)
        holdings = component.holdings
        if holdings is not None:
            component = replace(component, holdings=lambda: map(self._armed, holdings()))
        self.project.components = (*ours, component)
        return component

    def _armed(self, holding: Any) -> _Armed:
        return _Armed(holding, self)

    @property
    def kinds(self) -> dict[str, ReferenceKind]:
        """The component's kinds of references by scheme."""
        return {kind.scheme: kind for kind in self.component.references}

    @contextmanager
    def killed_after(self, writes: int) -> Iterator[None]:
        """Within the block, the component's `erase` is killed after so many writes."""
        self.kill = writes
        try:
            yield
        finally:
            self.kill = None

    kill: int | None = None
    writes = 0

    def held(self, text: str) -> dict[str, Any]:
        """Return what `find` says of a customer, without what is zero or empty."""
        index = self.project.index
        index.refresh()
        scope = ErasureScope(
            id="",
            subject=Subject("customer", text, b"k" * 32),
            reached=frozenset(self.project.lineage.downstream([SOURCE, "data:/people@2"])),
            bury=lambda _: None,
            descendants=self.project.lineage.downstream,
        )
        said = [holding.find(scope) for holding in (self.component.holdings or tuple)()]
        items = [item for held in said for item in {**held.recorded, **held.shown}.items()]
        return {name: present for name, value in items if (present := _present(value))}

    def forget(self, text: str) -> None:
        """Erase a customer, as `data forget` does."""
        self.project.erasures.forget("people", Subject("customer", text, b"k" * 32))

    def written(self) -> dict[str, int]:
        """Return the plugin's streams, each with its number of events."""
        ledger = self.project.ledger
        return {name: ledger.stream(name).head() for name in ledger.streams(f"plugin/{self.claim.key}")}

    def objects(self) -> dict[str, int]:
        """Return the keys of all stored objects with their sizes."""
        return {entry.key: entry.size for entry in self.project.storage.list("")}

    def errors(self) -> list[str]:
        """Return what doctor finds wrong, thorough checks included."""
        found = self.project.doctor.examine(verify=True)
        return [f"{finding.check}: {finding.message}" for finding in found if finding.level == "error"]


class _Armed:
    """The component's holding, which the bench can kill."""

    def __init__(self, holding: Any, bench: Bench) -> None:
        self._holding, self._bench = holding, bench

    def find(self, scope: ErasureScope) -> Held:
        held: Held = self._holding.find(scope)
        return held

    def erase(self, scope: ErasureScope) -> Held:
        storage, before = self._bench.storage, self._bench.storage.written
        storage.left = None if self._bench.kill is None else before + self._bench.kill
        try:
            held: Held = self._holding.erase(scope)
        finally:
            storage.left = None
            self._bench.writes = storage.written - before
        return held


def _present(value: Any) -> Any:
    if isinstance(value, Mapping):
        inner = {name: _present(each) for name, each in value.items()}
        return {name: each for name, each in inner.items() if each}
    return value


class ComponentConformance:
    """Subclass it, and override the fixtures.

    - `provider`: the component's, as the hook yields it.
    - `options`: as they stand in `[component.NAME]`; none by default.
    - `fill`: a function `fill(host, source, rows)` that has the component keep the rows (dictionaries with `customer` and `spent`) of the
      dataset version `source`, and returns exact references of what it made.
    """

    @pytest.fixture
    def provider(self) -> Provider[Component]:
        """Override: the provider."""
        raise NotImplementedError

    @pytest.fixture
    def options(self) -> Mapping[str, Any]:
        """Override where the component needs options."""
        return {}

    @pytest.fixture
    def fill(self) -> Fill:
        """Override: what fills the component."""
        raise NotImplementedError

    @pytest.fixture
    def bench(
        self, tmp_path: Path, provider: Provider[Component], options: Mapping[str, Any], fill: Fill
    ) -> Iterator[Bench]:
        """Yield the component in a project, filled."""
        bench = Bench(tmp_path / "bench", provider, options, fill)
        with bench.project:
            yield bench

    def test_every_answer_is_of_the_type_that_is_declared(self, bench: Bench) -> None:
        project, component = bench.project, bench.component
        assert component.name == bench.claim.name
        project.index.refresh()
        list(component.edges(project.index) if component.edges else ())
        list(component.tables() if component.tables else ())
        list(component.released() if component.released else ())
        assert bench.errors() == []

    def test_the_lineage_leads_from_the_version_to_what_was_made_of_it(self, bench: Bench) -> None:
        lineage = bench.project.lineage
        assert set(bench.made) <= lineage.downstream([SOURCE])
        assert not set(bench.made) & lineage.downstream(["data:/people@2"])
        for ref, origins in lineage.origins(bench.made).items():
            assert SOURCE in origins, ref

    def test_an_exact_reference_stays_as_it_is_and_its_facts_name_events_that_exist(self, bench: Bench) -> None:
        project = bench.project
        project.index.refresh()
        for ref in bench.made:
            kind = bench.kinds[ref.partition(":/")[0]]
            assert kind.exact(ref, project.index) == ref
            for name, fact in kind.facts(ref, project.index).items():
                stream, _, seq = fact.event.rpartition("#")
                assert not fact.event or int(seq) <= project.ledger.stream(stream).head(), name
            if kind.artifact is not None:
                assert kind.artifact(ref).ref == ref

    def test_it_needs_the_version_that_it_was_filled_from_and_no_other(self, bench: Bench) -> None:
        needs = bench.component.needs
        if needs is None:
            pytest.skip("the component needs no versions")
        assert {version for version, _ in needs("people")} == {1}
        assert [*needs("strangers")] == []

    def test_find_changes_nothing_and_finds_who_is_there_alone(self, bench: Bench) -> None:
        bench.project.index.refresh()
        before = bench.objects()
        assert bench.held(STRANGER) == {}
        if bench.component.holdings is not None:
            assert bench.held(CANARY)
            assert bench.held(OTHER)
        assert bench.objects() == before

    def test_erase_leaves_nothing_of_the_subject_and_all_of_the_others(self, bench: Bench) -> None:
        others = bench.held(OTHER)
        bench.forget(CANARY)
        assert bench.held(CANARY) == {}
        assert bench.held(OTHER) == others
        for key in bench.objects():
            assert CANARY.encode() not in bench.project.storage.get(key), key
        assert bench.errors() == []

    def test_erase_can_be_repeated_and_then_writes_nothing(self, bench: Bench) -> None:
        bench.forget(CANARY)
        before, others = bench.written(), bench.held(OTHER)
        bench.forget(CANARY)
        assert bench.written() == before
        assert bench.held(OTHER) == others

    def test_an_erase_that_is_killed_at_any_write_is_finished_by_the_next(
        self, bench: Bench, tmp_path: Path, provider: Provider[Component], options: Mapping[str, Any], fill: Fill
    ) -> None:
        bench.forget(CANARY)
        for writes in range(min(bench.writes, _KILLS)):
            again = Bench(tmp_path / f"killed-{writes}", provider, options, fill)
            with again.project, again.killed_after(writes), pytest.raises(Exception):  # noqa: B017, PT011
                again.forget(CANARY)
            with again.project:
                again.forget(CANARY)
                assert again.held(CANARY) == {}, f"killed after {writes} writes"
                for key in again.objects():
                    assert CANARY.encode() not in again.project.storage.get(key), f"killed after {writes} writes: {key}"
                assert again.errors() == [], f"killed after {writes} writes"

    def test_the_index_made_anew_from_the_same_events_holds_the_same(
        self, bench: Bench, fill: Fill, tmp_path: Path
    ) -> None:
        bench.project.index.refresh()
        fill(bench.host, SOURCE, PEOPLE)
        bench.forget(CANARY)
        assert bench.project.index.set_aside() == {}
        assert bench.project.index.differences(tmp_path / "anew.sqlite") == []

    def test_every_event_that_it_writes_is_of_a_type_that_it_declares(self, bench: Bench) -> None:
        bench.forget(CANARY)
        ledger, own = bench.project.ledger, {record.type for record in bench.component.events}
        written = {event.type for name in bench.written() for event in ledger.stream(name).events()}
        assert written <= own
