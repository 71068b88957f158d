"""`mlopsfw models import`: model files made elsewhere become versions that answer, and none of them runs code."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlopsfw.cli import run as mlopsfw
from mlopsfw.kernel.base.errors import BundleError, UnknownFormat, UsageError
from mlopsfw.project.logged_model import load_model
from mlopsfw.project.model_import import ModelFacts, import_file

pytestmark = pytest.mark.usefixtures("in_this_process")
MODELS = Path(__file__).parent / "mlflow_models"
ROWS = pl.DataFrame({"distance": [0.5, -1.0, 2.0, -0.3] * 40, "wind": [1.0, -0.5, 0.25, -2.0] * 40}).with_columns(
    late=pl.col("distance") + pl.col("wind") > 0
)
MATRIX = ROWS.drop("late").to_numpy()
LATE = ROWS["late"].to_numpy().astype(int)


def answers(project, reference: str, rows=ROWS) -> np.ndarray:
    with load_model(reference, project=project) as model:
        return model.predict(rows).to_series(0).to_numpy()


def imported(project, file: Path, rows=ROWS, **facts) -> tuple[str, np.ndarray]:
    version = import_file(project, file, "delay", ModelFacts(**facts))
    return version.task, answers(project, version.ref, rows)


def test_lightgbms_text_says_its_columns_task_and_categories(project, tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    params = {"objective": "binary", "verbosity": -1, "min_data_in_leaf": 2}
    data = lightgbm.Dataset(MATRIX, LATE, feature_name=["distance", "wind"])
    booster = lightgbm.train(params, data, 5)
    booster.save_model(tmp_path / "model.txt")
    task, found = imported(project, tmp_path / "model.txt")
    assert task == "binary"
    np.testing.assert_allclose(found, booster.predict(MATRIX))


@pytest.mark.parametrize("suffix", ["json", "ubj"])
def test_xgboosts_files_of_either_form_answer_as_xgboost_does(project, tmp_path, suffix):
    xgboost = pytest.importorskip("xgboost")
    labels = np.arange(160) % 3
    data = xgboost.DMatrix(MATRIX, labels, feature_names=["distance", "wind"])
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 2}, data, 3)
    booster.save_model(tmp_path / f"model.{suffix}")
    version = import_file(project, tmp_path / f"model.{suffix}", "delay", ModelFacts(classes=("a", "b", "c")))
    with load_model(version.ref, project=project) as model:
        found = np.stack(model.predict(ROWS)["probabilities"].to_numpy())
        assert (model.manifest.task, model.manifest.classes) == ("multiclass", ("a", "b", "c"))
    np.testing.assert_allclose(found, booster.predict(data), rtol=1e-6)


def test_a_file_of_skops_says_its_columns_and_classes_and_another_type_is_refused(project, tmp_path):
    skops = pytest.importorskip("skops.io")
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    model = LogisticRegression().fit(ROWS.drop("late"), ROWS["late"])
    skops.dump(model, tmp_path / "model.skops")
    task, found = imported(project, tmp_path / "model.skops")
    assert task == "binary"
    np.testing.assert_allclose(found, model.predict_proba(ROWS.drop("late"))[:, 1])
    skops.dump(LogisticRegression().fit(MATRIX, LATE), tmp_path / "bare.skops")
    unnamed = ROWS.rename({"distance": "x0", "wind": "x1"})
    np.testing.assert_allclose(imported(project, tmp_path / "bare.skops", unnamed)[1], found, rtol=1e-6)
    skops.dump(SVC().fit(MATRIX, LATE), tmp_path / "other.skops")
    with pytest.raises(BundleError, match=r"sklearn\.svm.*is not among the types"):
        import_file(project, tmp_path / "other.skops", "delay", ModelFacts())


def test_an_onnx_classifier_of_scikit_learn_gets_the_output_of_its_task(project, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(MATRIX, LATE)
    graph = skl2onnx.to_onnx(model, MATRIX[:1].astype("float32"), options={"zipmap": False})
    (tmp_path / "c.onnx").write_bytes(graph.SerializeToString())
    rows = pl.DataFrame({"X": MATRIX.astype("float32")})
    task, found = imported(project, tmp_path / "c.onnx", rows, classes=("false", "true"))
    assert task == "binary"
    np.testing.assert_allclose(found, model.predict_proba(MATRIX)[:, 1], atol=1e-6)
    task, labels = imported(project, tmp_path / "c.onnx", rows)
    assert (task, labels.tolist()) == ("custom", model.predict(MATRIX).tolist())
    with pytest.raises(BundleError, match="regression model"):
        import_file(project, tmp_path / "c.onnx", "delay", ModelFacts(task="regression"))
    project.datasets.commit("flights", ROWS, "replace")
    with pytest.raises(BundleError, match="'X', which is no column") as refused:
        import_file(project, tmp_path / "c.onnx", "delay", ModelFacts(like="data:/flights", target="late"))
    assert "make it one column of arrays" in refused.value.hint


def logits_file(file: Path, width: int, *squashing: str) -> np.ndarray:
    """Write an ONNX file that answers with `width` logits for a row of `x`, or what the operators make of them; return its weights."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.array([[1.0, -1.0, 0.5], [2.0, 0.3, -1.0]], dtype=np.float32)[:, :width]
    graph = helper.make_graph(
        [
            helper.make_node(
                name, ["x", "w"] if not at else [f"{at - 1}"], ["scores" if at == len(squashing) else f"{at}"]
            )
            for at, name in enumerate(("MatMul", *squashing))
        ],
        "logits",
        [helper.make_tensor_value_info("x", kind, ["rows", 2])],
        [helper.make_tensor_value_info("scores", kind, ["rows", width])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    return weights


@pytest.mark.parametrize(("width", "classes"), [(1, ("no", "yes")), (2, ("no", "yes")), (3, ("a", "b", "c"))])
def test_logits_are_refused_by_name_and_become_probabilities_where_they_are_declared(project, tmp_path, width, classes):
    weights = logits_file(tmp_path / "net.onnx", width)
    with pytest.raises(
        BundleError, match=r"net\.onnx does not answer with probabilities: .* is (below 0|above 1)"
    ) as refused:
        import_file(project, tmp_path / "net.onnx", "delay", ModelFacts(classes=classes))
    assert "--logits" in refused.value.hint
    rows = pl.DataFrame({"x": MATRIX.astype(np.float32)})
    task, found = imported(project, tmp_path / "net.onnx", rows, classes=classes, logits=True)
    odds = np.exp(MATRIX @ weights)
    shares = odds / odds.sum(axis=1, keepdims=True) if width > 1 else odds / (1 + odds)
    assert task == ("multiclass" if width == 3 else "binary")
    wanted = shares if width == 3 else shares[:, -1]
    np.testing.assert_allclose(np.stack(found.tolist()), wanted, rtol=1e-4)


@pytest.mark.parametrize(("width", "squashing"), [(1, ("Sigmoid", "Identity")), (3, ("Softmax",))])
def test_probabilities_are_not_taken_for_logits(project, tmp_path, width, squashing):
    logits_file(tmp_path / "net.onnx", width, *squashing)
    facts = ModelFacts(classes=("a", "b", "c")[: max(width, 2)], logits=True)
    with pytest.raises(BundleError, match=f"'scores' has probabilities, no logits: {squashing[0]}"):
        import_file(project, tmp_path / "net.onnx", "delay", facts)


def test_logits_of_what_is_no_onnx_classifier_are_refused(project, tmp_path):
    logits_file(tmp_path / "net.onnx", 3)
    with pytest.raises(UsageError, match="not of a custom model as onnx"):
        import_file(project, tmp_path / "net.onnx", "delay", ModelFacts(logits=True))


@pytest.fixture
def export(tmp_path):
    """An export of torch 2.13: the sum of two inputs, for any number of rows."""
    return shutil.copyfile(Path(__file__).parent / "net.pt2", tmp_path / "net.pt2")


@pytest.mark.nightly
def test_an_export_of_torch_is_kept_as_onnx(project, export):
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    version = import_file(project, export, "delay", ModelFacts())
    np.testing.assert_allclose(answers(project, version.ref), MATRIX.sum(axis=1), rtol=1e-6)
    with load_model(version.ref, project=project) as model:
        assert (model.manifest.task, [*model.manifest.formats]) == ("regression", ["onnx"])
        assert not any(name.endswith(".pt2") for name in model.manifest.files)


def test_an_export_of_torch_is_plain_to_the_check_before_torch(export, tmp_path):
    from mlopsfw_runtime_onnx.torch_export import write_checked

    write_checked(export, tmp_path / "copy.pt2")
    with zipfile.ZipFile(export) as source, zipfile.ZipFile(tmp_path / "copy.pt2") as copy:
        parts = {name.partition("/")[2]: source.read(name) for name in source.namelist()}
        assert parts == {name.removeprefix("model/"): copy.read(name) for name in copy.namelist()}


def two_faced(seen: bytes, other: bytes) -> bytes:
    """Return a zip file whose parts are those of `seen` for Python, and those of `other` for readers that take offsets as they are.

    Python takes what stands before the parts as another file, such as a program that unpacks itself, and shifts the offsets.
    """
    end, size = (struct.unpack_from("<I", seen, seen.rindex(b"PK\5\6") + at)[0] for at in (16, 12))
    parts, listing, tail = seen[:end], bytearray(seen[end : end + size]), bytearray(seen[end + size :])
    before = other[: other.rindex(b"PK\5\6")]
    place = struct.unpack_from("<I", other, len(before) + 16)[0]
    at, shift = 0, len(before) + end - place
    while at < size:
        names = sum(struct.unpack_from("<3H", listing, at + 28))
        offset = struct.unpack_from("<I", listing, at + 42)[0]
        struct.pack_into("<I", listing, at + 42, offset + len(before) - shift)
        at += 46 + names
    struct.pack_into("<I", tail, 16, place)
    return before + parts + bytes(listing + tail)


def test_torch_reads_the_parts_that_were_checked_and_not_those_of_another_listing(export, tmp_path, monkeypatch):
    from mlopsfw_runtime_onnx.torch_export import convert

    hostile = rewritten(export, b'"expr_str": "', b'"expr_str": "' + RUN + b" or ").read_bytes()
    plain = rewritten(export, b"aten", b"aten").read_bytes()
    (tmp_path / "faces.pt2").write_bytes(two_faced(plain, hostile))
    given = []
    monkeypatch.setattr("mlopsfw_runtime_onnx.torch_export.find_spec", lambda _name: True)
    monkeypatch.setattr("subprocess.run", lambda command, **_options: given.append(Path(command[-2]).read_bytes()))
    with pytest.raises(AttributeError):  # no child ran
        convert(tmp_path / "faces.pt2", tmp_path / "out.onnx")
    assert RUN not in given[0]
    assert b"torch.ops.aten.stack.default" in given[0]


BROKEN = {
    "a part twice": lambda archive: [archive.writestr("m/version", "1"), archive.writestr("n/version", "1")],
    "a size that nobody can parse": lambda archive: archive.writestr(
        "m/models/m.json", json.dumps({"expr_str": "-" * 99_999})
    ),
    "JSON of a million levels": lambda archive: archive.writestr("m/models/m.json", "[" * 1_000_000),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_export_is_an_error_of_the_file(tmp_path, what):
    from mlopsfw_runtime_onnx.torch_export import write_checked

    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        BROKEN[what](archive)
    with pytest.raises(BundleError):
        write_checked(tmp_path / "m.pt2", tmp_path / "copy.pt2")


def test_a_part_that_is_damaged_or_has_a_password_is_an_error_of_the_file(tmp_path):
    from mlopsfw_runtime_onnx.torch_export import write_checked

    with zipfile.ZipFile(tmp_path / "m.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/version", "1" * 1000)
    whole = (tmp_path / "m.pt2").read_bytes()
    listing = whole.index(b"PK\1\2")
    for at, bits in ((39, 255), (listing + 8, 1)):  # the first byte of the part; the flag of a password
        data = bytearray(whole)
        data[at] |= bits
        (tmp_path / "m.pt2").write_bytes(data)
        with pytest.raises(BundleError):
            write_checked(tmp_path / "m.pt2", tmp_path / "copy.pt2")


def rewritten(export: Path, old: bytes, new: bytes) -> Path:
    """Return a copy of the export whose JSON has other bytes."""
    place = export.with_name("hostile.pt2")
    with zipfile.ZipFile(export) as source, zipfile.ZipFile(place, "w") as target:
        for part in source.infolist():
            data = source.read(part)
            assert part.filename != "net/models/model.json" or old in data
            target.writestr(part.filename, data.replace(old, new) if part.filename.endswith("model.json") else data)
    return place


RUN = b"__import__('os').system('touch ran')"
HOSTILE = {
    "a function as an operator": (b"torch.ops.aten.stack.default", b"torch.os.system", "no operator"),
    "an operator that reads files": (
        b"torch.ops.aten.stack.default",
        b"torch.ops.aten.from_file.default",
        "no operator",
    ),
    "a size that is evaluated": (b'"expr_str": "', b'"expr_str": "' + RUN + b" or ", "no expression of sizes"),
    "a symbol that is evaluated": (
        b"Symbol('s",
        b"Symbol('" + RUN.replace(b"'", b"\\u0022") + b"s",
        "no expression of sizes",
    ),
    "a guard that is compiled": (b'"guards_code": ["', b'"guards_code": ["' + RUN + b" or ", "no expression of sizes"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_export_is_refused_before_torch_reads_it(project, export, monkeypatch, what):
    old, new, problem = HOSTILE[what]
    monkeypatch.setattr("subprocess.run", None)  # no child starts
    with pytest.raises(BundleError, match=problem):
        import_file(project, rewritten(export, old, new), "delay", ModelFacts())


class Evil:
    def __reduce__(self):
        return (Path("ran").touch, ())


def test_an_export_with_pickled_objects_is_refused(project, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("m/models/model.json", "{}")
        archive.writestr("m/data/constants/opaque_obj_0", pickle.dumps(Evil()))
    with pytest.raises(BundleError, match="no part of a plain export"):
        import_file(project, tmp_path / "m.pt2", "delay", ModelFacts())


@pytest.mark.nightly
def test_a_pickle_among_the_tensors_of_an_export_is_not_run(project, export, monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.save(Evil(), tmp_path / "evil.pt")
    place = tmp_path / "hostile.pt2"
    with zipfile.ZipFile(export) as source, zipfile.ZipFile(place, "w") as target:
        for part in source.infolist():
            evil = part.filename.endswith("sample_inputs/model.pt")
            target.writestr(part.filename, (tmp_path / "evil.pt").read_bytes() if evil else source.read(part))
    with pytest.raises(BundleError, match="weights_only"):
        import_file(project, place, "delay", ModelFacts())
    assert not Path("ran").exists()


def test_pickles_outside_weights_and_unknown_formats_are_refused(project, tmp_path):
    from onnx import TensorProto, helper

    (tmp_path / "m.onnx").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(Evil()))
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [tensor])
    (tmp_path / "outside.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    refused = {
        "m.onnx": (BundleError, "holds a pickle"),
        "m.pkl": (UnknownFormat, "may run code when it is loaded"),
        "outside.onnx": (BundleError, "in another file"),
    }
    for name, (kind, why) in refused.items():
        with pytest.raises(kind, match=why):
            import_file(project, tmp_path / name, "delay", ModelFacts())
    with pytest.raises(UsageError, match="folder without a file MLmodel"):
        import_file(project, tmp_path, "delay", ModelFacts())
    with pytest.raises(UsageError, match="there is no file"):
        import_file(project, tmp_path / "none.onnx", "delay", ModelFacts())


@pytest.mark.parametrize("folder", ["lgb", "xgb", "skops"])
def test_a_model_folder_of_mlflow_comes_over_with_its_signature(project, folder):
    pytest.importorskip("yaml")
    version = import_file(project, MODELS / folder, "delay", ModelFacts())
    with load_model(version.ref, project=project) as model:
        assert [column.name for column in model.manifest.inputs] == ["distance", "wind"]
        assert (((model.predict(ROWS)["probability"] > 0.5) == ROWS["late"]).mean()) > 0.9


def test_a_model_folder_that_holds_a_pickle_or_names_a_file_outside_is_refused(project, tmp_path):
    pytest.importorskip("yaml")
    folder = shutil.copytree(MODELS / "skops", tmp_path / "m")
    text = (folder / "MLmodel").read_text()
    (folder / "model.pkl").write_bytes(pickle.dumps(Evil()))
    (folder / "MLmodel").write_text(text.replace("model.skops", "model.pkl"))
    with pytest.raises(BundleError, match="may run code"):
        import_file(project, folder, "delay", ModelFacts())
    shutil.copyfile(folder / "model.skops", tmp_path / "outside.skops")
    (folder / "MLmodel").write_text(text.replace("model.skops", "../outside.skops"))
    with pytest.raises(BundleError, match="no file of the folder"):
        import_file(project, folder, "delay", ModelFacts())
    (folder / "model.skops").unlink()
    (folder / "model.skops").symlink_to("model.skops")
    (folder / "MLmodel").write_text(text)
    with pytest.raises(BundleError, match="no file of the folder"):
        import_file(project, folder, "delay", ModelFacts())


def test_the_verb_takes_a_signature_or_rows_and_the_model_is_then_asked_like_any_other(project, tmp_path, capsys):
    lightgbm = pytest.importorskip("lightgbm")
    booster = lightgbm.train({"objective": "regression", "verbosity": -1}, lightgbm.Dataset(MATRIX, LATE), 2)
    booster.save_model(tmp_path / "model.txt")
    (tmp_path / "s.json").write_text(
        json.dumps({"inputs": [{"name": n, "type": "number"} for n in ("distance", "wind")]})
    )
    ROWS.write_parquet(tmp_path / "rows.parquet")
    project.datasets.commit("flights", ROWS, "replace")
    here = ["--project", str(project.root)]
    file = str(tmp_path / "model.txt")
    assert mlopsfw([*here, "models", "import", file, "--name", "delay", "--signature", str(tmp_path / "s.json")]) == 0
    like = ["--like", "data:/flights", "--target", "late"]
    assert mlopsfw([*here, "models", "import", file, "--name", "delay", *like, "--json"]) == 0
    assert (
        mlopsfw([*here, "models", "import", file, "--name", "delay", *like, "--signature", str(tmp_path / "s.json")])
        == 2
    )
    out = str(tmp_path / "out.parquet")
    assert mlopsfw([*here, "predict", "delay@2", str(tmp_path / "rows.parquet"), "--out", out]) == 0
    np.testing.assert_allclose(pl.read_parquet(out)["value"].to_numpy(), booster.predict(MATRIX))
    assert "models:/delay@1 (regression), run" in capsys.readouterr().out
    assert project.registry.resolve("models:/delay@2").run


def numbers(value) -> list[float]:
    """Return every number of a document, in order: JSON has those of float32 in fewer digits."""
    if isinstance(value, dict | list):
        return [each for part in (value.values() if isinstance(value, dict) else value) for each in numbers(part)]
    return [float(value)] if isinstance(value, int | float) else [float(len(value))]


def test_ubj_that_ends_early_or_is_none_is_an_error_and_no_crash(tmp_path):
    xgboost = pytest.importorskip("xgboost")
    from mlopsfw_xgboost.ubjson import decode

    data = bytes(xgboost.train({}, xgboost.DMatrix(MATRIX, LATE), 2).save_raw("ubj"))
    text = json.loads(bytes(xgboost.train({}, xgboost.DMatrix(MATRIX, LATE), 2).save_raw("json")))
    assert np.allclose(*(numbers(each) for each in (decode(data), text)), rtol=1e-6)
    for end in range(0, len(data), 7):
        with pytest.raises(ValueError, match=r".+"):
            decode(data[:end])
    with pytest.raises(ValueError, match="deep"):
        decode(b"[" * 100)
    with pytest.raises(ValueError, match="a length before byte 4 is below 0"):
        decode(b"[#i\xff")


CLAIMS = {
    "columns that fill memory": {"num_feature": "999999999", "num_class": "0"},
    "classes that fill memory": {"num_feature": "2", "num_class": "999999999"},
}


@pytest.mark.parametrize("what", CLAIMS)
def test_a_document_of_xgboost_that_claims_too_much_is_refused_before_memory_is_taken(project, tmp_path, what):
    pytest.importorskip("xgboost")
    learner = {"learner_model_param": {"base_score": "0", **CLAIMS[what]}, "objective": {"name": "multi:softprob"}}
    (tmp_path / "m.json").write_text(json.dumps({"learner": learner}))
    with pytest.raises(BundleError, match="more than 100,000 columns or classes"):
        import_file(project, tmp_path / "m.json", "delay", ModelFacts())


def test_json_that_is_nested_too_deep_is_an_error_of_the_file(project, tmp_path):
    pytest.importorskip("xgboost")
    deep = '{"a":' * 100_000
    (tmp_path / "m.json").write_text(deep)
    with pytest.raises(BundleError, match="is not a model of XGBoost"):
        import_file(project, tmp_path / "m.json", "delay", ModelFacts())
    (tmp_path / "s.json").write_text(f'{{"inputs": [{deep}')
    with pytest.raises(UsageError, match="is no signature"):
        import_file(project, tmp_path / "m.json", "delay", ModelFacts(signature=tmp_path / "s.json"))


@pytest.mark.parametrize("sides", [[1 << 31], [1 << 13, 1 << 13]])
def test_a_graph_whose_rows_would_fill_memory_is_refused(project, tmp_path, sides):
    from onnx import TensorProto, helper

    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, *sides]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="more than 16,777,216 values a row"):
        import_file(project, tmp_path / "m.onnx", "delay", ModelFacts())
