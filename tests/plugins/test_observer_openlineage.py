"""OpenLineage: each event is what OpenLineage's own client would write, runs and steps start and end once, and no run is ever harmed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client import event_v2 as ol
from openlineage.client import facet_v2
from openlineage.client.serde import Serde

from mlopsfw.events import RunStarted, StepStarted, StepStopped, VersionRecord
from mlopsfw.kernel.base.errors import ConfigError
from mlopsfw.kernel.base.ids import new_run_id
from mlopsfw.project.observer_options import observer_options
from mlopsfw.testing.observer import ObserverConformance
from mlopsfw_observer_openlineage import OpenLineageConfig, mlopsfw_event
from mlopsfw_observer_openlineage.datasets import _outside, _place, _sources
from mlopsfw_observer_openlineage.mapping import run_uuid

PIPELINE = """
[steps.get]
use = "ingest"
dataset = "nums"
path = "nums.csv"

[steps.double]
python = "made:double"
inputs = { rows = "get" }

[steps.total]
python = "made:total"
inputs = { rows = "double", others = "data:/other@1" }
"""
MADE = """
import polars as pl

def double(rows):
    return rows.collect().with_columns(pl.col("a") * 2)

def total(rows, others):
    return int(rows.lazy().collect()["a"].sum())
"""
FILE = '[observer.openlineage]\nfile = "out/lineage.jsonl"\n'


class TestOpenLineage(ObserverConformance):
    @pytest.fixture
    def observe(self):
        return mlopsfw_event

    @pytest.fixture
    def key(self):
        return "observer.openlineage"

    @pytest.fixture
    def options(self):
        return {"file": "out/lineage.jsonl"}


def cli(project, *words, **env):
    return subprocess.run(
        [sys.executable, "-m", "mlopsfw", *words],
        cwd=project.root, env={**os.environ, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def make(make_project):
    import polars as pl

    def made(toml, code=MADE):
        project = make_project(toml + PIPELINE, made=code)
        (project.root / "nums.csv").write_text("a\n1\n2\n")
        project.datasets.commit("other", pl.DataFrame({"x": [1]}))
        return project

    return made


def told(project):
    return [json.loads(line) for line in (project.root / "out/lineage.jsonl").read_text().splitlines()]


# -- against OpenLineage's own client ----------------------------------------------------------------------------------------
# The client's classes are generated from the specification's JSON schemas (openlineage.io/spec). They refuse what is missing or
# unknown, check ids and times, and know by which version of its schema each facet is described.

FACETS = {
    "parent": lambda f: facet_v2.parent_run.ParentRunFacet(
        run=facet_v2.parent_run.Run(f["run"]["runId"]), job=facet_v2.parent_run.Job(**f["job"])
    ),
    "errorMessage": lambda f: facet_v2.error_message_run.ErrorMessageRunFacet(**f),
    "processing_engine": lambda f: facet_v2.processing_engine_run.ProcessingEngineRunFacet(**f),
    "jobType": lambda f: facet_v2.job_type_job.JobTypeJobFacet(**f),
    "schema": lambda f: facet_v2.schema_dataset.SchemaDatasetFacet(
        fields=[facet_v2.schema_dataset.SchemaDatasetFacetFields(**field) for field in f["fields"]]
    ),
    "dataSource": lambda f: facet_v2.datasource_dataset.DatasourceDatasetFacet(**f),
    "version": lambda f: facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet(**f),
    "outputStatistics": lambda f: facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(**f),
}


def rebuilt(event):
    """Return the event as OpenLineage's client writes it, made of the client's own classes."""

    def facets(owner, key="facets"):
        made = {}
        for name, said in owner.get(key, {}).items():
            made[name] = FACETS[name]({k: v for k, v in said.items() if not k.startswith("_")})
            made[name]._producer = said["_producer"]
        return made

    run = ol.Run(event["run"]["runId"], facets(event["run"]))
    job = ol.Job(event["job"]["namespace"], event["job"]["name"], facets(event["job"]))
    inputs = [ol.InputDataset(one["namespace"], one["name"], facets=facets(one)) for one in event["inputs"]]
    outputs = [
        ol.OutputDataset(one["namespace"], one["name"], facets=facets(one), outputFacets=facets(one, "outputFacets"))
        for one in event["outputs"]
    ]
    return json.loads(
        Serde.to_json(
            ol.RunEvent(
                eventType=ol.RunState(event["eventType"]),
                eventTime=event["eventTime"],
                producer=event["producer"],
                run=run,
                job=job,
                inputs=inputs,
                outputs=outputs,
            )
        )
    )


def without_empty(value):
    """Return `value` less what stands for nothing: the client writes empty facets, we leave them out."""
    if isinstance(value, dict):
        return {k: without_empty(v) for k, v in value.items() if v not in ({}, [], None)}
    return [without_empty(one) for one in value] if isinstance(value, list) else value


def assert_valid(events):
    assert events
    for event in events:
        assert without_empty(event) == without_empty(rebuilt(event))


def shown(events):
    return [(event["eventType"], event["job"]["name"]) for event in events]


def by(events, state, job):
    return next(event for event in events if (event["eventType"], event["job"]["name"]) == (state, job))


WHOLE = [
    ("START", "testproject"),
    *((state, f"testproject.{step}") for step in ("get", "double", "total") for state in ("START", "COMPLETE")),
    ("COMPLETE", "testproject"),
]


def test_a_run_is_told_as_openlineages_own_client_would_tell_it(make):
    project = make(FILE)
    done = cli(project, "run")
    assert done.returncode == 0, done.stderr
    assert "openlineage" not in done.stderr
    events = told(project)
    assert shown(events) == WHOLE
    assert_valid(events)


def test_datasets_carry_version_schema_and_source_and_join_the_steps(make):
    project = make(FILE)
    assert cli(project, "run").returncode == 0
    events = told(project)
    [source], [nums] = (by(events, "COMPLETE", "testproject.get")[side] for side in ("inputs", "outputs"))
    assert (source["namespace"], source["name"]) == ("file", "nums.csv")
    assert (nums["namespace"], nums["name"]) == ("testproject", "data/nums")
    assert nums["facets"]["version"]["datasetVersion"] == "1"
    [field] = nums["facets"]["schema"]["fields"]
    assert (field["name"], field["ordinal_position"]) == ("a", 1)
    assert field["type"].startswith("int")
    assert nums["facets"]["dataSource"]["uri"] == "mlopsfw://testproject/data/nums"
    assert nums["outputFacets"]["outputStatistics"]["rowCount"] == 2
    double, total = by(events, "COMPLETE", "testproject.double"), by(events, "COMPLETE", "testproject.total")
    names = [[one["name"] for one in event[side]] for event in (double, total) for side in ("inputs", "outputs")]
    assert names == [
        ["data/nums"],
        ["testproject/double.result"],
        ["testproject/double.result", "data/other"],
        ["testproject/total.result"],
    ]
    assert by(events, "START", "testproject.total")["inputs"] == total["inputs"]


def test_every_run_starts_once_and_ends_once_and_steps_name_their_parent(make):
    project = make(FILE)
    assert cli(project, "run").returncode == 0
    assert cli(project, "run").returncode == 0  # all from the cache
    events = told(project)
    assert_valid(events)
    assert shown(events) == WHOLE * 2
    states = {}
    for event in events:
        states.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert list(states.values()) == [["START", "COMPLETE"]] * 8
    assert {str(run_uuid(run)) for run in project.runs.ids()} <= set(states)
    for event in events:
        parent = event["run"]["facets"].get("parent")
        assert (parent is None) == (event["job"]["name"] == "testproject")
        assert parent is None or parent["run"]["runId"] in states


def test_a_failed_attempt_a_failed_run_and_their_resumption_are_told(make):
    project = make(FILE, MADE.replace("return int(", "raise ValueError('no <b>') or int("))
    assert cli(project, "run").returncode == 1
    failed = told(project)
    assert_valid(failed)
    assert shown(failed)[-2:] == [("FAIL", "testproject.total"), ("FAIL", "testproject")]
    assert failed[-2]["run"]["facets"]["errorMessage"]["message"].startswith("ValueError. To read its message: ")
    assert "no <b>" not in str(failed)  # it may quote a row, and no erasure reaches the receiver
    assert [one["name"] for one in failed[-2]["inputs"]] == ["testproject/double.result", "data/other"]
    (project.root / "made.py").write_text(MADE)
    assert cli(project, "resume").returncode == 0
    resumed = told(project)[len(failed) :]
    assert_valid(resumed)
    assert shown(resumed)[0] == ("START", "testproject")
    assert shown(resumed)[-1] == ("COMPLETE", "testproject")
    assert not {e["run"]["runId"] for e in failed} & {e["run"]["runId"] for e in resumed}  # a run ends once


def test_a_step_whose_input_is_not_there_starts_and_fails(make):
    project = make(FILE)
    (project.root / "mlopsfw.toml").write_text(
        (project.root / "mlopsfw.toml").read_text().replace("data:/other@1", "data:/gone")
    )
    assert cli(project, "run").returncode != 0
    events = told(project)
    assert_valid(events)
    mine = [event for event in events if event["job"]["name"] == "testproject.total"]
    assert [event["eventType"] for event in mine] == ["START", "FAIL"]


def test_a_part_that_was_stopped_is_aborted_and_did_not_fail(make):
    project = make(FILE)
    begun = project.ledger.stream("run/searched")
    begun.append(RunStarted(pipeline="p", config=project.blobs.put(b"{}")))
    begun.append(StepStarted(step="fit[1]", attempt=1))
    begun.append(StepStopped(step="fit[1]", attempt=1, reason="the time of the search was over"))
    events = told(project)
    assert_valid(events)
    assert shown(events)[-2:] == [("START", "p.fit[1]"), ("ABORT", "p.fit[1]")]


def test_a_script_run_is_told(make):
    from mlopsfw import start_run

    project = make(FILE)
    with pytest.raises(KeyError), start_run("tuning", project=project):
        raise KeyError("x")
    events = told(project)
    assert_valid(events)
    assert shown(events) == [("START", "tuning"), ("FAIL", "tuning")]


# -- sending ---------------------------------------------------------------------------------------------------------------


def to(url, more=""):
    return f'[observer.openlineage]\nurl = "{url}"\nallow_private = true\nsecret = "env:OL_KEY"\n{more}'


def test_events_are_posted_in_order_with_the_secret_which_is_written_nowhere(make, receiver):
    project = make(to(receiver.url, 'namespace = "prod"\n'))
    done = cli(project, "run", OL_KEY="hunter2-hunter2")
    assert done.returncode == 0, done.stderr
    events = [json.loads(body) for _, body in receiver.got]
    assert_valid(events)
    assert shown(events) == WHOLE
    assert {event["job"]["namespace"] for event in events} == {"prod"}
    assert {headers["Authorization"] for headers, _ in receiver.got} == {"Bearer hunter2-hunter2"}
    kept = [file for file in project.root.rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if b"hunter2" in file.read_bytes()]


@pytest.mark.parametrize("answer", [500, "redirect", "lost"])
def test_a_receiver_that_fails_is_warned_about_and_the_run_ends_as_it_would(make, receiver, answer):
    receiver.behaviour = [answer] * 100
    done = cli(make(to(receiver.url)), "run", OL_KEY="k")
    assert done.returncode == 0
    assert "observer.openlineage" in done.stderr


def test_what_a_receiver_did_not_take_is_sent_in_order_before_what_comes_next(make, receiver):
    project = make(to(receiver.url, "timeout = 0.5\n"))
    receiver.behaviour = [204, "hang", *[500] * 100]
    done = cli(project, "run", OL_KEY="k")
    assert done.returncode == 0
    assert done.stderr.count("1 events are waiting") == 1
    assert (len(receiver.got), len(receiver.behaviour)) == (
        1,
        100,
    )  # one taken, one hung, none tried while the pause lasts
    receiver.behaviour = []
    [failed] = project.root.rglob("waiting/failed")
    os.utime(failed, (0, 0))
    cli(project, "run", OL_KEY="k")
    events = [json.loads(body) for _, body in receiver.got]
    assert_valid(events)
    assert shown(events[: len(WHOLE)]) == WHOLE
    assert len({event["run"]["runId"] for event in events if event["job"]["name"] == "testproject"}) == 2
    assert [path.name for path in failed.parent.iterdir()] == ["failed"]


def test_a_private_address_is_refused_unless_the_config_allows_it(make, receiver):
    project = make(to(receiver.url).replace("allow_private = true\n", ""))
    done = cli(project, "run", OL_KEY="k")
    assert done.returncode == 0
    assert "not a public address" in done.stderr
    assert receiver.got == []


@pytest.mark.parametrize("down", [False, True])
def test_a_url_by_reference_is_resolved_and_neither_shown_nor_kept(make, receiver, down):
    project = make(to("env:OL_URL"))
    receiver.behaviour = [500] * 100 if down else []
    done = cli(project, "run", OL_KEY="k", OL_URL=f"{receiver.url}/canary-8")
    assert done.returncode == 0, done.stderr
    assert ("observer.openlineage" in done.stderr) == down
    assert bool(receiver.got) == (not down)
    assert "canary" not in done.stdout + done.stderr
    kept = [file for file in project.root.rglob("*") if file.is_file() and b"canary-8" in file.read_bytes()]
    assert kept == []


def test_a_url_by_reference_that_is_not_there_ends_no_run(make, receiver):
    done = cli(make(to("env:OL_URL")), "run", OL_KEY="k")
    assert done.returncode == 0
    assert "OL_URL is not set" in done.stderr


def test_a_secret_that_is_not_there_ends_no_run(make, receiver):
    done = cli(make(to(receiver.url)), "run")
    assert done.returncode == 0
    assert "OL_KEY" in done.stderr
    assert receiver.got == []


@pytest.mark.parametrize(
    "options", [{}, {"file": "a", "url": "https://b"}, {"fil": "a"}, {"file": "a", "timeout": "soon"}, {"file": 1}]
)
def test_wrong_options_are_refused_by_the_name_of_the_table(options, project):
    config = msgspec.structs.replace(project.config, options={"observer": {"openlineage": options}})
    with pytest.raises(ConfigError, match=r"observer\.openlineage"):
        observer_options(OpenLineageConfig, config, project.plugins.catalog.find("observer", "openlineage"))


def test_without_its_table_it_says_nothing(make):
    project = make("")
    done = cli(project, "run")
    assert done.returncode == 0
    assert "openlineage" not in done.stderr
    assert not (project.root / "out").exists()


# -- ids and places ----------------------------------------------------------------------------------------------------------


def test_a_runs_uuid_is_its_ulid_and_sorts_like_it():
    ids = sorted(new_run_id() for _ in range(50))
    assert sorted(ids, key=run_uuid) == ids
    assert run_uuid("7" + "z" * 25).int == (1 << 128) - 1
    assert run_uuid("0" * 26).int == 0


@given(st.text(min_size=1, max_size=40), st.integers(0, 5))
def test_whatever_a_run_is_called_it_has_a_uuid_of_its_own_for_each_sitting(run, epoch):
    assert isinstance(run_uuid(run, epoch), uuid.UUID)
    assert run_uuid(run, epoch) == run_uuid(run, epoch)
    assert run_uuid(run, epoch) != run_uuid(run, epoch + 1)


@pytest.mark.parametrize(
    ("source", "namespace", "name"),
    [
        ("s3://bucket/a/b.csv", "s3://bucket", "a/b.csv"),
        ("https://user:pw@host:8/a.csv?token=1", "https://host:8", "a.csv"),
        ("file:///data/a.csv", "file", "/data/a.csv"),
        ("a b.csv", "file", "a b.csv"),
        ("postgresql://user:pw@host/db", "postgres://host:5432", "db"),
        ("postgresql://host:5433/db/public.trips", "postgres://host:5433", "db.public.trips"),
        ("gs://lake/a.parquet", "gs://lake", "a.parquet"),
        ("abfss://box@account.dfs.core.windows.net/a/b", "abfss://box@account.dfs.core.windows.net", "a/b"),
    ],
)
def test_a_source_is_named_as_openlineage_names_places_without_credentials(source, namespace, name):
    made = _outside(_place(source))
    assert (made["namespace"], made["name"]) == (namespace, name)
    assert "pw" not in json.dumps(made)
    assert "token" not in json.dumps(made)
    assert " " not in made["facets"]["dataSource"]["uri"]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("s3://lake/in/2013-*.csv, https://host/x.csv", ["s3://lake in", "https://host x.csv"]),
        ("s3://lake/**/*.csv", ["s3://lake /"]),
        ("a.csv, b.csv", ["file a.csv", "file b.csv"]),
        ("2013-*.csv", ["file 2013-*.csv"]),
    ],
)
def test_each_place_of_a_version_is_a_dataset_and_a_pattern_is_the_folder_above_it(source, names):
    version = VersionRecord(version=1, digest="", rows=1, mode="append", source=source)
    assert [f"{each['namespace']} {each['name']}" for each in map(_outside, _sources(version))] == names
