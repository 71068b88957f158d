"""Files of skops: written so that equal models have equal bytes, and read only if each type in them is allowed.

What a file asks for is read from its JSON before anything is built. The file is then written anew from what was read, so that
skops reads the very text that was checked. `get_untrusted_types` decides nothing here.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import scipy.sparse
import skops
import skops.io
from skops.io.exceptions import UnsupportedTypeException

from mlopsfw_trainer_sklearn.allowed import ALLOWED

_SCHEMA = "schema.json"
_PROTOCOL = 2  # the oldest whose loaders were read for this list
_LONGEST_SCHEMA, _MOST_BYTES = 64 << 20, 4 << 30
_VECTORIZERS = ("CountVectorizer", "HashingVectorizer", "TfidfVectorizer")


class NotAllowed(Exception):
    """The model, or the file, holds what is not allowed. The text says what."""


def skops_versions() -> dict[str, str]:
    """Return what a server of a file needs."""
    return {"scipy": scipy.__version__, "skops": skops.__version__}


def dump(estimator: Any) -> bytes:
    """Return a fitted estimator as a file of skops. Raise `NotAllowed` for a type that `load` would refuse."""
    try:
        data = skops.io.dumps(estimator)
    except (UnsupportedTypeException, TypeError, ValueError) as error:
        raise NotAllowed(f"skops cannot write it: {error}") from error
    return _checked(data)


def load(data: bytes) -> Any:
    """Return the estimator of a file. Raise `NotAllowed` before anything is built if the file holds another type."""
    checked = _checked(data)
    try:
        return skops.io.loads(checked, trusted=sorted(frozenset.union(*ALLOWED.values())))
    except Exception as error:  # what it builds may raise anything
        raise NotAllowed(f"skops cannot read it: {error}") from error


def _checked(data: bytes) -> bytes:
    """Return the same model in the one form that it has here. Raise `NotAllowed`."""
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            sizes = {each.filename: each.file_size for each in archive.infolist()}
            if any(each.compress_type != ZIP_STORED for each in archive.infolist()):
                raise NotAllowed("its parts are compressed")
            if sizes.get(_SCHEMA, _LONGEST_SCHEMA) >= _LONGEST_SCHEMA or sum(sizes.values()) > _MOST_BYTES:
                raise NotAllowed(f"it has no {_SCHEMA}, or is too large")
            schema = json.loads(archive.read(_SCHEMA))
            return _canonical(schema, archive)
    except (BadZipFile, ValueError, KeyError, TypeError, RecursionError, EOFError, NotImplementedError) as error:
        raise NotAllowed(f"it is no file of skops: {error}") from error


def _canonical(schema: Any, archive: ZipFile) -> bytes:
    """Check the schema, number its objects and files in their order, and return the archive of them."""
    if not isinstance(schema, dict) or type(schema.get("protocol")) is not int or schema["protocol"] < _PROTOCOL:
        raise NotAllowed(f"it has no protocol from {_PROTOCOL} on")
    ids: dict[Any, int] = {}
    files: dict[str, str] = {}
    for node in _nodes(schema):
        _check(node)
        if "__id__" in node:
            node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
        if "file" in node:
            suffix = ".npz" if node["__loader__"] == "SparseMatrixNode" else ".npy"
            node["file"] = files.setdefault(node["file"], f"{len(files) + 1}{suffix}")
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as out:
        for name, number in files.items():
            content = archive.read(name)
            if number.endswith(".npz"):
                _check_sparse(content)
            out.writestr(ZipInfo(number), content)
        out.writestr(ZipInfo(_SCHEMA), json.dumps(schema))
    return buffer.getvalue()


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield each object that the schema describes, in order."""
    if isinstance(value, dict):
        if "__loader__" in value:
            yield value
        for each in value.values():
            yield from _nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from _nodes(each)


def _check(node: dict[str, Any]) -> None:
    name = f"{node['__module__']}.{node['__class__']}"
    if name not in ALLOWED.get(node["__loader__"], ()):
        raise NotAllowed(f"{name} is not among the types that a bundle may hold")
    content = node.get("content")
    attributes = content.get("content") if isinstance(content, dict) and node["__loader__"] == "ObjectNode" else None
    if not isinstance(attributes, dict):
        return
    if "_stop_words_id" in attributes:  # an address in memory, which nothing needs
        attributes["_stop_words_id"]["content"] = "0"
    if node["__class__"] in _VECTORIZERS and attributes.get("input", {}).get("content") != '"content"':
        raise NotAllowed(f"{name} has another input than texts: it would open the files that a request names")


def _check_sparse(content: bytes) -> None:
    """Raise `ValueError` for a matrix whose indices lie outside of it."""
    matrix = scipy.sparse.load_npz(io.BytesIO(content))
    if hasattr(matrix, "check_format"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix.check_format(full_check=True)
