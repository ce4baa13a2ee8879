"""Connections of a server that end: bounded in number, in time, and in what comes before a request is whole.

uvicorn bounds the time between two requests and nothing else: neither how long and how large a request's head may be,
nor how slowly a body may come, nor whether a client reads what it is sent.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEAD = 32_768  # bytes of a request line with its headers: nginx's bound
# Seconds that a client which has its answer may pause in sending the rest of its body, which nobody reads: closed at
# once, it could not read the answer. After `body_seconds` it is closed all the same.
LINGER = 2.0
TEXTS = {
    408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """The limits of a server's connections.

    Attributes:
      connections: at once; beyond, the one that has waited longest for a request is closed for a new one.
      head_seconds: in which a request's head must have come, from the connection or from its first byte.
      body_seconds: in which its body must have come; a while later the connection is closed.
      write_seconds: in which a client must take what it is sent, 64 kB at a time.
    """

    connections: int = 512
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 30.0


class Settings(uvicorn.Config):
    """The settings of a uvicorn server with limits; it takes no WebSockets.

    Args:
      limits: what bounds each connection.
      options: those of uvicorn.
    """

    def __init__(self, application: Any, limits: Limits, **options: Any):
        quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
        super().__init__(application, http=Connection, ws="none", **(quiet | options))
        self.limits = limits


class _Transport:
    """A transport that drops what is written for a client that has gone; uvicorn and uvloop would raise an error."""

    def __init__(self, transport: asyncio.Transport):
        self._transport = transport

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(HttpToolsProtocol):
    """One connection; a timer runs whenever the client owes something."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ):
        super().__init__(config, server_state, app_state, _loop)
        assert isinstance(config, Settings)
        self._limits = config.limits
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._loose = 0  # bytes since the last whole head or piece of a body
        self._head = 0  # bytes of this request's address and headers, and of the trailers of its body
        self._whole, self._has_head = True, False
        self._body_until = self._linger_until = 0.0  # on the loop's clock
        self.idle_since: float | None = None  # on the loop's clock; None: a request is under way

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Transport(transport))  # type: ignore[arg-type]
        if len(self.connections) > self._limits.connections and not self._make_room():
            self._refuse(503)
            return
        self.idle_since = self.loop.time()
        self._allow(self._limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._allow(None)
        self.resume_writing()
        self._unset_keepalive_if_required()
        self.idle_since = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._loose += len(data)
        super().data_received(data)
        if self._loose > MAX_HEAD and not self.transport.is_closing():
            self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._whole, self._has_head = 0, False, False
        self._allow(self._limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)  # `: ` and the line's end
        if not self._has_head:  # else it is a trailer: the application has seen the headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._loose, self._has_head, self.idle_since = 0, True, None
        self._linger_until, self._body_until = 0.0, self.loop.time() + self._limits.body_seconds + LINGER
        self._allow(self._limits.body_seconds + LINGER)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._loose = 0
        super().on_body(body)
        if left := max(0.0, self._linger_until - self.loop.time()):
            self._allow(min(LINGER, left))

    def on_message_complete(self) -> None:
        self._loose, self._whole = 0, True
        self._allow(None)
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self._rest()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._whole:
            self._linger_until, self.idle_since = self._body_until, self.loop.time()
            self._allow(LINGER)
        elif self.cycle.response_complete:
            self._rest()

    def send_400_response(self, msg: str) -> None:
        if self._head > MAX_HEAD:
            self._refuse(431)
        else:
            super().send_400_response(msg)

    def shutdown(self) -> None:
        super().shutdown()
        self._linger_until = 0.0
        if not self._whole and not self.transport.is_closing():
            self._allow(LINGER)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self._writing or self.loop.call_later(self._limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def timeout_keep_alive_handler(self) -> None:
        self._end()

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as any other; no client shall fill the log."""

    def _rest(self) -> None:
        """Waits for the next request; uvicorn closes it earlier if nothing at all comes."""
        self.idle_since, self._loose = self.loop.time(), 0
        self._allow(self.timeout_keep_alive + self._limits.head_seconds)

    def _allow(self, seconds: float | None) -> None:
        """Gives the client this long; None: it owes nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        if not self._has_head and not self._whole and (self.cycle is None or self.cycle.response_complete):
            self._refuse(408)
        else:
            self._end()

    def _end(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
            self.loop.call_later(LINGER, self.transport.abort)  # a client that reads nothing would hold it open

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            raise ValueError("too large a head")  # the parser ends, and calls `send_400_response`

    def _make_room(self) -> bool:
        idle = [other for other in self.connections if isinstance(other, Connection) and other.idle_since is not None]
        if not idle:
            return False
        oldest = min(idle, key=lambda other: other.idle_since or 0.0)
        oldest.idle_since = None
        oldest.transport.abort()
        return True

    def _refuse(self, status: int) -> None:
        text = TEXTS[status].encode()
        head = b"HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, text, len(text)) + text)
        self._end()
