"""The list of compiled modules of `mlopsfw_core`, and nothing else: all metadata is in pyproject.toml.

Every extension is named here, one source each, so that a missing one fails the build instead of shipping without it.
Code is built for baseline x86-64 (or the platform's own baseline); kernels that gain from wider vectors carry
`target_clones` and choose at run time. `-O2` is for modules that live on branch-free searches, which GCC's -O3 spoils.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

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


def extension(name: str, level: list[str]) -> Extension:
    """Describe one compiled module, whose source stands where its name says.

    -ffp-contract=off keeps results the same with and without fused multiply-add, so that a report made on one machine
    can be checked on another.
    """
    flags = ["/O2"] if sys.platform == "win32" else [*level, "-ffp-contract=off", "-fno-math-errno"]
    return Extension(
        name,
        [name.replace(".", "/") + (".c" if name == SHARED else ".pyx")],
        include_dirs=[np.get_include(), "."],
        depends=[str(part) for kind in ("*.h", "*.pxi") for part in Path("mlopsfw_core").rglob(kind)],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        extra_compile_args=flags,
    )


if __name__ == "__main__":  # processes that translate beside this one may import it
    setup(
        ext_modules=cythonize(
            [extension(name, level) for name, level in {SHARED: CAREFUL, **MODULES}.items()],
            compiler_directives=DIRECTIVES,
            nthreads=os.cpu_count(),
            shared_utility_qualified_name=SHARED,
        ),
        options={"build_ext": {"parallel": os.cpu_count()}},
    )
