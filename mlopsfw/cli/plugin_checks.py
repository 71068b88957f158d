"""Checks of an installed plugin package: what its metadata promises, and what its modules hold to.

`python -m mlopsfw.cli.plugin_checks DISTRIBUTION` prints a line of JSON as each check begins and one with its result, so
that a plugin which hangs or ends the process can be named. `mlopsfw plugins check` runs it so.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mlopsfw._public import PUBLIC
from mlopsfw.kernel.base.errors import MlopsfwError, PluginError, UnknownName, text_of
from mlopsfw.kernel.base.ids import nearest
from mlopsfw.kernel.plugins.catalog import Catalog, Claim
from mlopsfw.kernel.plugins.manager import SLOW, PluginManager
from mlopsfw.kernel.roles.names import KINDS, ROLES

_HEAVY = ("numpy", "polars", "pyarrow", "pandas", "torch", "sklearn", "scipy", "deltalake", "obstore", "onnxruntime")
_SLOW = 1.0  # seconds of a processor that an import may take; a busy machine makes no plugin slow


class Result(NamedTuple):
    """The result of one check.

    Args:
        plugin: The entry point, such as `alerter.pager`.
        check: What was checked.
        ok: Whether it holds.
        message: What is wrong, or what was seen.
        seconds: How long the check took.
    """

    plugin: str
    check: str
    ok: bool
    message: str = ""
    seconds: float = 0.0


def check_distribution(name: str, begin: Callable[[str, str], None] = lambda _plugin, _check: None) -> Iterator[Result]:
    """Yield the result of each check of each plugin that a distribution provides.

    Args:
        name: The distribution.
        begin: Called with plugin and check before each one.

    Raises:
        UnknownName: No installed distribution of that name provides a plugin.
    """
    catalog = Catalog()
    claims = [claim for claim in catalog.claims if _canonical(claim.distribution) == _canonical(name)]
    if not claims:
        known = {claim.distribution for claim in catalog.claims}
        raise UnknownName(f"no installed distribution {name!r} provides plugins", hint=nearest(name, known))
    manager = PluginManager(catalog)
    for claim in claims:
        for title, check in _CHECKS.items():
            begin(claim.key, title)
            began = time.monotonic()
            ok, message = _result(check, manager, claim)
            yield Result(claim.key, title, ok, message, time.monotonic() - began)
            if not ok and title == "import":
                break


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _result(check: Callable[[PluginManager, Claim], str], manager: PluginManager, claim: Claim) -> tuple[bool, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return True, check(manager, claim)
    except MlopsfwError as error:
        return False, f"{error.message}. {error.hint}" if error.hint else error.message
    except Exception as error:  # noqa: BLE001 - whatever the plugin raised
        return False, text_of(error)


def _demand(condition: object, message: str) -> None:
    if not condition:
        raise PluginError(message)


def _check_import(manager: PluginManager, claim: Claim) -> str:
    manager.catalog.find(claim.kind, claim.name)  # clashes, and the version of the hooks
    began, used, heavy = time.monotonic(), time.process_time(), _HeavyImports()
    sys.meta_path.insert(0, heavy)
    try:
        manager.load(claim)
    finally:
        sys.meta_path.remove(heavy)
    seconds, used = time.monotonic() - began, time.process_time() - used
    names = ", ".join(heavy.causes)
    _demand(not names, f"importing {claim.module} imports {names}. Import {_listed(heavy)} inside functions")
    _demand(
        used < _SLOW and seconds < SLOW,
        f"importing {claim.module} takes {seconds:.1f} s. Import what is slow inside functions",
    )
    return f"{seconds * 1000:.0f} ms"


class _HeavyImports:
    """A finder of `sys.meta_path` that finds nothing. It notes each heavy library that is imported, and what a plugin imported for it.

    `causes` maps the library to the public module of mlopsfw that imports it, or to itself.
    """

    def __init__(self) -> None:
        self.causes: dict[str, str] = {}

    def find_spec(self, name: str, *_: object) -> None:
        """Note the import."""
        if name in _HEAVY and name not in self.causes:
            importers = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_stack(None)]
            faces = [each for each in importers if each != "mlopsfw" and each in PUBLIC]
            self.causes[name] = faces[-1] if faces else name


def _listed(heavy: _HeavyImports) -> str:
    return ", ".join(dict.fromkeys(heavy.causes.values()))


def _check_hook(manager: PluginManager, claim: Claim) -> str:
    if claim.kind in ROLES:
        return str(manager.provider(claim.kind, claim.name)[1].summary)
    if claim.kind == "command":
        from mlopsfw.cli.verbs import VERBS

        _demand(claim.name not in VERBS, f"mlopsfw has a verb {claim.name!r} of its own, which hides this one")
        return manager.command(claim.name).get_short_help_str()
    return ""


def _check_points(manager: PluginManager, claim: Claim) -> str:
    """Demand an entry point for each thing that the module offers: without one, nobody ever finds it."""
    plugin = manager.load(claim)
    here = (claim.module, claim.distribution)
    claims = [each for each in manager.catalog.claims if (each.module, each.distribution) == here]
    offers = {kind.name: kind.spec for kind in KINDS.values() if manager.implements(claim, kind.spec)}
    for name, hook in offers.items():
        points = {each.name for each in claims if each.kind == name}
        _demand(points, f"it has the hook {hook}, and no entry point {name}.NAME names it")
        if KINDS[name].choice != "all" or KINDS[name].builds:
            lacking = sorted({each.name for each in getattr(plugin, hook)()} - points)
            _demand(not lacking, f"{hook} offers {', '.join(lacking)}, and no entry point {name}.NAME names it")
    return ", ".join(sorted(each.key for each in claims))


def _check_options(manager: PluginManager, claim: Claim) -> str:
    if claim.kind not in ROLES:
        return ""
    import msgspec

    provider = manager.provider(claim.kind, claim.name)[1]
    config: Any = provider.config
    _demand(
        isinstance(config, type) and issubclass(config, msgspec.Struct), "the Provider's config is no msgspec.Struct"
    )
    _demand(
        config.__struct_config__.forbid_unknown_fields,
        f"{config.__name__} accepts unknown keys: forbid_unknown_fields=True",
    )
    _demand(config.__struct_config__.frozen, f"{config.__name__} can be changed: frozen=True")
    _demand(provider.summary and "\n" not in provider.summary, "the Provider has no summary of one line")
    return ", ".join(config.__struct_fields__) or "none"


def _check_public(_manager: PluginManager, claim: Claim) -> str:
    private = sorted({name for file in _files(claim.module) for name in _imported(file) if not _is_public(name)})
    _demand(not private, f"imports {', '.join(private)}, which is not public and may change in any release")
    return ""


def _files(target: str) -> list[Path]:
    spec = importlib.util.find_spec(target.partition(":")[0].partition(".")[0])
    origin = Path(spec.origin) if spec and spec.origin else None
    if origin is None:
        return []
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _is_public(name: str) -> bool:
    top, _, rest = name.partition(".")
    return top != "mlopsfw" or f"{top}.{rest.partition('.')[0]}".rstrip(".") in PUBLIC


_CHECKS: dict[str, Callable[[PluginManager, Claim], str]] = {
    "import": _check_import,
    "hook": _check_hook,
    "entry points": _check_points,
    "options": _check_options,
    "imports": _check_public,
}


def main(name: str) -> None:
    """Print the checks of a distribution as lines of JSON: `{"begin": […]}` and `{"result": […]}`."""
    lines = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what a plugin prints is no result
    try:
        for result in check_distribution(name, lambda *begun: print(json.dumps({"begin": begun}), file=lines)):
            print(json.dumps({"result": result}), file=lines)
    except MlopsfwError as error:
        print(json.dumps({"error": [error.message, error.hint]}), file=lines)


if __name__ == "__main__":
    main(sys.argv[1])
