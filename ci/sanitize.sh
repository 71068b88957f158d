#!/usr/bin/env bash
# Build the compute core with AddressSanitizer and UndefinedBehaviorSanitizer in a folder of its own, and run its tests there:
#   bash ci/sanitize.sh FOLDER [pytest arguments]      needs GCC; PYTHON names the interpreter that has the test extra
# An out-of-bounds access, a use after free or undefined arithmetic ends the run with a report and a status that is not 0.
# With SANITIZE=thread it is ThreadSanitizer instead, and tests/core/races.py in place of the suite: a data race ends it with status 66.
# What the build holds is kept in FOLDER, so that a second run compiles only what was changed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:?usage: ci/sanitize.sh FOLDER [pytest arguments]}
shift
python=${PYTHON:-python3}
mkdir -p "$folder/tests"
folder=$(cd "$folder" && pwd)
cd "$root"
# Sources alone: neither compiled modules nor generated C, which may be newer than what they came from.
tar --exclude='*.so' --exclude='*.c' --exclude='__pycache__' -cf - mlopsfw_core docs benchmarks setup.py pyproject.toml README.md LICENSE tests/core |
  tar -C "$folder" -xf -
cd "$folder"
level=-O1 kinds="-fsanitize=address,undefined -fno-sanitize-recover=undefined"  # -O1 compiles in half the time, -O0 in a third of that
[ "${SANITIZE:-}" = thread ] && level=-O0 kinds=-fsanitize=thread
sed -i "s/^FAST, CAREFUL = .*/FAST = CAREFUL = [\"$level\", \"-g1\"]/" setup.py
flags="$kinds -fno-omit-frame-pointer -Wno-maybe-uninitialized"
CC="gcc $flags" LDSHARED="gcc -shared $flags" "$python" setup.py -q build_ext --inplace --parallel 2
if [ "${SANITIZE:-}" = thread ]; then
  export LD_PRELOAD="$(gcc -print-file-name=libtsan.so)" TSAN_OPTIONS=exitcode=66 MLOPSFW_THREADS=2 PYTHONPATH="$folder"
  exec "$python" tests/core/races.py
fi
# The sanitizer comes first, and so that it sees every allocation, Python's and Arrow's pools are switched off. With Arrow's own pool an
# over-read is not seen. Leaks are not looked for: the interpreter itself leaves memory to the end of the process.
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
export PYTHONMALLOC=malloc ARROW_DEFAULT_MEMORY_POOL=system PYTHONPATH="$folder"
"$python" - <<'PY'
from pathlib import Path

import mlopsfw_core._buffers as compiled

assert Path(compiled.__file__).is_relative_to(Path.cwd()), f"the tests would use {compiled.__file__}"
PY
exec "$python" -m pytest -p no:cacheprovider -p no:xdist "$@"
