"""Model folders of MLflow (`MLmodel`), read without MLflow: which file of an open format they hold, and their signature.

What a folder says are data: a file outside of it is never opened, and a pickle is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlopsfw.kernel.base.errors import BundleError, MissingExtra
from mlopsfw.kernel.roles.bundle import SignatureColumn

FILE = "MLmodel"
_LONGEST = 1 << 20
_MOST_ALIASES = 20  # each may double what it stands for
_FLAVOURS = {
    "onnx": ("onnx", "data"),
    "lightgbm": ("lightgbm", "data"),
    "xgboost": ("xgboost", "data"),
    "sklearn": ("skops", "pickled_model"),
}
"""Flavour → our format, and the key that names its file."""
_SUFFIXES = {
    "onnx": (".onnx",),
    "lightgbm": (".lgb", ".txt"),
    "xgboost": (".ubj", ".json", ".xgb"),
    "skops": (".skops",),
}
_TYPES = {
    "double": "number", "float": "number", "integer": "integer", "long": "integer", "boolean": "boolean", "string": "string",
    "datetime": "datetime", "binary": "binary",
}  # fmt: skip
_OPEN = (
    "Save it again in an open format: mlflow.onnx, a booster itself instead of its scikit-learn class, or "
    'mlflow.sklearn with serialization_format="skops".'
)


class FlavourFile(NamedTuple):
    """The file of a model folder.

    Args:
        file: It.
        format: Its format.
        inputs: The folder's signature; empty where it has none.
    """

    file: Path
    format: str
    inputs: tuple[SignatureColumn, ...]


def read_yaml(file: Path, longest: int = _LONGEST) -> dict[str, Any]:
    """Return the mapping in a YAML file; plain values alone are read. Raise `BundleError` or `MissingExtra`."""
    try:
        import yaml
    except ModuleNotFoundError:
        raise MissingExtra("reading MLflow's YAML files", "mlflow") from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with file.open("rb") as stream:
            text = stream.read(longest + 1)
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader))
        is_small = len(text) <= longest and aliases <= _MOST_ALIASES
        value = yaml.load(text, loader) if is_small else None  # noqa: S506 - a safe loader
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(value, dict):
        raise BundleError(f"{file} holds no mapping, more than {longest >> 20} MiB, or many aliases")
    return value


def is_model_folder(folder: Path) -> bool:
    """Return whether MLflow saved a model in this folder."""
    return (folder / FILE).is_file()


def flavour_file(folder: Path) -> FlavourFile:
    """Return the file of a model folder that a runtime can load.

    Raises:
        BundleError: It has no flavour of an open format, only a pickle, or names a file outside of it.
        MissingExtra: PyYAML is not installed.
    """
    said = read_yaml(folder / FILE)
    listed = said.get("flavors")
    flavours = listed if isinstance(listed, Mapping) else {}
    reasons = []
    for flavour, (form, key) in _FLAVOURS.items():
        if isinstance(options := flavours.get(flavour), Mapping):
            file = _inside(folder, str(options.get(key) or ""))
            if file.suffix in _SUFFIXES[form]:
                return FlavourFile(file, form, _signature(said))
            reasons.append(f"its flavour {flavour} keeps {file.name}, which may run code when it is loaded")
    others = ", ".join(sorted(map(str, flavours))) or "none"
    raise BundleError(f"{folder}: {'; '.join(reasons) or f'its flavours are {others}, of no open format'}", hint=_OPEN)


def _inside(folder: Path, name: str) -> Path:
    problem = BundleError(f"{folder / FILE} names {name[:80]!r}, which is no file of the folder")
    try:
        file = Path(os.path.realpath(folder / name))  # a link to itself is no error here
        is_within = file.is_relative_to(os.path.realpath(folder)) and file.is_file()
    except (ValueError, OSError):
        raise problem from None
    if not is_within:
        raise problem
    return file


def _signature(said: Mapping[str, Any]) -> tuple[SignatureColumn, ...]:
    """Return the inputs of a signature; nothing where there is none, or one of another kind."""
    signature = said.get("signature")
    text = signature.get("inputs") if isinstance(signature, Mapping) else None
    try:
        columns = msgspec.json.decode(str(text or "[]"), type=list[dict[str, Any]])
    except (msgspec.DecodeError, RecursionError):
        return ()
    inputs = [_column(each) for each in columns]
    return tuple(column for column in inputs if column is not None) if all(inputs) else ()


def _column(each: Mapping[str, Any]) -> SignatureColumn | None:
    name, kind = each.get("name"), _TYPES.get(str(each.get("type")))
    if not isinstance(name, str) or not name or kind is None:
        return None
    nullable = not each.get("required", True)
    return SignatureColumn(name=name, type=kind, nullable=nullable)  # type: ignore[arg-type]
