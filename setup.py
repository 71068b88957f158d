"""The list of compiled modules of `mlopsfw_core`, and nothing else: all metadata is in pyproject.toml.

Every extension is named here, one source each, so that a missing one fails the build instead of shipping without it.
Code is built for baseline x86-64 (or the platform's own baseline); kernels that gain from wider vectors carry
`target_clones` and choose at run time. `-O2` is for modules that live on branch-free searches, which GCC's -O3 spoils.

Where MLOPSFW_BUILD_CACHE names a folder, a module is compiled once for its sources, flags and tools. `ci/test.sh` names one.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

import Cython
import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

FAST, CAREFUL = ["-O3", "-g0"], ["-O2", "-g0"]  # Python's own flags ask for debug information, a quarter of the time

SHARED = "mlopsfw_core._shared"
"""What Cython would otherwise generate and compile in every module that has a memoryview; it has no source of its own."""

MODULES = {
    "mlopsfw_core._buffers": CAREFUL,
    "mlopsfw_core._text": CAREFUL,
    "mlopsfw_core._tokens": CAREFUL,
    "mlopsfw_core._crosses": CAREFUL,
    "mlopsfw_core._ngrams": CAREFUL,
    "mlopsfw_core._records": FAST,
    "mlopsfw_core._encoding": FAST,
    "mlopsfw_core._sorting": FAST,
    "mlopsfw_core.hashing": FAST,
    "mlopsfw_core.drift._special": CAREFUL,
    "mlopsfw_core.drift._kolmogorov": CAREFUL,
    "mlopsfw_core.drift._binning": FAST,
    "mlopsfw_core.drift._ranks": FAST,
    "mlopsfw_core.drift._gaps": FAST,
    "mlopsfw_core.drift._levels": FAST,
    "mlopsfw_core.online._detector": FAST,
    "mlopsfw_core.online.adwin": FAST,
    "mlopsfw_core.online._betting": FAST,
    "mlopsfw_core.online._twister": CAREFUL,
    "mlopsfw_core.online.ddm": FAST,
    "mlopsfw_core.online.eddm": FAST,
    "mlopsfw_core.online.fhddm": FAST,
    "mlopsfw_core.online.hddm_a": FAST,
    "mlopsfw_core.online.hddm_w": FAST,
    "mlopsfw_core.online.kswin": CAREFUL,
    "mlopsfw_core.online.page_hinkley": FAST,
    "mlopsfw_core.profile._characters": FAST,
    "mlopsfw_core.profile._moments": FAST,
    "mlopsfw_core.profile._sketches": CAREFUL,
}

DIRECTIVES = {
    "language_level": "3",
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}


def source(name: str) -> Path:
    """Return the source of a module, which stands where its name says."""
    return Path(name.replace(".", "/") + (".c" if name == SHARED else ".pyx"))


def headers() -> list[str]:
    """List what any module may include or cimport."""
    return sorted(str(part) for kind in ("*.h", "*.pxd", "*.pxi") for part in Path("mlopsfw_core").rglob(kind))


def stored(name: str, flags: list[str]) -> Path | None:
    """Return the file of the cache that holds this module once it was compiled from these sources, with these flags and tools."""
    folder = os.environ.get("MLOPSFW_BUILD_CACHE")
    if not folder or os.name != "posix":
        return None
    variables = [os.environ.get(each, "") for each in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "LDSHARED")]
    compiler = shlex.split(variables[0] or sysconfig.get_config_var("CC"))
    version = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True).stdout
    key = hashlib.sha256(
        repr((name, flags, variables, version, sys.version, Cython.__version__, np.__version__)).encode()
    )
    own = [] if name == SHARED else [source(name)]  # Cython makes the shared module's source
    for file in [__file__, *headers(), *own]:
        key.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return Path(folder, f"{name}-{key.hexdigest()}{sysconfig.get_config_var('EXT_SUFFIX')}")


class CachedBuild(build_ext):
    """Copies a module from the cache, or compiles it and stores it there."""

    def build_extension(self, ext: Extension) -> None:
        """Build one module."""
        file, built = stored(ext.name, ext.extra_compile_args), Path(self.get_ext_fullpath(ext.name))
        if file and file.exists():
            built.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, built)
            return
        super().build_extension(ext)
        if file:
            with suppress(OSError):  # a cache that cannot be written costs time alone
                file.parent.mkdir(parents=True, exist_ok=True)
                unfinished = file.with_suffix(f".{os.getpid()}")
                shutil.copyfile(built, unfinished)
                unfinished.replace(file)  # another build may store the same module at once


def extension(name: str, level: list[str]) -> Extension:
    """Describe one compiled module.

    -ffp-contract=off keeps results the same with and without fused multiply-add, so that a report made on one machine
    can be checked on another.
    """
    flags = ["/O2"] if sys.platform == "win32" else [*level, "-ffp-contract=off", "-fno-math-errno"]
    return Extension(
        name,
        [str(source(name))],
        include_dirs=[np.get_include(), "."],
        depends=headers(),
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=flags,
    )


def build(modules: dict[str, list[str]]) -> None:
    """Do what the command line says with these modules, which lie in this folder; of those in the cache nothing is translated either."""
    described = [extension(name, level) for name, level in modules.items()]
    cached = [each for each in described if (file := stored(each.name, each.extra_compile_args)) and file.exists()]
    translated = cythonize(
        [each for each in described if each not in cached],
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count(),
        shared_utility_qualified_name=SHARED,
    )
    setup(
        ext_modules=cached + translated,
        cmdclass={"build_ext": CachedBuild},
        options={"build_ext": {"parallel": os.cpu_count()}},
    )


if __name__ == "__main__":  # processes that translate beside this one may import it
    build({SHARED: CAREFUL, **MODULES})
