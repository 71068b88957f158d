"""Exports of torch (`torch.export.save`, .pt2), converted to ONNX in a process of its own; the ONNX is what is kept.

Torch reads such an archive by `pickle`, `eval` (of the expressions of sizes) and `getattr` (of the operators), so a hostile one could
run code. Its parts are therefore checked here, before torch sees them, and the child allows torch no pickle but that of weights.
"""

from __future__ import annotations

import ast
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile, ZipFile

from mlopsfw.errors import BundleError, MissingExtra

_LARGEST, _LONGEST_JSON, _MOST_PARTS = 4 << 30, 256 << 20, 100_000
_PLACES = re.compile(
    r"(?:models/[\w.-]+\.json|data/(?:weights|constants)/(?:(?:weight|tensor)_\d+|[\w.-]+_config\.json)|data/sample_inputs/[\w.-]+\.pt"
    r"|archive_format|archive_version|byteorder|version|\.data/(?:version|serialization_id)|\.format_version|\.storage_alignment)"
)
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file)\w+\.\w+|torch\.sym_(?:max|min|not|sum|ite|int|float)|_operator\.\w+"
)
_FORMS = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.Call, ast.keyword, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.UnaryOp,
    ast.unaryop, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Div, ast.Mod,
)  # fmt: skip
_FUNCTIONS = frozenset(
    [
        "Symbol",
        "Integer",
        "Float",
        "Rational",
        "Add",
        "Mul",
        "Pow",
        "Max",
        "Min",
        "Mod",
        "PythonMod",
        "FloorDiv",
        "CleanDiv",
        "CeilDiv",
        "IntTrueDiv",
        "FloatTrueDiv",
        "Where",
        "Abs",
        "Eq",
        "Ne",
        "Equality",
        "Unequality",
        "StrictLessThan",
        "StrictGreaterThan",
        "LessThan",
        "GreaterThan",
        "And",
        "Or",
        "Not",
    ]
)
"""What torch writes the sizes of an export with: classes of SymPy and of itself."""
_SYMBOL = re.compile(r"[a-z]{1,9}\d+|int_oo|oo")
_ROOM = re.compile(r"L\['\w+'\](?:\[\d+\])*\.(?:size|stride)\(\)\[\d+\]")
_PATIENCE = 600
_REFUSED = 13


def convert(file: Path, target: Path) -> None:
    """Write the ONNX model of an export. Raise `BundleError` where it is none, or could run code; `MissingExtra` without torch."""
    checked = target.with_suffix(".checked.pt2")
    write_checked(file, checked)
    if any(find_spec(name) is None for name in ("torch", "onnxscript")):
        raise MissingExtra("an export of torch", "torch")
    command = [sys.executable, "-P", "-m", "mlopsfw_runtime_onnx.torch_export", str(checked), str(target)]
    environment = {**os.environ, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"{file.name} was not converted within {_PATIENCE} seconds") from None
    if done.returncode == _REFUSED:
        raise BundleError(f"{file.name} holds a pickle that would run code")
    if done.returncode or not target.is_file():
        lines = done.stderr.strip().splitlines() or ["the process ended"]
        raise BundleError(
            f"{file.name} cannot be converted to ONNX: {lines[-1][:300]}", hint="Export it as ONNX yourself."
        )


def write_checked(file: Path, target: Path) -> None:
    """Write the parts of an archive anew. Torch reads only this copy: its reader of zip files may see other parts than Python's.

    Raises:
        BundleError: The archive does not hold tensors and a graph of known operators, and nothing else.
    """
    try:
        with ZipFile(file) as archive, ZipFile(target, "w") as copy:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > _LARGEST or len(parts) > _MOST_PARTS:
                raise BundleError(f"{file.name} holds more than {_LARGEST >> 30} GiB, or {_MOST_PARTS:,} parts")
            places = [_place(part.filename, file) for part in parts]
            if len(set(places)) < len(places):
                raise BundleError(f"{file.name} holds a part twice")
            for part, place in zip(parts, places, strict=True):
                if place.endswith(".json"):
                    _check_json(archive.read(part) if part.file_size <= _LONGEST_JSON else b"", part.filename)
                with archive.open(part) as stream, copy.open(f"model/{place}", "w", force_zip64=True) as written:
                    shutil.copyfileobj(stream, written)
    except (BadZipFile, ValueError, RuntimeError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise BundleError(f"{file.name} is no export of torch: {error}") from None


def _place(name: str, file: Path) -> str:
    """Return the name of a part below the archive's own folder. Raise `BundleError` for a part that no export has."""
    place = PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix()
    if not _PLACES.fullmatch(place):
        raise BundleError(f"{file.name} holds {name[:80]!r}, which is no part of a plain export of torch")
    return place


def _check_json(data: bytes, name: str) -> None:
    waiting: list[Any] = [json.loads(data)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        if not isinstance(value, dict):
            continue
        waiting += value.values()
        _check_members(value, name)


def _check_members(value: dict[str, Any], name: str) -> None:
    target, path = value.get("target"), value.get("path_name")
    if isinstance(target, str) and "inputs" in value and not _OPERATORS.fullmatch(target):
        raise BundleError(f"{name} uses {target[:80]!r}, which is no operator of a model")
    if path is not None and not re.fullmatch(r"(?:weight|tensor)_\d+", str(path)):
        raise BundleError(f"{name} keeps {str(path)[:80]!r}, which is no tensor")
    sizes = [value["expr_str"]] if "expr_str" in value else []
    sizes += list(value.get("range_constraints") or ())
    sizes += [_ROOM.sub("s0", str(guard)) for guard in value.get("guards_code") or ()]
    for size in sizes:
        if not _is_size(str(size)):
            raise BundleError(f"{name} has {str(size)[:80]!r}, which is no expression of sizes")


def _is_size(text: str) -> bool:
    """Return whether a text is arithmetic of symbols such as `s0`: torch evaluates it as Python."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, MemoryError):  # MemoryError: too deep for the parser
        return False
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return all(isinstance(node, _FORMS) and _is_plain(node, called) for node in nodes)


def _is_plain(node: ast.AST, called: set[int]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS if id(node) in called else bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        is_symbol = isinstance(node.value, str) and bool(_SYMBOL.fullmatch(node.value))
        return is_symbol or (isinstance(node.value, bool | int | float) and abs(node.value) <= 1 << 62)
    return not isinstance(node, ast.Call) or isinstance(node.func, ast.Name)


def _main(source: str, target: str) -> None:
    """Convert, in the child."""
    import torch

    loading = [True]

    def forbid(event: str, _arguments: tuple[Any, ...]) -> None:
        if loading[0] and event in (
            "pickle.find_class",
            "os.system",
            "subprocess.Popen",
            "os.exec",
            "os.posix_spawn",
            "socket.connect",
        ):
            os._exit(_REFUSED)

    torch.zeros(1)
    import torch._export.serde.serialize
    import torch.onnx

    sys.addaudithook(forbid)
    program = torch.export.load(source)
    loading[0] = False
    written = torch.onnx.export(program, dynamo=True, verbose=False)
    if written is not None:
        written.save(target, external_data=False)


if __name__ == "__main__":
    _main(*sys.argv[1:])
