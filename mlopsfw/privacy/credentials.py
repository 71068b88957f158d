"""Credentials: which names and texts hold one in clear, and texts for people with them left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from mlopsfw.privacy.secrets import is_reference

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
_QUERY = re.compile(r"[?&#;]([^=&#;?]+)=([^&#;]+)")
_USER_INFO = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^\s/@\"']*:[^\s/@\"']+@")
_QUERY_PAIR = re.compile(r"([?&#;])([^=&#;?\s]+)=[^&#;\s\"']+")
_SIGNED = re.compile(r"(x-(amz|goog)-)?(sig|signature|credential|security-token)|auth", re.IGNORECASE)
_PAIR = re.compile(
    r"(?:^|[;\s])(?:password|pwd|accountkey|sharedaccesskey|sharedaccesssignature)=([^\s;]+)", re.IGNORECASE
)
_BEARER = re.compile(r"^bearer \S{8,}$", re.IGNORECASE)
_AUTHORIZATION = re.compile(r"^(?:proxy-)?authorization\s*:\s*(\S+)", re.IGNORECASE)


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


def credential_in(text: str, refers: Callable[[str], bool] = is_reference) -> str:
    """Return which credential `text`, a URL or connection string, holds, in words without its value; else nothing.

    Args:
        text: What an option says.
        refers: Whether a value in it is a reference, which is no credential.
    """
    for url in _URL.findall(text):
        if _PASSWORD_IN_URL.search(url):
            return "a URL with a password"
        if _USER_IN_URL.search(url):
            return "a URL with a user or token before the host"
        if _WEBHOOK.match(url):
            return "a webhook's URL, whose path is its secret"
        for name, value in _QUERY.findall(url):
            if _tells(name) and not refers(value):
                return f"a URL with the credential {unquote(name)!r} in its query"
    if any(not refers(value) for value in _PAIR.findall(text)):
        return "a connection string with a credential"
    header = _AUTHORIZATION.match(text)
    return "an authorization header" if _BEARER.match(text) or (header and not refers(header[1])) else ""
