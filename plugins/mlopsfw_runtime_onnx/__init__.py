"""Runtime `onnx`: loads bundles whose main file is an ONNX model, by ONNX Runtime. Imports it when it is built."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import msgspec

from mlopsfw.errors import MissingExtra
from mlopsfw.roles import Provider, hookimpl

if TYPE_CHECKING:
    from mlopsfw.roles import Host, Runtime


class OnnxConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configure `[runtime.onnx]`.

    Args:
        threads: Threads inside one prediction; 1 is fastest for small models, and lets processes scale beside each other.
    """

    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1


def build(config: OnnxConfig, host: Host) -> Runtime:
    """Return the runtime. Raise `MissingExtra` where ONNX Runtime is not installed."""
    del host
    if find_spec("onnxruntime") is None:
        raise MissingExtra("the runtime 'onnx'", "http")
    from mlopsfw_runtime_onnx.runtime import OnnxRuntime

    return OnnxRuntime(threads=config.threads)


@hookimpl
def mlopsfw_runtimes() -> Iterable[Provider[Runtime]]:
    """Offer the runtime `onnx`."""
    yield Provider("onnx", OnnxConfig, build, "ONNX models, by ONNX Runtime on the CPU")
