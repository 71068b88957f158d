"""`Fingerprint`: the cache key of a step with its parts. `fingerprint` computes it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from mlopsfw.lineage import canonical

FORMAT = 1
"""Part of every key. Raise it when the way of making keys changes, so that no older result is used."""


class CodeUnit(msgspec.Struct, frozen=True):
    """One unit of code in the key, for `why`.

    Args:
        file: The file that holds it.
        digest: The digest of its code and of the outside names that it uses.
    """

    file: str
    digest: str


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a step's result depends on.

    Args:
        step: The step's name.
        runs: `module:function`, or `use/version`.
        code: Digest of the code that a Python step reaches.
        params: Its parameters, as they are stored.
        inputs: Parameter name → kind and logical digest.
        outputs: The names of its results.
        plugins: `role.name`, or `package.name` of a Python step in an installed package → distribution and version, and of a
            third party's the digest of its code.
        options: `role.name` → its configuration, by its own name.
        reads: File, relative to the project → sha256.
        env: Environment variable → digest of its value, empty if it is not set.
        facts: Further facts on which an installed step says its result depends.
        each: For a step that runs by parts, the input to cut and the rows of a part.
        environment: Digest of what is installed, as far as the step reaches it.
        units: The pieces of the code, for people; not part of the key.
        packages: The installed packages that it reaches; none if all count. For people; not part of the key.
    """

    step: str
    runs: str
    code: str = ""
    params: Any = None
    inputs: dict[str, str] = {}
    outputs: tuple[str, ...] = ()
    plugins: dict[str, str] = {}
    options: dict[str, Any] = {}
    reads: dict[str, str] = {}
    env: dict[str, str] = {}
    facts: Any = None
    each: str = ""
    environment: str = ""
    units: dict[str, CodeUnit] = {}
    packages: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The cache key: sha256 (hex) of everything but `units` and `packages`, an empty `each` or `env`, and the name of a Python step's function."""
        left_out = ("units", "packages", *(name for name in ("each", "env") if not getattr(self, name)))
        counted = {name: value for name, value in msgspec.to_builtins(self).items() if name not in left_out}
        if self.code:
            counted["runs"] = ""
        return hashlib.sha256(canonical.encode([FORMAT, counted])).hexdigest()
