"""Files of skops: written so that equal models have equal bytes, and read only if each type in them is allowed.

What a file asks for is read from its JSON before anything is built. The file is then written anew from what was read, so that
skops reads the very text that was checked. Without `__id__`: skops takes a node that has the number of an earlier node for that
node, whatever it says. `get_untrusted_types` decides nothing here.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Iterator
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import scipy.sparse
import skops
import skops.io
from sklearn.preprocessing import OneHotEncoder
from skops.io.exceptions import UnsupportedTypeException

from mlopsfw_trainer_sklearn.allowed import ALLOWED

_SCHEMA = "schema.json"
_PROTOCOL = 2  # the oldest whose loaders were read for this list
_LONGEST_SCHEMA, _MOST_BYTES, _MOST_SPARSE = 64 << 20, 4 << 30, 256 << 20
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
        model = skops.io.loads(checked, trusted=sorted(frozenset.union(*ALLOWED.values())))
        _check_encoders(model)
    except NotAllowed:
        raise
    except Exception as error:  # what it builds may raise anything
        raise NotAllowed(f"skops cannot read it: {error}") from error
    return model


def _check_encoders(model: Any) -> None:
    """Refuse an encoder whose columns are not those of its categories: a matrix of other columns is read beyond its end."""
    waiting, seen = [model], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, str | bytes | np.ndarray):
            continue
        seen.add(id(each))
        if isinstance(each, OneHotEncoder) and hasattr(each, "categories_"):
            _check_encoder(each)
        waiting += _parts(each)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return (
        [*value]
        if isinstance(value, list | tuple | set)
        else [*vars(value).values()]
        if hasattr(value, "__dict__")
        else []
    )


def _check_encoder(encoder: OneHotEncoder) -> None:
    categories = encoder.categories_
    widths = list(encoder._n_features_outs)  # noqa: SLF001 - what its transform places columns by
    if widths != encoder._compute_n_features_outs():  # noqa: SLF001 - what it was fitted with
        raise NotAllowed(f"OneHotEncoder has {widths} columns for {[len(each) for each in categories]} categories")
    dropped = encoder.drop_idx_
    for column, known in enumerate(categories):
        index = None if dropped is None else dropped[column]
        if index is not None and not 0 <= index < len(known):
            raise NotAllowed(f"OneHotEncoder drops the category {index} of {len(known)}")
        mapping = encoder._default_to_infrequent_mappings[column] if encoder._infrequent_enabled else None  # noqa: SLF001
        if mapping is not None and (
            len(mapping) != len(known) or min(mapping) < 0 or max(mapping) >= widths[column] + (index is not None)
        ):
            raise NotAllowed("OneHotEncoder maps infrequent categories to others than it has")


def _checked(data: bytes) -> bytes:
    """Return the same model in the one form that it has here. Raise `NotAllowed`."""
    try:
        with ZipFile(io.BytesIO(data)) as archive:
            return _canonical(_schema(archive), archive)
    except NotAllowed:
        raise
    except Exception as error:  # a malformed file may raise anything
        raise NotAllowed(f"it is no file of skops: {error}") from error


def _schema(archive: ZipFile) -> Any:
    sizes = {each.filename: each.file_size for each in archive.infolist()}
    if any(each.compress_type != ZIP_STORED for each in archive.infolist()):
        raise NotAllowed("its parts are compressed")
    if sizes.get(_SCHEMA, _LONGEST_SCHEMA) >= _LONGEST_SCHEMA or sum(sizes.values()) > _MOST_BYTES:
        raise NotAllowed(f"it has no {_SCHEMA}, or is too large")
    return json.loads(archive.read(_SCHEMA))


def _canonical(schema: Any, archive: ZipFile) -> bytes:
    """Check the schema, number its files in their order, and return the archive of them."""
    if not isinstance(schema, dict) or type(schema.get("protocol")) is not int or schema["protocol"] < _PROTOCOL:
        raise NotAllowed(f"it has no protocol from {_PROTOCOL} on")
    files: dict[str, str] = {}
    for node in _nodes(schema):
        _check(node)
        node.pop("__id__", None)
        if "file" in node:
            suffix = ".npz" if node["__loader__"] == "SparseMatrixNode" else ".npy"
            node["file"] = files.setdefault(node["file"], f"{len(files) + 1}{suffix}")
    buffer = io.BytesIO()
    left = _MOST_SPARSE
    with ZipFile(buffer, "w", ZIP_STORED) as out:
        for name, number in files.items():
            content = archive.read(name)
            if number.endswith(".npz"):
                left = _check_sparse(content, left)
            else:
                _check_array(io.BytesIO(content), len(content))
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
    if node["__class__"] not in (*_VECTORIZERS, "DictVectorizer", "FeatureHasher"):
        return
    state = node["content"]
    if (state["__loader__"], state["__class__"]) != ("DictNode", "dict"):
        raise NotAllowed(f"the attributes of {name} are no dict")
    attributes = state["content"]
    if "_stop_words_id" in attributes:  # an address in memory, which nothing needs
        attributes["_stop_words_id"]["content"] = "0"
    if node["__class__"] in _VECTORIZERS and attributes.get("input", {}).get("content") != '"content"':
        raise NotAllowed(f"{name} has another input than texts: it would open the files that a request names")
    if node["__class__"] in ("FeatureHasher", "HashingVectorizer"):  # compiled code divides by it
        width = json.loads(attributes["n_features"]["content"])
        if attributes["n_features"]["__loader__"] != "JsonNode" or type(width) is not int or not 1 <= width < 1 << 31:
            raise NotAllowed(f"{name} has n_features={width}")
    if "vocabulary_" in attributes:
        _check_places(name, attributes["vocabulary_"])


def _check_places(name: str, vocabulary: dict[str, Any]) -> None:
    """Check that each word has a column of its own: compiled code of SciPy looks at no bounds of a matrix."""
    words = vocabulary["content"]
    if vocabulary["__loader__"] != "DictNode" or any(each["__loader__"] != "JsonNode" for each in words.values()):
        raise NotAllowed(f"the vocabulary of {name} is no dict of numbers")
    places = [json.loads(each["content"]) for each in words.values()]
    if any(type(place) is not int for place in places) or sorted(places) != list(range(len(words))):
        raise NotAllowed(f"the vocabulary of {name} has places outside of its columns")


def _check_sparse(content: bytes, most: int) -> int:
    """Return how many of `most` bytes are left. Raise for a matrix that is larger, or whose indices lie outside of it."""
    with ZipFile(io.BytesIO(content)) as archive:
        most -= sum(part.file_size for part in archive.infolist())
        if most < 0:
            raise NotAllowed(f"its sparse matrices have more than {_MOST_SPARSE >> 20} MiB")
        for part in archive.infolist():
            with archive.open(part) as stream:
                _check_array(stream, part.file_size)
    matrix = scipy.sparse.load_npz(io.BytesIO(content))
    if hasattr(matrix, "check_format"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix.check_format(full_check=True)
    return most


def _check_array(stream: IO[bytes], size: int) -> None:
    """Check that an array is as large as its header says: NumPy makes room by the header, before it reads."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise NotAllowed(f"an array has the version {version}")
    shape, _, dtype = readers[version](stream)
    if math.prod(shape) * dtype.itemsize > size:
        raise NotAllowed(f"an array of {dtype} and shape {shape} has {size} bytes")
