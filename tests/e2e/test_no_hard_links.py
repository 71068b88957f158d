"""A project on a file system without hard links: link() fails in every process, as it does on FAT, SMB and FUSE."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import sysconfig

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and renameat2 are Linux's"),
]

_LINKS = """
#include <errno.h>
int link(const char *a, const char *b) { errno = LINK; return -1; }
int linkat(int a, const char *b, int c, const char *d, int f) { errno = LINK; return -1; }
#ifdef RENAME
int renameat2(int a, const char *b, int c, const char *d, unsigned f) { errno = RENAME; return -1; }
#endif
"""


@pytest.fixture
def without(tmp_path):
    """Return a function: runs mlopsfw in a project where link() answers this error, and renameat2() another."""
    source = tmp_path / "links.c"
    source.write_text(_LINKS)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mlopsfw.toml").write_text('[project]\nname = "case"\n[steps.one]\npython = "steps:one"\n')
    (folder / "steps.py").write_text("def one() -> int:\n    return 1\n")
    (folder / "rows.csv").write_text("a,b\n1,2\n")
    (folder / "more.csv").write_text("a,b\n3,4\n")

    def run(*command, link, rename=None):
        library = tmp_path / f"links-{link}-{rename}.so"
        if not library.exists():
            flags = [f"-DLINK={link}", *([f"-DRENAME={rename}"] if rename else [])]
            compiler = sysconfig.get_config_var("CC").split()[0]
            subprocess.run([compiler, "-shared", "-fPIC", *flags, "-o", library, source], check=True)
        return subprocess.run(
            [sys.executable, "-m", "mlopsfw", *command],
            cwd=folder,
            env={**os.environ, "LD_PRELOAD": str(library)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


NIGHTLY = [pytest.param(number, marks=pytest.mark.nightly) for number in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)]


@pytest.mark.parametrize("number", [errno.EPERM, *NIGHTLY], ids=errno.errorcode.get)
def test_runs_and_datasets_work_without_hard_links(without, number):
    for command in (["run"], ["data", "add", "d", "rows.csv"], ["data", "add", "d", "more.csv"]):
        done = without(*command, link=number)
        assert done.returncode == 0, done.stderr
    shown = without("data", "show", "d", link=number)
    assert (shown.returncode, "data:/d@2" in shown.stdout) == (0, True), shown.stdout + shown.stderr
    assert "error" not in without("doctor", link=number).stdout


def test_a_file_system_that_cannot_create_a_name_exclusively_is_called_so_by_run_and_doctor(without):
    for command in ("run", "doctor"):
        failed = without(command, link=errno.EPERM, rename=errno.EINVAL)
        text = failed.stdout + failed.stderr
        assert failed.returncode != 0
        assert "has no hard links and no rename that never overwrites" in text
        assert '[storage.object] url = "' in text
        assert "permissions" not in text
