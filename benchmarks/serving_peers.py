"""The servers that ours is measured beside, each as a person would write it by hand. Run by `bench_serving.py`, one process each.

`echo`: granian's own interface (RSGI), decodes the body as JSON and sends it back: what the bare stack can do.
`app`: FastAPI with a pydantic model of the row and the same bundle; no capture, no metrics, no checks but pydantic's.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

_decode, _encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


class Echo:
    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        body = await protocol()
        protocol.response_bytes(200, [("content-type", "application/json")], _encode(_decode(body)))


echo = Echo()


def make_app():
    from fastapi import FastAPI
    from pydantic import BaseModel

    from mlopsfw.project.facade import Project

    project = Project.open(Path(os.environ["BENCH_PROJECT"]))
    bundle = project.bundles.open(Path(os.environ["BENCH_BUNDLE"]))

    class Row(BaseModel):
        distance: float | None
        hour: int
        carrier: str
        red_eye: bool

    class Rows(BaseModel):
        rows: list[Row]

    app = FastAPI()

    @app.post("/predict")
    async def predict(asked: Rows) -> dict[str, list[float]]:
        columns = {name: [getattr(row, name) for row in asked.rows] for name in Row.model_fields}
        return {"probability": bundle.predict(columns)["probability"].tolist()}

    return app


app = make_app() if "BENCH_BUNDLE" in os.environ else None
