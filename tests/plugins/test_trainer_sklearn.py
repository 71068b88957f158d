"""The trainer `sklearn` and the runtime `skops`: their kits, what is kept as ONNX and what as skops, and what is refused."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile

import msgspec
import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix, save_npz
from sklearn import ensemble
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.kernel.base.errors import BundleError, ConfigError, DataError, MissingExtra, UsageError
from mlopsfw.kernel.roles.training import TrainingTask
from mlopsfw.models import bundle
from mlopsfw.testing.runtime import RuntimeConformance
from mlopsfw.testing.trainer import Context, TrainerConformance, digests, training_rows, training_task
from mlopsfw_runtime_onnx.runtime import OnnxRuntime
from mlopsfw_trainer_sklearn import SklearnConfig, SkopsConfig, build_runtime, build_trainer
from mlopsfw_trainer_sklearn.estimator import used_columns
from mlopsfw_trainer_sklearn.runtime import SkopsRuntime
from mlopsfw_trainer_sklearn.skops_file import NotAllowed, dump, load
from mlopsfw_trainer_sklearn.trainer import SklearnTrainer

RUNTIMES = {"onnx": OnnxRuntime(), "skops": SkopsRuntime()}
NUMBERS = ("count", "constant")
TEXTS = pl.DataFrame(
    {
        "text": ["a good day", "a bad day", "good fun, Ünïcode", "bad rain", "so good", "so bad"] * 20,
        "sentiment": ["good", "bad"] * 60,
    }
)


def boosted(estimator=HistGradientBoostingClassifier, columns=("number", "count", "constant"), **params):
    """Return boosted trees behind a choice of columns: a factory, as a project has one."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    chosen = ColumnTransformer([("numbers", "passthrough", list(columns)), ("color", encoder, ["color"])])
    return make_pipeline(chosen, estimator(max_iter=12, learning_rate=0.3, **params))


def boosted_regression():
    return boosted(HistGradientBoostingRegressor)


def texts(**params):
    return make_pipeline(ColumnTransformer([("text", TfidfVectorizer(**params), "text")]), LogisticRegression())


def doubled(values):
    return values * 2


class Halved(StandardScaler):
    """A transformer of a user."""


def with_function():
    return make_pipeline(FunctionTransformer(doubled), LogisticRegression())


def with_own_class():
    return make_pipeline(Halved(), LogisticRegression())


def trainer(factory="", **config):
    if factory:
        config["factory"] = f"{__name__}:{factory}"
    return SklearnTrainer(SklearnConfig(**config))


def fit(tmp_path, made, task, rows, valid=None):
    context = Context.under(tmp_path, f"fit-{len(list(tmp_path.iterdir()))}")
    return made.fit(task, TableHandle.of(rows), None if valid is None else TableHandle.of(valid), context)


def opened(tmp_path, made, task, rows):
    folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
    bundle.write(folder, fit(tmp_path, made, task, rows), task, TableHandle.of(rows), RUNTIMES)
    return bundle.open_bundle(folder, RUNTIMES.__getitem__)


TEXT_TASK = TrainingTask(task="binary", target="sentiment")


class TestClassifier(TrainerConformance):
    @pytest.fixture
    def trainer(self):
        return trainer("boosted")

    @pytest.fixture
    def runtimes(self):
        return RUNTIMES


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        ("linear_model:LogisticRegression", "binary"), ("linear_model:Ridge", "regression"), ("linear_model:Lasso", "regression"),
        ("ensemble:RandomForestClassifier", "binary"), ("ensemble:ExtraTreesRegressor", "regression"),
        ("ensemble:HistGradientBoostingClassifier", "binary"), ("neighbors:KNeighborsRegressor", "regression"),
    ],
)  # fmt: skip
def test_the_space_of_each_kind_of_estimator_holds(tmp_path, estimator, kind):
    suite = TrainerConformance()
    suite.built = SklearnTrainer
    name = "each_point_of_the_space_that_it_suggests_is_taken_and_trains_or_is_refused_in_words"
    rows = lambda count: training_rows(count).select("count", "constant", kind)  # noqa: E731 - the estimator encodes nothing
    getattr(suite, f"test_{name}")(SklearnConfig(estimator=f"sklearn.{estimator}"), rows, tmp_path, kind)


class TestRegressor(TestClassifier):
    @pytest.fixture
    def trainer(self):
        return trainer("boosted_regression")


class TestSkops(RuntimeConformance):
    @pytest.fixture
    def runtime(self):
        return SkopsRuntime()

    @pytest.fixture
    def folder(self, tmp_path):
        return opened(tmp_path, trainer("texts"), TEXT_TASK, TEXTS).folder


PLAIN = {"count": "integer", "constant": "number"}


def rows_of(kind, rows=400):
    return training_rows(rows).select(*NUMBERS, kind)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_linear_models_are_kept_as_onnx_in_float64(kind, tmp_path):
    name = "Ridge" if kind == "regression" else "LogisticRegression"
    loaded = opened(
        tmp_path, trainer(estimator=f"sklearn.linear_model:{name}"), training_task(kind, exclude=()), rows_of(kind)
    )
    facts = loaded.manifest.facts
    assert (facts["format"], facts["precision"]) == ("onnx", "float64")
    assert facts["export_difference"] < 1e-7  # `probabilities` are float32 by the task
    assert facts["compared_rows"] == 416
    assert {column.name: column.type for column in loaded.manifest.inputs} == PLAIN
    estimator = (Ridge if kind == "regression" else LogisticRegression)().fit(
        rows_of(kind).select(NUMBERS), rows_of(kind)[kind].to_numpy()
    )
    expected = estimator.predict(rows_of(kind).select(NUMBERS))
    answer = next(iter(loaded.predict_table(rows_of(kind)).values()))
    if kind == "regression":
        assert answer == pytest.approx(expected)
    else:
        classes = np.array(loaded.manifest.classes)
        assert (classes[answer.argmax(axis=1) if answer.ndim > 1 else (answer > 0.5).astype(int)] == expected).all()


DECIMALS = pl.DataFrame(
    {"price": [round(7 + each * 0.013, 2) for each in range(600)] * 2, "binary": [0, 1, 1] * 400}
).with_columns(
    price=pl.when(pl.int_range(1200) % 7 == 0).then(None).otherwise("price"),
    regression=pl.col("price").fill_null(8.0) ** 2,
)


def scaled(kind):
    """Return trees behind transformers. skl2onnx takes the values behind the second for float32."""
    columns = ColumnTransformer([("price", make_pipeline(SimpleImputer(), StandardScaler()), ["price"])])
    return make_pipeline(columns, MinMaxScaler(), getattr(ensemble, kind)())


@pytest.mark.parametrize("kind", ["RandomForest", "HistGradientBoosting", "GradientBoosting"])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_trees_behind_an_imputer_and_a_scaler_are_kept_in_float64(kind, task, tmp_path):
    kind += "Classifier" if task == "binary" else "Regressor"
    wanted = training_task(task, exclude=(), features=("price",))
    facts = fit(tmp_path, trainer("scaled", params={"kind": kind}), wanted, DECIMALS).facts
    assert (facts["format"], facts["precision"]) == ("onnx", "float64")


def imputed():
    columns = ColumnTransformer([("numbers", SimpleImputer(), ["price", "empty"])])
    return make_pipeline(columns, RandomForestClassifier(5))


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
def test_an_imputer_drops_a_column_without_values_in_onnx_too(tmp_path):
    task = training_task("binary", exclude=(), features=("price", "empty"))
    rows = DECIMALS.with_columns(empty=pl.lit(None, dtype=pl.Float64))
    assert fit(tmp_path, trainer("imputed"), task, rows).facts["precision"] == "float64"


def stacked():
    return make_pipeline(StackingClassifier([("line", LogisticRegression())], cv=2))


def test_a_stack_with_the_default_last_estimator_gives_probabilities(tmp_path):
    assert (
        fit(tmp_path, trainer("stacked"), training_task("binary", exclude=()), rows_of("binary")).facts["format"]
        == "onnx"
    )


def test_the_loss_of_float32_is_shown(tmp_path):
    facts = fit(tmp_path, trainer("boosted"), training_task("binary"), training_rows(400)).facts
    assert facts["format"] == "onnx"
    assert 0 < facts["export_difference"] <= 1e-5


def test_a_request_carries_the_columns_that_the_pipeline_selects(tmp_path):
    trained = fit(tmp_path, trainer("boosted"), training_task("binary"), training_rows(400))
    assert [column.name for column in trained.inputs] == ["number", "count", "color", "constant"]


def test_what_onnx_does_not_hold_is_kept_as_skops_and_says_why(tmp_path):
    loaded = opened(tmp_path, trainer("texts"), TEXT_TASK, TEXTS)
    assert list(loaded.manifest.formats) == ["skops"]
    assert "locale" in loaded.manifest.facts["not_onnx"]
    later = pl.DataFrame({"text": ["good", "bad", "ÜNÏCODE", ""]})
    expected = texts().fit(TEXTS.select("text"), TEXTS["sentiment"].to_numpy()).predict_proba(later)[:, 1]
    assert loaded.predict_table(later)["probability"] == pytest.approx(expected)


@pytest.mark.parametrize("form", ["onnx", "skops"])
def test_only_the_format_that_is_asked_for_is_written(form, tmp_path):
    made = trainer(estimator="sklearn.linear_model:LogisticRegression", format=form)
    assert list(fit(tmp_path, made, training_task("binary", exclude=()), rows_of("binary")).formats) == [form]


def test_equal_models_of_skops_have_equal_bytes(tmp_path):
    first, second = (fit(tmp_path, trainer("texts"), TEXT_TASK, TEXTS) for _ in range(2))
    assert digests(first) == digests(second)


@pytest.mark.parametrize(
    ("factory", "named"),
    [("with_function", "doubled"), ("with_own_class", "Halved"), ("grown", "RandomForestClassifier")],
)
def test_a_type_outside_of_the_list_is_refused_in_training_with_its_name(factory, named, tmp_path):
    with pytest.raises(UsageError, match=named) as caught:
        fit(tmp_path, trainer(factory, format="skops"), training_task("binary", exclude=()), rows_of("binary"))
    assert "mlopsfw plugins new trainer NAME" in caught.value.hint


def grown():
    return RandomForestClassifier(5)


@pytest.mark.parametrize("factory", ["with_function", "with_own_class"])
def test_code_of_a_user_is_refused_in_every_format(factory, tmp_path):
    with pytest.raises(UsageError, match=r"no open format holds this Pipeline\. ONNX: .*; skops: "):
        fit(tmp_path, trainer(factory), training_task("binary", exclude=()), rows_of("binary"))


def test_trees_are_kept_as_onnx(tmp_path):
    task = training_task("binary", exclude=())
    first, second, other = (
        fit(tmp_path, trainer("grown"), msgspec.structs.replace(task, seed=seed), rows_of("binary"))
        for seed in (1, 1, 2)
    )
    assert list(first.formats) == ["onnx"]
    assert digests(first) == digests(second) != digests(other)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "either `estimator` or `factory`"),
        ({"estimator": "sklearn.linear_model:Ridge", "factory": "acme:make"}, "either `estimator` or `factory`"),
        ({"estimator": "sklearn.linear_model:LogisticRegresion"}, "has no 'LogisticRegresion'"),
        ({"estimator": "nowhere.at_all:Ridge"}, "no module 'nowhere'"),
        ({"estimator": "sklearn.linear_model:Ridge", "params": {"alfa": 1}}, "does not take the params alfa"),
        *[
            ({"estimator": each}, "does not name a class or a function")
            for each in (":make", "acme", "acme:", ".a:b", "a b:c")
        ],
        ({"estimator": "sklearn.preprocessing:StandardScaler"}, "no classifier and no regressor"),
        ({"estimator": "sklearn.svm:LinearSVC"}, "no predict_proba"),
    ],
)
def test_options_that_name_no_usable_estimator_are_refused(config, message):
    with pytest.raises(UsageError, match=message):
        _ = trainer(**config).tasks


PIPELINE = """
[trainer.{table}]
{use}{option}
[steps.load]
python = "m:load"
[steps.train]
inputs = {{ train = "load" }}
target = "y"
task = "binary"
"""
CODE = """
import elsewhere
from sklearn.svm import SVC as Renamed
def load(): raise SystemExit("ran")
def __getattr__(name): ...
"""


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ('estimator = "sklearn.linear_model:LogisticRegresion"', "Did you mean 'LogisticRegression'"),
        ('estimator = "sklearn.linear_modle:LogisticRegression"', "Did you mean 'sklearn.linear_model'"),
        ('estimator = "sklearnn:Ridge"', "no installed package 'sklearnn'"),
        ('estimator = "sklearn.linear_model.Ridge"', "does not name a class or a function of a module"),
        ('factory = "mine:maek"', "Did you mean 'make'"),
        ('factory = "mine.models:make"', "there is no module 'mine.models'"),
        ("threads = 2", "either `estimator` or `factory`"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_mistyped_path_is_an_error_of_its_line_before_anything_runs(make_project, option, message, named):
    table, use = ("mine", 'use = "sklearn"\n') if named else ("sklearn", "")
    project = make_project(PIPELINE.format(table=table, use=use, option=option), m=CODE, mine="def make(): ...\n")
    with pytest.raises(ConfigError, match=message) as caught:
        project.pipeline.plan()
    assert re.search(rf"mlopsfw\.toml:\d+: trainer\.{table}", str(caught.value))


@pytest.mark.parametrize(
    "target", ["m:Renamed", "m:anything", "sklearn:linear_model.Ridge", "stars:Ridge", "package.inner:make"]
)
def test_a_path_that_may_be_right_is_left_to_the_import(make_project, target):
    toml = PIPELINE.format(table="sklearn", use="", option=f'factory = "{target}"')
    project = make_project(toml, m=CODE, stars="from sklearn.linear_model import *\n")
    (project.root / "package").mkdir()
    (project.root / "package" / "inner.py").write_text("make = None\n")
    assert [step.action for step in project.pipeline.plan()] == ["run", "run"]


@pytest.mark.parametrize("written", ["threads = 1", 'format = "auto"', "params = {}", 'factory = ""'])
def test_a_default_of_a_provider_written_out_changes_no_cache_key(make_project, written):
    def key(*more):
        option = "\n".join(['estimator = "sklearn.linear_model:Ridge"', *more])
        project = make_project(PIPELINE.format(table="sklearn", use="", option=option), m=CODE)
        fingerprinter = project.pipeline.fingerprinter()
        return fingerprinter.fingerprint(project.pipeline.graph.nodes["train"], {}).key

    assert key(written) == key()
    assert key("threads = 2") != key()


def failing(depth=1):
    return depth + "levels"


def test_an_error_inside_a_factory_is_its_own_and_not_blamed_on_the_params():
    with pytest.raises(TypeError, match="unsupported operand") as caught:
        _ = trainer("failing", params={"depth": 2}).tasks
    assert any("failing" in note for note in caught.value.__notes__)
    with pytest.raises(UsageError, match="does not take the params deepness"):
        _ = trainer("failing", params={"deepness": 2}).tasks


SELECTORS = {
    "a slice": slice(0, 2), "a slice of names": slice("count", "constant"), "a mask": [True, False],
    "a negative position": [-1], "a callable": lambda frame: [0], "positions": np.array([1, 0]),
    "a callable of names": lambda frame: ["constant"], "a name": ["count"],
}  # fmt: skip


def selecting(columns, remainder="drop"):
    chosen = ColumnTransformer([("chosen", StandardScaler(), columns)], remainder=remainder)
    return make_pipeline(chosen, LogisticRegression())


@pytest.mark.parametrize("remainder", ["drop", "passthrough"])
@pytest.mark.parametrize("columns", SELECTORS.values(), ids=SELECTORS)
def test_columns_may_be_chosen_in_every_way_of_scikit_learn(columns, remainder):
    names = ["count", "constant"]
    frame = pl.DataFrame({"count": [1.0, 2.0, 3.0, 5.0], "constant": [1.0, 0.0, 1.0, 0.0]})
    fitted = selecting(columns, remainder)
    fitted.fit(frame, [0, 1, 0, 1])
    used = used_columns(fitted, names)
    answers = fitted.predict_proba(frame)
    np.testing.assert_array_equal(fitted.predict_proba(frame[used]), answers)


def by_position():
    text = ColumnTransformer([("text", TfidfVectorizer(), 0)])
    return make_pipeline(text, LogisticRegression())


def test_a_text_chosen_by_its_position_trains(tmp_path):
    assert [column.name for column in fit(tmp_path, trainer("by_position"), TEXT_TASK, TEXTS).inputs] == ["text"]


@pytest.mark.parametrize(("options", "message"), [({"pii": True}, "is personal"), ({"buckets": 8}, "cannot heed")])
def test_options_of_columns_are_refused(options, message, tmp_path):
    made = trainer(estimator="sklearn.linear_model:LogisticRegression")
    task = training_task("binary", exclude=(), options={"count": options})
    with pytest.raises(UsageError, match=f"'count'.*{message}|{message}.*'count'"):
        fit(tmp_path, made, task, rows_of("binary"))


def test_columns_that_an_estimator_cannot_read_are_named(tmp_path):
    made = trainer(estimator="sklearn.linear_model:LogisticRegression")
    with pytest.raises(DataError, match=r"color \(string\)") as caught:
        fit(tmp_path, made, training_task("binary", features=("color", "count")), training_rows(100))
    assert "ColumnTransformer" in caught.value.hint


def test_weights_are_an_ability_of_estimators_that_take_them():
    assert trainer("boosted").abilities == {"weight", "valid"}
    assert trainer(estimator="sklearn.neighbors:KNeighborsClassifier").abilities == {"valid"}


@pytest.mark.parametrize(
    ("build", "config"),
    [(build_trainer, SklearnConfig(factory="acme:make")), (build_runtime, SkopsConfig())],
    ids=["trainer", "runtime"],
)
def test_a_missing_extra_is_named(build, config, monkeypatch):
    monkeypatch.setattr("mlopsfw_trainer_sklearn.find_spec", lambda _name: None)
    with pytest.raises(MissingExtra, match=r"needs packages") as caught:
        build(config, None)
    assert "mlopsfw[sklearn]" in caught.value.hint


# A forged file: what it asks for is refused before anything is built.

BUILT = []


class Trap:
    """Notes that it was built."""

    def __new__(cls, *_args):
        BUILT.append(cls)
        return super().__new__(cls)

    def __setstate__(self, state):
        BUILT.append(state)


def forged(change, **parts):
    """Return a file of skops whose schema was changed."""
    data = io.BytesIO(dump(texts().fit(TEXTS.select("text"), TEXTS["sentiment"].to_numpy())))
    out = io.BytesIO()
    with zipfile.ZipFile(data) as archive, zipfile.ZipFile(out, "w", **parts) as made:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                change(schema)
                content = json.dumps(schema)
            made.writestr(name, content)
    return out.getvalue()


def attribute(schema, name, value):
    """Set an attribute of the vectorizer, wherever it lies."""
    for node in nodes(schema):
        if node.get("__class__") == "TfidfVectorizer":
            node["content"]["content"][name] = value


def nodes(value):
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from nodes(each)


def node(loader, name, module=__name__, **more):
    return {"__class__": name, "__module__": module, "__loader__": loader, **more}


def words(*places):
    """Return a vocabulary of words at `places`."""
    content = {f"w{at}": {**JSON, "content": str(place)} for at, place in enumerate(places)}
    kinds = [node("TypeNode", "str", "builtins")] * len(places)
    return node(
        "DictNode", "dict", "builtins", content=content, key_types=node("ListNode", "list", "builtins", content=kinds)
    )


def shared_number(schema):
    """Give `input` the number of an attribute before it that says "filename"; both checks of texts alone would pass."""
    attribute(schema, "input", {**JSON, "content": '"content"', "__id__": 99999})
    for each in nodes(schema):
        if each.get("__class__") == "TfidfVectorizer":
            kinds = each["content"]["key_types"]["content"]
            other = {**JSON, "content": '"filename"', "__id__": 99999}
            each["content"]["content"] = {"aaa": other, **each["content"]["content"]}
            kinds.append(kinds[0])


JSON = node("JsonNode", "str", "builtins", content='"true"', is_json=True)
NONE = node("JsonNode", "str", "builtins", content="null", is_json=True)
EMPTY = node("TupleNode", "tuple", "builtins", content=[JSON])
FORGED = {
    "a class of a user": lambda s: attribute(s, "x", node("ObjectNode", "Trap", content=NONE)),
    "a class that is called": lambda s: attribute(s, "x", node("ConstructorFromReduceNode", "Trap", content=EMPTY)),
    "the program": lambda s: attribute(s, "x", node("ConstructorFromReduceNode", "system", "os", content=EMPTY)),
    "a function": lambda s: attribute(s, "tokenizer", node("FunctionNode", "system", "os")),
    "a type": lambda s: attribute(s, "dtype", node("TypeNode", "Trap")),
    "a partial call": lambda s: attribute(
        s, "x", node("PartialNode", "partial", "functools", content=dict.fromkeys(("func", "args", "kwds", "namespace"), NONE))
    ),
    "a method": lambda s: attribute(s, "x", node("MethodNode", "dict", "builtins", content={"func": "pop", "obj": NONE})),
    "an operator": lambda s: attribute(s, "x", node("OperatorFuncNode", "methodcaller", "operator", attrs=EMPTY)),
    "trees": lambda s: attribute(s, "x", node("TreeNode", "Tree", "sklearn.tree._tree")),
    "a loader for another type": lambda s: attribute(s, "x", node("ListNode", "Trap", content=[JSON])),
    "a named tuple's class": lambda s: attribute(s, "x", node("TupleNode", "Trap", content=[JSON])),
    "an unknown loader": lambda s: attribute(s, "x", node("PickleNode", "str", "builtins")),
    "an old protocol": lambda s: s.update(protocol=0),
    "a true protocol": lambda s: s.update(protocol=True),
    "files for texts": lambda s: attribute(s, "input", {**JSON, "content": '"filename"'}),
    "no attribute input": lambda s: [n["content"]["content"].pop("input") for n in nodes(s) if n.get("__class__") == "TfidfVectorizer"],
    "attributes that are no dict": lambda s: [n["content"].update(__loader__="DefaultDictNode") for n in nodes(s) if n.get("__class__") == "TfidfVectorizer"],
    "an input that is no node": lambda s: attribute(s, "input", []),
    "a class without a module": lambda s: attribute(s, "x", {"__loader__": "ObjectNode"}),
    "a loader that is a list": lambda s: attribute(s, "x", {**JSON, "__loader__": []}),
    "a word beyond the columns": lambda s: attribute(s, "vocabulary_", words(7, 99_999_999)),
    "a word before the columns": lambda s: attribute(s, "vocabulary_", words(-99_999_999)),
    "two words in a column": lambda s: attribute(s, "vocabulary_", words(0, 0)),
    "a spline": lambda s: attribute(s, "x", node("ObjectNode", "BSpline", "scipy.interpolate._bsplines", content=NONE)),
    "a transformer of splines": lambda s: attribute(s, "x", node("ObjectNode", "SplineTransformer", "sklearn.preprocessing._polynomial", content=NONE)),
    "a file that is not there": lambda s: attribute(s, "x", node("NdArrayNode", "ndarray", "numpy", type="numpy", file="../x")),
}  # fmt: skip


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED.keys())
def test_a_forged_file_builds_nothing(change):
    BUILT.clear()
    with pytest.raises(NotAllowed):
        load(forged(change))
    assert not BUILT


def test_a_file_that_is_as_it_was_opens():
    assert load(forged(lambda _schema: None)).predict(pl.DataFrame({"text": ["good"]})).tolist() == ["good"]


def test_a_node_is_built_as_it_stands_whatever_number_it_has():
    model = load(forged(shared_number))
    vectorizer = model.steps[0][1].transformers_[0][1]
    assert (vectorizer.aaa, vectorizer.input) == ("filename", "content")


def with_sparse(content):
    """Return a file of skops whose sparse matrix was changed."""
    model = SGDClassifier(loss="log_loss").fit(np.eye(4), [0, 1, 0, 1]).sparsify()
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(dump(model))) as archive, zipfile.ZipFile(out, "w") as made:
        for name in archive.namelist():
            made.writestr(name, content if name.endswith(".npz") else archive.read(name))
    return out.getvalue()


def packed(compression, **arrays):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)
    return out.getvalue()


def array_header(shape):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: packed(zipfile.ZIP_DEFLATED, data=array_header((35 << 20,)) + bytes(280 << 20)), "more than 256 MiB"),
        (lambda: packed(zipfile.ZIP_STORED, data=array_header((1 << 40,))), "has 128 bytes"),
    ],
    ids=["deflated", "by its header"],
)
def test_a_small_file_of_a_large_matrix_is_refused_before_it_is_read(content, message, monkeypatch):
    data = with_sparse(content())
    assert len(data) < 1 << 20
    monkeypatch.setattr("scipy.sparse.load_npz", lambda _file: pytest.fail("it was read"))
    with pytest.raises(NotAllowed, match=message):
        load(data)


@pytest.mark.parametrize("width", [0, -1, 1 << 40, True, "8"])
@pytest.mark.parametrize("made", [HashingVectorizer, FeatureHasher])
def test_hashes_without_a_width_are_refused(made, width):
    assert load(dump(made(n_features=8))).n_features == 8
    with pytest.raises(NotAllowed, match="n_features="):
        load(dump(made(n_features=width)))


def encoded_strictly():
    chosen = ColumnTransformer([("color", OneHotEncoder(), ["color"])])
    return make_pipeline(chosen, LogisticRegression())


def test_an_estimator_that_fails_for_what_it_has_not_seen_is_refused_with_the_option_that_helps(tmp_path):
    rows = training_rows(200, 0)
    task = TrainingTask(task="binary", target="binary", exclude=("multiclass", "regression"))
    with pytest.raises(DataError, match="has not seen in training") as caught:
        fit(tmp_path, trainer("encoded_strictly"), task, rows)
    assert 'handle_unknown="ignore"' in caught.value.hint


def _encoded(**options):
    rows = np.array([["a"], ["b"], ["b"], ["b"], ["c"], ["d"], ["d"], ["d"]])
    return make_pipeline(OneHotEncoder(**options), LogisticRegression()).fit(rows, [0, 1, 0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize(
    "options", [{}, {"drop": "first"}, {"min_frequency": 2, "handle_unknown": "infrequent_if_exist"}]
)
def test_an_encoder_whose_columns_are_not_those_of_its_categories_is_refused(options):
    model = _encoded(**options)
    assert load(dump(model)).predict([["a"], ["d"]]).tolist() == model.predict([["a"], ["d"]]).tolist()
    model[0]._n_features_outs = [1]
    model[1].coef_ = model[1].coef_[:, :1]
    with pytest.raises(NotAllowed, match="OneHotEncoder"):
        load(dump(model))


def test_an_encoder_that_maps_beyond_its_columns_is_refused():
    model = _encoded(min_frequency=2, handle_unknown="infrequent_if_exist")
    model[0]._default_to_infrequent_mappings = [np.array([0, 1, 2, 1_000_000])]
    with pytest.raises(NotAllowed, match="infrequent"):
        load(dump(model))
    model = _encoded(drop="first")
    model[0].drop_idx_ = np.array([99], dtype=object)
    with pytest.raises(NotAllowed, match="OneHotEncoder"):
        load(dump(model))


def test_compressed_parts_are_refused():
    with pytest.raises(NotAllowed, match="compressed"):
        load(forged(lambda _schema: None, compression=zipfile.ZIP_DEFLATED))


def test_a_sparse_matrix_whose_indices_lie_outside_of_it_is_refused():
    model = SGDClassifier(loss="log_loss").fit(np.eye(4), [0, 1, 0, 1]).sparsify()
    matrix = csr_matrix(np.ones((1, 4)))
    matrix.indices[:] = 10_000_000
    written = io.BytesIO()
    save_npz(written, matrix)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(dump(model))) as archive, zipfile.ZipFile(out, "w") as made:
        for name in archive.namelist():
            made.writestr(name, written.getvalue() if name.endswith(".npz") else archive.read(name))
    assert load(dump(model)).predict(np.eye(4)).shape == (4,)
    with pytest.raises(NotAllowed):
        load(out.getvalue())


def test_a_forged_file_is_an_error_of_the_bundle(tmp_path):
    loaded = opened(tmp_path, trainer("texts"), TEXT_TASK, TEXTS)
    data = forged(FORGED["a class of a user"])
    (loaded.folder / "model.skops").write_bytes(data)
    files = {**loaded.manifest.files, "model.skops": hashlib.sha256(data).hexdigest()}
    with pytest.raises(BundleError, match="Trap is not among the types that a bundle may hold"):
        SkopsRuntime().load(loaded.folder, msgspec.structs.replace(loaded.manifest, files=files))
