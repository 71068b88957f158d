"""Secret references: `env:NAME` and `file:/path`.

The value is read at use and kept nowhere. An empty one is refused here, for every use.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from mlopsfw.kernel.base.errors import ConfigError

LEAST_TOKEN = 16
"""Characters that a bearer token which clients must present has at least."""

_SECRET_NAME = re.compile(
    r"(password|passwd|passphrase|secret|credential)s?$|(^|_)pwd$|^(db|smtp|mail|user)_?pass$|(^|_)token$"
    r"|(auth|access|api|bearer|refresh|session|sas|bot)_?tokens?$|^(proxy_)?authorization$|^(set_)?cookie$"
    r"|(api|access|account|private|secret|signing|encryption|shared|master|auth|sas|hmac)_?keys?$|service_account_key$"
)
_PUBLIC_NAME = re.compile(
    r"(^|_)(pad|eos|bos|unk|mask|sep|cls|start|end|stop|special|oov)_token$|application_credentials$"
)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"']+")
_PASSWORD_IN_URL = re.compile(r"://[^\s:@/]*:(?!\d{1,5}[/?#])[^\s@]+@")
_USER_IN_URL = re.compile(r"^https?://[^/?#@]+@", re.IGNORECASE)
_PORT = r"\.?(:\d*)?"  # a host may be written with the root's dot and with its port
_WEBHOOK = re.compile(
    rf"(https?://(hooks\.slack(-gov)?\.com{_PORT}/+(services|workflows|triggers)"
    rf"|([\w-]+\.)?discord(app)?\.com{_PORT}/+api/+(v\d+/+)?webhooks"
    rf"|[\w.-]+\.webhook\.office\.com{_PORT}|outlook\.office(365)?\.com{_PORT}/+webhook"
    rf"|api\.telegram\.org{_PORT}))/+[^\s\"'?#]+",
    re.IGNORECASE,
)
_QUERY_NAME = re.compile(r"[?&#;]([^=&#;?]+)=(?!env:|file:)[^&#;]")
_USER_INFO = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^\s/@\"']*:[^\s/@\"']+@")
_QUERY_PAIR = re.compile(r"([?&#;])([^=&#;?\s]+)=[^&#;\s\"']+")
_SIGNED = re.compile(r"(x-(amz|goog)-)?(sig|signature|credential|security-token)|auth", re.IGNORECASE)
_PAIR = re.compile(
    r"(^|[;\s])(password|pwd|accountkey|sharedaccesskey|sharedaccesssignature)=(?!env:|file:)[^\s;]", re.IGNORECASE
)
_BEARER = re.compile(r"^bearer \S{8,}$|^(proxy-)?authorization\s*:\s*(?!env:|file:)\S", re.IGNORECASE)

_LONGEST = 1 << 16  # bytes of a secret's file; more is another file


class SecretResolver:
    """Resolves references; relative files are relative to `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def resolve(self, reference: str) -> str:
        """Return the secret's value, without a trailing newline.

        Raises:
            ConfigError: It is no reference, leads nowhere, or the value is empty, only white space, or no text. The
                error names the reference, never a value.
        """
        kind, _, target = reference.partition(":")
        if kind == "env" and target:
            return _not_empty(self._from_environment(target), f"the environment variable {target}")
        if kind == "file" and target:
            return _not_empty(self._from_file(target), f"the secret file {target}")
        raise ConfigError("a secret must be a reference", hint="Write env:NAME or file:/path, never the secret itself.")

    def reveal(self, text: str) -> str:
        """Return the secret that `text` refers to, or `text` itself where it is no reference."""
        return self.resolve(text) if is_reference(text) else text

    def bearer_token(self, reference: str, *, key: str, issued_here: bool = False) -> str:
        """Return the bearer token that a reference leads to, as `mlopsfw.roles.Secrets` says."""
        least = LEAST_TOKEN if issued_here else 1
        return checked_token(self.resolve(reference), reference, key=key, least=least)

    @staticmethod
    def _from_environment(name: str) -> str:
        try:
            value = os.environ[name]
        except (KeyError, ValueError):
            raise ConfigError(f"the environment variable {name} is not set", hint=f"Run: export {name}=…") from None
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ConfigError(f"the environment variable {name} is not UTF-8", hint="Set it to UTF-8 text.")
        return value

    def _from_file(self, name: str) -> str:
        try:
            with (self._root / name).open("rb") as file:
                data = file.read(_LONGEST + 1)
        except OSError as error:
            raise ConfigError(f"the secret file {name} cannot be read: {error.strerror}") from None
        except ValueError as error:  # such as a NUL in its name
            raise ConfigError(f"the secret file {name!r} cannot be read: {error}") from None
        if len(data) > _LONGEST:
            raise ConfigError(f"the secret file {name} has more than {_LONGEST:,} bytes", hint="Name the right file.")
        try:
            return data.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError(f"the secret file {name} is not UTF-8", hint="Write the secret as text.") from None


def _not_empty(value: str, where: str) -> str:
    if not value.strip():
        raise ConfigError(
            f"{where} holds no secret: it is empty or only white space", hint="Set it, or remove the key."
        )
    return value


def checked_token(value: str, reference: str, *, key: str, least: int = 1) -> str:
    """Return a bearer token as it is.

    Args:
        value: The token.
        reference: Where it came from; the error names it.
        key: The configuration's key.
        least: How many characters it must have: `LEAST_TOKEN` where we ask clients for it, any number where another
            server issued it.

    Raises:
        ConfigError: It is shorter, repeats one character, or has characters that no header carries.
    """
    problem = ""
    if not (value.isascii() and value.isprintable()) or " " in value:
        problem = "has characters that a header cannot carry (it carries printable ASCII without spaces)"
    elif len(value) < least:
        problem = f"is too short: it has {len(value)} characters and needs at least {least}"
    elif least > 1 and len(set(value)) == 1:
        problem = "repeats one character"
    if problem:
        hint = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        raise ConfigError(f"the token of {reference} {problem}", key=key, hint=hint)
    return value


def is_reference(text: str) -> bool:
    """Return whether `text` reads as a secret reference."""
    return text.startswith(("env:", "file:"))


def is_secret_name(name: str) -> bool:
    """Return whether an option of this name holds a secret: `db_password` and `apiKey` do, `max_tokens` does not."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower().strip("_")
    return bool(_SECRET_NAME.search(words)) and not _PUBLIC_NAME.search(words)


def redacted(text: str) -> str:
    """Return a text for people with the credentials of its URLs left out."""
    text = _WEBHOOK.sub(r"\1/…", _USER_INFO.sub(r"\1…@", text))
    return _QUERY_PAIR.sub(lambda pair: f"{pair[1]}{pair[2]}=…" if _tells(pair[2]) else pair[0], text)


def _tells(name: str) -> bool:
    plain = unquote(name)
    return bool(_SIGNED.fullmatch(plain)) or is_secret_name(plain)


def credential_in(text: str) -> str:
    """Return which credential `text`, a URL or connection string, holds, in words without its value; else nothing."""
    for url in _URL.findall(text):
        if _PASSWORD_IN_URL.search(url):
            return "a URL with a password"
        if _USER_IN_URL.search(url):
            return "a URL with a user or token before the host"
        if _WEBHOOK.match(url):
            return "a webhook's URL, whose path is its secret"
        for name in _QUERY_NAME.findall(url):
            if _tells(name):
                return f"a URL with the credential {unquote(name)!r} in its query"
    if _PAIR.search(text):
        return "a connection string with a credential"
    return "an authorization header" if _BEARER.search(text) else ""
