"""MLflow's scoring protocol, `POST /invocations`: `dataframe_split`, `dataframe_records`, `instances` or `inputs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.worker import Extras
from mlopsfw_deployer_http.message import Answer, Lengthy, Refusal, Request, encode
from mlopsfw_deployer_http.pieces import GAP, Steps, encoded, filled, freed
from mlopsfw_deployer_http.strict import check_rows, explained_in_time, read, read_in_steps

if TYPE_CHECKING:
    from mlopsfw.worker import Scorer


class Split(msgspec.Struct):
    """pandas' `to_dict(orient="split")`.

    Args:
        data: One list a row.
        columns: Its columns; by default the model's, in their order.
        index: Ignored.
    """

    data: list[Any]
    columns: list[str] | None = None
    index: list[Any] | None = None


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """MLflow's inference parameters.

    Args:
        event_time: The time of the event, RFC 3339 with zone, for all rows.
        id: As in the Open Inference Protocol.
        alpha: As there.
        explain: As there.
    """

    event_time: str | None = None
    id: str | None = None
    alpha: float | None = None
    explain: bool = False

    @property
    def extras(self) -> Extras:
        """What the answer holds beside the outputs."""
        return Extras(self.alpha, self.explain)


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """The body: exactly one of the first four."""

    dataframe_split: Split | None = None
    dataframe_records: list[Any] | None = None
    instances: list[Any] | None = None
    inputs: Any = None
    params: Params = Params()


_decoder = msgspec.json.Decoder(Invocation)
_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def invoke(scorer: Scorer, request: Request) -> Answer:
    """Answer `POST /invocations` as MLflow's server does: `{"predictions": […]}`, with the id of each row. Raise `Lengthy` as `infer` does."""
    asked = read(request, _decoder)
    if asked.params.explain:
        raise Lengthy
    scored = scorer.score(_columns(asked, scorer), asked.params.id, asked.params.event_time, asked.params.extras)
    body = {"predictions": _predictions(scored.lists), "prediction_ids": scored.ids}
    return Answer(200, encode(body), record=scored.record, rows=len(scored.ids))


def invoke_in_steps(scorer: Scorer, request: Request) -> Steps[Answer]:
    """Answer a long request with the same bytes as `invoke`, ids aside."""
    asked = yield from read_in_steps(request, _decoder)
    columns = check_rows(_columns(asked, scorer), explain=asked.params.explain)
    rows = (
        asked.dataframe_split and asked.dataframe_split.data,
        asked.dataframe_records,
        asked.instances,
        asked.inputs,
    )
    yield from freed(each for each in rows if isinstance(each, list))
    scores = scorer.score_in_steps(columns, asked.params.id, asked.params.event_time, asked.params.extras)
    parts = yield from explained_in_time(scores, explain=asked.params.explain)
    yield from freed(columns.values())
    predictions = yield from encoded(_predictions(part.lists) for part in parts)
    ids = yield from encoded(part.ids for part in parts)
    answer = Answer.of_parts(filled({"predictions": GAP, "prediction_ids": GAP}, [predictions, ids]), parts)
    yield from freed(each for part in parts for each in (part.ids, *part.lists.values()))
    return answer


def _predictions(lists: dict[str, list[Any]]) -> list[Any]:
    if len(lists) == 1:
        return next(iter(lists.values()))
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


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


def _from_rows(rows: list[Any], names: list[str]) -> dict[str, list[Any]]:
    if len(set(names)) != len(names):
        raise Refusal(400, "a column appears twice")
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise Refusal(400, f"row {number} is not a list")
        if len(row) != len(names):
            raise Refusal(400, f"row {number} has {len(row)} values for {len(names)} columns")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _from_records(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = records[0].keys() if records else []
    for number, record in enumerate(records):
        if record.keys() != names:
            odd = next(iter(record.keys() ^ names))
            raise Refusal(400, f"row {number}: column {odd[:100]!r} is not in every record")
    return {name: [record[name] for record in records] for name in names}
