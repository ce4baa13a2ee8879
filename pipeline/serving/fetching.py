"""Pictures by their address: only below those that the params allow, no redirects, no more than a body may hold."""

import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from pipeline.errors import UsageError

SECONDS = 10.0
UP = re.compile(r"(^|/)\.\.(/|$)")


class FetchError(Exception):
    """Why there is no picture at an address."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_) -> None:
        return None  # it could lead anywhere, into this network for one


def refuse_foreign(url: str, allowed: Sequence[str]) -> None:
    """Raises UsageError for an address that is below none of those allowed."""
    below = any(url.startswith(prefix) for prefix in allowed)
    if not below or not url.isprintable() or " " in url or UP.search(unquote(unquote(urlsplit(url).path))):
        mend = "the addresses of serve.allowed_urls only" if allowed else "send the picture itself"
        raise UsageError("pictures are not fetched from this address", where=url[:200], mend=mend)


def fetch(url: str, *, most: int) -> bytes:
    """Raises:
    FetchError: with the reason.
    """
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(url, timeout=SECONDS) as answer:
            data = answer.read(most + 1)
    except urllib.error.HTTPError as error:
        raise FetchError(f"the address answers {error.code}") from None
    except (OSError, ValueError) as error:
        raise FetchError(f"the address does not answer: {getattr(error, 'reason', error)}") from None
    if len(data) > most:
        raise FetchError(f"more than {most / 1e6:.0f} MB")
    return data
