"""Serving beside its peers: one worker each, the same bundle, the same machine, in turns. Needs `wrk` (Debian: wrk) and fastapi.

Run: python -m pytest benchmarks/bench_serving.py --benchmark-only

Ours does what it always does: validates, allocates an id, captures to disk before it answers, counts. The clients share the cores
with the server, so ratios mean something and the figures themselves little.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.extend(map(str, (Path(__file__).parent, Path(__file__).parents[1] / "tests" / "plugins")))
import serving_load
from bundles import write_bundle
from serving import ROW, ask, infer_body

from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.project.facade import Project

ROUNDS, SECONDS = 3, 2
TOML = '[project]\nname = "bench"\n[deployer.http]\ndrain_seconds = 0.1\ncompact_seconds = 0\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def project(folder):
    (folder / "mlopsfw.toml").write_text(TOML)
    with Project.open(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def bundle(project, folder):
    return write_bundle(project, folder / "bundle", 0.0)


@pytest.fixture(scope="module")
def servers(project, bundle, folder):
    """URLs of the three servers, and what each is sent for one row."""
    with contextlib.ExitStack() as stack:
        stack.callback(project.providers.deployer().deployer.stop, "bench")
        ours = (
            project.providers.deployer()
            .deployer.deploy(EndpointSpec(endpoint="bench", model="bench", version=1, bundle=bundle, revision=1))
            .url
        )
        body = json.dumps(infer_body(ROW))
        found = {
            "ours": (f"{ours}/v2/models/bench/infer", body),
            "echo": (stack.enter_context(_granian(project, folder, "rsgi", "serving_peers:echo")) + "/", body),
            "fastapi": (stack.enter_context(_uvicorn(project, folder)) + "/predict", json.dumps({"rows": [ROW]})),
        }
        _assert_alike(_port(found["ours"][0]), _port(found["fastapi"][0]))
        yield found


def _port(url):
    return int(url.split(":")[2].split("/")[0])


def _assert_alike(ours, fastapi):
    mine = ask(ours, "POST", "/v2/models/bench/infer", infer_body(ROW))[1]["outputs"][0]["data"]
    assert mine == pytest.approx(ask(fastapi, "POST", "/predict", {"rows": [ROW]})[1]["probability"])


def _granian(project, folder, interface, target):
    port = _free()
    command = [
        Path(sys.executable).with_name("granian"),
        "--interface",
        interface,
        "--workers",
        "1",
        "--no-ws",
        "--port",
        str(port),
    ]
    return _process([*map(str, command), "--host", "127.0.0.1", "--log-level", "error", target], project, folder, port)


def _uvicorn(project, folder):
    port = _free()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "error",
        "serving_peers:app",
    ]
    return _process(command, project, folder, port)


@contextlib.contextmanager
def _process(command, project, folder, port):
    environment = {**os.environ, "BENCH_PROJECT": str(project.root), "BENCH_BUNDLE": str(folder / "bundle")}
    with subprocess.Popen(command, cwd=Path(__file__).parent, env=environment) as process:
        try:
            _until_listening(port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _free():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _until_listening(port):
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError(port)


def _wrk(folder, url, body, connections):
    """Return requests per second and the median latency in seconds; every answer must be a 200."""
    script = folder / "post.lua"
    script.write_text(f'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body={json.dumps(body)}\n'
                      'done=function(s,l,r) io.write(string.format("RESULT %f %f %d\\n", s.requests/s.duration*1e6, l:percentile(50)/1e6, '
                      's.errors.status+s.errors.read+s.errors.write+s.errors.connect)) end\n')  # fmt: skip
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(script), url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, median, errors = shown.split("RESULT ")[1].split()
    assert errors == "0", shown
    return float(rate), float(median)


@pytest.mark.parametrize("connections", [1, 16, 64])
def test_one_row_as_json(benchmark, servers, folder, connections):
    seen = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, (url, body) in servers.items():
            seen[name].append(_wrk(folder, url, body, connections))
    rate = {name: statistics.median(r for r, _ in runs) for name, runs in seen.items()}
    wait = {name: statistics.median(w for _, w in runs) for name, runs in seen.items()}
    benchmark.extra_info.update(rate=rate, wait=wait)
    print(
        f"\n    {connections} connections: "
        + ", ".join(f"{n} {r:,.0f}/s p50 {wait[n] * 1e6:,.0f} µs" for n, r in rate.items())
        + f"; of the echo {rate['ours'] / rate['echo']:.2f}, FastAPI {rate['ours'] / rate['fastapi']:.1f} times"
    )
    benchmark.pedantic(_wrk, args=(folder, *servers["ours"], connections), rounds=1)


def test_a_thousand_rows(benchmark, servers):
    port, peer = _port(servers["ours"][0]), _port(servers["fastapi"][0])
    rows = [{**ROW, "distance": float(n)} for n in range(1000)]
    body = json.dumps(infer_body(*rows)).encode()
    theirs = json.dumps({"rows": rows}).encode()
    peer_seconds = min(_timed(lambda: ask(peer, "POST", "/predict", theirs)) for _ in range(20))
    benchmark.pedantic(ask, args=(port, "POST", "/v2/models/bench/infer", body), rounds=20, warmup_rounds=3)
    print(f"\n    1,000 rows: {benchmark.stats.stats.min * 1e3:.1f} ms, FastAPI {peer_seconds * 1e3:.1f} ms")


@pytest.fixture(scope="module")
def beside(project, bundle):
    """The port of a server of ours alone."""
    deployer = project.providers.deployer().deployer
    spec = EndpointSpec(endpoint="beside", model="beside", version=1, bundle=bundle, revision=1)
    yield _port(deployer.deploy(spec).url)
    deployer.stop("beside")


@pytest.mark.parametrize("form", ["infer", "records"])
def test_single_rows_beside_bodies_of_100_000(benchmark, beside, form):
    """50 single rows a second, alone and beside three clients that each send 100,000 rows again and again."""
    port, infer = beside, "/v2/models/beside/infer"
    rows = [{**ROW, "distance": n / 7} for n in range(100_000)]
    long = json.dumps(infer_body(*rows) if form == "infer" else {"dataframe_records": rows}).encode()
    path = infer if form == "infer" else "/invocations"

    def measured(clients):
        others = [serving_load.start(port, path, 12.0, 0, long) for _ in range(clients)]
        time.sleep(1.5 * bool(clients))
        short = serving_load.seconds_of(serving_load.start(port, infer, 10.0, 50, json.dumps(infer_body(ROW)).encode()))
        return short, [each for other in others for each in serving_load.seconds_of(other)]

    alone, _ = measured(0)
    beside, long_seconds = benchmark.pedantic(measured, args=(3,), rounds=1)
    for name, seconds in (("alone", alone), ("beside", beside)):
        half, most = statistics.median(seconds), seconds[int(len(seconds) * 0.99)]
        print(f"\n    {form}: a row {name}: median {half * 1e3:.1f} ms, p99 {most * 1e3:.1f} ms")
    print(f"    {form}: 100,000 rows: median {statistics.median(long_seconds):.2f} s, {len(long_seconds)} bodies")


def _timed(act):
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def test_start_to_first_answer_and_memory(benchmark, project, bundle):
    revision = iter(range(1, 100))

    def start():
        spec = EndpointSpec(endpoint="start", model="start", version=1, bundle=bundle, revision=next(revision))
        url = project.providers.deployer().deployer.deploy(spec).url
        assert ask(int(url.rsplit(":", 1)[1]), "POST", "/v2/models/start/infer", infer_body(ROW))[0] == 200

    def stopped():
        project.providers.deployer().deployer.stop("start")

    benchmark.pedantic(start, setup=stopped, rounds=5)
    facts = project.providers.deployer().deployer.status("start").facts
    memory = {name: _resident(facts[name]) for name in ("worker", "supervisor")}
    stopped()
    print(
        f"\n    start to first answer {benchmark.stats.stats.median:.2f} s; server {memory['worker']:.0f} MB, supervisor {memory['supervisor']:.0f} MB"
    )


def _resident(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
