"""Who may ask: answered from a request's head alone, before anything of its body is read."""

import math
from collections.abc import Callable

from pipeline.serving import contract
from pipeline.serving.keys import Keys
from pipeline.web.bodies import App, Message, Receive, Send, refuse
from pipeline.web.sites import is_cross_site

LOCAL = "local"  # the client's name where nobody needs a key
OPEN = ("/health", "/docs", "/openapi.json")


class Door:
    """ASGI middleware that gives a request the name of its client (`scope["state"]`: `client`, `key`), or refuses it.

    Args:
      keys: of those who may ask; None: whoever reaches this machine's loopback may, but no page of another site.
      refused: is told the status of each request that is refused.
    """

    def __init__(self, app: App, *, keys: Keys | None, refused: Callable[[int], None]):
        self._app, self._keys, self._refused = app, keys, refused

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or scope["path"].startswith("/docs/"):
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._keys is None:
            if is_cross_site(scope):
                await self._refuse(send, 403, "the request comes from another site", "make a key, and send it")
                return
            scope.setdefault("state", {}).update(client=LOCAL, key=None)
            await self._app(scope, receive, send)
            return
        scheme, _, given = headers.get(b"authorization", "").partition(" ")
        key = self._keys.client(given.strip() if scheme.lower() == "bearer" else headers.get(b"x-api-key", ""))
        if key is None:
            hint = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            await self._refuse(send, 401, contract.REFUSALS[401], hint, (b"www-authenticate", b"Bearer"))
        elif wait := self._keys.take(key):
            again = (b"retry-after", str(math.ceil(wait)).encode())
            await self._refuse(send, 429, f"more than {key.per_minute:g} requests a minute", "", again)
        else:
            scope.setdefault("state", {}).update(client=key.name, key=key)
            await self._app(scope, receive, send)

    async def _refuse(self, send: Send, status: int, error: str, hint: str, *headers: tuple[bytes, bytes]) -> None:
        self._refused(status)
        await refuse(send, status, error, hint=hint, headers=headers)
