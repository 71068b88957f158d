"""A pickle is told by its bytes, whatever its file is called and however it is packed; honest binary files are none."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import random
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from safetensors.numpy import save

from mlopsfw.models.bundle.pickles import holds_pickle


class Harm:
    def __reduce__(self):
        return os.system, ("true",)


def zipped(data, name="archive/data.pkl"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "honest")
        archive.writestr(name, data)
    return file.getvalue()


def tarred(data):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("pickle")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def saved(write, *values, **named):
    file = io.BytesIO()
    write(file, *values, **named)
    return file.getvalue()


def torch_file(**options):
    import torch

    return saved(lambda file: torch.save({"w": torch.ones(2)}, file, **options))


PICKLE = pickle.dumps(Harm())
PICKLES = {
    **{f"protocol {number}": pickle.dumps(Harm(), protocol=number) for number in range(6)},
    **{f"data of protocol {number}": pickle.dumps({"w": [1.5] * 9}, protocol=number) for number in range(2, 6)},
    "trailing bytes": PICKLE + bytes(100), "padded": b"N0" * 5000 + pickle.dumps(Harm(), protocol=0), "text": b"cos\nsystem\n(S'true'\ntR.",
    "zip": zipped(PICKLE), "zip under another name": zipped(PICKLE, "weights.bin"), "zip after a prefix": b"#!/bin/sh\n" + zipped(PICKLE),
    "zip in a zip": zipped(zipped(PICKLE), "inner.zip"), "gzip": gzip.compress(PICKLE), "bz2": bz2.compress(PICKLE), "xz": lzma.compress(PICKLE),
    "zlib, as joblib packs": zlib.compress(PICKLE), "tar": tarred(PICKLE), "gzip in a zip": zipped(gzip.compress(PICKLE), "w.gz"),
    "npy of objects": saved(np.save, np.array([Harm()], dtype=object)),
    "npz of objects": saved(lambda file: np.savez(file, a=np.ones(2), b=np.array([Harm()], dtype=object))),
    "npy of records with objects": saved(np.save, np.array([(1, Harm())], dtype=[("a", "i4"), ("b", "O")])),
    "torch": torch_file(), "torch as before 1.6": torch_file(_use_new_zipfile_serialization=False), "a damaged zip": zipped(PICKLE)[40:],
}  # fmt: skip
NOISE = random.Random(0)
HONEST = {
    "empty": b"", "json": b'{"a": 1}', "text": b"numpy==2.0\nmsgspec==0.19\n", "a dot": b".", "none": b"N.", "safetensors": save({"a": np.ones(9)}),
    "npy": saved(np.save, np.ones((3, 4))), "npz": saved(lambda file: np.savez_compressed(file, a=np.ones(9))), "zip": zipped(b"{}", "a.json"),
    "gzip": gzip.compress(b"text"), "markdown": b"# Card\n(see below)\n]", "csv": b"a,b\n1,2\n", "zeros": bytes(1000),
    "bin that begins like a pickle": b"\x80\x04" + bytes(64), "bin of floats": np.linspace(-1, 1, 4096, dtype=np.float32).tobytes(),
    **{f"noise {number}": NOISE.randbytes(4096) for number in range(60)},
    **{f"noise after a header {number}": bytes([0x80, 2 + number % 4]) + NOISE.randbytes(400) for number in range(20)},
}  # fmt: skip


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_is_found(kind):
    assert holds_pickle(io.BytesIO(PICKLES[kind]))


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_file_is_no_pickle(kind):
    assert not holds_pickle(io.BytesIO(HONEST[kind]))


def test_looking_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "system", lambda _: (tmp_path / "harmed").touch())
    for data in PICKLES.values():
        holds_pickle(io.BytesIO(data))
    assert not (tmp_path / "harmed").exists()
