"""Bodies of requests: read within bounds, and only where the application takes one."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

LARGE = 1_000_000  # bytes
AGAIN = ((b"retry-after", b"1"),)


class Bodies:
    """ASGI middleware that reads the body of a request before the application hears of the request.

    Args:
      most: bytes of the body, by the request's scope; 0: the application takes none, and none is read.
      seconds: for the whole of it.
      at_once: bytes of all bodies that are under way.
      refused: is called with the status of each request that is refused.
    """

    def __init__(
        self,
        app: App,
        *,
        most: Callable[[Message], int],
        seconds: float,
        at_once: int,
        refused: Callable[[int], None] = lambda status: None,
    ):
        self._app, self._most, self._seconds, self._at_once, self._refused = app, most, seconds, at_once, refused
        self._under_way = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(self._most(scope))
        try:
            await self._read(body, scope, receive)
            await self._app(scope, body.replay(receive), send)
        except _RefusedError as refusal:
            self._refused(refusal.status)
            if refusal.error:
                await refuse(send, refusal.status, refusal.error, headers=AGAIN if refusal.status == 503 else ())
        finally:
            self._under_way -= body.size

    async def _read(self, body: "_Body", scope: Message, receive: Receive) -> None:
        if not body.most:
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        size = int(declared) if declared.isdigit() else 0
        if size > body.most:
            raise _RefusedError(413, f"a body may have {_megabytes(body.most)}, and this one has {_megabytes(size)}")
        try:
            async with asyncio.timeout(self._seconds):
                while not body.whole:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _RefusedError(400, "")
                    piece = message.get("body", b"")
                    body.add(piece, whole=not message.get("more_body", False))
                    self._under_way += len(piece)
                    if body.size > body.most:
                        raise _RefusedError(413, f"a body may have {_megabytes(body.most)}")
                    if self._under_way > self._at_once:
                        raise _RefusedError(503, "too many bytes are under way; ask again later")
        except TimeoutError:
            raise _RefusedError(408, f"the body has not come within {self._seconds:g} seconds") from None


async def refuse(
    send: Send, status: int, error: str, *, hint: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """Answers a request before the application does."""
    text = json.dumps({"error": error, "where": "", "mend": hint}).encode()
    start = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": text})


class _RefusedError(Exception):
    """Of a body; without a reason, the client has gone."""

    def __init__(self, status: int, error: str):
        super().__init__(error)
        self.status, self.error = status, error


class _Body:
    def __init__(self, most: int):
        self.most, self.size, self.whole = most, 0, False
        self._pieces: list[bytes] = []

    def add(self, piece: bytes, *, whole: bool) -> None:
        self._pieces.append(piece)
        self.size, self.whole = self.size + len(piece), whole

    def replay(self, receive: Receive) -> Receive:
        """Gives the body as it came; then, when the client goes, tells that."""
        pieces, given = self._pieces[::-1], False

        async def replayed() -> Message:
            nonlocal given
            if not given:
                if self.size > LARGE:  # others have their turn while a large form is parsed
                    await asyncio.sleep(0)
                piece = pieces.pop() if pieces else b""
                given = not pieces
                return {"type": "http.request", "body": piece, "more_body": not given}
            while (message := await receive())["type"] != "http.disconnect":
                pass
            return message

        return replayed


def _megabytes(size: int) -> str:
    return f"{size / 1e3:.0f} kB" if size < 1e6 else f"{size / 1e6:.4g} MB"
