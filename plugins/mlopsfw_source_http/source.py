"""Finding the one file that an http or https URL means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlopsfw.errors import ConfigError, UsageError
from mlopsfw.http import check_url
from mlopsfw.sources import check_credentials
from mlopsfw_source_http.file import HttpFile

if TYPE_CHECKING:
    from mlopsfw.roles import SourceOption, SourceRequest


class HttpSource:
    """Finds files behind URLs."""

    queries = False
    takes: tuple[SourceOption, ...] = ("headers",)

    def find(self, request: SourceRequest) -> Sequence[HttpFile]:
        """Return the file, as `mlopsfw.roles.Source` has it; the server is asked when the file is."""
        check_credentials(request)
        try:
            check_url(request.url)
        except ConfigError as error:
            if request.url == request.named:
                raise
            raise UsageError(f"{request.named} is not a URL that mlopsfw can read", hint=error.hint) from None
        options = request.options
        file = HttpFile(
            request.url,
            options.headers,
            allow_private=options.allow_private,
            timeout=options.timeout,
            suffix_for=request.suffix_for,
        )
        return [file]
