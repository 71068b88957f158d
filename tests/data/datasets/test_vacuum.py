"""Vacuum: what nothing needs goes, what something needs stays or is named; writers at work and a kill anywhere lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import polars as pl
import pytest

from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.data.datasets.loading.quarantine_resolution import settle
from mlopsfw.data.datasets.removal.needs import joined
from mlopsfw.data.datasets.removal.vacuum import VersionRemoval
from mlopsfw.governance.subject import Subject
from mlopsfw.governance.text_search import files_with
from mlopsfw.kernel.base.errors import ConfigError, UnknownName, UsageError, Vacuumed
from mlopsfw.kernel.config.model import Retention
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.operations.gc import collect
from mlopsfw.project.facade import Project

LAST = Retention(keep=1)


def rows(number):
    return pl.DataFrame({"id": [number, number + 1], "name": [f"canary-{number}", f"other-{number}"]})


@pytest.fixture
def datasets(project):
    """Four versions, each of files of its own."""
    for number in range(1, 5):
        project.datasets.commit("trips", rows(number), "replace")
    return project.datasets


def files(project, name="trips"):
    return {path for path, _ in project.datasets.files(name).list()}


def made_of(project, *versions):
    history = project.datasets.history("trips")
    return {f.path for v in versions for f in project.datasets.manifest(history.get(v)).files}


def healthy(project):
    with Project.open(project.root) as fresh:
        findings = [found for found in fresh.doctor.examine(verify=True) if found.level == "error"]
        assert not findings, findings
        for version in fresh.datasets.log("trips"):
            if not version.vacuumed:
                assert fresh.datasets.verify(version).version == version.version


def vacuumed(project):
    return [version.version for version in project.datasets.history("trips").versions if version.vacuumed]


# -- what goes -------------------------------------------------------------------------------------------------------------


def test_files_of_old_versions_go_and_the_versions_say_so_everywhere(datasets, project):
    done = project.version_removal.vacuum("trips", Retention(keep=2))
    assert (done.versions, done.files, done.kept, done.forced) == ((1, 2), 2, {}, {})
    assert done.freed == sum(f.size for v in (1, 2) for f in datasets.manifest(datasets.resolve("trips", v)).files)
    assert files(project) == made_of(project, 3, 4)
    assert [bool(version.vacuumed) for version in datasets.log("trips")] == [False, False, True, True]
    old = datasets.resolve("trips@1")
    for read in (
        lambda: datasets.scan("trips@1"),
        lambda: datasets.diff("trips", 1, 4),
        lambda: datasets.diff("trips", 4, 2, ["id"]),
        lambda: datasets.restore("trips", 1),
        lambda: datasets.verify("trips@1"),
        lambda: datasets.tag("trips", "old", 1),
        lambda: datasets.resolve(old.artifact()),
    ):
        with pytest.raises(Vacuumed, match=f"was vacuumed on {old.vacuumed[:19]}"):
            read()
    healthy(project)


def test_other_readers_still_open_what_is_kept_and_the_next_versions(datasets, project):
    project.version_removal.vacuum("trips", LAST)
    datasets.commit("trips", rows(9))
    uri = str(datasets.files("trips").folder)
    assert pl.read_delta(uri)["id"].sort().to_list() == [4, 5, 9, 10]
    assert pl.read_delta(uri, version=3)["id"].sort().to_list() == [4, 5]


def test_a_second_vacuum_has_nothing_to_do_and_the_newest_version_always_stays(datasets, project):
    assert project.version_removal.vacuum("trips", LAST, force=True).versions == (1, 2, 3)
    again = project.version_removal.vacuum("trips", LAST, force=True)
    assert (again.versions, again.files, again.freed) == ((), 0, 0)
    assert datasets.scan("trips").collect().equals(rows(4))


def test_versions_whose_files_later_ones_have_cost_nothing_and_stay(project):
    for number in range(3):
        project.datasets.commit("trips", rows(number), "append")
    assert project.version_removal.vacuum("trips", LAST).versions == ()
    project.datasets.commit("trips", rows(0), Change(mode="upsert", key=("id",)))
    assert project.version_removal.vacuum("trips", LAST).versions == (
        1,
        2,
        3,
    )  # of each the first file was written anew
    assert project.datasets.scan("trips").collect()["id"].sort().to_list() == [0, 1, 2, 2, 3]
    healthy(project)


def test_a_dry_run_says_the_same_and_changes_nothing(datasets, project):
    before, seq = files(project), datasets.history("trips").seq
    planned = project.version_removal.vacuum("trips", LAST, dry_run=True)
    assert (files(project), datasets.history("trips").seq) == (before, seq)
    done = project.version_removal.vacuum("trips", LAST)
    assert (planned.versions, planned.files, planned.freed, planned.dry_run) == (
        done.versions,
        done.files,
        done.freed,
        True,
    )


def test_age_is_counted_from_when_a_version_was_made(datasets, project, monkeypatch):
    assert project.version_removal.vacuum("trips", Retention(older_than="1h")).versions == ()
    now = project.clock.now()
    monkeypatch.setattr(type(project.clock), "now", lambda _: now + 7200)
    assert project.version_removal.vacuum("trips", Retention(keep=3, older_than="1h 30m")).versions == (1,)


def test_a_restored_version_keeps_the_files_of_the_one_that_it_came_from(datasets, project):
    datasets.restore("trips", 1)
    assert project.version_removal.vacuum("trips", LAST).versions == (2, 3, 4)
    assert datasets.scan("trips@1").collect().equals(rows(1))
    datasets.commit("trips", rows(8), "replace")
    assert project.version_removal.vacuum("trips", LAST).versions == (1, 5)
    healthy(project)


# -- what stays ------------------------------------------------------------------------------------------------------------


def test_what_needs_a_version_keeps_it_and_force_names_what_it_breaks(datasets, project):
    datasets.tag("trips", "golden", 1)
    bundle = project.blobs.put(b"{}")
    project.registry.register("delay", bundle, datasets=["data:/trips@2"], code={}, environment="e")
    project.registry.promote("delay", 1, "champion")
    done = project.version_removal.vacuum("trips", LAST)
    assert done.versions == (3,)
    assert done.kept == {1: ["the tag 'golden'"], 2: ["models:/delay@1 (champion) was made from it"]}
    forced = project.version_removal.vacuum("trips", LAST, force=True)
    assert (forced.versions, forced.forced, forced.kept) == ((1, 2), done.kept, {})
    event = [event for event in datasets.stream("trips").events() if event.type == "dataset.vacuumed"][-1]
    assert event.body["forced"] == {"1": done.kept[1], "2": done.kept[2]}
    assert files(project) == made_of(project, 4)
    assert "data:/trips@2" in project.lineage.walk("models:/delay@1").nodes  # where it came from is known all the same
    with pytest.raises(Vacuumed):
        datasets.scan("trips@golden")


def test_a_models_lineage_reaches_through_the_datasets_that_came_in_between(bench):
    toml = """
[steps.ingest]
dataset = "trips"
path = "trips.csv"
[steps.derive]
python = "steps:derive"
inputs = { rows = "ingest.rows" }
outputs = ["made"]
"""
    code = """
def derive(rows, context):
    return {"made": context.datasets.commit("derived", rows.collect(), "replace", run=context.run).artifact()}
"""
    bench.write(toml, {"trips.csv": "id\n1\n"}, steps=code).run()
    with bench.open() as project:
        project.datasets.commit("trips", rows(1), "replace")
        assert project.version_removal.vacuum("trips", LAST, dry_run=True).versions == (1,)
        bundle = project.blobs.put(b"{}")
        project.registry.register("delay", bundle, datasets=["data:/derived@1"], code={}, environment="e")
        assert project.version_removal.vacuum("trips", LAST).kept == {1: ["models:/delay@1 was made from it"]}


def test_a_step_whose_dataset_was_vacuumed_runs_again_instead_of_being_taken_from_the_cache(bench):
    toml = '[steps.ingest]\ndataset = "trips"\npath = "trips.csv"\n'
    bench.write(toml, {"trips.csv": "id\n1\n"}).run()
    with bench.open() as project:
        project.datasets.commit("trips", rows(1), "replace")
        assert project.version_removal.vacuum("trips", LAST).versions == (1,)
    bench.run()
    assert bench.ran() == ["ingest"]
    with bench.open() as project:
        assert project.datasets.scan("trips@3").collect()["id"].to_list() == [1]


def started(project, run, inputs):
    steps = {"train": {"python": "steps:train", "inputs": inputs}}
    config = project.blobs.put(json.dumps({"steps": steps}).encode())
    stream = project.ledger.stream(f"run/{run}")
    stream.append(PlainRecord("run.started", {"pipeline": "p", "steps": ["train"], "config": config}))
    return stream


@pytest.mark.parametrize(
    ("taken", "kept"),
    [("data:/trips@2", {2}), ("data:/trips", {4}), ("data:/trips@golden", {1, 4}), ("data:/other", set())],
)
def test_a_run_that_is_going_on_keeps_what_it_takes_or_may_take(datasets, project, taken, kept):
    datasets.tag("trips", "golden", 1)
    stream = started(project, "01run", {"rows": taken})
    datasets.commit("trips", rows(7), "replace")
    done = project.version_removal.vacuum("trips", LAST)
    assert {version for version, why in done.kept.items() if "runs:/01run is unfinished" in why} == kept - {1}
    assert set(done.versions) == {2, 3, 4} - kept
    stream.append(PlainRecord("run.finished", {"status": "done", "exit_code": 0, "seconds": 1.0}))
    assert set(project.version_removal.vacuum("trips", LAST).versions) == kept - {1}


def test_a_step_of_the_pipeline_file_and_a_row_in_quarantine_keep_a_version(bench):
    toml = '[steps.use]\npython = "steps:use"\ninputs = { rows = "data:/trips@2" }\n'
    bench.write(
        toml, {"bad.csv": "id,v\n" + "".join(f"{n},{n}\n" for n in range(50)) + "1,2,3\n"}, steps="def use(rows): ..."
    )
    with bench.open() as project:
        project.datasets.add("trips", [bench.root / "bad.csv"], Change(mode="replace", max_bad=0.5))
        for number in (1, 2, 3):
            project.datasets.commit("trips", rows(number), "replace")
        done = project.version_removal.vacuum("trips", LAST)
        assert done.versions == (3,)
        assert done.kept == {1: ["rows of its load are in quarantine"], 2: ["the step 'use' takes data:/trips@2"]}
        with pytest.raises(UsageError, match="has no quarantined rows"):
            settle(project.datasets, project.datasets.resolve("trips@2"))
        first = project.datasets.resolve("trips@1")
        assert settle(project.datasets, first, "corrected by hand").intake["settled"]
        seq = project.datasets.history("trips").seq
        assert settle(project.datasets, first).version == 1
        assert project.datasets.history("trips").seq == seq
        assert project.version_removal.vacuum("trips", LAST).versions == (1,)
        assert len(project.datasets.quarantine("trips")) == 1


def test_a_run_that_began_in_between_gets_its_version_back(datasets, project):
    real, answers = joined(each.needs for each in project.components if each.needs), [{}]

    def slow(name):
        return answers.pop() if answers else {**real(name), 2: ["a run that began meanwhile"]}

    removal = VersionRemoval(project.services, datasets, slow, project.filesets.removal)
    assert removal.vacuum("trips", LAST).versions == (1, 3)
    assert vacuumed(project) == [1, 3]
    assert datasets.scan("trips@2").collect().equals(rows(2))
    healthy(project)


# -- beside others, and killed ---------------------------------------------------------------------------------------------


def test_commits_tags_and_restores_while_versions_go_lose_nothing(datasets, project):
    failures, made, done = [], [], threading.Event()

    def write():
        mine = Project.open(project.root).datasets
        try:
            for number in range(12):
                made.append(mine.commit("trips", rows(100 + 10 * number), "append" if number % 3 else "replace"))
                mine.tag("trips", f"t-{number}", made[-1].version)
        except Exception as error:  # noqa: BLE001
            failures.append(error)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        Project.open(project.root).version_removal.vacuum("trips", LAST)
    thread.join()
    gone = set(vacuumed(project))
    assert not failures
    assert gone & {1, 2, 3, 4}
    history = datasets.history("trips")
    assert {v.version for v in made} <= {v.version for v in history.versions}
    assert not gone & set(history.tags.values())
    healthy(project)
    assert files(project) == {f.path for v in history.versions if v.live for f in datasets.manifest(v).files}


KILLED = """
import os, signal, sys
from pathlib import Path
from mlopsfw.kernel.config.model import Retention
from mlopsfw.project.facade import Project
project = Project.open(Path(sys.argv[1]))
left = [int(sys.argv[2])]
def mortal(call):
    def called(*args, **options):
        left[0] -= 1
        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **options)
    return called
for name in ("fsync", "link", "replace", "rename", "unlink"): setattr(os, name, mortal(getattr(os, name)))
project.version_removal.vacuum("trips", Retention(keep=1))
"""


@pytest.mark.faults
def test_kill_9_at_any_operation_leaves_what_is_kept_whole_and_the_rest_to_the_next_one(datasets, project):
    datasets.tag("trips", "golden", 2)
    kills = 0
    for call in range(40):
        child = subprocess.run(
            [sys.executable, "-c", KILLED, str(project.root), str(call)], check=False, env=os.environ
        )
        assert datasets.scan("trips@golden").collect().equals(rows(2))
        assert datasets.scan("trips").collect().equals(rows(4))
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 4
    assert vacuumed(project) == [1, 3]
    assert files(project) == made_of(project, 2, 4)
    healthy(project)


def test_what_was_cut_short_is_finished_by_tidy_too(datasets, project, monkeypatch):
    monkeypatch.setattr(VersionRemoval, "finish", lambda *_: ())
    project.version_removal.vacuum("trips", LAST)
    assert files(project) == made_of(project, 1, 2, 3, 4)
    assert set(datasets.tidy("trips", older=-10)) == made_of(project, 1, 2, 3)
    healthy(project)


# -- with erasure and collection -------------------------------------------------------------------------------------------


def subject(number):
    return Subject("name", f"canary-{number}", bytes(32))


@pytest.mark.parametrize("cut_short", [False, True])
def test_a_subject_of_a_vacuumed_version_is_left_in_no_file(datasets, project, monkeypatch, cut_short):
    with monkeypatch.context() as cut:
        if cut_short:
            cut.setattr(VersionRemoval, "finish", lambda *_: ())
        project.version_removal.vacuum("trips", LAST)
    assert files_with(project.root, ["canary-1"])  # the bounds in manifests and in the Delta log
    done = project.erasures.forget("trips", subject(1))
    assert (done.held["datasets"], done.held["models"]) == ({}, [])
    assert not files_with(project.root, ["canary-1", "canary-2"])
    assert project.erasures.forget("trips", subject(4)).held["datasets"] == {"trips": {4: 1}}
    assert datasets.scan("trips").collect()["id"].to_list() == [5]
    assert vacuumed(project) == [1, 2, 3]
    datasets.commit("trips", rows(9))
    assert pl.read_delta(str(datasets.files("trips").folder)).height == 3
    healthy(project)


def test_an_erasure_after_a_vacuum_reaches_files_that_a_kept_version_shared(project):
    datasets = project.datasets
    datasets.commit("trips", rows(1))
    datasets.commit("trips", rows(5), "append")
    datasets.commit("trips", rows(9), "replace")
    datasets.restore("trips", 1)
    assert project.version_removal.vacuum("trips", LAST).versions == (2, 3)
    project.erasures.forget("trips", subject(1))
    assert not files_with(project.root, ["canary-1"])
    assert datasets.scan("trips").collect()["id"].to_list() == datasets.scan("trips@1").collect()["id"].to_list() == [2]
    healthy(project)


def test_the_collector_keeps_what_the_log_of_a_vacuumed_dataset_needs(datasets, project):
    project.version_removal.vacuum("trips", LAST)
    collect(project.storage, project.ledger, grace=0)
    assert datasets.history("trips").get(1).vacuumed
    project.version_removal.finish("trips")
    healthy(project)


# -- what is asked ---------------------------------------------------------------------------------------------------------


def test_the_verb_takes_its_policy_from_the_file_or_the_options_and_prints_what_went(project, capsys):
    from mlopsfw.cli import run

    def verb(*words):
        code = run(["--project", str(project.root), "data", *words])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    for number in range(1, 6):
        project.datasets.commit("trips", rows(number), "replace")
    project.datasets.tag("trips", "golden", 1)
    assert "no rule says which versions" in verb("vacuum", "trips")[1]
    assert verb("vacuum")[0] == 2
    assert "versions would be removed: 2" in verb("vacuum", "trips", "--keep", "3", "--dry-run")[1]
    assert json.loads(verb("vacuum", "trips", "--keep", "4", "--older-than", "30d", "--json")[1])[0]["versions"] == []
    with (project.root / "mlopsfw.toml").open("a") as file:
        file.write('\n[data.trips]\nretention = { keep = 3 }\n[data.none]\nretention = { older_than = "30d" }\n')
    code, text = verb("vacuum")
    assert code == 0
    assert "data:/trips: versions removed: 2; 1 files" in text
    assert "version 1 is kept: the tag 'golden'" in text
    assert "version 1 is not kept, because of --force: the tag 'golden'" in verb("vacuum", "trips", "--force")[1]
    assert "vacuumed 20" in verb("log", "trips")[1]
    assert "its rows were removed" in verb("show", "trips@golden")[1]
    assert verb("restore", "trips", "golden")[0] == 1


def test_wrong_policies_and_names_are_refused(project, tmp_path):
    project.datasets.commit("trips", rows(1))
    with pytest.raises(UnknownName):
        project.version_removal.vacuum("trips2", LAST)
    with pytest.raises(UsageError, match="not a length of time"):
        project.version_removal.vacuum("trips", Retention(older_than="a while"))
    for wrong in ("{ keep = 0 }", '{ older_than = "soon" }', "{ keeps = 3 }"):
        (project.root / "mlopsfw.toml").write_text(f'[project]\nname = "p"\n[data.trips]\nretention = {wrong}\n')
        with pytest.raises(ConfigError, match="retention"):
            Project.open(project.root)
