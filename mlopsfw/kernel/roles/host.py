"""`Host`: what the kernel gives a plugin when it builds one of its providers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlopsfw.kernel.base.lazy import lazy
from mlopsfw.kernel.roles.bundle import Bundle, Manifest
from mlopsfw.kernel.roles.deployer import EndpointSpec
from mlopsfw.kernel.roles.event import Event

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow")


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def now(self) -> float:
        """Return seconds since the epoch, UTC. For stamps, never for order or durations."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes back. For durations and time-outs."""


class Secrets(Protocol):
    """Secret references, resolved at use. Values never reach config, events or logs.

    A reference is `env:NAME`, `file:/path`, or the scheme of a secret store and a target: `vault:data/db#password`.
    """

    def is_reference(self, text: str) -> bool:
        """Return whether `text` is a reference: it begins with `env:`, `file:` or the scheme of a secret store."""

    def resolve(self, reference: str) -> str:
        """Return the secret.

        Raises:
            ConfigError: It is not there, or empty; the error names the reference.
            SecretUnavailable: Its store does not answer.
            PluginError: Its store's answer is no secret, or did not come in time.
        """

    def reveal(self, text: str) -> str:
        """Return the secret that `text` refers to, or `text` itself where it is no reference. Raise as `resolve`."""

    def bearer_token(self, reference: str, *, key: str, issued_here: bool = False) -> str:
        """Return the bearer token that a reference leads to.

        Args:
            reference: The reference.
            key: The configuration's key, for the error.
            issued_here: Whether clients present it to us: then it has at least 16 characters, not all the same. A token
                that another server issued may be shorter.

        Raises:
            ConfigError: As `resolve`; or no header carries it, or it is too short.
        """


class Blobs(Protocol):
    """Content-addressed, immutable bytes; verified on read."""

    def put(self, data: bytes | Path) -> str:
        """Store and return the digest (sha256, 64 hex digits). Storing the same bytes again costs a look-up."""

    def get(self, digest: str) -> bytes:
        """Return the bytes. Raise `NotFound`, or `Corrupt` when they do not match."""

    def path(self, digest: str) -> Path:
        """Return a local, verified, read-only copy (kept in scratch, so a second call is cheap)."""

    def put_folder(self, folder: Path) -> str:
        """Store every file of `folder` and a manifest (`{relative path: digest}`); return the manifest's digest."""

    def get_folder(self, digest: str, to: Path) -> Path:
        """Lay the folder out under `to`; return `to`. It is new, empty, or what a former call for this folder left."""


class Tables(Protocol):
    """Versioned tables (Delta) by name, such as `captures/delay`.

    A plugin reads all and writes its own, `plugin/<its key>/NAME`.
    """

    def append(self, name: str, rows: pa.Table) -> int:
        """Append rows, creating the table if need be; return its new version.

        Raise `PluginError` where it is not the plugin's own.
        """

    def read(self, name: str, version: int | None = None) -> pa.RecordBatchReader:
        """Return the rows of a version, the newest for None, as they are read. Raise `NotFound`."""


class Bundles(Protocol):
    """Opens model bundles: verified, loaded through the runtime of their format, golden rows replayed."""

    def open(self, folder: Path) -> Bundle:
        """Return the loaded bundle. Raise `BundleError`."""


class State(Protocol):
    """A provider's own small values by name, kept on this machine. A write replaces the whole value or nothing."""

    def get(self, name: str) -> Any:
        """Return the JSON value, None where there is none."""

    def put(self, name: str, value: Any) -> None:
        """Keep a JSON value of at most 64 KiB. No secrets, and no rows of people: an erasure does not look here."""


class HttpAnswer(Protocol):
    """An answer, whatever its status: a redirect is one too, and is not followed."""

    @property
    def status(self) -> int:
        """The status."""

    @property
    def body(self) -> bytes:
        """The body, as far as it was asked for."""


class Http(Protocol):
    """mlopsfw's HTTP client. It calls public addresses only, unless `[plugins] allow_private` names the plugin.

    Both raise `EgressError` where an address is refused or nobody answers.
    """

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, timeout: float = 30.0, most: int = 65536
    ) -> HttpAnswer:
        """GET at most `most` bytes of what is at a URL, within `timeout` seconds."""

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float = 10.0
    ) -> HttpAnswer:
        """POST a body; the answer has at most 64 KiB of its body."""


class Capture(Protocol):
    """Keeps the predictions of one revision of an endpoint, for monitors and labels."""

    @property
    def lost(self) -> int:
        """How many rows found no room on this machine's disk."""

    def write(
        self,
        columns: Mapping[str, list[Any]],
        outputs: Mapping[str, Any],
        *,
        event_time: str = "",
        request_id: str = "",
    ) -> list[str]:
        """Keep answered rows and return an id for each. They outlive a loss of power once it returns.

        Args:
            columns: Column → values as the request sent them, one a row. Personal columns are treated before they are
                kept. A column `event_time` says when each row's event happened.
            outputs: Output → values, one a row, as the model answered.
            event_time: When it happened, for all rows, RFC 3339; now where it is empty.
            request_id: The client's own id of the request.

        Raises:
            SignatureMismatch: The columns are not those of the model, or a time or id cannot be read.
            AnswerMismatch: The outputs are not those of the model.
        """

    def close(self) -> None:
        """Let readers know that nothing follows."""


class StorageHost(Protocol):
    """What a storage or a secret store may use of mlopsfw: what needs no storage. Attributes are made on first use."""

    @property
    def root(self) -> Path:
        """The project's folder; relative paths in config are relative to it."""

    @property
    def project(self) -> str:
        """The project's name."""

    @property
    def config(self) -> str:
        """The project's resolved configuration as JSON, without secrets, for a process that the plugin starts."""

    def private_folder(self, *parts: str) -> Path:
        """Return a folder of this provider's own on this machine, mode 0700, made if need be. Nothing else empties it.

        Args:
            parts: Names of folders below it, such as an endpoint's.
        """

    @property
    def clock(self) -> Clock:
        """Time."""

    @property
    def secrets(self) -> Secrets:
        """Secret references."""

    @property
    def state(self) -> State:
        """Small values of this provider's own."""

    @property
    def http(self) -> Http:
        """The HTTP client."""

    def log(self, text: str) -> None:
        """Write a line to the log of the step that runs here, else to `.mlopsfw/plugins.log`; it names the plugin."""


class Host(StorageHost, Protocol):
    """What a plugin may use of mlopsfw. A storage gets a `StorageHost`: blobs, tables, bundles and events lie on it."""

    @property
    def blobs(self) -> Blobs:
        """Content-addressed bytes."""

    @property
    def tables(self) -> Tables:
        """Versioned tables."""

    @property
    def bundles(self) -> Bundles:
        """Model bundles."""

    def capture(self, spec: EndpointSpec, manifest: Manifest) -> Capture:
        """Return what keeps the predictions of an endpoint; raise `PluginError` where the plugin is no deployer.

        A server process of a deployer needs no host for it: `mlopsfw.worker.open_scorer`.
        """

    def treat_pii(
        self, columns: Mapping[str, list[Any]], marks: Mapping[str, Literal["drop", "mask", "hash"]]
    ) -> dict[str, list[Any]]:
        """Return a request's columns as the model learned them; what was dropped is left out.

        Args:
            columns: Column → values, one a row.
            marks: `EndpointSpec.pii`.

        Raises:
            ConfigError: A column is hashed, and the project has no key.
        """

    def emit(self, stream: str, type: str, body: Mapping[str, Any]) -> Event:  # noqa: A002 - the event's own field name
        """Append an event to the ledger, by the actor `plugin:<key>`, and tell the observers.

        Args:
            stream: `plugin/<key>` or a stream below it, where the key is the entry point's name:
                `plugin/monitor.acme/orders`.
            type: `plugin.<key>.` and what happened, such as `plugin.monitor.acme.examined`.
            body: The facts, as JSON values; no rows, personal values or secrets. Of a type that a component declares,
                what its record's `body()` returns.

        Raises:
            PluginError: The stream or the type is not this plugin's, or the body is not what the type's record says.
        """

    def events(self, stream: str, after: int = 0) -> Iterator[Event]:
        """Yield the events of any stream in order, those after sequence number `after`."""


Progress = Callable[[str, float], None]
"""Told a phase's name and the share done, in [0, 1]."""
