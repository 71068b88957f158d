"""Counters of one server process, and their Prometheus text. They start at zero in each process, as counters may."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from threading import Lock

_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """The metrics of `/metrics`.

    Args:
        labels: The labels of every sample: endpoint, model, version.
    """

    def __init__(self, **labels: str) -> None:
        self._labels = labels
        self._requests: Counter[tuple[str, int]] = Counter()
        self._errors: Counter[str] = Counter()
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0
        self._lock = Lock()
        self.rows = self.labels = 0

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        with self._lock:
            self._requests[route, status] += 1
            self._buckets[bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def error(self, kind: str) -> None:
        """Count an error by kind."""
        with self._lock:
            self._errors[kind] += 1

    def text(self, **gauges: float) -> bytes:
        """Return the exposition format, version 0.0.4; `gauges` are samples taken now."""
        total = sum(self._buckets)
        lines = [
            *self._samples("requests_total", "counter", "Requests answered.", self._by_route()),
            *self._samples(
                "errors_total", "counter", "Requests refused or failed, by kind.",
                [({"kind": kind}, count) for kind, count in sorted(self._errors.items())],
            ),
            *self._samples("rows_total", "counter", "Rows predicted.", [({}, self.rows)]),
            *self._samples("labels_total", "counter", "Labels taken.", [({}, self.labels)]),
            *self._samples("request_seconds", "histogram", "Time to answer.", self._histogram(), suffix="_bucket"),
            self._line("request_seconds_sum", {}, self._seconds),
            self._line("request_seconds_count", {}, total),
        ]  # fmt: skip
        for name, value in gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += self._samples(name, kind, name.replace("_", " ").capitalize() + ".", [({}, value)])
        return ("\n".join(lines) + "\n").encode()

    def _by_route(self) -> list[tuple[dict[str, str], float]]:
        return [({"route": route, "status": str(s)}, count) for (route, s), count in sorted(self._requests.items())]

    def _histogram(self) -> list[tuple[dict[str, str], float]]:
        bounds = [*map(str, _BOUNDS), "+Inf"]
        return [({"le": bound}, sum(self._buckets[: i + 1])) for i, bound in enumerate(bounds)]

    def _samples(
        self, name: str, kind: str, text: str, samples: list[tuple[dict[str, str], float]], *, suffix: str = ""
    ) -> list[str]:
        head = [f"# HELP mlopsfw_{name} {text}", f"# TYPE mlopsfw_{name} {kind}"]
        return [*head, *(self._line(name + suffix, labels, value) for labels, value in samples)]

    def _line(self, name: str, labels: dict[str, str], value: float) -> str:
        pairs = ",".join(f'{key}="{_escape(text)}"' for key, text in {**self._labels, **labels}.items())
        return f"mlopsfw_{name}{{{pairs}}} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
