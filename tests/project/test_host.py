"""A provider's host: values of its own, a client that calls public addresses, a log; and the fake one refuses alike."""

from __future__ import annotations

import datetime as dt
import io
import math
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout, suppress
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from mlopsfw.http import AddressRefused, EgressError
from mlopsfw.kernel.base.errors import (
    AnswerMismatch,
    ConfigError,
    Corrupt,
    DataError,
    MlopsfwError,
    NotFound,
    PluginError,
    SignatureMismatch,
    UsageError,
)
from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.pipeline.run import metrics
from mlopsfw.project.facade import Project
from mlopsfw.roles import EndpointSpec, Host, Manifest, OutputColumn, SignatureColumn, StorageHost
from mlopsfw.testing.host import FakeHost
from mlopsfw.testing.memory import MemoryStorage
from mlopsfw.testing.storage import StorageConformance

KEY = "alerter.acme"


@pytest.fixture(params=["real", "fake"])
def make_host(request, make_project, tmp_path):
    """Return a maker of hosts: those of a project, and the fake one, which must do and refuse the same."""

    def make(key=KEY, *, allow_private=False):
        if request.param == "fake":
            return FakeHost(tmp_path / "fake", key, allow_private=allow_private)
        return make_project(f'[plugins]\nallow_private = ["{key}"]\n' if allow_private else "").host(key)

    return make


class TestMemoryStorage(StorageConformance):
    whole_objects = True

    @pytest.fixture
    def storage(self):
        return MemoryStorage()


def test_a_state_is_kept_by_name_and_replaced(make_host):
    host = make_host()
    assert host.state.get("cursor") is None
    for value in ({"seq": 1}, [1, "a", None], 0, False, None, "text"):
        host.state.put("cursor", value)
        assert host.state.get("cursor") == value
    assert make_host("alerter.other").state.get("cursor") is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "A b", "a\0"])
def test_a_name_of_a_value_that_could_leave_its_place_is_refused(make_host, name):
    with pytest.raises(UsageError):
        make_host().state.put(name, 1)


def test_a_value_that_is_too_large_is_refused(make_host):
    with pytest.raises(PluginError, match="at most 65,536"):
        make_host().state.put("a", "x" * 70_000)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        math.nan,
        {"a": [1, {"b": -math.inf}]},
        np.float64("nan"),
        {1, 2},
        b"bytes",
        1 << 64,
        {1: 2},
        "\ud83d",
        {"$float": "nan"},
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    ],
)
def test_a_value_that_is_no_json_is_refused_and_the_former_one_stays(make_host, value):
    state = make_host().state
    state.put("a", "former")
    with pytest.raises(PluginError, match="the value 'a'"):
        state.put("a", value)
    assert state.get("a") == "former"


def test_a_value_of_json_comes_back_as_it_was(make_host):
    state, value = make_host().state, {"a": [1, -2.5, None, True, 'text {"$float":', {}], "b": np.int64(3)}
    state.put("a", value)
    assert state.get("a") == value


@pytest.mark.parametrize("parts", [("..",), ("a", "../b"), ("/etc",), ("",), (".",), ("a\0",), ("a/b",), ("~",)])
def test_a_folder_that_is_no_name_is_refused_and_not_made(make_host, parts):
    host = make_host()
    above = host.private_folder().parent
    before = sorted(above.parent.rglob("*"))
    with pytest.raises(UsageError, match="folder"):
        host.private_folder(*parts)
    assert sorted(above.parent.rglob("*")) == before


def test_threads_that_keep_a_value_at_once_leave_one_of_theirs_and_nothing_else(make_host):
    host, values = make_host(), [str(number) * 60_000 for number in range(8)]

    def keep(value):
        for _ in range(40):
            host.state.put("cursor", value)
            assert host.state.get("cursor") in values

    with ThreadPoolExecutor(len(values)) as threads:
        list(threads.map(keep, values))
    assert [file.name for file in host.private_folder("state").iterdir()] == ["cursor.json"]


def test_a_value_is_on_the_disk_before_it_replaces_the_last_and_its_name_after(make_project, monkeypatch):
    host, acts = make_project().host(KEY), []
    folder, sync, replace = host.private_folder("state"), os.fsync, Path.replace
    names = {folder.stat().st_ino: "folder"}

    def record_sync(handle):
        acts.append(names.get(os.fstat(handle).st_ino, "file"))
        sync(handle)

    def record_replace(file, target):
        acts.append("replace")
        return replace(file, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "replace", record_replace)
    host.state.put("cursor", 1)
    assert acts == ["file", "replace", "folder"]


@pytest.mark.parametrize("content", [b"", b'{"seq": ', b'"\xff"'])
def test_a_value_whose_file_is_damaged_is_an_error_that_names_the_file(make_project, content):
    host = make_project().host(KEY)
    host.state.put("cursor", 1)
    (file,) = host.private_folder("state").iterdir()
    file.write_bytes(content)
    with pytest.raises(Corrupt, match=r"cursor\.json") as caught:
        host.state.get("cursor")
    assert "Delete" in caught.value.hint


@pytest.mark.parametrize("verb", ["get", "post"])
def test_the_time_limit_holds_for_the_whole_exchange_however_the_answer_drips(make_host, verb):
    """The server ends its answer after 3 s: each byte comes well within the limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_drip, args=(server,))
        thread.start()
        http, url = make_host(allow_private=True).http, f"http://127.0.0.1:{server.getsockname()[1]}/"
        began = time.monotonic()
        with pytest.raises(EgressError, match=r"did not finish its answer in 0\.5 s"):
            http.get(url, timeout=0.5) if verb == "get" else http.post(url, b"", timeout=0.5)
        assert time.monotonic() - began < 2
        thread.join()


def _drip(server):
    connection, _ = server.accept()
    with connection, suppress(OSError):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
        for _ in range(30):
            connection.sendall(b"x")
            time.sleep(0.1)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://169.254.169.254/latest", "http://10.0.0.1/"])
def test_private_addresses_are_refused_unless_the_configuration_names_the_plugin(make_host, url):
    for call in (lambda: make_host().http.get(url), lambda: make_host().http.post(url, b"")):
        with pytest.raises(AddressRefused):
            call()


@pytest.mark.server
def test_a_plugin_that_the_configuration_names_calls_private_addresses(make_host):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"x" * 100
            self.send_response(418)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that the server calls

        def log_message(self, *_):
            return

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        http = make_host(allow_private=True).http
        assert (http.get(url, most=10).status, http.get(url, most=10).body) == (418, b"x" * 10)
        assert http.post(url, b"a").body == b"x" * 100
        server.shutdown()


def test_a_line_of_a_plugin_is_in_the_projects_log_with_its_name(make_host):
    host = make_host()
    host.log("first")
    host.log("Grüße\nzwei \x1b[2J")
    lines = (host.root / ".mlopsfw" / "plugins.log").read_text().splitlines()
    assert [line.partition(" ")[2] for line in lines] == [
        "alerter.acme: first", "alerter.acme: Grüße\\nzwei \\x1b[2J",
    ]  # fmt: skip


def test_a_line_of_a_plugin_in_a_step_is_in_the_log_of_the_step(make_host, tmp_path):
    host, out = make_host(), io.StringIO()
    with metrics.logging_to(metrics.MetricLog(tmp_path / "m", "a")), redirect_stdout(out):
        host.log("trained")
    assert out.getvalue() == "alerter.acme: trained\n"


FORBIDDEN = [
    ("stream", lambda host: host.emit("model/orders", "plugin.alerter.acme.x", {})),
    ("another plugin's", lambda host: host.emit("plugin/alerter.other", "plugin.alerter.acme.x", {})),
    ("type", lambda host: host.emit("plugin/alerter.acme", "some.type", {})),
    ("table", lambda host: host.tables.append("captures/orders", pa.table({"a": [1]}))),
    ("key", lambda host: host.tables.append("plugin/alerter.other/a", pa.table({"a": [1]}))),
]


@pytest.mark.parametrize(("what", "act"), FORBIDDEN, ids=[what for what, _ in FORBIDDEN])
def test_what_is_not_the_plugins_own_is_refused(make_host, what, act):
    with pytest.raises(PluginError):
        act(make_host())


@pytest.mark.parametrize("part", ["blobs", "tables", "bundles"])
def test_a_storage_gets_nothing_that_needs_a_storage(make_host, part):
    host = make_host("storage.acme")
    assert host.clock.now() > 0
    with pytest.raises(PluginError, match=part):
        getattr(host, part)


def test_events_blobs_and_tables_are_those_of_a_project(make_host):
    host = make_host()
    event = host.emit("plugin/alerter.acme/a", "plugin.alerter.acme.sent", {"n": 1})
    assert (event.seq, event.actor) == (1, "plugin:alerter.acme")
    assert [each.body for each in host.events("plugin/alerter.acme/a")] == [{"n": 1}]
    assert host.blobs.get(host.blobs.put(b"bytes")) == b"bytes"
    with pytest.raises(NotFound):
        host.blobs.get("0" * 64)
    name = "plugin/alerter.acme/t"
    first = host.tables.append(name, pa.table({"a": [1]}))
    second = host.tables.append(name, pa.table({"a": [2], "b": ["x"]}))
    assert second > first
    assert sorted(host.tables.read(name).read_all()["a"].to_pylist()) == [1, 2]
    assert host.tables.read(name, first).read_all().num_rows == 1
    with pytest.raises(NotFound):
        host.tables.read("plugin/alerter.acme/absent")
    with pytest.raises(DataError):
        host.tables.append(name, pa.table({"a": ["text"]}))


MANIFEST = Manifest(
    task="regression", target="late", formats={}, files={}, classes=(),
    inputs=(SignatureColumn(name="hour", type="integer"), SignatureColumn(name="carrier", type="string")),
    outputs=(OutputColumn(name="minutes", type="number"),),
)  # fmt: skip
SPEC = EndpointSpec(endpoint="delay", model="delay", version=3, bundle="b" * 64, revision=2)
ASKED = {"hour": [7, 8], "carrier": ["United", "Alaska"]}


@pytest.mark.parametrize("columns", [ASKED, {name: np.array(values) for name, values in ASKED.items()}])
def test_what_a_deployer_captures_is_found_as_what_the_server_captures(make_host, columns):
    host = make_host("deployer.acme")
    capture = host.capture(SPEC, MANIFEST)
    ids = capture.write(columns, {"minutes": [1.5, 2.5]}, event_time="2026-01-02T00:00:00Z", request_id="r")
    capture.close()
    assert capture.lost == 0
    with Project.open(host.root, config=ProjectConfig(name="p")) as project:
        rows = project.captures.scan("delay").sort("prediction_id").collect()
    assert rows["prediction_id"].to_list() == sorted(ids)
    assert rows.select("hour", "carrier", "minutes", "version", "revision", "client_request_id").rows() == [
        (7, "United", 1.5, 3, 2, "r"), (8, "Alaska", 2.5, 3, 2, "r"),
    ]  # fmt: skip
    assert {str(time) for time in rows["event_time"]} == {"2026-01-02 00:00:00+00:00"}


def test_what_is_captured_outlives_a_writer_that_is_never_closed(make_host):
    host = make_host("deployer.acme")
    kept = host.capture(SPEC, MANIFEST)
    ids = kept.write(ASKED, {"minutes": [1.5, 2.5]})
    with Project.open(host.root, config=ProjectConfig(name="p")) as project:
        assert sorted(project.captures.scan("delay").collect()["prediction_id"]) == sorted(ids)
    kept.close()


def test_personal_columns_are_treated_as_in_training_and_kept_so(make_host):
    host, spec = make_host("deployer.acme"), msgspec.structs.replace(SPEC, pii={"carrier": "mask", "name": "drop"})
    asked = ASKED | {"name": ["Ada", "Bob"]}
    assert host.treat_pii(asked, spec.pii) == {"hour": [7, 8], "carrier": ["U***", "A***"]}
    assert asked["carrier"] == ["United", "Alaska"]
    capture = host.capture(spec, MANIFEST)
    capture.write(asked, {"minutes": [1.5, 2.5]})
    capture.close()
    log = b"".join(file.read_bytes() for file in (host.root / ".mlopsfw" / "captures" / "delay").iterdir())
    assert b"U***" in log
    assert b"United" not in log
    assert b"Ada" not in log


def test_a_column_that_a_dataset_marks_is_captured_treated_though_the_model_learned_it(make_project):
    project = make_project('[privacy]\nkey = "file:key"\n[data.people.pii]\ncarrier = "hash"\n')
    (project.root / "key").write_text("ab" * 32)
    capture = project.host("deployer.acme").capture(SPEC, MANIFEST)
    capture.write(ASKED, {"minutes": [1.5, 2.5]})
    capture.close()
    kept = project.captures.scan("delay").collect()["carrier"].to_list()
    assert all(len(value) == 64 for value in kept)


WRONG = {
    "an input that is missing": ({"hour": [1]}, {"minutes": [1.0]}, {}, SignatureMismatch),
    "an input of another type": ({"hour": ["x"], "carrier": ["UA"]}, {"minutes": [1.0]}, {}, SignatureMismatch),
    "inputs of two lengths": ({"hour": [1, 2], "carrier": ["UA"]}, {"minutes": [1.0]}, {}, SignatureMismatch),
    "a time without a zone": (ASKED, {"minutes": [1.0, 2.0]}, {"event_time": "2026-01-01"}, SignatureMismatch),
    "outputs of another length": (ASKED, {"minutes": [1.0]}, {}, AnswerMismatch),
    "an output that the model lacks": (ASKED, {"hours": [1.0, 2.0]}, {}, AnswerMismatch),
    "an output that is not finite": (ASKED, {"minutes": [1.0, float("nan")]}, {}, AnswerMismatch),
}


@pytest.mark.parametrize(("columns", "outputs", "more", "kind"), WRONG.values(), ids=WRONG)
def test_what_the_manifest_does_not_declare_is_not_captured(make_host, columns, outputs, more, kind):
    host = make_host("deployer.acme")
    capture = host.capture(SPEC, MANIFEST)
    with pytest.raises(kind):
        capture.write(columns, outputs, **more)
    capture.close()
    with Project.open(host.root, config=ProjectConfig(name="p")) as project:
        assert project.captures.scan("delay").collect().is_empty()


@pytest.mark.parametrize("key", ["alerter.acme", "monitor.acme", "observer.acme", "storage.acme"])
def test_only_a_deployer_captures(make_host, key):
    with pytest.raises(PluginError):
        make_host(key).capture(SPEC, MANIFEST)


def test_a_hashed_column_without_a_key_is_an_error_that_names_the_key(make_host):
    with pytest.raises(ConfigError, match="key to hash"):
        make_host("deployer.acme").treat_pii(ASKED, {"carrier": "hash"})


def test_a_secret_that_is_not_there_is_an_error_that_names_it(make_host):
    with pytest.raises(MlopsfwError, match="ACME_NO_SUCH"):
        make_host().secrets.resolve("env:ACME_NO_SUCH")


def test_the_members_of_a_storages_host_are_those_that_need_no_storage():
    def own(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert own(Host) - own(StorageHost) == {
        "blobs", "tables", "bundles", "emit", "events", "capture", "treat_pii",
    }  # fmt: skip
