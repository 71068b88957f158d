"""Laws of datasets: whatever is committed, restored, tagged, vacuumed, erased and tidied, in any order, each version holds what a list says."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.governance.subject import Subject
from mlopsfw.governance.text_search import files_with
from mlopsfw.kernel.base.errors import Vacuumed
from mlopsfw.kernel.config.model import Retention
from mlopsfw.operations.gc import collect
from mlopsfw.project.facade import Project

KEY = "ab" * 32
PEOPLE = ("ann-d41d8cd9", "bob-8f00b204", "cyn-e9800998")
SCHEMA = {"id": pl.Int64, "who": pl.String, "x": pl.Float64}

who = st.sampled_from(PEOPLE)
table = st.lists(st.tuples(st.integers(0, 5), who, st.sampled_from([0.5, None, float("nan")])), max_size=5)
number = st.integers(1, 9)


def frame(rows):
    return pl.DataFrame(rows, SCHEMA, orient="row")


def comparable(rows):
    """Return rows so that NaN equals NaN."""
    return [tuple("nan" if value != value else value for value in row) for row in rows]  # noqa: PLR0124 - NaN alone differs from itself


class Histories(RuleBasedStateMachine):
    """One dataset, and a list of its versions' rows as the model; None is a version whose files went."""

    @initialize(rows=table)
    def begin(self, rows):
        self.kept = tempfile.TemporaryDirectory()
        self.before, os.environ["PII"] = os.environ.get("PII"), KEY
        root = Path(self.kept.name)
        (root / "mlopsfw.toml").write_text('[project]\nname = "laws"\n[privacy]\nkey = "env:PII"\n')
        self.project = Project.open(root)
        self.versions, self.tags = [], {}
        self.note(self.project.datasets.commit("d", frame(rows), "replace"), rows)

    def teardown(self):
        if hasattr(self, "kept"):
            self.healthy()
            self.project.close()
            self.kept.cleanup()
            del os.environ["PII"]
            if self.before is not None:
                os.environ["PII"] = self.before

    def note(self, version, rows):
        """Take in what a commit made: a version with these rows, or the newest one where it has them already."""
        if version.new:
            self.versions.append(rows)
        assert version.version == len(self.versions)
        assert comparable(self.versions[-1]) == comparable(rows)

    def number_of(self, number):
        return 1 + (number - 1) % len(self.versions)

    def rows_of(self, number):
        return self.project.datasets.scan("d", number).collect().rows()

    # -- what may happen ---------------------------------------------------------------------------------------------------

    @rule(rows=table)
    def replace(self, rows):
        self.note(self.project.datasets.commit("d", frame(rows), "replace"), rows)

    @rule(rows=table, force=st.booleans())
    def append(self, rows, force):
        self.note(self.project.datasets.commit("d", frame(rows), "append", force=force), self.versions[-1] + rows)

    @rule(rows=table)
    def upsert(self, rows):
        version = self.project.datasets.commit("d", frame(rows), Change(mode="upsert", key=("id",)))
        newest = {row[0]: row for row in rows}
        wanted = [row for row in self.versions[-1] if row[0] not in newest] + list(newest.values())
        stored = self.rows_of(version.version)
        assert Counter(comparable(stored)) == Counter(comparable(wanted))
        self.note(version, stored)  # which of several equal keys stood where is not promised

    @rule(number=number)
    def restore(self, number):
        number = self.number_of(number)
        if (rows := self.versions[number - 1]) is None:
            with pytest.raises(Vacuumed):
                self.project.datasets.restore("d", number)
        else:
            self.note(self.project.datasets.restore("d", number), rows)

    @rule(number=number, name=st.sampled_from(["one", "two"]))
    def tag(self, number, name):
        number = self.number_of(number)
        if self.versions[number - 1] is None:
            with pytest.raises(Vacuumed):
                self.project.datasets.tag("d", name, number, move=True)
        else:
            self.project.datasets.tag("d", name, number, move=True)
            self.tags[name] = number

    @precondition(lambda self: self.tags)
    @rule()
    def untag(self):
        name, number = self.tags.popitem()
        assert self.project.datasets.untag("d", name).version == number

    @rule(keep=st.integers(1, 3))
    def vacuum(self, keep):
        went = self.project.version_removal.vacuum("d", Retention(keep=keep)).versions
        assert not set(went) & {*self.tags.values(), *range(len(self.versions) - keep + 1, len(self.versions) + 1)}
        for number in went:
            assert self.versions[number - 1] is not None
            self.versions[number - 1] = None

    @rule(who=who)
    def erase(self, who):
        done = self.project.erasures.forget("d", Subject("who", who, bytes.fromhex(KEY)))
        self.versions = [rows and [row for row in rows if row[1] != who] for rows in self.versions]
        assert not done.remaining
        assert files_with(self.project.root, [who]) == []

    @rule()
    def clean(self):
        self.project.datasets.tidy("d", 0)
        collect(self.project.storage, self.project.ledger, grace=0)

    @rule()
    def open_anew(self):
        self.project.close()
        self.project = Project.open(self.project.root)

    # -- what then holds ---------------------------------------------------------------------------------------------------

    @invariant()
    def each_version_holds_its_rows(self):
        if not hasattr(self, "kept"):
            return
        history = self.project.datasets.history("d")
        assert [version.version for version in history.versions] == list(range(1, len(self.versions) + 1))
        assert history.tags == self.tags
        for number, rows in enumerate(self.versions, 1):
            if rows is None:
                with pytest.raises(Vacuumed):
                    self.rows_of(number)
            else:
                assert comparable(self.rows_of(number)) == comparable(rows)
                assert history.get(number).rows == len(rows)

    @invariant()
    def a_difference_is_that_of_the_lists(self):
        if (
            hasattr(self, "kept")
            and len(live := [n for n, rows in enumerate(self.versions, 1) if rows is not None]) > 1
        ):
            found = self.project.datasets.diff("d", live[0], live[-1])
            old, new = (Counter(comparable(self.versions[n - 1])) for n in (live[0], live[-1]))
            assert (found.removed, found.added) == ((old - new).total(), (new - old).total())

    def healthy(self):
        for number, rows in enumerate(self.versions, 1):
            if rows is not None:
                self.project.datasets.verify(self.project.datasets.resolve("d", number))
        problems = [found for found in self.project.doctor.examine(verify=True) if found.level == "error"]
        assert not problems, problems
        uri = self.project.datasets.files("d").location.uri
        other = pl.from_arrow(DeltaTable(uri).to_pyarrow_table()).rows()
        assert Counter(comparable(other)) == Counter(comparable(self.versions[-1]))


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
