"""Pictures by their address: only below those that the params allow, no redirects, no more than a body may hold.

Each address has a thread of its own, a few at a time, and all of a request have one deadline, from their names'
resolution to their last byte. A thread is never waited for: when the deadline comes, or the service ends, its
connection is cut.
"""

import asyncio
import http.client
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.errors import UsageError

SECONDS = 10.0  # for all addresses of a request
AT_ONCE = 32  # addresses
PIECE = 65_536  # bytes
UP = re.compile(r"(^|[/\\])\.\.([/\\;]|$)")  # some servers take ..; and ..\ for ..


class FetchError(Exception):
    """Why there is no picture at an address."""


class EndingError(FetchError):
    """The service ends, and waits for no address."""


def refuse_foreign(url: str, allowed: Sequence[str]) -> None:
    """Raises UsageError for an address that is below none of those allowed."""
    below = any(url.startswith(prefix) for prefix in allowed)
    if not below or not url.isprintable() or " " in url or UP.search(_plain(url)):
        mend = "the addresses of serve.allowed_urls only" if allowed else "send the picture itself"
        raise UsageError("pictures are not fetched from this address", where=url[:200], mend=mend)


def _plain(url: str) -> str:
    """The path of an address, decoded until nothing is left to decode."""
    path = urlsplit(url).path
    while path != (decoded := unquote(path)):
        path = decoded
    return path


class Fetcher:
    """Fetches the images of a request by their addresses.

    Args:
      most: bytes of all images of a request.
      seconds: for all of them.
      at_once: addresses fetched at the same time, those of all requests together.
    """

    def __init__(self, *, most: int, seconds: float = SECONDS, at_once: int = AT_ONCE):
        self._most, self._seconds, self._free = most, seconds, asyncio.Semaphore(at_once)
        self._under_way: set[asyncio.Future[list[bytes]]] = set()
        self._closed = False

    def close(self) -> None:
        """Ends what is under way; to be called in the service's loop."""
        self._closed = True
        for fetching in list(self._under_way):
            fetching.cancel()

    async def fetch(self, urls: Sequence[str]) -> list[bytes]:
        """Fetches pictures side by side.

        Raises:
          FetchError: with the reason, if one of them cannot be had.
        """
        if self._closed:
            raise EndingError("the service ends")
        request = _Request(self._most, time.monotonic() + self._seconds)
        fetching: asyncio.Future[list[bytes]] = asyncio.gather(*(self._one(url, request) for url in urls))
        self._under_way.add(fetching)
        try:
            async with asyncio.timeout(self._seconds):
                return await fetching
        except TimeoutError:
            raise FetchError(f"the address does not answer within {self._seconds:g} seconds") from None
        except asyncio.CancelledError:
            if self._closed:
                raise EndingError("the service ends") from None
            raise
        finally:
            self._under_way.discard(fetching)
            request.cut()

    async def _one(self, url: str, request: "_Request") -> bytes:
        loop = asyncio.get_running_loop()
        async with self._free:
            data: asyncio.Future[bytes] = loop.create_future()

            def work() -> None:
                done: Any = None
                try:
                    done = partial(data.set_result, request.get(url))
                except FetchError as error:
                    done = partial(data.set_exception, error)
                except Exception as error:  # of whatever kind: nobody may wait for a thread that has ended
                    done = partial(data.set_exception, FetchError(f"the address does not answer: {error}"))
                with suppress(RuntimeError):  # the service has ended
                    loop.call_soon_threadsafe(lambda: data.done() or done())

            threading.Thread(target=work, name="fetch", daemon=True).start()
            return await data


class _Request:
    """What the threads of a request share."""

    def __init__(self, most: int, until: float):
        self._most, self._until, self._left, self._lock = most, until, most, threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def get(self, url: str) -> bytes:
        opener = urllib.request.build_opener(_NoRedirect, _Http(self), _Https(self))
        pieces = []
        try:
            with opener.open(url, timeout=self.seconds_left()) as answer:
                while piece := answer.read1(PIECE):
                    pieces.append(piece)
                    self._take(len(piece))
        except urllib.error.HTTPError as error:
            raise FetchError(f"the address answers {error.code}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise FetchError(f"the address does not answer: {getattr(error, 'reason', error)}") from None
        return b"".join(pieces)

    def seconds_left(self) -> float:
        return max(self._until - time.monotonic(), 0.001)

    def watch(self, connected: socket.socket) -> None:
        with self._lock:
            self._sockets.append(connected)
            if self._is_cut:
                raise OSError("nobody waits any more")

    def cut(self) -> None:
        """Ends what the threads still wait for."""
        with self._lock:
            self._is_cut, sockets = True, list(self._sockets)
        for connected in sockets:
            with suppress(OSError, ValueError):  # it is closed
                connected.shutdown(socket.SHUT_RDWR)

    def _take(self, size: int) -> None:
        with self._lock:
            self._left -= size
            if self._left < 0:
                raise FetchError(f"more than {self._most / 1e6:g} MB")
            if self._is_cut:
                raise FetchError("nobody waits any more")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None  # it could lead anywhere, into this network for example


class _Http(urllib.request.HTTPHandler):
    def __init__(self, request: _Request):
        super().__init__()
        self._request = request

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPConnection, self._request), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, request: _Request):
        super().__init__()
        self._request = request

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_connection, http.client.HTTPSConnection, self._request), req)


def _connection(kind: type[http.client.HTTPConnection], request: _Request, host: str, **options: Any) -> Any:
    class Watched(kind):  # type: ignore[misc, valid-type]
        def connect(self) -> None:
            super().connect()
            request.watch(self.sock)

    return Watched(host, **options)
