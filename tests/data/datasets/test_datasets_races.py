"""Many processes at one dataset and one model: gapless numbers, no lost commit, aliases that move by compare-and-swap."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from mlopsfw.data.tables.digest import table_digest

WRITER = """
import json, sys
from pathlib import Path
import polars as pl
from mlopsfw.project.facade import Project

root, who, commits = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with Project.open(root) as project:
    project.datasets.stream("races")
    sys.stdout.write("ready\\n"); sys.stdout.flush()
    sys.stdin.readline()
    made = []
    for number in range(commits):
        rows = pl.DataFrame({"who": [who] * (number + 1), "number": [number] * (number + 1)})
        version = project.datasets.commit("races", rows)
        made.append([version.version, who, number])
    print(json.dumps(made))
"""

UPSERTER = """
import json, sys
from pathlib import Path
import polars as pl
from mlopsfw.data.datasets.loading.change import Change
from mlopsfw.project.facade import Project

root, who, commits = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with Project.open(root) as project:
    sys.stdout.write("ready\\n"); sys.stdout.flush()
    sys.stdin.readline()
    made = []
    for number in range(commits):
        rows = pl.DataFrame({"id": [0, who + 1], "who": [who] * 2, "number": [number] * 2})  # key 0 is everybody's
        made.append([project.datasets.commit("races", rows, Change(mode="upsert", key=("id",))).version, who, number])
    print(json.dumps(made))
"""

MOVER = """
import json, sys
from pathlib import Path
from mlopsfw.kernel.base.errors import Conflict
from mlopsfw.project.facade import Project

root, who, moves = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with Project.open(root) as project:
    registry = project.registry
    registry.model("m")
    bundle = project.blobs.put(b"{}")
    sys.stdout.write("ready\\n"); sys.stdout.flush()
    sys.stdin.readline()
    mine = [registry.register("m", bundle, metrics={"who": who}, code={}, environment="e", force=True).version for _ in range(moves)]
    swapped = []
    for version in mine:
        while True:
            seen = registry.model("m").aliases().get("champion", 0)
            try:
                registry.promote("m", version, expecting=seen)
            except Conflict:
                continue
            swapped.append([seen, version])
            break
    print(json.dumps({"versions": mine, "swapped": swapped}))
"""


def race(script: str, root: Path, processes: int, each: int) -> list:
    """Start the processes, let them go at once, return what each printed."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(root), str(who), str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in range(processes)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    printed = [child.communicate(timeout=300)[0] for child in children]
    assert [child.returncode for child in children] == [0] * processes
    return [json.loads(text) for text in printed]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("processes", "each"), [(8, 5), pytest.param(16, 3, marks=pytest.mark.nightly)])
def test_racing_processes_lose_no_commit_and_leave_no_gap(project, processes, each):
    made = [tuple(commit) for commits in race(WRITER, project.root, processes, each) for commit in commits]
    datasets = project.datasets
    assert sorted(version for version, _, _ in made) == list(range(1, processes * each + 1))
    found = datasets.scan("races").collect()
    expected = [row for _, who, number in sorted(made) for row in [(who, number)] * (number + 1)]
    assert found.rows() == expected  # every row, in the order of the versions
    for version in datasets.log("races"):
        assert version.digest == table_digest(datasets.scan(version))
    table = str(Path(project.storage.table_location("datasets/races").uri))
    assert pl.scan_delta(table).select(pl.len()).collect().item() == len(expected)
    assert pl.scan_delta(table, version=processes * each - 1).collect().height == len(expected)
    assert datasets.tidy("races", older=-10) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_racing_upserts_lose_no_row_and_keep_one_of_each_key(project):
    made = sorted(tuple(commit) for commits in race(UPSERTER, project.root, 6, 3) for commit in commits)
    datasets = project.datasets
    assert [version for version, _, _ in made] == list(range(1, 19))
    expected: dict[int, tuple[int, int, int]] = {}
    for version, who, number in made:
        for key in (0, who + 1):
            expected.pop(key, None)
            expected[key] = (key, who, number)
        rows = datasets.scan("races", version).collect()
        assert rows.rows() == list(expected.values())
        assert datasets.resolve("races", version).digest == table_digest(rows)
    assert sorted(pl.scan_delta(str(datasets.files("races").folder)).collect().rows()) == sorted(expected.values())
    assert datasets.tidy("races", older=-10) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_racing_processes_register_without_gaps_and_move_an_alias_one_after_the_other(project):
    printed = race(MOVER, project.root, 8, 4)
    model = project.registry.model("m")
    assert sorted(version for p in printed for version in p["versions"]) == list(range(1, 33))
    moves = [(move.was, move.version) for move in model.moves]
    assert sorted(map(tuple, (swap for p in printed for swap in p["swapped"]))) == sorted(moves)
    assert [was for was, _ in moves] == [0, *(version for _, version in moves[:-1])]
