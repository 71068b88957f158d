"""The house stands: arrows go down, the kernel is small, nobody below the facade knows the project, plugins use public names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(p.parent for p in (ROOT / "plugins").glob("*/__init__.py"))
HOUSE = ROOT / "mlopsfw"


def imported(folder):
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield file, node.module


def test_the_import_contracts_hold():
    out = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stdout + out.stderr


KERNEL = sorted((HOUSE / "kernel").rglob("*.py"))
BELOW = sorted(
    f
    for room in HOUSE.iterdir()
    if room.is_dir() and room.name not in {"cli", "scaffold", "testing", "project", "__pycache__"}
    for f in room.rglob("*.py")
)
FACES = [
    HOUSE / f"{name}.py"
    for name in ("components", "errors", "evaluation", "events", "formats", "roles", "sources", "worker")
]


def named(file):
    """Yield every name that a module's code uses or gives, texts that are code included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from (node.name, node.asname or "")


def test_the_kernel_is_small():
    lines = [line for file in KERNEL for line in file.read_text(encoding="utf-8").splitlines()]
    assert len(lines) <= 7_000

    assert [line for line in lines if len(line) > 120] == []


def test_the_kernel_knows_no_library_of_tables_or_buckets():
    assert [
        (f.name, m) for f, m in imported(HOUSE / "kernel") if m.partition(".")[0] in {"polars", "deltalake", "obstore"}
    ] == []


def test_the_kernel_has_arrow_in_annotations_only():
    for file in KERNEL:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        guarded = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and any(a.name.startswith("pyarrow") for a in node.names):
                assert id(node) in guarded, file
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyarrow"):
                assert id(node) in guarded, file


def test_nobody_below_the_facade_knows_the_project():
    assert [str(f.relative_to(HOUSE)) for f in BELOW if "Project" in set(named(f))] == []


def test_services_are_nine():
    from dataclasses import fields

    from mlopsfw.kernel.services import Services

    names = ["project", "actor", "storage", "ledger", "blobs", "tables", "clock", "secrets", "workspace"]
    assert [field.name for field in fields(Services)] == names


def test_what_is_made_with_services_names_at_most_five_collaborators_each_of_a_type():
    for file in BELOW:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.FunctionDef) and node.name == "__init__"):
                continue
            taken = [*node.args.args[1:], *node.args.kwonlyargs]
            types = [ast.unparse(arg.annotation) for arg in taken if arg.annotation]
            if "Services" in types:
                assert len(taken) <= 5, (file, node.lineno)
                assert "Any" not in types, (file, node.lineno)


def test_a_protocol_beside_its_user_is_narrow():
    for file in BELOW:
        if "roles" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and "Protocol" in [ast.unparse(base) for base in node.bases]:
                members = [inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AnnAssign)]
                assert len(members) <= 5, (file, node.name)


def test_nothing_reaches_into_a_dict_of_attributes():
    allowed = {"blame.py"}  # a proxy that keeps what it has wrapped in its own
    assert [
        f.name
        for f in (*BELOW, *(HOUSE / "project").rglob("*.py"))
        if "__dict__" in set(named(f)) and f.name not in allowed
    ] == []


PRIVATE = next(
    set(contract["forbidden_modules"])
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    if contract["name"] == "A bundled plugin imports public names only" and "ignore_imports" not in contract
)


def test_the_documentation_lists_what_a_plugin_may_import():
    from mlopsfw._public import PUBLIC

    rooms = {f"mlopsfw.{file.parent.name}" for file in HOUSE.glob("*/__init__.py")}
    modules = {f"mlopsfw.{file.stem}" for file in HOUSE.glob("*.py") if not file.stem.startswith("_")}
    page = (ROOT / "docs" / "writing-plugins.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(mlopsfw[\w.]*)` \|", page, re.MULTILINE)
    assert set(listed) == {"mlopsfw", "mlopsfw_core"} | (rooms | modules) - PRIVATE
    assert len(listed) == len(set(listed))
    assert set(PUBLIC) == set(listed)  # what `plugins check` allows


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda folder: folder.name)
def test_a_plugin_names_nothing_private_in_a_command_either(plugin):
    for file in plugin.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named = {".".join(name.split(".")[:2]) for name in re.findall(r"\bmlopsfw(?:\.\w+)+", node.value)}
                assert not named & PRIVATE, (file.name, node.lineno)


def test_the_names_of_a_tasks_own_outputs_stand_once():
    """Everyone else imports `mlopsfw.roles.TASK_OUTPUTS`."""
    holders = [
        file.name
        for folder in ("mlopsfw", "plugins", "examples")
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Dict)
        and {"binary", "regression"} <= {getattr(key, "value", None) for key in node.keys}
        and {"probability", "value"} <= {getattr(value, "value", None) for value in node.values}
    ]
    assert holders == ["bundle.py"]


@pytest.mark.parametrize("face", FACES, ids=lambda f: f.stem)
def test_a_face_only_names_what_is_public(face):
    tree = ast.parse(face.read_text(encoding="utf-8"))
    kinds = {type(node) for node in tree.body[1:]}
    assert kinds <= {ast.ImportFrom, ast.Assign}
    given = {alias.name for node in tree.body for alias in getattr(node, "names", ()) if node.module != "__future__"}
    assert given == set(ast.literal_eval(next(n for n in tree.body if isinstance(n, ast.Assign)).value))


@pytest.mark.parametrize("face", ["roles", "events", "components"])
def test_a_face_of_records_loads_neither_tables_nor_the_facade(face):
    code = f"import sys, mlopsfw.{face}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert not {"polars", "pyarrow", "numpy", "mlopsfw.project", "mlopsfw.project.facade"} & loaded


def test_modules_and_functions_stay_small():
    longest = {
        f: len(f.read_text(encoding="utf-8").splitlines())
        for d in ("mlopsfw", "plugins")
        for f in (ROOT / d).rglob("*.py")
    }
    assert {f.name: n for f, n in longest.items() if n > 400} == {}
    assert {f"{f.name}:{node.name}": n for f in longest for node, n in bodies(f) if n > 30} == {}


def bodies(file):
    """Yield each function of a file, and how many lines its body has without the docstring."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node, clean=False) is not None and len(node.body) > 1
            yield node, node.end_lineno - node.body[documented].lineno + 1


def test_nothing_calls_pickle():
    banned = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for folder in ("mlopsfw", "mlopsfw_core", "plugins"):
        assert [(f.name, m) for f, m in imported(ROOT / folder) if m.partition(".")[0] in banned] == []
