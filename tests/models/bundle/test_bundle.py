"""Model bundles: the same bytes each time, opened only when whole, and never a way to run or read what is not theirs."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import onnx
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from mlopsfw.data.tables.handle import TableHandle
from mlopsfw.features import FeaturePlan
from mlopsfw.kernel.base.errors import BundleError, DataError, GoldenMismatch, SignatureMismatch, UnknownFormat
from mlopsfw.kernel.roles.bundle import SignatureColumn
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.kernel.roles.training import TrainedModel, TrainingTask
from mlopsfw.models import bundle
from mlopsfw.models.bundle import row_file, scoring
from mlopsfw.models.bundle.files import read_manifest, read_model
from mlopsfw.models.bundle.onnxfile import check_onnx
from mlopsfw.models.bundle.tensorfile import check_safetensors
from mlopsfw_core import Reference
from mlopsfw_runtime_onnx.runtime import OnnxRuntime

TASK = TrainingTask(task="binary", target="late", options={"tail": {"pii": True}, "age": {"pii": True}})
ROWS = pl.DataFrame(
    {
        "distance": [100.123, 500.456, None, 2500.789] * 40,
        "hour": [6, 9, 14, 22] * 40,
        "carrier": ["UA", "AA", "B6", None] * 40,
        "tail": ["N-secret-1", "N-secret-2", "N-secret-3", "N-secret-4"] * 40,
        "age": [31.25, 47.5, 52.125, 60.75] * 40,
        "when": pl.Series(["2013-01-01T10:00:00Z", "2013-02-01T10:00:00Z"] * 80).str.to_datetime(time_zone="UTC"),
        "late": [False, True, False, True] * 40,
    }
)
RUNTIMES = {"onnx": OnnxRuntime()}


def model(plan, bias=0.0, extra=()):
    """Return a logistic model over a plan's floats as ONNX."""
    width = len(plan.numeric_sources)
    weights = np.linspace(-0.5, 0.5, width, dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["numeric", "w"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.float32(bias).reshape(()), "bias"),
        *extra,
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["rows"])], constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def trained(folder, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    plan = FeaturePlan.fit(ROWS, TASK)
    (folder / "m.onnx").write_bytes(model(plan).SerializeToString())
    (folder / "w.safetensors").write_bytes(save({"a": np.ones(3, dtype=np.float32)}))
    (folder / "plan").write_bytes(plan.to_json())
    files = {
        "model.onnx": folder / "m.onnx",
        "weights.safetensors": folder / "w.safetensors",
        "plan.json": folder / "plan",
    }
    whole = {
        "inputs": plan.inputs, "files": files, "formats": {"onnx": "model.onnx"},
        "classes": (False, True), "metrics": {"auc": 0.7}, "facts": {"trainer": "<script>alert(1)</script>|\n# x"},
    }  # fmt: skip
    return TrainedModel(**(whole | changes))


def make(tmp_path, name="bundle", **changes):
    bundle.write(tmp_path / name, trained(tmp_path / f"{name}-parts", **changes), TASK, TableHandle.of(ROWS), RUNTIMES)
    return tmp_path / name


def opened(folder):
    return bundle.open_bundle(folder, RUNTIMES.__getitem__)


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path)


def relist(folder, name, data):
    """Put a file in place of another and list it, as one who forges a bundle would."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(manifest))


def test_a_bundle_answers_as_the_model_in_it(folder):
    loaded = opened(folder)
    rows = ROWS[:4]
    plan = FeaturePlan.fit(ROWS, TASK)
    features = plan.polars(rows)["numeric"]
    expected = 1 / (1 + np.exp(-(features @ np.linspace(-0.5, 0.5, features.shape[1]))))
    assert np.allclose(loaded.predict_table(rows)["probability"], expected, atol=1e-6)
    lists = loaded.predict({name: rows[name].to_list() for name in rows.columns})["probability"]
    assert np.array_equal(lists, loaded.predict_table(rows)["probability"])


def test_equal_models_give_equal_bundles(tmp_path):
    first, second = make(tmp_path, "first"), make(tmp_path, "second")
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {p.name: p.read_bytes() for p in second.iterdir()}


def test_what_a_bundle_holds(folder):
    manifest = bundle.verify(folder)
    assert {p.name for p in folder.iterdir()} == {*manifest.files, "bundle.json"}
    schema = pa.ipc.read_schema(pa.BufferReader((folder / "signature.arrow").read_bytes()))
    assert {field.name: field.type for field in schema}["when"] == pa.timestamp("us", "UTC")
    assert (
        [field.name for field in schema if field.nullable]
        == [c.name for c in manifest.inputs if c.nullable]
        == ["distance", "carrier"]
    )
    assert "numpy==" in (folder / "requirements.txt").read_text()
    sbom = json.loads((folder / "sbom.json").read_bytes())
    assert sbom["bomFormat"] == "CycloneDX"
    assert {"mlopsfw", "numpy", "onnxruntime"} <= {component["name"].lower() for component in sbom["components"]}
    known = {component["bom-ref"] for component in sbom["components"]}
    assert all(each["ref"] in known and set(each["dependsOn"]) <= known for each in sbom["dependencies"])


def test_the_profile_has_a_reference_for_each_input_and_output_but_personal_numbers(folder):
    profile = opened(folder).profile()
    assert set(profile) == {"distance", "hour", "carrier", "tail", "when", "probability"}
    references = {name: Reference.from_dict(kept) for name, kept in profile.items()}
    assert references["distance"].missing == 40
    assert references["probability"].rows == ROWS.height
    assert references["carrier"].kind == "categorical"


def test_no_row_and_no_personal_value_of_training_is_in_a_bundle(folder):
    whole = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"N-secret" not in whole
    for value in (b"31.25", b"47.5", b"52.125"):
        assert value not in b"".join((folder / f"{name}.json").read_bytes() for name in ("golden", "profile", "plan"))
    golden = json.loads((folder / "golden.json").read_bytes())["columns"]
    real = {tuple(map(str, row)) for row in ROWS.select(*golden).rows()}
    assert not real & {tuple(map(str, row)) for row in zip(*golden.values(), strict=True)}


def test_text_from_outside_is_no_markup_on_the_card(folder):
    card = (folder / "card.md").read_text()
    assert "<script>" not in card
    assert "\n# x" not in card


@pytest.mark.parametrize(
    "name", ["model.onnx", "plan.json", "profile.json", "golden.json", "card.md", "weights.safetensors", "sbom.json"]
)
def test_one_flipped_bit_in_any_file_is_found(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 3] ^= 4
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=name):
        bundle.verify(folder)
    with pytest.raises(BundleError):
        opened(folder)


@pytest.mark.parametrize("name", ["model.onnx", "plan.json", "bundle.json", "golden.json"])
def test_a_missing_file_is_found(folder, name):
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        opened(folder)


def test_an_extra_file_folder_or_link_is_refused(folder, tmp_path):
    (tmp_path / "secret").write_text("secret")
    for add in (
        lambda: (folder / "extra.txt").write_text(""), (folder / "sub").mkdir, lambda: (folder / "link").symlink_to(tmp_path / "secret"),
        lambda: os.mkfifo(folder / "pipe"), lambda: (folder / ".hidden").write_text(""),
    ):  # fmt: skip
        before = set(folder.iterdir())
        add()
        with pytest.raises(BundleError):
            bundle.verify(folder)
        for path in set(folder.iterdir()) - before:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    bundle.verify(folder)


@pytest.mark.parametrize("name", ["model.onnx", "plan.json", "bundle.json"])
@pytest.mark.parametrize("how", ["symlink_to", "hardlink_to"])
def test_a_link_in_the_place_of_a_file_is_refused_though_its_content_is_right(folder, tmp_path, name, how):
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    getattr(folder / name, how)(outside)
    with pytest.raises(BundleError):
        bundle.verify(folder)


@pytest.mark.parametrize(
    "name",
    [
        "../m.onnx",
        "/etc/passwd",
        "a/../b",
        "a//b",
        "a/",
        "/".join("abcdefghi"),
        "model.onnx/x",
        "..",
        "",
        "a\\b",
        "con.json",
        "a\0b",
        "ä",
        ".x",
        "BUNDLE.JSON",
        "x.",
    ],
)
def test_a_manifest_that_lists_a_path_is_refused(folder, name):
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["files"][name] = "0" * 64
    (folder / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError):
        bundle.verify(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3}, {"format": 1}, {"format": "1"}, {"more": 1}, {"formats": {}}, {"formats": {"onnx": "other.onnx"}}, {"outputs": []}, {"task": ""}, {"task": "multiclass"},
        {"task": "regression"}, {"classes": [1, 2, 3]},
        {"files": {}}, {"inputs": []},
    ],
)  # fmt: skip
def test_a_manifest_that_does_not_fit_together_is_refused(folder, change):
    manifest = json.loads((folder / "bundle.json").read_bytes())
    (folder / "bundle.json").write_text(json.dumps(manifest | change))
    with pytest.raises(BundleError):
        opened(folder)


def test_a_model_that_answers_otherwise_is_refused_by_its_golden_rows(folder):
    plan = FeaturePlan.from_json((folder / "plan.json").read_bytes())
    relist(folder, "model.onnx", model(plan, bias=0.01).SerializeToString())
    bundle.verify(folder)
    with pytest.raises(GoldenMismatch, match="golden row"):
        opened(folder)


def test_a_format_without_a_runtime_is_an_error_and_nothing_else_is_tried(folder):
    def none(name):
        raise UnknownFormat(name)

    with pytest.raises(UnknownFormat):
        bundle.open_bundle(folder, none)


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.joblib", "w.npy", "model.BIN", "model.ckpt", "m.h5"])
def test_files_that_run_code_when_loaded_are_no_part_of_a_bundle(tmp_path, name):
    class Harm:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/harmed",)

    (tmp_path / "harm").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(UnknownFormat):
        make(tmp_path, files={name: tmp_path / "harm"}, formats={"onnx": name})
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "plan.json", "golden.json", "profile.json"])
def test_a_pickle_under_another_name_is_never_loaded(folder, tmp_path, name):
    class Harm:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/harmed",)

    relist(folder, name, pickle.dumps(Harm()))
    with pytest.raises(BundleError):
        opened(folder).profile()
    assert not (tmp_path / "harmed").exists()


def test_a_trainer_cannot_put_its_file_in_the_place_of_the_bundles_own(tmp_path):
    (tmp_path / "golden.json").write_text("{}")
    for name in ("golden.json", "profile.json", "bundle.json", "outputs.arrow"):
        with pytest.raises(BundleError, match=name):
            make(tmp_path, files={name: tmp_path / "golden.json"})
    with pytest.raises(BundleError, match="not empty"):
        make(tmp_path, "bundle-parts")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"metrics": {"auc": float("nan")}}, r"metrics\['auc'\]"),
        ({"facts": {"importance": {"hour": float("inf")}}}, r"facts\['importance'\]\['hour'\]"),
        ({"facts": {"late": lambda: float("nan")}}, r"facts\['late'\]"),
    ],
)
def test_a_number_that_json_cannot_hold_is_refused_by_its_name_and_not_kept_as_null(changes, named, tmp_path):
    with pytest.raises(BundleError, match=named):
        make(tmp_path, **changes)


def test_a_value_that_the_signature_does_not_take_is_named(folder):
    columns = {name: ROWS[name][:1].to_list() for name in ROWS.columns}
    with pytest.raises(SignatureMismatch) as caught:
        opened(folder).predict(columns | {"hour": ["six"]})
    assert (caught.value.column, caught.value.row) == ("hour", 0)


def test_rows_are_scored_alike_from_a_table_and_from_the_csv_that_was_written_of_it(folder, tmp_path, formats):
    wanted = scoring.score(opened(folder), ROWS)
    row_file.write_rows([ROWS], tmp_path / "rows.csv")
    found = scoring.score(opened(folder), scoring.read_rows(formats, tmp_path / "rows.csv"))
    assert found["probability"].to_list() == wanted["probability"].to_list()


def test_no_text_of_a_written_csv_is_a_formula_and_other_files_hold_texts_as_they_are(tmp_path):
    formulas = ["=1+1", "@SUM(A1)", "+cmd|x", "-x", "-", "\t=1", "=cmd|' /C calc'!A0"]
    texts = [*formulas, "-5", "+1.5", "-.5", "a=1", "", None, "'=1"]
    rows = pl.DataFrame({"t": texts, "c": pl.Series(texts, dtype=pl.Categorical), "n": [-1.5] * len(texts)})
    wanted = [f"'{each}" if each in formulas else each for each in texts]
    for name, texts_of in (("x.csv", wanted), ("x.parquet", texts), ("x.jsonl", texts)):
        row_file.write_rows([rows], tmp_path / name)
        read = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".jsonl": pl.read_ndjson}[(tmp_path / name).suffix]
        found = read(tmp_path / name)
        assert found["t"].to_list() == texts_of
        assert found["c"].cast(pl.String).to_list() == texts_of
        assert found["n"].to_list() == rows["n"].to_list()


def test_json_lines_tell_infinity_and_no_number_from_a_missing_value(tmp_path):
    rows = pl.DataFrame(
        {"x": [1.5, float("inf"), float("-inf"), float("nan"), None], "t": ["ü", "b\u2028", "c\x85", None, "e"]}
    )
    rows = rows.with_columns(v=pl.Series([[0.5], [float("nan"), None], None, [], [float("inf")]]))
    row_file.write_rows([rows, rows[:1]], tmp_path / "x.jsonl")
    found = [json.loads(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines()]
    assert [row["x"] for row in found] == [1.5, "inf", "-inf", "nan", None, 1.5]
    assert [row["v"] for row in found] == [[0.5], ["nan", None], None, [], ["inf"], [0.5]]
    assert [row["t"] for row in found] == ["ü", "b\u2028", "c\x85", None, "e", "ü"]


def test_one_code_among_whole_numbers_makes_no_texts_of_the_others_and_a_word_is_named_with_its_row(
    folder, tmp_path, formats
):
    inputs, file = opened(folder).manifest.inputs, tmp_path / "x.csv"
    (whole,) = [column.name for column in inputs if column.type == "integer"][:1]
    for cells, wanted in (
        (["30", "031", "+7", "8.0", " 9"], [30, 31, 7, 8, 9]),
        (["30", "x"], None),
        (["1", str(2**63)], None),
    ):
        file.write_text("\n".join([whole, *cells]))
        if wanted is None:
            with pytest.raises(
                SignatureMismatch, match=rf"column '{whole}', row 1: '{cells[1]}' is not of type integer"
            ):
                scoring.rows_for(formats, inputs, file)
        else:
            assert scoring.rows_for(formats, inputs, file)[whole].to_list() == wanted


@pytest.mark.parametrize("kind", [pa.decimal128(9, 1), pa.decimal256(50, 1)])
def test_decimals_of_a_file_are_numbers_of_a_model(folder, tmp_path, formats, kind):
    whole = ROWS.with_columns(pl.col("distance").round(0))
    table = whole.to_arrow()
    place = table.schema.get_field_index("distance")
    pq.write_table(table.set_column(place, "distance", table["distance"].cast(kind)), tmp_path / "x.parquet")
    found = scoring.score(opened(folder), scoring.read_rows(formats, tmp_path / "x.parquet"))
    assert found["probability"].to_list() == scoring.score(opened(folder), whole)["probability"].to_list()


@pytest.mark.parametrize("first", ["", "1"])
@pytest.mark.parametrize("last", ["7", "1.5", "word", ""])
@pytest.mark.parametrize("rows", [3, 4_096, 4_097])
def test_a_csv_column_is_of_the_type_that_all_its_rows_say(formats, tmp_path, first, last, rows):
    file = tmp_path / "x.csv"
    file.write_text("n,x\n" + f"0,{first}\n" * rows + f"1,{last}\n")
    found, wanted = scoring.read_rows(formats, file), pl.read_csv(file, infer_schema_length=None)
    assert found.equals(wanted)
    assert found.schema == wanted.schema


@pytest.mark.parametrize(
    ("kind", "written", "values"),
    [
        ("string", ["00501", "10001"], ["00501", "10001"]),
        ("string", ["501", "123"], ["501", "123"]),
        ("string", ["true", "1.50"], ["true", "1.50"]),
        ("string", ["2013-01-01", "NA"], ["2013-01-01", "NA"]),
        ("number", ["39.1", "NA"], [39.1, None]),
        ("number", ["007", "1e5"], [7.0, 1e5]),
        ("boolean", ["True", "false"], [True, False]),
        ("boolean", ["1", "0"], [True, False]),
        ("integer", ["5", ""], [5, None]),
    ],
)
def test_a_csv_is_read_as_the_models_signature_has_it(formats, tmp_path, kind, written, values):
    (tmp_path / "x.csv").write_text("\n".join(["x,other", *(f"{one},NA" for one in written), ",1"]))
    rows = scoring.rows_for(
        formats, [SignatureColumn(name="x", type=kind), SignatureColumn(name="y", type="string")], tmp_path / "x.csv"
    )
    assert rows["x"].to_list() == [*values, None]
    assert rows["other"].to_list() == [None, None, 1]


def test_predict_takes_the_options_of_csv_files(formats, tmp_path):
    (tmp_path / "x.csv").write_text("x;s\n-;007\n1,5;7\n".replace("1,5", "1.5"))
    options = ReadOptions(separator=";", null=("-",))
    rows = scoring.rows_for(formats, [SignatureColumn(name="x", type="number")], tmp_path / "x.csv", options)
    assert rows.rows() == [(None, "007"), (1.5, "7")]


def test_a_value_of_a_file_that_cannot_be_scored_is_named_by_column_and_row(folder):
    rows = pl.concat([ROWS] * 420).with_columns(when=pl.col("when").dt.to_string("%Y-%m-%dT%H:%M:%SZ"))
    rows[66_000, "when"] = "soon"
    with pytest.raises(SignatureMismatch, match="column 'when', row 66000: 'soon' is not a time") as caught:
        scoring.score(opened(folder), rows)
    assert (caught.value.column, caught.value.row) == ("when", 66_000)


def test_opening_and_predicting_imports_neither_arrow_polars_pandas_torch_nor_onnx(folder):
    code = (
        "import sys\nfrom pathlib import Path\nfrom mlopsfw.models import bundle\nfrom mlopsfw_runtime_onnx.runtime import OnnxRuntime\n"
        f"b = bundle.open_bundle(Path({str(folder)!r}), lambda name: OnnxRuntime())\nb.profile()\n"
        "assert not {'pyarrow', 'polars', 'pandas', 'torch', 'onnx', 'scipy', 'deltalake'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_finds_no_class_by_pickle(folder):
    code = (
        "import sys\nfrom pathlib import Path\nfrom mlopsfw.models import bundle\nfrom mlopsfw_runtime_onnx.runtime import OnnxRuntime\n"
        "def hook(event, args):\n    if event == 'pickle.find_class': raise SystemExit(9)\nsys.addaudithook(hook)\n"
        f"bundle.open_bundle(Path({str(folder)!r}), lambda name: OnnxRuntime())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- what is inside ------------------------------------------------------------------------------------------------------


def external(plan, **fields):
    tensor = numpy_helper.from_array(np.ones(2, dtype=np.float32), "outside")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in fields.items():
        tensor.external_data.add(key=key, value=value)
    return model(plan, extra=[tensor])


@pytest.mark.parametrize(
    "location", ["weights.bin", "../../../etc/passwd", "/etc/passwd", "a/../..", "", "profile.json"]
)
def test_onnx_weights_in_another_file_are_refused_wherever_they_hide(folder, location):
    plan = FeaturePlan.from_json((folder / "plan.json").read_bytes())
    outside = external(plan, location=location)
    nested = model(plan)
    branch = helper.make_graph([], "branch", [], [], [outside.graph.initializer[-1]])
    nested.graph.node.append(helper.make_node("If", ["logit"], ["z"], then_branch=branch, else_branch=branch))
    constant = model(plan)
    constant.graph.node.append(helper.make_node("Constant", [], ["c"], value=outside.graph.initializer[-1]))
    sparse = model(plan)
    sparse.graph.sparse_initializer.add().values.CopyFrom(outside.graph.initializer[-1])
    function = model(plan)
    function.functions.add(name="f").node.append(constant.graph.node[-1])
    for each in (outside, nested, constant, sparse, function):
        data = each.SerializeToString()
        with pytest.raises(BundleError, match="another file"):
            check_onnx(data, "model.onnx")
        relist(folder, "model.onnx", data)
        with pytest.raises(BundleError, match="another file"):
            bundle.verify(folder)
        with pytest.raises(BundleError, match="another file"):
            OnnxRuntime().load(folder, read_manifest(folder))


def test_a_runtime_gets_the_bytes_that_were_checked_and_of_listed_formats_only(folder):
    manifest = read_manifest(folder)
    assert read_model(folder, manifest, "onnx") == (folder / "model.onnx").read_bytes()
    with pytest.raises(UnknownFormat, match=r"no model of format 'lightgbm'\n  It has: onnx"):
        read_model(folder, manifest, "lightgbm")
    (folder / "model.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match="was altered"):
        read_model(folder, manifest, "onnx")


def test_an_onnx_model_is_looked_into_whatever_its_file_is_called(folder):
    data = external(FeaturePlan.fit(ROWS, TASK), location="weights.bin").SerializeToString()
    (folder / "model.onnx").rename(folder / "model.graph")
    raw = json.loads((folder / "bundle.json").read_text())
    del raw["files"]["model.onnx"]
    raw["formats"]["onnx"] = "model.graph"
    (folder / "bundle.json").write_text(json.dumps(raw))
    relist(folder, "model.graph", data)
    for look in (bundle.verify, lambda where: read_model(where, read_manifest(where), "onnx")):
        with pytest.raises(BundleError, match="another file"):
            look(folder)


def test_onnx_with_operators_from_elsewhere_is_refused():
    made = model(FeaturePlan.fit(ROWS, TASK))
    made.opset_import.append(helper.make_opsetid("evil.corp", 1))
    with pytest.raises(BundleError, match="operators"):
        check_onnx(made.SerializeToString(), "model.onnx")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\xff" * 20, b"\x3a\x05ab", b"\x3a\x00", b"PK\x03\x04", b"{}", b"\x80\x04N.", b"\x3b", b"\x38\x01"],
)
def test_what_is_no_onnx_model_is_refused(data):
    if data == b"\x3a\x00":  # an empty graph is well formed; that it does nothing is the runtime's to say
        check_onnx(data, "m")
        return
    with pytest.raises(BundleError):
        check_onnx(data, "model.onnx")


def test_graphs_nested_without_end_are_refused():
    data = b""
    for _ in range(200):
        attribute = b"\x32" + _length(data) + data
        node = b"\x2a" + _length(attribute) + attribute
        data = b"\x0a" + _length(node) + node
    with pytest.raises(BundleError, match="nested"):
        check_onnx(b"\x3a" + _length(data) + data, "model.onnx")


def _length(data):
    size, out = len(data), b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size])


def test_a_real_model_passes():
    made = model(FeaturePlan.fit(ROWS, TASK))
    onnx.checker.check_model(made)
    check_onnx(made.SerializeToString(), "model.onnx")


def tensors(header, data=b"\0" * 8, length=None):
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


T = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0\0\0", tensors(b""), tensors(b"{"), tensors(b"[]"), tensors(b"null"), tensors(b'{"a":1}'), tensors(b'{"a":' + T + b',"a":' + T + b"}"),
        tensors(b'{"a":' + T + b"}", length=1 << 40), tensors(b'{"a":' + T + b"}", b"\0" * 9), tensors(b'{"a":' + T + b"}", b"\0" * 7),
        tensors(b'{"a":' + T + b',"b":' + T + b"}"), tensors(b'{"a":' + T.replace(b"[2]", b"[3]") + b"}"),
        tensors(b'{"a":' + T.replace(b"[2]", b"[-2]") + b"}"), tensors(b'{"a":' + T.replace(b"F32", b"OBJ") + b"}"),
        tensors(b'{"a":' + T.replace(b"[0,8]", b"[8,0]") + b"}"), tensors(b'{"a":' + T.replace(b"[0,8]", b"[8,16]") + b"}"),
        tensors(b'{"a":' + T[:-1] + b',"more":1}}'), tensors(b"[" * 100_000), pickle.dumps({"a": 1}), b"PK\x03\x04" + bytes(60),
        tensors(b'{"a":' + T[:-1] + b',"dtype":"F32"}}'),
    ],
)  # fmt: skip
def test_safetensors_that_are_not_plain_are_refused(tmp_path, data):
    (tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(BundleError):
        check_safetensors(tmp_path / "w.safetensors")


def test_safetensors_as_the_library_writes_them_pass(tmp_path):
    made = {"a": np.ones((2, 3)), "b": np.zeros(0, dtype=np.int64), "c": np.float32([[1]]), "d": np.ones(3, dtype=bool)}
    (tmp_path / "w.safetensors").write_bytes(save(made, metadata={"format": "pt"}))
    check_safetensors(tmp_path / "w.safetensors")


def test_a_copied_bundle_is_as_good(folder, tmp_path):
    assert opened(shutil.copytree(folder, tmp_path / "copy")).manifest == bundle.verify(folder)


WRITES = {
    "empty": ([{}], {".csv", ".parquet"}),
    "list": (
        [[1]],
        {
            ".csv",
        },
    ),
    "array": (pl.Series([[1]], dtype=pl.Array(pl.Int64, 1)), {".csv"}),
    "object": ([{"a": 1}], {".csv"}),
    "duration": ([dt.timedelta(1)], {".csv"}),
    "bytes": ([b"\xff"], {".csv", ".jsonl", ".ndjson", None}),
    "bytes in a list": ([[b"\xff"]], {".csv", ".jsonl", ".ndjson", None}),
    "bytes in an object": ([{"a": b"\xff"}], {".csv", ".jsonl", ".ndjson", None}),
    "time": ([dt.time(1)], set()),
    "text": (["a"], set()),
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson", ".parquet", None])
@pytest.mark.parametrize("case", WRITES)
def test_rows_are_written_or_the_column_that_the_file_cannot_hold_is_named(tmp_path, case, suffix):
    values, refused = WRITES[case]
    rows = pl.DataFrame({"n": [1], "odd": values})
    file = tmp_path / f"o{suffix}" if suffix else None
    if suffix in refused:
        with pytest.raises(DataError, match=r"column 'odd' holds .* cannot be written to") as caught:
            row_file.check_writable(rows.schema, file)
        assert (".parquet" if ".parquet" not in refused else ".jsonl") in caught.value.hint
    else:
        row_file.check_writable(rows.schema, file)
        rows.write_ndjson() if file is None else row_file.write_rows([rows], file)


def test_folders_and_honest_binary_files_are_part_of_a_bundle_and_pickles_in_them_are_not(tmp_path):
    parts = tmp_path / "parts"
    given = trained(parts)
    (parts / "raw").write_bytes(np.linspace(-1, 1, 999, dtype=np.float32).tobytes())
    (parts / "harm").write_bytes(pickle.dumps({"w": [1.0]}))
    honest = {**given.files, "weights/shards/w-1.bin": parts / "raw"}
    folder = make(tmp_path, files=honest)
    assert opened(folder).manifest.files.keys() > honest.keys()
    bundle.verify(shutil.copytree(folder, tmp_path / "copy"))
    for name in ("model.dat", "deep/er/w.bin", "weights.json", "data"):
        with pytest.raises(UnknownFormat, match=f"{name} holds a pickle"):
            make(tmp_path, f"with-{name.replace('/', '-')}", files={**given.files, name: parts / "harm"})
    relist(folder, "weights/shards/w-1.bin", (parts / "harm").read_bytes())
    for look in (bundle.verify, opened):
        with pytest.raises(UnknownFormat, match="holds a pickle"):
            look(folder)


def test_an_extra_file_in_a_folder_of_a_bundle_is_refused(tmp_path):
    folder = make(tmp_path, files={**trained(tmp_path / "p").files, "a/b.txt": tmp_path / "p" / "plan"})
    for add in (lambda: (folder / "a" / "c").write_text(""), (folder / "a" / "b").mkdir, lambda: (folder / "a" / "l").symlink_to("b.txt")):  # fmt: skip
        before = set((folder / "a").iterdir())
        add()
        with pytest.raises(BundleError):
            bundle.verify(folder)
        for path in set((folder / "a").iterdir()) - before:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    bundle.verify(folder)


def test_the_message_of_predict_has_column_and_row(folder):
    columns = {name: ROWS[name][:2].to_list() for name in ROWS.columns} | {"when": ["2013-01-01T10:00:00Z"] * 2}
    with pytest.raises(SignatureMismatch, match=r"^column 'hour', row 1: 'six' is not of type integer$"):
        opened(folder).predict(columns | {"hour": [6, "six"]})


def test_a_plan_that_is_not_for_the_manifests_inputs_is_refused(tmp_path):
    plan = FeaturePlan.fit(ROWS, TASK)
    with pytest.raises(BundleError, match="does not take the manifest's inputs"):
        make(tmp_path, inputs=plan.inputs[:-1])
