"""Long bodies beside short ones: computed in parts between which others are answered, with the answer of the whole, and within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import MANIFEST, ROW, SPEC, RuleBundle, RunningServer, infer_body

from mlopsfw.capturelog import appendlog
from mlopsfw.capturelog.records import decode_record
from mlopsfw.capturelog.times import Bounds
from mlopsfw.errors import AnswerMismatch, SignatureMismatch
from mlopsfw.kernel.base.clock import SystemClock
from mlopsfw.kernel.roles.bundle import Manifest, OutputColumn, SignatureColumn
from mlopsfw.privacy.requests import Requests
from mlopsfw.privacy.treatments import Treatment
from mlopsfw.serving.captures.frames import predictions_frame
from mlopsfw.serving.recorder import Recorder
from mlopsfw.worker import Scored, Scorer
from mlopsfw_deployer_http import inference, invocations, pieces, strict
from mlopsfw_deployer_http.batches import Batches
from mlopsfw_deployer_http.listener import Limits
from mlopsfw_deployer_http.message import Answer, Refusal, Request
from mlopsfw_deployer_http.pieces import Steps
from mlopsfw_deployer_http.strict import read, read_in_steps

pytestmark = pytest.mark.server

INFER = "/v2/models/delay/infer"
JSON = {b"content-type": b"application/json"}


def rows(count: int) -> list[dict[str, Any]]:
    return [{**ROW, "distance": float(n), "carrier": ("UA", "B6x")[n % 2]} for n in range(count)]


def in_full(steps: Steps[Any]) -> Any:
    """Take all steps; return the result."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def a_long(body: Mapping[str, Any]) -> Request:
    return Request("POST", INFER, JSON, json.dumps(body).encode())


# -- turns -----------------------------------------------------------------------------------------------------------------


class Slow(RuleBundle):
    """Takes longer for a call than a burst does; `sizes` are the rows of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.before: Callable[[], None] = lambda: None

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        self.sizes.append(len(columns["hour"]))
        self.before()
        time.sleep(0.005)
        return {"probability": np.zeros(len(columns["hour"]))}


def test_the_event_loop_takes_a_turn_between_any_two_parts_of_a_long_body(tmp_path: Path) -> None:
    bundle, turns, seen = Slow(), [0], []
    with RunningServer(tmp_path, bundle=bundle) as server:

        def before() -> None:
            seen.append(turns[0])
            server.listener.loop.call_soon_threadsafe(lambda: turns.__setitem__(0, turns[0] + 1))

        bundle.before = before
        status, _, _ = server.ask("POST", INFER, infer_body(*rows(30_000)))
    assert (status, sum(bundle.sizes)) == (200, 30_000)
    assert len(seen) > 10
    assert seen == list(range(len(seen)))


def test_short_and_medium_bodies_are_answered_while_a_long_one_is_computed(tmp_path: Path) -> None:
    bundle, order, begun = Slow(), [], threading.Event()
    bundle.before = begun.set
    with RunningServer(tmp_path, bundle=bundle) as server, ThreadPoolExecutor(2) as pool:

        def ask(name: str, count: int) -> None:
            assert server.ask("POST", INFER, infer_body(*rows(count)))[0] == 200
            order.append(name)

        long = pool.submit(ask, "long", 120_000)  # sixty parts
        assert begun.wait(20)
        ask("short", 1)
        ask("medium", 3_000)
        long.result()
    assert order == ["short", "medium", "long"]
    assert bundle.sizes.index(1_500) < len(bundle.sizes) - 10


def test_long_requests_take_turns_burst_by_burst() -> None:
    order = []

    class Stepwise:
        def answer_in_steps(self, request: Request) -> Steps[Answer]:
            for _ in range(5):
                order.append(request.path)
                time.sleep(0.003)  # longer than a burst
                yield
            return Answer(200, b"")

    async def both() -> None:
        batches = Batches(Stepwise(), 1_000)
        await asyncio.gather(*(batches.answer(Request("POST", path)) for path in "ab"))
        batches.close()

    asyncio.run(both())
    assert order == ["a", "b"] * 5


def test_a_request_that_takes_longer_than_it_may_is_refused_and_the_process_goes_on(tmp_path: Path) -> None:
    limits = Limits(compute=0.1)
    with RunningServer(tmp_path, bundle=Slow(), limits=limits) as server:
        status, body, _ = server.ask("POST", INFER, infer_body(*rows(120_000)))  # sixty parts, of 5 ms
        assert (status, body["error"]) == (413, "its answer takes more than 0.1 s to compute; send fewer rows")
        assert server.ask("POST", INFER, infer_body(*rows(3_000)))[0] == 200
        assert server.listener.batches.computing == 0


# -- the same answer -------------------------------------------------------------------------------------------------------


def scorer(bundle: Any) -> Scorer:
    nothing = Requests(Treatment({}), Treatment({}))
    return Scorer(bundle, Recorder(SPEC, bundle.manifest, SystemClock(), nothing, Bounds()))


def without_ids(body: bytes) -> bytes:
    return re.sub(rb"[0-9a-f]{32}", b"", body)


def body_of(answer: Answer) -> bytes:
    return b"".join([answer.body, *answer.chunks])


FORMS: dict[str, Callable[[list[dict[str, Any]]], dict[str, Any]]] = {
    "records": lambda r: {"dataframe_records": r},
    "split": lambda r: {"dataframe_split": {"columns": list(ROW), "data": [list(row.values()) for row in r]}},
    "instances": lambda r: {"instances": r, "params": {"id": "mine"}},
    "columns": lambda r: {"inputs": {name: [row[name] for row in r] for name in ROW}},
}


@pytest.mark.parametrize("count", [2_500, 5_001])
@pytest.mark.parametrize("form", [*FORMS, "infer"])
def test_a_long_body_has_the_bytes_of_the_whole_as_its_answer(form: str, count: int) -> None:
    served = scorer(RuleBundle())
    if form == "infer":
        request = a_long(infer_body(*rows(count), id="mine"))
        whole, parts = inference.infer(served, request), in_full(inference.infer_in_steps(served, request))
    else:
        request = a_long(FORMS[form](rows(count)))
        whole, parts = invocations.invoke(served, request), in_full(invocations.invoke_in_steps(served, request))
    assert len(parts.earlier) > 0
    assert without_ids(body_of(parts)) == without_ids(body_of(whole))
    assert (parts.total, parts.status) == (whole.total, whole.status) == (count, 200)


def test_capture_keeps_the_rows_of_a_long_body_as_those_of_a_short_one(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        answer = server.ask("POST", INFER, infer_body(*rows(5_000), id="mine"))[1]
        header = server.capture._header
    (segment,) = appendlog.segments(tmp_path)
    placed = [(offset, decode_record(payload)) for offset, payload in list(appendlog.read(segment))[1:]]
    assert len(placed) > 1
    frame = predictions_frame(msgspec.msgpack.decode(header, type=_header_type()), "s", placed)
    assert frame["prediction_id"].to_list() == answer["parameters"]["prediction_ids"]
    assert frame["client_request_row"].to_list() == list(range(5_000))
    assert frame["probability"].to_list() == answer["outputs"][0]["data"]
    assert frame["processed_time"].n_unique() == 1


def _header_type() -> Any:
    from mlopsfw.capturelog.records import Header

    return Header


class Recording(RuleBundle):
    """Answers with columns of a signature of its own; `sizes` are the rows of each call."""

    def __init__(self, answer: Callable[[int, int], Mapping[str, np.ndarray]], **manifest: Any) -> None:
        super().__init__()
        self.manifest: Manifest = msgspec.structs.replace(MANIFEST, **manifest)
        self.sizes: list[int] = []
        self._answer, self._scored = answer, 0

    def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
        values = np.array(columns["distance"], dtype=float)
        self.sizes.append(len(values))
        return self._answer(int(values[0]), len(values))


KINDS_OF_OUTPUT: dict[str, tuple[OutputColumn, Callable[[np.ndarray], np.ndarray]]] = {
    "string": (OutputColumn(name="y", type="string"), lambda at: np.array([f"{'é' * (n % 7)}{n}" for n in at])),
    "object": (OutputColumn(name="y", type="string"), lambda at: np.array([str(n) for n in at], dtype=object)),
    "datetime": (OutputColumn(name="y", type="datetime"), lambda at: at.astype("M8[us]")),
    "tensor": (
        OutputColumn(name="y", type="tensor", dtype="float32", shape=(2, 2)),
        lambda at: np.repeat(at[:, None], 4, axis=1).reshape(-1, 2, 2).astype("f4") / 3,
    ),
    "integer": (OutputColumn(name="y", type="integer"), lambda at: at),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS_OF_OUTPUT)
@pytest.mark.parametrize("protocol", ["infer", "invocations"])
def test_outputs_of_every_type_are_joined(kind: str, protocol: str) -> None:
    column, make = KINDS_OF_OUTPUT[kind]
    bundle = Recording(lambda first, n: {"y": make(np.arange(first, first + n))}, task="regression", outputs=(column,))
    served = scorer(bundle)
    if protocol == "infer":
        request = a_long(infer_body(*rows(4_500)))
        whole, parts = inference.infer(served, request), in_full(inference.infer_in_steps(served, request))
    else:
        request = a_long(FORMS["records"](rows(4_500)))
        whole, parts = invocations.invoke(served, request), in_full(invocations.invoke_in_steps(served, request))
    assert without_ids(body_of(parts)) == without_ids(body_of(whole))
    assert len(bundle.sizes) > 2


def scored(bundle: RuleBundle, count: int) -> list[Scored]:
    columns = {name: [row[name] for row in rows(count)] for name in ROW}
    return in_full(scorer(bundle).score_in_steps(columns, None, None))


OPEN = SignatureColumn(name="distance", type="tensor", dtype="float64", shape=(None,))


@pytest.mark.parametrize(
    "changes", [{"task": "ranking"}, {"inputs": (OPEN, *MANIFEST.inputs[1:])}], ids=["ranking", "open side"]
)
def test_a_model_whose_rows_may_depend_on_each_other_is_asked_about_all_of_them(changes: dict[str, Any]) -> None:
    bundle = Recording(lambda _, n: {"probability": np.arange(n) / n}, **changes)
    parts = scored(bundle, 5_000)
    assert (bundle.sizes, len(parts) > 1) == ([5_000], True)
    assert [p for part in parts for p in part.lists["probability"]] == (np.arange(5_000) / 5_000).tolist()


def test_where_the_answers_for_the_parts_differ_in_type_the_model_is_asked_about_all_rows() -> None:
    bundle = Recording(lambda first, n: {"probability": np.zeros(n, dtype="f4" if first else "f8")})
    assert len({part.outputs["probability"].dtype for part in scored(bundle, 5_000)}) == 1
    assert bundle.sizes[-1] == 5_000


def test_a_part_has_many_rows_however_wide_they_are() -> None:
    inputs = tuple(SignatureColumn(name=f"c{n}", type="number") for n in range(9_999)) + MANIFEST.inputs[:1]
    bundle = Recording(lambda _, n: {"probability": np.zeros(n)}, inputs=inputs)
    columns = {column.name: [0.0] * 50 for column in inputs}
    in_full(scorer(bundle).score_in_steps(columns, None, None))
    assert min(bundle.sizes) > 4
    assert max(bundle.sizes) <= 8


def test_a_part_of_large_tensors_has_few_rows() -> None:
    tensor = SignatureColumn(name="image", type="tensor", dtype="float32", shape=(16, 16))
    bundle = Recording(lambda _, n: {"probability": np.zeros(n)}, inputs=(tensor, *MANIFEST.inputs[:1]))
    columns = {"image": [[[0.5] * 16] * 16] * 200, "distance": [1.0] * 200}
    in_full(scorer(bundle).score_in_steps(columns, None, None))
    assert 24 < max(bundle.sizes) < 32


@pytest.mark.parametrize("form", ["records", "infer"])
def test_more_rows_than_memory_should_hold_are_refused(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(strict, "MOST_ROWS", 300)
    body = infer_body(*rows(301)) if form == "infer" else FORMS[form](rows(301))
    answer = inference.infer_in_steps if form == "infer" else invocations.invoke_in_steps
    with pytest.raises(Refusal, match="301 rows; send at most 300") as raised:
        in_full(answer(scorer(RuleBundle()), a_long(body)))
    assert raised.value.status == 413


def test_a_value_that_does_not_fit_is_named_by_its_row_in_the_body_and_nothing_is_captured(tmp_path: Path) -> None:
    sent = rows(5_000)
    sent[4_321]["hour"] = "seven"
    with RunningServer(tmp_path) as server:
        status, answer, _ = server.ask("POST", INFER, infer_body(*sent))
        assert (status, server.capture.captured) == (400, 0)
    assert "row 4321" in answer["error"]


def test_a_wrong_answer_is_named_by_its_row_in_the_body() -> None:
    def answer(first: int, count: int) -> Mapping[str, np.ndarray]:
        if first <= 4_321 < first + count:
            raise AnswerMismatch("m", "y", f"row {4_321 - first}: 7 is above 1")
        return {"probability": np.zeros(count)}

    with pytest.raises(AnswerMismatch, match="row 4321: "):
        scored(Recording(answer), 5_000)


def test_the_row_of_a_mismatch_in_a_later_part_is_counted_from_the_first() -> None:
    class Odd(RuleBundle):
        def predict(self, columns: Mapping[str, Any]) -> Mapping[str, np.ndarray]:
            if 3_000.0 in columns["distance"]:
                raise SignatureMismatch("odd", column="distance", row=columns["distance"].index(3_000.0))
            return super().predict(columns)

    with pytest.raises(SignatureMismatch) as raised:
        scored(Odd(), 5_000)
    assert raised.value.row == 3_000


# -- decoding in pieces ----------------------------------------------------------------------------------------------------

texts = st.text(st.sampled_from('ab,"\\[]{}: é'), max_size=6)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5), max_leaves=40
)
bodies = st.fixed_dictionaries(
    {}, optional={"instances": st.lists(values, max_size=9), "inputs": values, "dataframe_records": values, "x": values}
)


@given(bodies, st.booleans(), st.binary(max_size=2), st.integers(0, 400), st.booleans())
def test_a_body_decoded_in_pieces_is_the_body_decoded_at_once(
    body: dict[str, Any], spaced: bool, noise: bytes, at: int, damaged: bool
) -> None:
    text = json.dumps(body, ensure_ascii=at % 2 == 0, separators=None if spaced else (",", ":")).encode()
    if damaged:
        text = text[: at % (len(text) + 1)] + noise + text[at % (len(text) + 1) :]
    request, results = Request("POST", INFER, JSON, text), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE", 12)
        patch.setattr(pieces, "_WIDE", 12)
        for whole in (True, False):
            try:
                decoder = invocations._decoder
                results.append(repr(read(request, decoder) if whole else in_full(read_in_steps(request, decoder))))
            except Refusal as refusal:
                results.append(refusal.message)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "row", [[0.5] * 4, ["a,b", 'q"],', "\\"], {"a": [1, 2], "b": "],"}, [[1, [2]], {"c": {}}], "x" * 9]
)
def test_no_piece_is_longer_than_its_bound_whatever_the_rows_are(row: Any) -> None:
    longest: list[int] = []

    def counted(text: bytes) -> list[Any]:
        longest.append(len(text))
        return msgspec.json.decode(text)

    body = json.dumps({"instances": [row] * 30_000}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_list", counted)
        assert in_full(pieces.decoded(body)) == {"instances": [row] * 30_000}
    assert len(longest) > len(body) // pieces.PIECE
    assert max(longest) <= pieces.PIECE + 1


# -- bounds ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[RunningServer, Slow, threading.Event]]:
    """A server whose model waits until the event is set."""
    bundle, go = Slow(), threading.Event()
    bundle.before = lambda: go.wait(20) and None
    with RunningServer(tmp_path, bundle=bundle, limits=Limits(body=len(message(12_000)))) as server:
        try:
            yield server, bundle, go
        finally:
            go.set()


def message(count: int) -> bytes:
    body = json.dumps(infer_body(*rows(count))).encode()
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_where_too_many_bytes_wait_long_bodies_are_told_to_come_back_and_short_ones_are_answered(held: Any) -> None:
    server, _, go = held
    room = server.listener.batches._free
    with contextlib.ExitStack() as stack:
        connections = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(9)]
        clients = [stack.enter_context(connection) for connection in connections]
        for client in clients:
            client.sendall(message(12_000))
        _refused_until_there_is_room(server, go, clients)
    until(lambda: server.listener.batches._free == room)
    assert server.ask("POST", INFER, infer_body(*rows(12_000)))[0] == 200


def _refused_until_there_is_room(server: RunningServer, go: threading.Event, clients: list[socket.socket]) -> None:
    refused = [server.ask("POST", INFER, infer_body(*rows(12_000))) for _ in range(3)]
    assert {(status, headers["retry-after"]) for status, _, headers in refused} == {(503, "1")}
    assert server.ask("GET", "/v2/health/ready")[0] == 200
    go.set()
    answers = [client.recv(12) for client in clients]
    assert sorted(answers)[:8] == [b"HTTP/1.1 200"] * 8


def test_a_client_that_reads_slowly_holds_its_room_until_it_has_read(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server, socket.socket() as client:
        room = server.listener.batches._free
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(message(100_000))
        until(lambda: server.service._metrics.rows == 100_000)
        time.sleep(0.1)
        assert server.listener.batches._free < room
        client.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while client.recv(1 << 20):
                pass
        until(lambda: server.listener.batches._free == room)


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_a_client_that_leaves_is_computed_for_no_longer(tmp_path: Path, reset: bool) -> None:
    bundle, begun = Slow(), threading.Event()

    def before() -> None:
        begun.set()
        time.sleep(0.02)

    bundle.before = before
    with RunningServer(tmp_path, bundle=bundle) as server:
        room = server.listener.batches._free
        client = socket.create_connection(("127.0.0.1", server.port))
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(message(150_000))
        assert begun.wait(20)
        client.close()
        until(lambda: server.listener.open == 0)
        assert server.listener.batches._free == room
        scored = len(bundle.sizes)
        time.sleep(0.2)
        assert len(bundle.sizes) <= scored + 1
        assert (server.capture.captured, sum(bundle.sizes) < 150_000) == (0, True)
        assert server.ask("POST", INFER, infer_body(*rows(3_000)))[0] == 200


def test_a_client_that_only_sends_no_more_gets_the_answer_to_its_long_body(tmp_path: Path) -> None:
    with (
        RunningServer(tmp_path, bundle=Slow()) as server,
        socket.create_connection(("127.0.0.1", server.port)) as client,
    ):
        client.sendall(message(80_000))
        client.shutdown(socket.SHUT_WR)
        client.settimeout(20)
        answer = b"".join(iter(lambda: client.recv(1 << 20), b""))
    interim, _, rest = answer.partition(b"\r\n\r\n")
    assert interim == b"HTTP/1.1 100 Continue"
    assert rest.startswith(b"HTTP/1.1 200")
    assert rest.count(b"0.0,") > 79_000


def test_the_body_of_a_closed_or_idle_connection_is_freed_without_a_collection(tmp_path):
    body = f'{{"inputs": [], "id": "{"x" * 1_000_000}"}}'.encode()
    head = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    with RunningServer(tmp_path / "captures") as server, contextlib.ExitStack() as stack:
        gc.disable()  # a server collects old objects rarely
        tracemalloc.start()
        stack.callback(gc.enable)
        stack.callback(tracemalloc.stop)
        for connection in range(20):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            whole = connection % 2
            client.sendall(head % (INFER.encode(), len(body)) + body[: None if whole else -1])
            if whole:
                assert b" 400 " in client.recv(4096)  # and it stays open
            else:
                client.close()
        time.sleep(0.1)
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
