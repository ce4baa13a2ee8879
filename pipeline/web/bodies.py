"""How much a client may send, and how long it may take: an ASGI middleware, so that nothing is read beyond."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class OutOfBoundsError(Exception):
    """A body that is refused; `status` is that of HTTP."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


class Bounds:
    """Args:
    most: bytes of a body.
    seconds: for the whole of it.
    """

    def __init__(self, app: App, *, most: int, seconds: float):
        self._app, self._most, self._seconds = app, most, seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        told = int(declared) if declared.isdigit() else 0
        until = asyncio.get_running_loop().time() + self._seconds
        read, whole = 0, False

        async def bounded() -> Message:
            nonlocal read, whole
            if told > self._most:
                raise OutOfBoundsError(
                    413, f"a body may have {self._most / 1e6:g} MB, and this one has {told / 1e6:.1f}"
                )
            if whole:  # what comes now is that the client has gone
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise OutOfBoundsError(408, f"the body has not come within {self._seconds:g} seconds") from None
            read += len(message.get("body", b""))
            if read > self._most:
                raise OutOfBoundsError(413, f"a body may have {self._most / 1e6:g} MB")
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, bounded, send)
