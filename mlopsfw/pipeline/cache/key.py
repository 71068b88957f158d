"""`Fingerprint`: the cache key of a step, with everything that went into it. How it is made is in `fingerprint`."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from mlopsfw.kernel.base import canonical

FORMAT = 1
"""Part of every key: raise it when keys are made in another way, and nothing of an older way is reused."""


class CodeUnit(msgspec.Struct, frozen=True):
    """One unit that counts, for `why`.

    Args:
        file: Where it stands.
        digest: Of its code and of the outside names that it uses.
    """

    file: str
    digest: str


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's result hangs on.

    Args:
        step: The step's name.
        runs: `module:function`, or `use/version`.
        code: Digest of the code that a Python step reaches.
        params: Its parameters, as they are stored.
        inputs: Parameter name → kind and logical digest.
        outputs: Names of what it returns.
        plugins: `role.name` → distribution and version, and of a third party's the digest of its code.
        options: `role.name` → its configuration, by its own name.
        reads: File, relative to the project → sha256.
        facts: What an installed step says its result hangs on besides.
        each: For a step that runs by parts on which input, and how many rows a part has.
        environment: Digest of what is installed.
        units: The pieces of the code, for people; not part of the key.
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
    facts: Any = None
    each: str = ""
    environment: str = ""
    units: dict[str, CodeUnit] = {}

    @property
    def key(self) -> str:
        """The cache key: sha256 (hex) of everything but `units`, an empty `each`, and the name of a Python step's function."""
        left_out = ("units",) if self.each else ("units", "each")
        counted = {name: value for name, value in msgspec.to_builtins(self).items() if name not in left_out}
        if self.code:
            counted["runs"] = ""
        return hashlib.sha256(canonical.encode([FORMAT, counted])).hexdigest()
