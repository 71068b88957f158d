"""A disk without room, a project that can only be read, too few descriptors: each verb ends with a typed error and keeps what was there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsfw.capturelog.disk import as_storage_error, full_as_storage_error
from mlopsfw.cli import run
from mlopsfw.cli.output_file import write_file
from mlopsfw.errors import StorageError, StorageFull

pytestmark = pytest.mark.faults

TOML = '[project]\nname = "p"\n[deployer]\nuse = "batch"\n[steps.a]\npython = "steps:a"\n'
KEPT = "what was there"
WRITES = [
    "run --force", "data add t rows.csv --append --force", "data add u rows.csv --max-bad 0.5", "data tag t@1 good",
    "data check rows.csv --infer -o page.html", "data get s folder", "labels add labels.csv --model m", "init new",
    "drift rows.csv rows.csv --html page.html", "plugins disable observer.openlineage", "plugins new alerter pager",
    "audit checkpoint page.html", "alerts silence a.b", "index rebuild", "export copy", "data restore t 1",
]  # fmt: skip
READS = ["status", "why a", "runs list", "data list", "data log t", "data show t", "models list", "alerts list"]
LIMITS = {
    "no room": ("RLIMIT_FSIZE", 0),
    "little room": ("RLIMIT_FSIZE", 3000),
    "no descriptors": ("RLIMIT_NOFILE", 12),
}
PROGRAM = """
import resource, sys
from mlopsfw.cli import run
if sys.argv[1]:
    resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[2]),) * 2)
for verb in sys.argv[3:]:
    print(f"<{run(verb.split())} {verb}>", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A project with a run, a set of files, and a dataset of two versions."""
    root = tmp_path_factory.mktemp("made") / "p"
    (root / "files").mkdir(parents=True)
    for name, text in {
        "mlopsfw.toml": TOML,
        "steps.py": "def a(): return 1\n",
        "rows.csv": "k,x\n" + "".join(f"{n},{n / 7}\n" for n in range(2000)),
        "labels.csv": "prediction_id,label\na,1\n",
        "page.html": KEPT,
        "files/one.txt": "one",
    }.items():
        (root / name).write_text(text)
    rows = root / "rows.csv"
    for verb in (
        "run",
        f"data add t {rows}",
        f"data add t {rows} --append --force",
        f"data add s {root / 'files'} --files",
    ):
        assert run(["--project", str(root), *verb.split()]) == 0
    return root


def answers(root: Path, limit: str, value: int, verbs: list[str], *before: str) -> dict[str, tuple[int, str]]:
    """Run verbs in one process that has a limit; return exit code and standard error of each."""
    command = [*before, sys.executable, "-c", PROGRAM, limit, str(value), *verbs]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environment)
    rest, found = done.stderr, {}
    for verb in verbs:
        said, mark, rest = rest.partition(f" {verb}>\n")
        assert mark, (verb, done.returncode, done.stderr)
        text, _, code = said.rpartition("<")
        found[verb] = int(code), text.strip()
    return found


def check(found: dict[str, tuple[int, str]], *, may_pass: bool) -> None:
    """A verb is done, or says in one line and a hint what the machine refused."""
    for verb, (code, said) in found.items():
        assert code in ((0, 1, 2) if may_pass else (1, 2)), (verb, code, said)
        assert "Traceback" not in said, (verb, said)
        assert "panicked" not in said or may_pass, (verb, said)  # delta-rs, where the little that is left is too little
        assert code == 0 or said.count("error: ") == 1 or "Invalid value" in said, (verb, said)


@pytest.mark.parametrize("limit", ["no room", "no descriptors", pytest.param("little room", marks=pytest.mark.nightly)])
def test_a_verb_that_the_machine_refuses_ends_with_a_typed_error_and_leaves_every_file_whole(limit, made, tmp_path):
    root = shutil.copytree(made, tmp_path / "p")
    check(answers(root, *LIMITS[limit], WRITES), may_pass=limit != "no room")
    assert (root / "mlopsfw.toml").read_text() in (TOML, f'{TOML}\n[plugins]\ndisabled = ["observer.openlineage"]\n')
    assert (root / "page.html").read_text() == KEPT or limit != "no room"
    assert not list(root.glob(".mlopsfw-*"))
    for verb, (code, said) in answers(
        root, "", 0, ["run", "data add t rows.csv --append --force", "doctor --verify", *READS]
    ).items():
        assert code == 0, (verb, said)  # once there is room


def test_in_a_project_that_can_only_be_read_what_reads_answers_and_what_writes_says_why_not(made, tmp_path):
    root = shutil.copytree(made, tmp_path / "p")
    shutil.rmtree(root / ".mlopsfw" / "index", ignore_errors=True)  # as in a copy: nobody made it
    subprocess.run(["chmod", "-R", "a-w", root], check=True)
    bound = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    try:
        found = answers(root, "", 0, [*READS, *WRITES], *bound)
    finally:
        subprocess.run(["chmod", "-R", "u+w", root], check=True)
    assert {verb: found[verb] for verb in READS if found[verb][0]} == {}
    check({verb: found[verb] for verb in WRITES if verb != "index rebuild"}, may_pass=False)
    assert (root / "mlopsfw.toml").read_text() == TOML


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_that_is_written_anew_keeps_its_mode_and_a_link_stays_a_link(mode, tmp_path):
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text(KEPT)
    file.chmod(mode)
    link.symlink_to(file)
    write_file(link, "new")
    assert (file.read_text(), file.stat().st_mode & 0o777, link.is_symlink()) == ("new", mode, True)
    write_file(Path("/dev/null"), "new")


@pytest.mark.parametrize(
    "text",
    ["Generic error: no space (os error 28)", "Detail: [errno 27] File too large", "Os { code: 28, kind: Other }"],
)
def test_what_a_library_says_in_words_alone_is_known_as_a_full_disk(text):
    with pytest.raises(StorageFull, match=r"the table: "), as_storage_error("the table"):
        raise RuntimeError(text)


def test_an_error_whose_text_raises_stays_itself():
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    for guard in (as_storage_error("the table"), full_as_storage_error()):
        with pytest.raises(Silent), guard:
            raise Silent


def test_what_a_library_says_of_anything_else_stays_its_own_error():
    for error in (RuntimeError("it is there already (os error 17)"), StorageError("a part (os error 28)")):
        with pytest.raises(type(error)) as caught, as_storage_error("the table"):
            raise error
        assert caught.value is error
