"""`POST /labels`: the true outcomes of earlier predictions. A later label corrects earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlopsfw.capturelog.records import encode
from mlopsfw.errors import DataError
from mlopsfw_deployer_http import message
from mlopsfw_deployer_http.message import Answer, Refusal, Request
from mlopsfw_deployer_http.pieces import Steps
from mlopsfw_deployer_http.strict import read, read_in_steps

if TYPE_CHECKING:
    from mlopsfw.worker import Scorer
    from mlopsfw_deployer_http.quota import Quota


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """One label.

    Args:
        prediction_id: The id of the prediction, from its answer.
        label: The true outcome: a class of the model, or a number for regression.
        label_time: When the outcome became known, RFC 3339 with zone; by default now.
    """

    prediction_id: str
    label: str | int | float | bool
    label_time: str | None = None


class LabelsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /labels`."""

    labels: list[Label]


_decoder = msgspec.json.Decoder(LabelsRequest)


def accept(scorer: Scorer, quota: Quota, request: Request) -> Answer:
    """Store the labels, all or none, before the answer is sent. Labels of a refused request count for the quota, too."""
    return _accepted(scorer, quota, request.client, read(request, _decoder).labels)


def accept_in_steps(scorer: Scorer, quota: Quota, request: Request) -> Steps[Answer]:
    """Answer a long request as `accept` does."""
    asked = yield from read_in_steps(request, _decoder)
    return _accepted(scorer, quota, request.client, asked.labels)


def _accepted(scorer: Scorer, quota: Quota, client: str, labels: list[Label]) -> Answer:
    if not labels:
        raise Refusal(400, "the request holds no labels")
    quota.take(client, len(labels))
    try:
        record = scorer.labels(map(msgspec.structs.asdict, labels))
    except DataError as error:
        raise Refusal.of(error) from None
    return Answer(200, message.encode({"accepted": len(labels)}), record=encode(record), rows=len(labels))
