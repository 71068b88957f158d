"""`data check` as a user types it: infer, edit, check; exit codes, JSON, the page, the step, and what the ledger keeps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from mlopsfw.project.facade import Project

XSS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></table><svg/onload=alert(1)>",
    "&lt;b&gt;$title",
]


@pytest.fixture
def verb(project):
    """Run a verb in this process; return its exit code and output, errors included."""

    def run(*words: object) -> tuple[int, str]:
        from mlopsfw.cli.failure import report
        from mlopsfw.cli.root import cli
        from mlopsfw.kernel.base.errors import MlopsfwError

        result = CliRunner().invoke(cli, ["--project", str(project.root), *map(str, words)])
        if isinstance(result.exception, MlopsfwError):
            return report(result.exception, with_traceback=False), result.output + str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


def trips(rows: int = 2_000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": np.arange(rows) + 10_000 * seed,
            "town": rng.choice(["Bonn", "Köln"], rows),
            "fare": rng.gamma(2, 10, rows).round(2),
        }
    )


@pytest.fixture
def good(project) -> Path:
    file = project.root / "good.csv"
    trips().write_csv(file)
    return file


@pytest.fixture
def contract(project, verb, good) -> Path:
    file = project.root / "contracts" / "trips.toml"
    assert verb("data", "check", good, "--infer", "-o", file)[0] == 0
    return file


def configure(project, text: str) -> Project:
    file = project.root / "mlopsfw.toml"
    file.write_text(file.read_text() + text)
    return Project.open(project.root)


def test_infer_then_check_a_dataset_by_the_contract_of_the_project(project, verb, good, contract):
    text = contract.read_text(encoding="utf-8")
    assert text.startswith("# A contract for good.csv, inferred from its 2,000 rows")
    assert 'values = ["Bonn", "Köln"]' in text
    verb("data", "add", "trips", good)
    code, said = verb("data", "check", "trips")
    assert code == 2
    assert "--infer -o contracts/trips.toml" in said
    configure(project, '\n[data.trips]\ncontract = "contracts/trips.toml"\n')
    code, said = verb("data", "check", "trips", "--all")
    assert code == 0
    assert "0 failed, 0 warned, 1 skipped" in said
    assert "0 failed, 0 warned" in verb("data", "check", "trips@1")[1]


def test_a_broken_rule_ends_with_4_and_the_worst_stands_first(project, verb, contract):
    bad = project.root / "bad.csv"
    rows = trips().with_columns(
        town=pl.lit("Mainz"), fare=pl.when(pl.int_range(pl.len()) < 40).then(None).otherwise("fare")
    )
    rows.write_csv(bad)
    code, said = verb("data", "check", bad, "--contract", contract)
    assert code == 4
    lines = said.splitlines()
    assert lines[0].split() == ["status", "rule", "columns", "rows", "share", "found", "expected"]
    assert lines[1].split()[:4] == ["fail", "values", "town", "2000"]
    assert lines[2].split()[:4] == ["fail", "nulls", "fare", "40"]
    assert "breaks 2 rules" in said
    code, said = verb("data", "check", bad, "--contract", contract, "--json")
    found = json.loads(said[: said.rindex("}") + 1])
    assert (code, found["passed"], found["failed"], found["rows"]) == (4, False, 2, 2000)
    assert found["rules"][0]["examples"][0]["town"] == "Mainz"


def test_a_warning_ends_with_0(verb, good, contract):
    contract.write_text(
        contract.read_text(encoding="utf-8").replace('["Bonn", "Köln"]', '["Bonn"]\nwarn = ["values"]'),
        encoding="utf-8",
    )
    code, said = verb("data", "check", good, "--contract", contract)
    assert code == 0
    assert "warn" in said


def test_files_of_every_format_are_checked_alike(project, verb, contract):
    rows = trips()
    rows.write_parquet(project.root / "a.parquet")
    rows.write_ndjson(project.root / "a.jsonl")
    rows.write_ipc(project.root / "a.arrow")
    for name in ("a.parquet", "a.jsonl", "a.arrow"):
        code, said = verb("data", "check", project.root / name, "--contract", contract)
        assert code == 0, said


def test_what_cannot_be_read_is_an_error_of_one_line(project, verb, contract):
    file = project.root / "a.parquet"
    trips().write_parquet(file)
    data = bytearray(file.read_bytes())
    data[100:3000] = os.urandom(2900)
    (project.root / "b.parquet").write_bytes(data)
    (project.root / "c.parquet").write_bytes(data[:500])
    (project.root / "d.csv").write_text("a,b\n1\n")
    (project.root / "e.what").write_text("a")
    assert verb("data", "check", project.root / "b.parquet", "--contract", contract)[0] in (
        1,
        4,
    )  # Parquet has no checksum here
    for name in ("c.parquet", "d.csv", "gone/x.csv"):
        code, said = verb("data", "check", project.root / name, "--contract", contract)
        assert code == 1, (name, said)
    assert verb("data", "check", project.root / "e.what", "--contract", contract)[0] == 2
    (project.root / "zero.csv").write_text("id,town,fare\n")
    code, said = verb("data", "check", project.root / "zero.csv", "--contract", contract)
    assert code == 4
    assert "min_rows" in said


def test_requests_that_make_no_sense_are_refused(project, verb, good, contract):
    before = contract.read_bytes()
    assert "exists already" in verb("data", "check", good, "--infer", "-o", contract)[1]
    assert contract.read_bytes() == before
    assert verb("data", "check", good, "--infer", "-o", contract, "--force")[0] == 0
    assert "files have no contract of their own" in verb("data", "check", good)[1]
    assert verb("data", "check", good, "--infer", "--contract", contract)[0] == 2
    assert verb("data", "check", good, "--contract", contract, "-o", "x")[0] == 2
    assert "there is no contract" in verb("data", "check", good, "--contract", "none.toml")[1]
    assert "there is no dataset 'nothing'" in verb("data", "check", "nothing", "--contract", contract)[1]
    assert json.loads(verb("data", "check", good, "--infer", "--json")[1])["columns"]["id"]["unique"] is True


def test_the_verb_needs_no_project_for_a_file(tmp_path, good, contract):
    done = subprocess.run(
        [sys.executable, "-m", "mlopsfw", "data", "check", str(good), "--contract", str(contract)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good.csv: " in done.stdout


# -- the ledger ----------------------------------------------------------------------------------------------------------------


def test_the_result_is_an_event_without_values_that_log_and_lineage_tell(project, verb, good, contract):
    verb("data", "add", "trips", good)
    opened = configure(project, '\n[data.trips]\ncontract = "contracts/trips.toml"\n')
    contract.write_text(contract.read_text(encoding="utf-8").replace('"Köln"', '"Kiel"'), encoding="utf-8")
    assert verb("data", "check", "trips")[0] == 4
    (event,) = [e for e in opened.ledger.stream("dataset/trips").events() if e.type == "dataset.checked"]
    assert event.body["passed"] is False
    assert event.body["broken"] == [
        {"rule": "values", "columns": ["town"], "level": "fail", "rows": event.body["broken"][0]["rows"]}
    ]
    assert "Köln" not in json.dumps(event.body, ensure_ascii=False)
    assert opened.datasets.resolve("trips").checked.failed == 1
    assert "1 rule broken" in verb("data", "log", "trips")[1]
    assert "contract: 1 rule broken" in verb("lineage", "data:/trips")[1]
    assert verb("audit", "verify")[0] == 0
    verb("data", "add", "trips", good, "--append", "--force")
    assert opened.datasets.resolve("trips").checked is None


def test_new_rows_are_compared_with_the_version_before(project, verb, good, contract):
    other = project.root / "other.csv"
    trips(2_000, 1).with_columns(pl.col("fare") * 1.5).write_csv(other)
    verb("data", "add", "trips", good)
    verb("data", "add", "trips", other, "--append")
    code, said = verb("data", "check", "trips", "--contract", contract)
    (line,) = [line for line in said.splitlines() if " distribution " in line]
    assert code == 0
    assert line.split()[:3] == ["warn", "distribution", "fare"]
    same = project.root / "same.csv"
    trips(2_000, 2).with_columns(pl.col("fare") * 1.5).write_csv(same)
    verb("data", "add", "trips", same, "--append")
    text = contract.read_text(encoding="utf-8").replace('level = "warn"', 'level = "fail"')
    contract.write_text(text.replace("alpha = 0.05", "alpha = 0.01"), encoding="utf-8")
    code, said = verb("data", "check", "trips", "--contract", contract)
    assert code == 4  # six thousand rows: those before are half as they were
    assert "distribution" in said
    assert verb("data", "check", "trips@1", "--contract", contract)[0] == 0


# -- the page ------------------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """What a browser would make of a page: its elements and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_shows_a_few_failing_rows_and_nothing_in_them_is_markup(project, verb):
    rows = pl.DataFrame({name: [*XSS, None] * 5 for name in ["a", *XSS[:3]]})
    rows.write_parquet(project.root / "<b>x.parquet")
    contract = project.root / "c.toml"
    contract.write_text(
        "[columns.a]\nvalues = ['<i>']\n"
        f"[columns.{json.dumps(XSS[0])}]\npattern = '<u>'\n"
        f"[[rule]]\nthat = \"a = '<s>'\"\nname = {json.dumps(XSS[1])}\n"
        "[[unique]]\ncolumns = ['a']\n"
    )
    page = project.root / "page.html"
    assert verb("data", "check", project.root / "<b>x.parquet", "--contract", contract, "--html", page)[0] == 4
    text = page.read_text(encoding="utf-8")
    seen = Tags()
    seen.feed(text)
    assert not seen.tags & {"script", "img", "svg", "i" if "<i>'" in text else "u", "s"}
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert "http" not in re.sub(r'http-equiv="Content-Security-Policy"', "", text)
    assert "default-src 'none'" in text
    shown = "".join(seen.text)
    assert all(payload in shown for payload in XSS)
    assert text.count("<tr>") < 40


def test_values_of_personal_columns_are_shown_nowhere(project, verb):
    opened = configure(project, '\n[data.people]\npii = { mail = "mask" }\n')
    rows = pl.DataFrame({"mail": [f"secret{n}@example.org" for n in range(200)], "age": [*range(200)]})
    rows.write_csv(project.root / "people.csv")
    contract = project.root / "c.toml"
    code, text = verb("data", "check", project.root / "people.csv", "--infer")
    assert code == 0
    assert "secret" not in text
    contract.write_text(
        "[columns.mail]\nvalues = ['secret0@example.org']\nunique = true\npattern = 'secret'\ntype = 'integer'\n"
        '[columns.age]\nrange = [0, 5]\n[[rule]]\nthat = "CAST(mail AS INT) > 1"\n[[rule]]\nthat = "mail > \'z\'"\n'
    )
    page = project.root / "page.html"
    words = ("--contract", contract, "--html", page)
    for target in (project.root / "people.csv", "people"):
        if target == "people":
            verb("data", "add", "people", project.root / "people.csv")
        code, said = verb("data", "check", target, *words)
        found = verb("data", "check", target, *words, "--json")[1]
        assert code == 4
        assert "secret" not in said + found + page.read_text(encoding="utf-8")
    assert "secret" not in str([event.body for event in opened.ledger.stream("dataset/people").events()])


# -- the step ------------------------------------------------------------------------------------------------------------------

PIPELINE = """
[steps.get]
use = "ingest"
dataset = "trips"
path = "good.csv"

[steps.check]
inputs = { rows = "get" }
contract = "contracts/trips.toml"

[steps.small]
python = "made:small"
inputs = { rows = "check.rows" }

[steps.again]
use = "check"
inputs = { rows = "small" }
[steps.again.contract.columns]
town = { values = ["Bonn", "Köln"], nulls = 0.0 }
[[steps.again.contract.rule]]
that = "fare >= 0"
"""


def test_the_step_lets_rows_through_is_cached_and_fails_with_4(project, verb, good, contract):
    configure(project, PIPELINE)
    (project.root / "made.py").write_text("def small(rows):\n    return rows.head(10).collect()\n")

    def run() -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "mlopsfw", "run"]
        return subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)

    first = run()
    assert first.returncode == 0, first.stdout + first.stderr
    with Project.open(project.root) as opened:
        view = opened.runs.get("latest")
        assert view.metrics["check.failed"] == 0
        report = json.loads(opened.blobs.get(view.steps["again"].outputs["report"].blob))
        assert report["passed"]
        assert report["contract"] == "mlopsfw.toml [steps.again]"
        assert opened.datasets.resolve("trips").checked.contract == "contracts/trips.toml"
    assert run().returncode == 0
    with Project.open(project.root) as opened:
        assert {step.status for step in opened.runs.get("latest").steps.values()} == {"cached"}
    contract.write_text(contract.read_text(encoding="utf-8").replace('"Köln"', '"Kiel"'), encoding="utf-8")
    failed = run()
    assert failed.returncode == 4, failed.stdout + failed.stderr
    assert "values of town: such as 'Köln'" in failed.stdout + failed.stderr


def test_a_wrong_contract_in_the_pipeline_file_is_an_error_with_its_line(project, good, contract):
    (project.root / "made.py").write_text("def small(rows):\n    return rows.head(10).collect()\n")
    configure(project, PIPELINE.replace("town = {", "town = { vlaues = [1],"))
    done = subprocess.run(
        [sys.executable, "-m", "mlopsfw", "run"], cwd=project.root, capture_output=True, text=True, check=False
    )
    assert done.returncode in (1, 2)
    assert "Did you mean 'values'?" in done.stdout + done.stderr
