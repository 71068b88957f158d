"""A plugin writes under its own name and nowhere else, and what got past that door is not believed."""

from __future__ import annotations

import sys

import msgspec
import pytest

from mlopsfw.kernel.base.errors import PluginError, UsageError
from mlopsfw.kernel.events import authority
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.events.registry import EventTypes
from mlopsfw.kernel.ledger import Ledger, codec, layout
from mlopsfw.kernel.roles.event import Event
from mlopsfw.operations.audit import audit
from mlopsfw.operations.lease import Lease
from mlopsfw.project.facade import Project
from mlopsfw.project.host import ProjectHost
from mlopsfw.serving.changes import fold as fold_endpoint

KEY = "observer.acme"
MINE = ("plugin/observer.acme/orders", "plugin.observer.acme.seen")
STREAMS = (
    "model/orders",
    "alerts",
    "run/x",
    "endpoint/orders",
    "dataset/flights",
    "step/abc",
    "monitor/orders",
    "erasures",
    "anything",
    "plugin",
    "plugin/observer.other",
    "plugin/observer.other/orders",
    "plugin/observer.acmes",
)
TYPES = (
    "alias.moved",
    "run.finished",
    "takeover",
    "endpoint.wanted",
    "lease.renewed",
    "seen",
    "plugin.observer.acme",
    "plugin.observer.acme.",
    "plugin.observer.acmes.seen",
    "plugin.observer.other.seen",
)


@pytest.fixture
def host(project: Project) -> ProjectHost:
    return project.host(KEY)


def test_a_plugin_appends_to_its_own_stream_in_its_own_name(host, project):
    event = host.emit(*MINE, {"rows": 3})
    assert (event.stream, event.type, event.actor, event.body) == (*MINE, "plugin:observer.acme", {"rows": 3})
    assert list(host.events(MINE[0])) == [event]
    assert project.ledger.stream("plugin/observer.acme").head() == 0
    assert host.emit("plugin/observer.acme", MINE[1], {}).seq == 1


@pytest.mark.parametrize("stream", STREAMS)
def test_a_plugin_cannot_append_to_any_other_stream(stream, host, project):
    with pytest.raises(PluginError, match=rf"observer\.acme may not write to the stream '{stream}'\n.*plugin/observer"):
        host.emit(stream, MINE[1], {})
    assert list(project.ledger.streams()) == []


@pytest.mark.parametrize("type_", TYPES)
def test_a_plugin_cannot_append_an_event_of_the_kernels_or_anothers_type(type_, host, project):
    with pytest.raises(PluginError, match=r"may not write an event of the type .*\n.*plugin\.observer\.acme\.NAME"):
        host.emit(MINE[0], type_, {})
    assert list(project.ledger.streams()) == []


@pytest.mark.parametrize(("stream", "type_"), [MINE, ("run/x", MINE[1]), (MINE[0], "alias.moved")])
def test_nobody_else_appends_where_or_what_is_a_plugins(stream, type_, project):
    with pytest.raises(PluginError, match="only a plugin may write"):
        project.ledger.stream(stream).append(PlainRecord(type_, {}))
    with pytest.raises(PluginError, match="only a plugin may write"):
        project.ledger.stream(stream).seal(PlainRecord(type_, {}))


def test_a_person_cannot_be_called_like_a_plugin(project, monkeypatch):
    monkeypatch.setenv("MLOPSFW_ACTOR", "plugin:observer.acme")
    with pytest.raises(UsageError, match="MLOPSFW_ACTOR"):
        project.ledger.stream("run/a").append(PlainRecord("run.started", {}))


@pytest.mark.parametrize("name", ["captures/orders", "flights", "plugin/observer.other/x", "plugin/observer.acme"])
def test_a_plugin_cannot_append_to_a_table_of_others(name, host):
    with pytest.raises(PluginError, match=rf"observer\.acme may not write to the table '{name}'"):
        host.tables.append(name, None)


def test_a_plugin_has_tables_of_its_own_and_reads_those_of_others(host, project):
    import polars as pl

    rows = pl.DataFrame({"n": [1, 2]})
    assert host.tables.append("plugin/observer.acme/seen", rows) == 0
    project.tables.append("captures/orders", rows)
    for name in ("plugin/observer.acme/seen", "captures/orders"):
        assert sorted(host.tables.read(name).read_all()["n"].to_pylist()) == [1, 2]


def test_what_a_plugin_does_to_an_event_changes_nothing_that_the_kernel_believes(host, project):
    stream = project.ledger.stream("model/orders")
    stream.append(PlainRecord("note", {"version": 1, "deep": {"list": [1]}}))
    for event in host.events("model/orders"):
        event.body["version"] = 9
        event.body["deep"]["list"].append(2)
    host.emit(*MINE, {"n": 1}).body["n"] = 9
    assert [event.body for event in stream.events()] == [{"version": 1, "deep": {"list": [1]}}]
    assert [event.body for event in host.events(MINE[0])] == [{"n": 1}]


# -- what got past the door -------------------------------------------------------------------------------------------------


@pytest.fixture
def plant(project: Project):
    """Append a whole, well chained event to any stream past every check, as a hostile storage could."""

    def append(stream: str, type_: str, body: dict, *, actor: str = "plugin:observer.acme", **fields) -> None:
        lines = [entry.key for entry in project.storage.list(layout.folder(stream))]
        last = project.storage.get(lines[-1]) if lines else b""
        event = Event(
            stream=stream, seq=len(lines) + 1, id="0" * 32, type=type_, time="2026-01-01T00:00:00.000000Z", actor=actor,
            body=body, prev=codec.digest(last) if last else "", **fields,
        )  # fmt: skip
        assert project.storage.put_if_absent(layout.entry_key(stream, event.seq), codec.encode(event))

    return append


def fresh(project: Project) -> Ledger:
    return Ledger(project.storage, actor=lambda: "someone", clock=project.clock, types=EventTypes())


FOREIGN = [
    ("plugin:observer.acme", "alias.moved"),
    ("plugin:", "alias.moved"),
    ("plugin:observer.acme", "plugin.observer.acme.seen"),
    ("someone", "plugin.observer.acme.seen"),
]


@pytest.mark.parametrize(("actor", "type_"), FOREIGN)
def test_a_foreign_event_keeps_its_place_is_never_believed_and_is_named_by_the_audit(actor, type_, project, plant):
    project.ledger.stream("model/orders").append(PlainRecord("note", {}))
    plant("model/orders", type_, {"alias": "champion", "version": 7}, actor=actor)
    ledger = fresh(project)
    note, foreign = ledger.stream("model/orders").events()
    assert (note.type, foreign.type, foreign.actor) == ("note", f"foreign:{type_}", actor)
    assert ledger.stream("model/orders").append(PlainRecord("note", {})).seq == 3
    (found,) = audit(project.storage)
    assert found.problems == [f"model/orders #2: {type_} by {actor} does not belong there"]


@pytest.mark.parametrize("actor", ["someone", "plugin:observer.other", "plugin:observer.acm"])
def test_an_event_of_others_in_a_plugins_stream_is_foreign_too(actor, project, plant):
    plant(*MINE, {}, actor=actor)
    (event,) = fresh(project).stream(MINE[0]).events()
    assert event.type == f"foreign:{MINE[1]}"


def test_a_foreign_event_moves_no_alias(project, plant):
    from mlopsfw.models.registry.versions import fold

    plant("model/orders", "alias.moved", {"alias": "champion", "version": 7, "was": 0})
    model = fold("orders", fresh(project).stream("model/orders").events())
    assert (model.seq, model.aliases()) == (1, {})
    assert project.index.query("SELECT * FROM aliases") == []


def test_a_foreign_event_ends_no_run(project, plant):
    from mlopsfw.pipeline.run.record import fold

    project.ledger.stream("run/x").append(PlainRecord("run.started", {"steps": ["a"]}))
    plant("run/x", "run.finished", {"status": "done", "exit_code": 0, "seconds": 0.0}, final=True, epoch=9)
    stream = fresh(project).stream("run/x")
    view = fold("x", stream.events())
    assert (view.status, view.epoch, view.head) == ("running", 0, 2)
    assert stream.append(PlainRecord("run.heartbeat", {}), epoch=0).seq == 3  # neither ended nor fenced
    assert [row["status"] for row in project.index.query("SELECT status FROM runs")] == ["running"]


def test_a_writer_that_finds_the_head_by_listing_is_not_fenced_by_a_foreign_event(project, plant):
    project.ledger.stream("run/x").append(PlainRecord("run.started", {}))
    plant("run/x", "takeover", {}, epoch=9)
    assert fresh(project).stream("run/x").append(PlainRecord("run.heartbeat", {}), expecting=2, epoch=0).epoch == 0


def test_a_foreign_event_wants_no_endpoint(project, plant):
    plant("endpoint/orders", "endpoint.wanted", {"revision": 1, "model": "m", "version": 1, "bundle": "0" * 64})
    assert fold_endpoint(fresh(project).stream("endpoint/orders").events()) == []


@pytest.mark.parametrize("type_", ["lease.released", "lease.renewed", "takeover"])
def test_a_foreign_event_neither_frees_a_lease_nor_takes_it(type_, project, plant):
    held = Lease(project.ledger.stream("lease/loop"), "first", project.clock, patience=60.0)
    assert held.acquire() == 1
    plant("lease/loop", type_, {}, epoch=2)
    assert Lease(fresh(project).stream("lease/loop"), "second", project.clock, patience=60.0).acquire() is None
    renewed = Lease(fresh(project).stream("lease/loop"), "first", project.clock, patience=60.0)
    renewed.epoch = 1
    renewed.renew()


def test_a_foreign_event_raises_no_alert(project, plant):
    alert = {"id": "a", "group": "g", "severity": "critical", "title": "t", "text": "", "time": "", "project": "p"}
    plant("alerts", "alert.raised", {"alert": alert})
    assert project.alerts.outbox().alerts == {}


def test_a_foreign_event_of_a_version_that_nobody_reads_stops_no_reader(project, plant):
    plant("model/orders", "alias.moved", {}, version=99)
    assert [event.type for event in fresh(project).stream("model/orders").events()] == ["foreign:alias.moved"]


def test_every_event_of_the_kernels_is_its_own():
    event = Event(stream="run/x", seq=1, id="0" * 32, type="run.started", time="", actor="someone@host", body={})
    assert not authority.is_foreign(event)
    assert authority.believed(event, 0) is event
    assert authority.copy(event) == event
    assert not authority.is_foreign(
        msgspec.structs.replace(event, actor="pluginx", type="plugins.x", stream="plugins/x")
    )


# -- observers ---------------------------------------------------------------------------------------------------------------


def test_an_observer_that_answers_each_event_by_one_of_its_own_is_not_told_of_that(make_project, install_plugin):
    source = """
        from mlopsfw import hookimpl
        seen = []
        @hookimpl
        def mlopsfw_event(event, host):
            seen.append(event.type)
            event.body["version"] = 9
            host.emit("plugin/observer.acme", "plugin.observer.acme.seen", {"type": event.type})
    """
    module = install_plugin(source, "observer.acme")
    project = make_project()
    stream = project.ledger.stream("model/orders")
    stream.append(PlainRecord("note", {"version": 1}))
    assert sys.modules[module].seen == ["note"]
    assert next(stream.events()).body == {"version": 1}
    assert [event.actor for event in project.ledger.stream("plugin/observer.acme").events()] == ["plugin:observer.acme"]


def test_an_observer_cannot_move_an_alias_and_is_named_when_it_tries(make_project, install_plugin):
    source = """
        from mlopsfw import hookimpl
        @hookimpl
        def mlopsfw_event(event, host):
            host.emit("model/orders", "alias.moved", {"alias": "champion", "version": 2, "was": 1})
    """
    install_plugin(source, "observer.acme")
    project = make_project()
    with pytest.warns(
        RuntimeWarning, match=r"plugin 'observer\.acme' \(acme-mlops-0 1\.2\) failed on note.*model/orders"
    ):
        project.ledger.stream("model/orders").append(PlainRecord("note", {}))
    assert [event.type for event in project.ledger.stream("model/orders").events()] == ["note"]


def test_a_plugins_check_acts_in_the_name_of_its_entry_point_whatever_it_calls_itself(make_project, install_plugin):
    source = """
        import msgspec
        from mlopsfw import Provider, hookimpl
        from mlopsfw.components import Check, Component, Diagnosis
        class Options(msgspec.Struct, forbid_unknown_fields=True): ...
        def build(config, host):
            def ask():
                host.emit("plugin/component.acme", "plugin.component.acme.asked", {})
                yield Diagnosis("ok", host.private_folder().name)
            return Component(name="acme", checks=(Check("other", "Another's name", ask),))
        @hookimpl
        def mlopsfw_components():
            yield Provider("acme", Options, build)
    """
    install_plugin(source, "component.acme")
    (answer,) = [found for found in make_project().doctor.examine() if found.check == "other"]
    assert (answer.level, answer.message) == ("ok", "component.acme")
