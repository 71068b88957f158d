"""Collection keeps what anything refers to, keeps to its grace, and never takes what is being stored."""

from __future__ import annotations

import os
import threading
import time
from hashlib import sha256

import msgspec
import pytest

from mlopsfw.kernel.base.errors import Conflict, NotFound, UsageError
from mlopsfw.kernel.component import released
from mlopsfw.kernel.events.record import PlainRecord
from mlopsfw.kernel.ledger.layout import entry_key, segment_key
from mlopsfw.kernel.store.blobs import PENDING, REFRESH, BlobStore, key_of
from mlopsfw.operations.gc import GRACE, collect
from mlopsfw.project.facade import Project

DAY = 86_400.0


@pytest.fixture
def age(tmp_path):
    def make_older(digest, seconds):
        file = tmp_path / "project/.mlopsfw/store" / key_of(digest)
        then = file.stat().st_mtime - seconds
        os.utime(file, (then, then))
        return digest

    return make_older


def collected(project, **options):
    return set(collect(project.storage, project.ledger, **options).deleted)


def test_what_events_name_is_kept_through_folders_and_lists(project, age, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"inside a folder")
    blobs = project.blobs
    named, listed, inside = blobs.put(b"named"), blobs.put(b"listed"), blobs.put(b"inside a folder")
    manifest = blobs.put_folder(folder)
    result = blobs.put(msgspec.json.encode([{"outputs": {"x": {"blob": listed}}}]))
    orphan, orphans_child = blobs.put(msgspec.json.encode({"blob": "?"})), blobs.put(b"child")
    project.ledger.stream("run/a").append(PlainRecord("step.finished", {"deep": [{"blob": named}], "folder": manifest}))
    project.ledger.stream("run/b").seal(PlainRecord("step.finished", {"result": result}))
    everything = [named, listed, inside, manifest, result, orphan, orphans_child]
    for digest in everything:
        age(digest, GRACE + 10)
    assert collected(project, dry_run=True) == {orphan, orphans_child}
    assert blobs.get(orphan)
    done = collect(project.storage, project.ledger)
    assert set(done.deleted) == {orphan, orphans_child}
    assert (done.blobs, done.young) == (7, 0)
    assert done.freed == len(b'{"blob":"?"}') + len(b"child")
    for digest in everything[:5]:
        assert blobs.get(digest)
    with pytest.raises(NotFound):
        blobs.get(orphan)


def test_blobs_of_a_plugin_that_is_not_installed_are_kept(project, age):
    rows = age(project.blobs.put(b"rows"), GRACE + 10)
    stream = project.ledger.stream("plugin/component.gone")
    stream.append(PlainRecord("plugin.component.gone.built", {"deep": [{"rows": rows}]}), plugin="component.gone")
    assert collected(project) == set()


@pytest.mark.parametrize(("stream", "type_", "plugin"), [
    ("dataset/s", "dataset.committed", ""), ("plugin/component.acme/x", "plugin.component.acme.built", "component.acme"),
])  # fmt: skip
def test_what_a_component_released_goes_where_its_own_events_alone_name_it(with_component, stream, type_, plugin, age):
    project = with_component
    blob = age(project.blobs.put(b"index"), GRACE + 10)
    project.ledger.stream(stream).append(PlainRecord(type_, {"index": blob}), plugin=plugin)
    assert collected(project, released={plugin: {blob}}, dry_run=True) == {blob}
    for other in {"", "component.acme", "component.gone"} - {plugin}:
        assert collected(project, released={other: {blob}}) == set()


@pytest.mark.parametrize(("stream", "type_", "plugin"), [
    ("dataset/s", "dataset.renamed", ""), ("plugin/component.acme", "plugin.component.acme.other", "component.acme"),
    ("plugin/component.gone", "plugin.component.gone.built", "component.gone"),
    ("plugin/observer.acme", "plugin.observer.acme.seen", "observer.acme"),
])  # fmt: skip
def test_an_event_of_a_type_that_no_component_declares_keeps_what_is_released(
    with_component, stream, type_, plugin, age
):
    project = with_component
    blob = age(project.blobs.put(b"index"), GRACE + 10)
    project.ledger.stream("dataset/s").append(PlainRecord("dataset.committed", {"index": blob}))
    project.ledger.stream(stream).append(PlainRecord(type_, {"blob": blob}), plugin=plugin)
    assert collected(project, released={"": {blob}, plugin: {blob}}) == set()


COMPONENT = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.components import Component
from mlopsfw.events import Blob, EventRecord

class Options(msgspec.Struct, forbid_unknown_fields=True):
    pass

class Built(EventRecord, frozen=True, kw_only=True):
    type = "plugin.component.acme.built"
    schema = 2
    upcasters = {1: lambda body: {"index": body["blob"]}}
    index: Blob = ""

def build(config, host):
    return Component(name="acme", events=(Built,), released=lambda: ["a" * 64])

@hookimpl
def mlopsfw_components():
    yield Provider("acme", Options, build)
"""


@pytest.fixture
def with_component(make_project, install_plugin):
    install_plugin(COMPONENT, "component.acme")
    return make_project()


def test_a_component_of_a_plugin_releases_in_the_plugins_name(with_component):
    given_up = released(with_component.components)
    assert given_up["component.acme"] == {"a" * 64}
    assert "a" * 64 not in given_up[""]


def test_a_plugin_emits_a_declared_type_in_its_newest_schema(with_component):
    project = with_component
    host, stream = project.host("component.acme"), "plugin/component.acme"
    project.ledger.stream(stream).append(PlainRecord("plugin.component.acme.built", {"blob": "b" * 64}), plugin="component.acme")  # fmt: skip
    emitted = [host.emit(stream, f"plugin.component.acme.{name}", {"index": "c" * 64}) for name in ("built", "other")]
    assert [event.version for event in emitted] == [2, 1]
    again = Project.open(project.root)
    assert [event.body for event in again.ledger.stream(stream).events()] == [{"index": c * 64} for c in "bcc"]
    again.close()


def test_the_young_are_kept_unless_nothing_else_is_at_work(project, age):
    old, young = age(project.blobs.put(b"old"), GRACE + 10), age(project.blobs.put(b"young"), GRACE - 10)
    done = collect(project.storage, project.ledger)
    assert (done.deleted, done.young) == ([old], 1)
    assert collected(project, grace=0) == {young}


@pytest.mark.parametrize("grace", [1.0, REFRESH, 2 * REFRESH - 1])
def test_a_grace_shorter_than_the_refresh_is_refused(project, grace):
    with pytest.raises(UsageError):
        collect(project.storage, project.ledger, grace=grace)


def test_a_blob_stored_again_is_young_again(project, age):
    digest = age(project.blobs.put(b"data"), GRACE + 10)
    BlobStore(project.storage, project.state / "other", project.clock).put(b"data")
    assert collected(project) == set()
    assert project.blobs.get(digest) == b"data"


def test_another_collection_at_work_is_not_disturbed_and_a_dead_one_is_passed_over(project, age):
    digest = age(project.blobs.put(b"data"), GRACE + 10)
    project.storage.put(PENDING, b"[]")
    with pytest.raises(Conflict):
        collect(project.storage, project.ledger)
    file = project.state / "store" / PENDING
    os.utime(file, (0, file.stat().st_mtime - 1000))
    assert collected(project) == {digest}
    assert not file.exists()


def test_what_crashes_left_in_the_ledger_is_finished(project):
    stream = project.ledger.stream("run/a")
    stream.append(PlainRecord("a.b", {}))
    stream.seal(PlainRecord("run.finished", {}))
    lines = project.storage.get(segment_key("run/a", 1)).split(b"\n")
    project.storage.delete(segment_key("run/a", 1))
    for seq in (1, 2):
        project.storage.put(entry_key("run/a", seq), lines[seq - 1])
    project.ledger.stream("run/b").append(PlainRecord("a.b", {}))
    assert collect(project.storage, project.ledger).tidied == ["run/a"]
    assert [e.key for e in project.storage.list("ledger/")] == [segment_key("run/a", 1), entry_key("run/b", 1)]


@pytest.mark.faults
def test_writers_that_reuse_old_blobs_while_collections_run_lose_none(project, age):
    """Every blob is old and unreferenced; writers store them again and name them, collectors delete what they can."""
    for round_ in range(5):
        data = [b"blob %d of %d" % (n, round_) for n in range(60)]
        for item in data:
            age(project.blobs.put(item), GRACE + 10)
        stop = threading.Event()
        collector = threading.Thread(target=collect_until, args=(project, stop))
        writers = [threading.Thread(target=store_again, args=(project, who, data[who::3])) for who in range(3)]
        for thread in (collector, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        stop.set()
        collector.join()
        there = {entry.key for entry in project.storage.list("objects/")}
        assert {key_of(sha256(item).hexdigest()) for item in data} <= there


class SlowToDelete:
    """A storage that thinks before it deletes, so that others come in between."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def delete(self, key):
        time.sleep(0.002)
        self._inner.delete(key)


def collect_until(project, stop):
    while not stop.is_set():
        collect(SlowToDelete(project.storage), project.ledger)


def store_again(project, who, data):
    for item in data:
        digest = BlobStore(project.storage, project.state / f"scratch{who}", project.clock).put(item)
        project.ledger.stream(f"run/{who}").append(PlainRecord("step.finished", {"blob": digest}))
