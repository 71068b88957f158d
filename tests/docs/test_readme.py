"""The README's data section, followed word by word in an empty folder, on a delivery that comes anew each day."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from blocks import blocks_of, say
from blocks import commands as words_of

README = Path(__file__).parents[2] / "README.md"
TOML = '[project]\nname = "empty"\n[privacy]\nkey = "env:PII"\n'
NAMED = '[data.trips]\ncontract = "contracts/trips.toml"\n'
ROWS = 200


def commands() -> list[list[str]]:
    """Return the command lines of the section, those in its sentences too, without what stands behind a `#`."""
    section = README.read_text("utf-8").partition("\n## Data\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^(mlopsfw data .*)$|`(mlopsfw data [^`]*)`", section, re.MULTILINE)
    return [shlex.split(block or inline, comments=True) for block, inline in lines]


def deliver(folder: Path, day: int) -> None:
    """Write the delivery of a day: new ids, newer times, and one customer who will want to be forgotten."""
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    ids = range(day * ROWS, (day + 1) * ROWS)
    rows = {
        "id": ids,
        "updated_at": [start + timedelta(minutes=n) for n in range(ROWS)],
        "customer": [123 if n == ROWS // 2 else 200 + n for n in range(ROWS)],
        "fare": [5.0 + n % 7 for n in range(ROWS)],
    }
    pl.DataFrame(rows).write_csv(folder / "day.csv")


def test_the_data_section_works_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("PII", "ab" * 32)
    (tmp_path / "mlopsfw.toml").write_text(TOML)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "one.txt").write_text("a text is a file, too")
    monkeypatch.chdir(tmp_path)
    outputs = {}
    for day, words in enumerate(commands()):
        deliver(tmp_path, day)
        outputs[" ".join(words[2:4])] = say(words)
        if "--infer" in words:
            (tmp_path / "mlopsfw.toml").write_text(TOML + NAMED)
    assert {
        "add trips",
        "quarantine trips",
        "check trips",
        "tag trips@3",
        "diff trips",
        "forget trips",
    } <= outputs.keys()
    assert {"vacuum trips", "add photos", "get photos@1"} <= outputs.keys()
    assert f"{2 * ROWS:,} added, 0 removed, 0 changed" in outputs["diff trips"]  # version 3 has three deliveries
    assert re.search(r"rows erased: 1 from version 1, 2 from version 2", outputs["forget trips"])
    assert (tmp_path / "copy" / "one.txt").read_text() == "a text is a file, too"
    assert "<html" in (tmp_path / "report.html").read_text("utf-8")


def test_the_commands_in_a_folder_of_ones_own_work_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (first, *_) = blocks_of("README.md", "sh")
    install, *verbs = words_of(first.text)
    assert install[0] == "pip"
    for words in verbs:
        runs = {"A": "latest", "B": "latest"} if words[1] in ("runs", "reproduce") else {}
        say([*(runs.get(word, word) for word in words), *(["--debug"] if words[1] in ("run", "reproduce") else [])])
    assert {words[1] for words in verbs} == {"init", "run", "status", "why", "runs", "reproduce"}


def test_the_core_section_works_as_it_stands():
    rng = np.random.default_rng(1)
    january, february = ({"fare": rng.normal(size=500)} for _ in range(2))
    names = {"a": rng.normal(size=500), "b": rng.normal(size=500), "texts": ["one", "two"]}
    names |= {"reference": january, "current": february, "january": january, "february": february}
    (block,) = blocks_of("README.md", "python")
    exec(compile(block.text, block.place, "exec"), names)
