"""Models of any kind from training to monitoring: texts, binary images, lists and tensors, several outputs, quantiles.

Each is trained in one pipeline, registered, deployed to a real endpoint, asked over REST v2, and its captures are read and monitored.
"""

from __future__ import annotations

import base64
import json
import urllib.request
from datetime import UTC, datetime, timedelta

import jsonschema
import numpy as np
import pytest
from sklearn.datasets import load_digits

from mlopsfw.pipeline.run.display import Display
from mlopsfw.project.facade import Project

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.timeout(300)]

PLUGINS = '''
import json
from pathlib import Path
import msgspec
import numpy as np
from mlopsfw.errors import BundleError
from mlopsfw.features.tables import signature_of
from mlopsfw.roles import OutputColumn, Provider, TrainedModel, hookimpl, read_model

class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True): ...

def pixels(values):
    return np.array([np.frombuffer(value, np.uint8) for value in values], dtype=float).reshape(len(values), 64)

def kept(context, inputs, model, **more):
    file = context.scratch / "model.json"
    file.write_text(json.dumps(model))
    return TrainedModel(inputs=inputs, files={"model.json": file}, formats={"acme": "model.json"}, **more)

class Digits:
    """Learns the mean image of each digit from binary files of 64 bytes."""
    tasks, abilities = ("multiclass",), ()
    def fit(self, task, train, valid, context):
        rows = train.lazy().select("image", task.target).collect()
        images, digits = pixels(rows["image"]), rows[task.target].to_numpy()
        classes = tuple(range(10))
        means = [images[digits == digit].mean(axis=0).tolist() for digit in classes]
        made_up = [bytes([8 * (row % 3)] * 64) for row in range(4)]
        return kept(context, signature_of(rows, ["image"]), {"means": means}, classes=classes, examples={"image": made_up})

class Spread:
    """Learns quantiles and a word from a list and a tensor."""
    tasks, abilities = ("quantile",), ()
    def fit(self, task, train, valid, context):
        rows = train.lazy().collect()
        features = joined(rows["tokens"].to_list(), rows["embedding"].to_numpy())
        values = rows[task.target].to_numpy()
        weights, *_ = np.linalg.lstsq(features, values, rcond=None)
        low, high = np.quantile(values - features @ weights, [0.1, 0.9]).tolist()
        outputs = (
            OutputColumn(name="low", type="number", quantile=0.1), OutputColumn(name="high", type="number", quantile=0.9),
            OutputColumn(name="size", type="string"),
        )
        model = {"weights": weights.tolist(), "low": low, "high": high}
        return kept(context, signature_of(rows, ["tokens", "embedding"]), model, outputs=outputs)

def joined(tokens, embedding):
    counts = np.array([len(each) for each in tokens], dtype=float)
    return np.column_stack([counts, np.asarray(embedding, dtype=float).reshape(len(tokens), 4)])

class Model:
    def __init__(self, model):
        self.model = model
    def predict(self, columns):
        if "means" in self.model:
            distances = ((pixels(columns["image"])[:, None] - np.array(self.model["means"])[None]) ** 2).sum(axis=2)
            scores = np.exp((distances.min(axis=1, keepdims=True, initial=np.inf) - distances) / 200)
            return {"probabilities": scores / scores.sum(axis=1, keepdims=True)}
        middle = joined(columns["tokens"], columns["embedding"]) @ np.array(self.model["weights"])
        sizes = np.array(["many" if len(each) > 3 else "few" for each in columns["tokens"]], dtype=object)
        return {"low": middle + self.model["low"], "high": middle + self.model["high"], "size": sizes}

class Runtime:
    def load(self, folder, manifest):
        try:
            return Model(json.loads(read_model(folder, manifest, "acme")))
        except ValueError as error:
            raise BundleError(f"{folder} holds no model of acme: {error}") from error

@hookimpl
def mlopsfw_trainers():
    yield Provider("digits", Config, lambda config, host: Digits(), "Mean images")
    yield Provider("spread", Config, lambda config, host: Spread(), "Quantiles")

@hookimpl
def mlopsfw_runtimes():
    yield Provider("acme", Config, lambda config, host: Runtime(), "JSON")
'''
WORK = """
import numpy as np
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

def classifier():
    return make_pipeline(ColumnTransformer([("words", TfidfVectorizer(), "text")]), LogisticRegression())

def reviews():
    good, bad = ["a good day", "good fun", "so good, really"], ["a bad day", "bad rain", "so bad, really"]
    return pl.DataFrame({"text": (good + bad) * 50, "sentiment": (["good"] * 3 + ["bad"] * 3) * 50})

def images():
    digits = load_digits()
    files = [bytes(image.astype(np.uint8).ravel().tolist()) for image in digits.images[:900]]
    return pl.DataFrame({"image": files, "digit": digits.target[:900]})

def sequences():
    draw = np.random.default_rng(0)
    tokens = [draw.integers(0, 9, draw.integers(0, 8)).tolist() for _ in range(400)]
    embedding = draw.normal(size=(400, 4)).astype(np.float32)
    delay = np.array([len(each) for each in tokens]) + embedding.sum(axis=1) + draw.normal(size=400)
    return pl.DataFrame({
        "tokens": pl.Series(tokens, dtype=pl.List(pl.Int64)), "embedding": pl.Series(embedding), "delay": delay,
    })
"""
TOML = """
[project]
name = "any"
[plugins]
modules = ["my_plugins"]
[[monitor]]
use = "drift"
[monitor.drift]
min_rows = 20
[trainer.texts]
use = "sklearn"
factory = "work:classifier"
[trainer.digits]
use = "digits"
[trainer.spread]
use = "spread"
"""
MODELS = {
    "texts": ("reviews", "binary", "sentiment"),
    "digits": ("images", "multiclass", "digit"),
    "spread": ("sequences", "quantile", "delay"),
}
for name, (rows, task, target) in MODELS.items():
    TOML += f"""
[steps.{rows}]
python = "work:{rows}"
[steps.train_{name}]
use = "train"
trainer = "{name}"
inputs = {{ train = "{rows}" }}
task = "{task}"
target = "{target}"
[steps.register_{name}]
use = "register"
inputs = {{ model = "train_{name}" }}
name = "{name}"
alias = "champion"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("any")
    for file, text in (("mlopsfw.toml", TOML), ("my_plugins.py", PLUGINS), ("work.py", WORK)):
        (root / file).write_text(text, encoding="utf-8")
    with Project.open(root) as project:
        outcome = project.pipeline.start(Display(project.workspace, None))
        assert outcome.exit_code == 0, outcome
        yield project


def ask(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"{url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.loads(answer.read())


def tensor(name, datatype, values, *sides):
    return {"name": name, "datatype": datatype, "shape": [len(values), *sides], "data": values}


class Served:
    """A model at its endpoint: asked once, stopped, and then read back.

    Args:
        project: It trained the model.
        name: The model's and the endpoint's.
        tensors: The inputs of the one request.
    """

    def __init__(self, project, name, tensors):
        since = datetime.now(UTC) - timedelta(hours=1)
        url = project.endpoints.deploy(f"models:/{name}@champion", name).url
        try:
            self.document = ask(url, "/openapi.json")
            answer = ask(url, f"/v2/models/{name}/infer", {"inputs": tensors})
        finally:
            project.endpoints.stop(name)
        self.outputs = {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer["outputs"]}
        project.captures.compact(name)
        self.rows = project.captures.scan(name).collect()
        (examined,) = project.monitoring.examine(name, since, since + timedelta(hours=2), alert=False)
        self.report = examined.report
        posted = self.document["paths"][f"/v2/models/{name}/infer"]["post"]
        asked, answered = (
            each["content"]["application/json"]["schema"]
            for each in (posted["requestBody"], posted["responses"]["200"])
        )
        jsonschema.Draft202012Validator(asked).validate({"inputs": tensors})
        jsonschema.Draft202012Validator(answered).validate(answer)
        self.inputs, self.answers = (
            {
                each["properties"]["name"]["const"]: each["properties"]
                for each in schema["properties"][key]["items"]["anyOf"]
            }
            for schema, key in ((asked, "inputs"), (answered, "outputs"))
        )
        folder = project.blobs.get_folder(
            project.registry.resolve(f"models:/{name}@champion").bundle, project.root / f"laid-{name}"
        )
        self.profile = set(project.bundles.open(folder).profile())

    @property
    def compared(self):
        return {column["column"] for column in self.report.columns}

    @property
    def left_out(self):
        return {finding.subject for finding in self.report.findings if "was not compared" in finding.message}


def test_a_text_classifier_of_scikit_learn(project):
    texts = ["a good day", "so bad"] * 15
    served = Served(project, "texts", [tensor("text", "BYTES", texts)])
    assert served.outputs["probability"].shape == (30,)
    assert (served.outputs["probability"][::2] > 0.5).all()
    assert (served.outputs["probability"][1::2] < 0.5).all()
    assert served.rows["text"].to_list() == texts
    assert served.rows["probability"].to_numpy() == pytest.approx(served.outputs["probability"])
    assert served.profile == served.compared == {"text", "probability"}
    assert not served.left_out
    assert served.inputs["text"]["data"]["items"] == {"type": "string"}


def test_digits_as_binary_files_of_pixels(project):
    digits = load_digits()
    files = [bytes(image.astype(np.uint8).ravel().tolist()) for image in digits.images[900:960]]
    sent = [base64.b64encode(file).decode() for file in files]
    served = Served(project, "digits", [tensor("image", "BYTES", sent)])
    assert served.outputs["probabilities"].shape == (60, 10)
    assert (served.outputs["probabilities"].argmax(axis=1) == digits.target[900:960]).mean() > 0.7
    assert [base64.b64decode(value) for value in served.rows["image"]] == files
    assert served.profile == served.compared == {f"probabilities[{digit}]" for digit in range(10)}
    assert served.left_out == {"image"}
    assert served.report.summary.endswith("not compared: image")
    assert served.inputs["image"]["data"]["items"] == {"type": "string", "contentEncoding": "base64"}
    assert served.answers["probabilities"]["shape"]["prefixItems"][1] == {"const": 10}


def test_lists_and_tensors_in_quantiles_and_a_word_out(project):
    draw = np.random.default_rng(1)
    tokens = [draw.integers(0, 9, draw.integers(0, 8)).tolist() for _ in range(50)]
    embedding = draw.normal(size=(50, 4)).astype(np.float32)
    flat = tensor("embedding", "FP32", embedding.ravel().tolist())
    served = Served(project, "spread", [tensor("tokens", "INT64", tokens, 7), {**flat, "shape": [50, 4]}])
    assert (served.outputs["low"] < served.outputs["high"]).all()
    assert served.outputs["size"].tolist() == ["many" if len(each) > 3 else "few" for each in tokens]
    assert served.rows["tokens"].to_list() == tokens
    assert np.array(served.rows["embedding"].to_list()) == pytest.approx(embedding)
    assert served.rows["size"].to_list() == served.outputs["size"].tolist()
    assert served.profile == served.compared == {"low", "high", "size"}
    assert served.left_out == {"tokens", "embedding"}
    assert served.report.summary.endswith("not compared: tokens, embedding")
    nested, plain = served.inputs["embedding"]["data"]["anyOf"]
    assert nested["items"] == {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    assert plain["items"] == {"type": "number"}
    assert served.inputs["embedding"]["shape"]["prefixItems"][1:] == [{"const": 4}]
    assert served.inputs["tokens"]["data"]["anyOf"][0]["items"] == {"type": "array", "items": {"type": "integer"}}
