"""The routes, in one table. Bad input always gets a 4xx."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from mlopsfw.errors import AnswerMismatch, SignatureMismatch
from mlopsfw_deployer_http import feedback, inference, invocations
from mlopsfw_deployer_http.logs import FaultLog
from mlopsfw_deployer_http.message import TEXT, Answer, Lengthy, Refusal, Request, encode
from mlopsfw_deployer_http.pieces import Steps

if TYPE_CHECKING:
    from mlopsfw.worker import Scorer
    from mlopsfw_deployer_http.gate import Gate
    from mlopsfw_deployer_http.metrics import Metrics
    from mlopsfw_deployer_http.quota import Quota

LIVE, READY = "/v2/health/live", "/v2/health/ready"
LABELS = "/labels"
METRICS = "/metrics"
_NO_MEMORY = ("bad_alloc", "allocate memory")
PUBLIC = frozenset({LIVE, READY})
"""The only routes without a token."""


class Route(NamedTuple):
    """One route: its handler, its name in the metrics, and the handler of a long request if it is another one."""

    act: Callable[[Request], Answer]
    name: str
    in_steps: Callable[[Request], Steps[Answer]] | None = None


class Service:
    """Answers requests for one model.

    Args:
        scorer: The served model.
        gate: Checks access.
        metrics: Counts requests.
        gauges: Current samples for `/metrics`: captured, lost, connections.
        quota: Limits the labels of clients.
    """

    def __init__(
        self,
        scorer: Scorer,
        gate: Gate,
        metrics: Metrics,
        gauges: Callable[[], dict[str, float]],
        quota: Quota,
    ) -> None:
        self.ready, self.vital, self._faults = True, PUBLIC | {METRICS}, FaultLog()
        self._scorer, self._gate, self._metrics, self._gauges, self._quota = scorer, gate, metrics, gauges, quota
        spec = scorer.spec
        self._served = f"mlopsfw-model: {spec.model}@{spec.version}\r\nmlopsfw-bundle: {spec.bundle}\r\n".encode()
        self.routes = self._table()

    def _table(self) -> dict[str, dict[str, Route]]:
        named = f"/v2/models/{self._scorer.spec.endpoint}"
        table: dict[str, dict[str, Route]] = {
            LIVE: {"GET": Route(lambda _: _json({"live": True}), "live")},
            READY: {"GET": Route(self._ready, "ready")},
            "/v2": {"GET": Route(self._server, "server")},
            "/invocations": {"POST": self._scoring("invocations", invocations.invoke, invocations.invoke_in_steps)},
            LABELS: {"POST": Route(self._labels, "labels", self._labels_in_steps)},
            METRICS: {"GET": Route(self._metrics_text, "metrics")},
            "/openapi.json": {"GET": Route(self._openapi, "openapi")},
        }
        for base in (named, f"{named}/versions/{self._scorer.spec.version}"):
            table[base] = {"GET": Route(lambda _: _json(inference.describe(self._scorer)), "model")}
            table[f"{base}/ready"] = {"GET": Route(self._ready, "model_ready")}
            table[f"{base}/infer"] = {"POST": self._scoring("infer", inference.infer, inference.infer_in_steps)}
        return table

    # -- answering -------------------------------------------------------------------------------------------------------

    def check(self, head: Request) -> None:
        """Raise `Refusal` where a request may not pass, whatever its body holds."""
        self._gate.check(head, public=head.path in PUBLIC)
        self._route(head)

    def answer(self, request: Request) -> Answer | None:
        """Return the answer to any request; None where it takes long, and so is to be answered in steps."""
        begun, name = time.perf_counter(), "none"
        try:
            self._gate.check(request, public=request.path in PUBLIC)
            route = self._route(request)
            name = route.name
            answer = route.act(request)
        except Lengthy:
            return None
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the process; the log tells it
            answer = self._failed(request, error)
        self._metrics.request(name, answer.status, time.perf_counter() - begun)
        return answer

    def answer_in_steps(self, request: Request) -> Steps[Answer]:
        """Return the answer to a long request, computed in steps."""
        begun, name = time.perf_counter(), "none"
        try:
            self._gate.check(request, public=request.path in PUBLIC)
            route = self._route(request)
            name = route.name
            answer = route.act(request) if route.in_steps is None else (yield from route.in_steps(request))
        except Exception as error:  # noqa: BLE001 - as above
            answer = self._failed(request, error)
        self._metrics.request(name, answer.status, time.perf_counter() - begun)
        return answer

    def _failed(self, request: Request, error: Exception) -> Answer:
        if isinstance(error, SignatureMismatch):
            error = Refusal.of(error)
        elif _lacks_memory(error):
            self._faults.write(error, method=request.method, path=request.path[:200])
            error = Refusal(413, "the answer takes more memory than the server has; send fewer or smaller rows")
        return self.refused(error) if isinstance(error, Refusal) else self._fault(request, error)

    def refused(self, refusal: Refusal) -> Answer:
        """Count a refusal, and return it as an answer."""
        self._metrics.error(str(refusal.status))
        return refusal.answer()

    def _fault(self, request: Request, error: Exception) -> Answer:
        self._metrics.error("500")
        self._faults.write(error, method=request.method, path=request.path[:200])
        text = "the server failed on this request; its log has the error"
        return Answer(500, encode({"error": error.message if isinstance(error, AnswerMismatch) else text}))

    def _route(self, request: Request) -> Route:
        methods = self.routes.get(request.path)
        if methods is None:
            raise Refusal(404, self._unknown(request.path))
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            allowed = ", ".join(methods)
            raise Refusal(405, f"{request.method} is not allowed here: {allowed} is", headers=_allow(allowed))
        return route

    def _unknown(self, path: str) -> str:
        spec = self._scorer.spec
        named = f"/v2/models/{spec.endpoint}/"
        is_other_version = path.startswith(f"{named}versions/") and not f"{path}/".startswith(
            f"{named}versions/{spec.version}/"
        )
        if path.startswith("/v2/models/") and (is_other_version or not f"{path}/".startswith(named)):
            return f"this endpoint serves the model {spec.endpoint!r}, version {spec.version}, and no other"
        return "there is nothing at this path; see /openapi.json"

    # -- routes ----------------------------------------------------------------------------------------------------------

    def _ready(self, _: Request) -> Answer:
        if not self.ready:
            return Answer(503, encode({"ready": False}), headers=b"retry-after: 1\r\n")
        return Answer(200, encode({"ready": True}), headers=self._served)

    def _server(self, _: Request) -> Answer:
        from importlib.metadata import version

        return _json({"name": "mlopsfw", "version": version("mlopsfw"), "extensions": []})

    def _scoring(
        self,
        name: str,
        score: Callable[[Scorer, Request], Answer],
        in_steps: Callable[[Scorer, Request], Steps[Answer]],
    ) -> Route:
        def whole(request: Request) -> Answer:
            return self._scored(score(self._scorer, request))

        def stepwise(request: Request) -> Steps[Answer]:
            return self._scored((yield from in_steps(self._scorer, request)))

        return Route(whole, name, stepwise)

    def _scored(self, answer: Answer) -> Answer:
        self._metrics.rows += answer.total
        answer.headers = self._served
        return answer

    def _labels(self, request: Request) -> Answer:
        return self._labelled(feedback.accept(self._scorer, self._quota, request))

    def _labels_in_steps(self, request: Request) -> Steps[Answer]:
        return self._labelled((yield from feedback.accept_in_steps(self._scorer, self._quota, request)))

    def _labelled(self, answer: Answer) -> Answer:
        self._metrics.labels += answer.rows
        return answer

    def _metrics_text(self, _: Request) -> Answer:
        return Answer(200, self._metrics.text(**self._gauges()), kind=TEXT)

    def _openapi(self, _: Request) -> Answer:
        from mlopsfw_deployer_http.openapi import document

        return _json(document(self._scorer))


def _json(value: object) -> Answer:
    return Answer(200, encode(value))


def _allow(methods: str) -> bytes:
    return f"allow: {methods}\r\n".encode()


def _lacks_memory(error: Exception) -> bool:
    """Return whether an allocation failed: of Python, ONNX Runtime, torch or another library in C++."""
    texts = [each for each in error.args if isinstance(each, str)]  # the `__str__` of a model's error may raise
    return isinstance(error, MemoryError) or any(word in text for text in texts for word in _NO_MEMORY)
