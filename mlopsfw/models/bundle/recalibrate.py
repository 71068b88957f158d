"""Make a bundle of another one and a calibration: the same model, whose answers, golden rows, profile of answers and card are new."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.kernel.base.errors import BundleError
from mlopsfw.models.bundle import files
from mlopsfw.models.bundle.calibrated import check_calibration
from mlopsfw.models.bundle.card import escape
from mlopsfw.models.bundle.golden import Golden
from mlopsfw.models.bundle.loaded import LoadedBundle, load_unproven
from mlopsfw.models.bundle.profile import answer_profile
from mlopsfw.models.bundle.proof import prove
from mlopsfw.models.bundle.writing import as_json

if TYPE_CHECKING:
    import numpy as np

    from mlopsfw.kernel.roles.bundle import Manifest, Runtime
    from mlopsfw.models.bundle.calibrated import Calibration


def write_recalibrated(
    folder: Path, bundle: LoadedBundle, calibration: Calibration, answers: Callable[[LoadedBundle], Mapping[str, np.ndarray]],
    runtimes: Callable[[str], Runtime],
) -> Manifest:  # fmt: skip
    """Make the bundle; see `mlopsfw.models.bundle.BundleStore.recalibrate`."""
    check_calibration(calibration, bundle.manifest)
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{folder} is not empty", hint="Name a new or empty folder.")
    for name in bundle.manifest.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.folder / name, folder / name)
    facts = {**bundle.manifest.facts, "calibration": described(calibration)}
    manifest = _with(folder, bundle.manifest, facts, {files.CALIBRATION: as_json(calibration)})
    made = load_unproven(folder, manifest, runtimes, "the calibrated model")
    golden = msgspec.json.decode((folder / files.GOLDEN).read_bytes(), type=Golden)
    profile = {**bundle.profile(), **answer_profile(manifest, answers(made))}
    card = (folder / files.CARD).read_text(encoding="utf-8") + f"\n## Calibration\n\n{escape(described(calibration))}\n"
    content = {
        files.GOLDEN: as_json(prove(made, golden.columns)),
        files.PROFILE: as_json(profile),
        files.CARD: card.encode(),
    }
    whole = _with(folder, manifest, facts, content)
    (folder / files.MANIFEST).write_bytes(as_json(whole))
    files.verify_files(folder, whole)
    return whole


def described(calibration: Calibration) -> str:
    """Return a calibration in words."""
    conformal, fitted = calibration.conformal, calibration.map
    name = type(fitted).__name__.lower() if fitted else "no map"
    by = f" by {conformal.by}" if conformal.by else ""
    return f"{name}; conformal {conformal.kind}{by}, {len(conformal.scores['']):,} scores"


def _with(folder: Path, manifest: Manifest, facts: dict[str, Any], content: Mapping[str, bytes]) -> Manifest:
    """Write files; return the manifest that lists them."""
    digests = dict(manifest.files)
    for name, data in content.items():
        (folder / name).write_bytes(data)
        digests[name] = hashlib.sha256(data).hexdigest()
    return msgspec.structs.replace(manifest, facts=facts, files=dict(sorted(digests.items())))
