"""`POST /labels`: what turned out to be true of earlier predictions. A label that arrives later corrects the earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlopsfw.capturelog.records import encode
from mlopsfw.errors import DataError
from mlopsfw_deployer_http import message
from mlopsfw_deployer_http.message import Answer, Refusal, Request
from mlopsfw_deployer_http.strict import read

if TYPE_CHECKING:
    from mlopsfw.worker import Scorer
    from mlopsfw_deployer_http.quota import Quota


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """One label.

    Args:
        prediction_id: The prediction it belongs to: the id in its answer.
        label: What was true: a class of the model, or a number for regression.
        label_time: When that became known, RFC 3339 with zone; now where it is absent.
    """

    prediction_id: str
    label: str | int | float | bool
    label_time: str | None = None


class LabelsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /labels`."""

    labels: list[Label]


_decoder = msgspec.json.Decoder(LabelsRequest)


def accept(scorer: Scorer, quota: Quota, request: Request) -> Answer:
    """Take the labels, all or none; they are kept before the answer leaves. Those of a request that is refused count, too."""
    labels = read(request, _decoder).labels
    if not labels:
        raise Refusal(400, "the request holds no labels")
    quota.take(request.client, len(labels))
    try:
        record = scorer.labels(map(msgspec.structs.asdict, labels))
    except DataError as error:
        raise Refusal.of(error) from None
    return Answer(200, message.encode({"accepted": len(labels)}), record=encode(record), rows=len(labels))
