"""The files of a bundle: the check that the folder holds exactly the files that its manifest lists, and none that runs code."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path, PurePosixPath

import msgspec

from mlopsfw.kernel.base.errors import BundleError, UnknownFormat
from mlopsfw.kernel.roles.bundle import Manifest
from mlopsfw.models.bundle.manifest import decode_manifest
from mlopsfw.models.bundle.onnxfile import check_onnx
from mlopsfw.models.bundle.pickles import holds_pickle
from mlopsfw.models.bundle.tensorfile import check_safetensors

MANIFEST = "bundle.json"
PLAN = "plan.json"
PROFILE = "profile.json"
GOLDEN = "golden.json"
CALIBRATION = "calibration.json"
SIGNATURE = "signature.arrow"
CARD = "card.md"
REQUIREMENTS = "requirements.txt"
SBOM = "sbom.json"
OUTPUTS = "outputs.arrow"
REQUIRED = (PROFILE, GOLDEN, SIGNATURE, CARD, REQUIREMENTS, SBOM)

_LONGEST_MANIFEST = 16 << 20
_MOST_FILES = 1000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))})
_DEEPEST, _LONGEST_NAME = 8, 400


def read_manifest(folder: Path) -> Manifest:
    """Return `bundle.json`, checked on its own. Raise `BundleError`."""
    data = _read(folder / MANIFEST, _LONGEST_MANIFEST)
    try:
        manifest = decode_manifest(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BundleError(f"{folder / MANIFEST} is not a manifest of a bundle: {error}") from None
    except BundleError as error:
        raise type(error)(f"{folder / MANIFEST}: {error.message}", hint=error.hint) from None
    check_manifest(manifest, str(folder / MANIFEST))
    return manifest


def check_manifest(manifest: Manifest, where: str) -> None:
    """Raise `BundleError` if a manifest contradicts itself."""
    if len(manifest.files) > _MOST_FILES or not manifest.formats or not manifest.outputs:
        raise BundleError(f"{where} lists no format, or no output, or more than {_MOST_FILES} files")
    for name, digest in manifest.files.items():
        check_file_name(name, where)
        if not _DIGEST.fullmatch(digest):
            raise BundleError(f"{where}: the digest of {name!r} is not a sha256 in hex")
    _check_places([*manifest.files, MANIFEST], where)
    for name in (*REQUIRED, *manifest.formats.values()):
        if name not in manifest.files:
            raise BundleError(f"{where} lists no {name}, which a bundle must have")


def _check_places(names: Sequence[str], where: str) -> None:
    """Raise `BundleError` if two names are one place on some disk, or one is a file and a folder."""
    places = {name.lower() for name in names}
    folders = {str(folder).lower() for name in names for folder in PurePosixPath(name).parents}
    if len(places) != len(names) or places & folders:
        raise BundleError(f"{where}: names differ only by case, one is {MANIFEST}, or one is a file and a folder")


def check_file_name(name: str, where: str) -> None:
    """Raise `BundleError` for the name of a file that could lie outside the bundle, or nowhere on some disk."""
    parts = name.split("/")
    if len(parts) > _DEEPEST or len(name) > _LONGEST_NAME or not all(map(_is_part, parts)):
        raise BundleError(f"{where}: {name!r} cannot name a file of a bundle")


def _is_part(part: str) -> bool:
    return bool(_NAME.fullmatch(part)) and not part.endswith(".") and part.partition(".")[0].lower() not in _RESERVED


def check_content(file: Path, name: str) -> None:
    """Raise `UnknownFormat` for a file that is a pickle or holds one: loading it could run code."""
    with _open(file) as stream:
        if holds_pickle(stream):
            raise UnknownFormat(
                f"{name} holds a pickle, or cannot be looked into: loading it could run code",
                hint="Save the model in an open format, such as ONNX or safetensors.",
            )


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check that the folder holds the listed files, unaltered, and nothing else. Inspect models and weights.

    Raises:
        BundleError: A file is missing, extra, altered, no plain file, or refers to what is outside.
    """
    entries = set(_entries(folder))
    missing = sorted(manifest.files.keys() - entries)
    extra = sorted(entries - manifest.files.keys() - {MANIFEST})
    if missing or extra:
        problem = ", ".join([*(f"{name} is missing" for name in missing), *(f"{name} is not listed" for name in extra)])
        raise BundleError(f"{folder} is not a complete bundle: {problem}")
    for name, digest in manifest.files.items():
        with _open(folder / name) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise BundleError(f"{folder / name} was altered: its sha256 is not what {MANIFEST} lists")
        check_content(folder / name, str(folder / name))
        if name.endswith(".safetensors"):
            check_safetensors(folder / name)
        elif _is_onnx(name, manifest):
            check_onnx(_read(folder / name), name)


def read_model(folder: Path, manifest: Manifest, format: str) -> bytes:  # noqa: A002 - the field's word
    """Return the main file of a format, exactly the checked bytes. A runtime loads these, and opens no file itself.

    Args:
        folder: Where the bundle lies.
        manifest: Its `bundle.json`.
        format: One of `manifest.formats`.

    Raises:
        BundleError: The file was altered, is no plain file, or is an ONNX model that needs more than itself.
        UnknownFormat: The bundle has no such format.
    """
    if format not in manifest.formats:
        hint = f"It has: {', '.join(manifest.formats)}."
        raise UnknownFormat(f"{folder / MANIFEST} lists no model of format {format!r}", hint=hint)
    name = manifest.formats[format]
    data = read_listed(folder, manifest, name)
    if _is_onnx(name, manifest):
        check_onnx(data, name)
    return data


def _is_onnx(name: str, manifest: Manifest) -> bool:
    return name.endswith(".onnx") or manifest.formats.get("onnx") == name


def read_listed(folder: Path, manifest: Manifest, name: str, limit: int | None = None) -> bytes:
    """Return the bytes of a listed file, exactly those with the checked digest. Raise `BundleError`."""
    if name not in manifest.files:
        raise BundleError(f"{folder / MANIFEST} lists no {name}")
    data = _read(folder / name, limit)
    if hashlib.sha256(data).hexdigest() != manifest.files[name]:
        raise BundleError(f"{folder / name} was altered: its sha256 is not what {MANIFEST} lists")
    return data


def _entries(folder: Path, above: str = "", depth: int = 1) -> Iterator[str]:
    """Yield the names of the files in a folder and its folders, and those of folders without a file."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise BundleError(f"{folder} is not a bundle: {error.strerror}") from None
    for entry in listed:
        if depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path), f"{above}{entry.name}/", depth + 1)
        else:
            _check_plain(entry.stat(follow_symlinks=False), Path(entry.path))
            yield above + entry.name
    if above and not listed:
        yield above


def _check_plain(status: os.stat_result, file: Path) -> None:
    """Refuse links: a link may lead out of the bundle, and another process can write to a hard link."""
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{file} is not a plain file; a bundle holds no links")
    if status.st_nlink > 1:
        raise BundleError(
            f"{file} is a hard link, so that its content could change from outside the bundle", hint="Copy the folder."
        )


def _open(file: Path) -> BufferedReader:
    """Open a plain file; fail if another kind of file has replaced it since the folder was listed."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(file, flags)
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from None
    stream = os.fdopen(descriptor, "rb")
    try:
        _check_plain(os.fstat(descriptor), file)
    except BundleError:
        stream.close()
        raise
    return stream


def _read(file: Path, limit: int | None = None) -> bytes:
    with _open(file) as stream:
        data = stream.read() if limit is None else stream.read(limit + 1)
    if limit is not None and len(data) > limit:
        raise BundleError(f"{file} has more than {limit:,} bytes")
    return data
