"""The clients of `bench_serving.py` that send long bodies and single rows at once; each runs in a process of its own.

`python serving_load.py PORT PATH SECONDS RATE` sends the body on its standard input RATE times a second, or again and again for 0, and
prints the seconds of each answer as JSON.
"""

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path


def send(port: int, path: str, seconds: float, rate: float, body: bytes) -> list[float]:
    client, taken = http.client.HTTPConnection("127.0.0.1", port, timeout=60), []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        if rate:
            time.sleep(max(0.0, start + len(taken) / rate - time.perf_counter()))
        began = time.perf_counter()
        client.request("POST", path, body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        taken.append(time.perf_counter() - began)
    return taken


def start(port: int, path: str, seconds: float, rate: float, body: bytes) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(__file__)), str(port), path, str(seconds), str(rate)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(body)
    process.stdin.close()
    return process


def seconds_of(process: subprocess.Popen[bytes]) -> list[float]:
    with process:
        assert process.stdout
        taken: list[float] = json.loads(process.stdout.read())
    return sorted(taken)


if __name__ == "__main__":
    port, path, seconds, rate = sys.argv[1:]
    print(json.dumps(send(int(port), path, float(seconds), float(rate), sys.stdin.buffer.read())))
