"""MLflow's scoring protocol, `POST /invocations`: `dataframe_split`, `dataframe_records`, `instances` or `inputs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw_deployer_http.message import Answer, Refusal, Request, encode
from mlopsfw_deployer_http.strict import read

if TYPE_CHECKING:
    from mlopsfw.worker import Scored, Scorer

Records = list[dict[str, Any]]


class Split(msgspec.Struct):
    """pandas' `to_dict(orient="split")`.

    Args:
        data: One list a row.
        columns: Its columns; by default the model's, in their order.
        index: Ignored.
    """

    data: list[list[Any]]
    columns: list[str] | None = None
    index: list[Any] | None = None


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """MLflow's inference parameters.

    Args:
        event_time: The time of the event, RFC 3339 with zone, for all rows.
        id: As in the Open Inference Protocol.
    """

    event_time: str | None = None
    id: str | None = None


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """The body: exactly one of the first four."""

    dataframe_split: Split | None = None
    dataframe_records: Records | None = None
    instances: list[Any] | None = None
    inputs: Any = None
    params: Params = Params()


_decoder = msgspec.json.Decoder(Invocation)
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def invoke(scorer: Scorer, request: Request) -> tuple[Scored, Answer]:
    """Answer `POST /invocations` as MLflow's server does: `{"predictions": […]}`, with the id of each row."""
    asked = read(request, _decoder)
    scored = scorer.score(_columns(asked, scorer), asked.params.id, asked.params.event_time)
    lists = scored.lists
    if len(lists) == 1:
        predictions: list[Any] = next(iter(lists.values()))
    else:
        predictions = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    body = {"predictions": predictions, "prediction_ids": scored.ids}
    return scored, Answer(200, encode(body), record=scored.record, rows=len(scored.ids))


def _columns(asked: Invocation, scorer: Scorer) -> dict[str, list[Any]]:
    given = [form for form in _FORMS if getattr(asked, form) is not None]
    if len(given) != 1:
        raise Refusal(
            400, f"the body must hold exactly one of {', '.join(_FORMS)}; it holds {', '.join(given) or 'none'}"
        )
    value = getattr(asked, given[0])
    if isinstance(value, Split):
        return _from_rows(value.data, value.columns or list(scorer.columns))
    if isinstance(value, dict):
        return _from_columns(value)
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        return _from_records(value)
    if given[0] == "instances" and all(isinstance(row, list) for row in value):
        return _from_rows(value, list(scorer.columns))
    raise Refusal(400, f"{given[0]}: give a list of records{', or lists by column' * (given[0] == 'inputs')}")


def _from_columns(columns: dict[str, Any]) -> dict[str, list[Any]]:
    for name, values in columns.items():
        if not isinstance(values, list):
            raise Refusal(400, f"inputs: column {name[:100]!r} must be a list, one value a row")
    return columns


def _from_rows(rows: list[list[Any]], names: list[str]) -> dict[str, list[Any]]:
    if len(set(names)) != len(names):
        raise Refusal(400, "a column appears twice")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise Refusal(400, f"row {number} has {len(row)} values for {len(names)} columns")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _from_records(records: Records) -> dict[str, list[Any]]:
    names = records[0].keys() if records else []
    for number, record in enumerate(records):
        if record.keys() != names:
            odd = next(iter(record.keys() ^ names))
            raise Refusal(400, f"row {number}: column {odd[:100]!r} is not in every record")
    return {name: [record[name] for record in records] for name in names}
