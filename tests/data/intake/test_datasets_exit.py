"""A reader that is left early leaves no thread behind: one that is still within a file of Python's aborts the interpreter as it ends."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading

import pytest

from mlopsfw.data.intake import open_file as opened
from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.data.intake.type_inference import Guesses
from mlopsfw.kernel.base.errors import DataError
from mlopsfw.kernel.roles.reading import ReadOptions

FILES = {
    "bad.csv.gz": b" " * (64 << 20),
    "good.csv.gz": b"a,b\n" + b"1,text\n" * (4 << 20),
    "bad.jsonl.gz": b"no json\n" + b'{"a": 1, "b": "text"}\n' * (1 << 20),
    "good.jsonl.gz": b'{"a": 1, "b": "text"}\n' * (1 << 19),
}
SCRIPT = """
import sys
from pathlib import Path
from mlopsfw.kernel.roles.reading import ReadOptions
from mlopsfw.data.intake.type_inference import Guesses
from mlopsfw.data.intake.paths import SourceFile
from mlopsfw.kernel.config.model import ProjectConfig
from mlopsfw.project.facade import Project
from mlopsfw.kernel.base.errors import DataError
read = Project.open(config=ProjectConfig(name="outside")).providers.formats.read
try:
    batches = read([SourceFile(Path(sys.argv[1]))], ReadOptions(max_ratio=1e9), Guesses())
    next(batches), next(batches)
except DataError:
    pass
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    for name, content in FILES.items():
        (folder / name).write_bytes(gzip.compress(content, 1))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_the_interpreter_ends_well_after_a_reader_that_failed_or_was_left(packed, name):
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, packed / name], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_no_thread_but_pythons_own_reads_a_file_of_pythons(packed, name, monkeypatch, formats):
    readers = set()
    real = opened.Bounded.readinto

    def readinto(self, buffer):
        readers.add(type(threading.current_thread()).__name__)
        return real(self, buffer)

    monkeypatch.setattr(opened.Bounded, "readinto", readinto)
    batches = formats.read([SourceFile(packed / name)], ReadOptions(max_ratio=1e9), Guesses())
    if name.startswith("bad"):
        with pytest.raises(DataError):
            list(batches)
    else:
        assert sum(batch.num_rows for batch in batches) == FILES[name].count(b"1")
    assert readers <= {"_MainThread", "Thread"}, "a thread of Arrow's, which Python calls a dummy"
