"""Who may ask the server for anything: nobody but the browser of a person who was given the address.

Four faults are kept out, each by a rule of its own:
  1. a page of another site makes the browser send a request: `Origin` and `Sec-Fetch-Site` tell, and it is refused
  2. a foreign name that resolves to this machine (DNS rebinding): `Host` tells
  3. somebody on the network, where the server is bound beyond loopback: a token, given once, kept in a cookie
  4. a name or label that holds HTML: pages may run no script and load nothing but the server's own files
"""

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from pipeline.web import loopback
from pipeline.web.bodies import App, Message, Receive, Send
from pipeline.web.sites import is_cross_site

COOKIE = "wallaby"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
REFUSED = "<!doctype html><meta charset=utf-8><title>Wallaby</title><h1>{title}</h1><p>{text}</p>"


@dataclass(frozen=True)
class Rules:
    """The rules by which the server accepts a request.

    Attributes:
      hosts: names by which the server may be called; addresses in digits always may, beyond loopback.
      token: what a browser must have been given; empty on loopback.
    """

    hosts: frozenset[str]
    token: str = ""

    @classmethod
    def of(cls, host: str, token: str) -> "Rules":
        """The rules of a server bound to `host`."""
        own = {*loopback.NAMES, host.lower()}
        return cls(frozenset(own | {socket.gethostname().lower(), socket.getfqdn().lower()} if token else own), token)


class Guard:
    """ASGI middleware that holds every request to the rules."""

    def __init__(self, app: App, rules: Rules):
        self._app, self._rules = app, rules

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), text.encode()) for name, text in HEADERS.items()]
            await send(message)

        wrong = self._wrong(scope, headers)
        if wrong:
            await _answer(guarded, *wrong)
        elif self._rules.token and not self._has_token(headers):
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["method"] == "GET" and _equal(given, self._rules.token):
                cookie = f"{COOKIE}={given}; HttpOnly; SameSite=Strict; Path=/"
                await _answer(guarded, 303, "Welcome", "", (b"location", b"/"), (b"set-cookie", cookie.encode()))
            else:
                await _answer(
                    guarded, 401, "The address lacks its token", "Ask whoever started the server for the whole address."
                )
        else:
            await self._app(scope, receive, guarded)

    def _wrong(self, scope: Message, headers: dict[str, str]) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if not self._known(host):
            return 421, "This is not the server's name", "Open the address that `wallaby review` has printed."
        if is_cross_site(scope):
            return 403, "Refused", "The request comes from another site."
        if scope["method"] not in ("GET", "HEAD") and not {"origin", "x-wallaby"} & headers.keys():
            return 403, "Refused", "A change is only taken from the page itself."
        return None

    def _known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._rules.hosts:
                return True
            ipaddress.ip_address(name)
        except ValueError:  # neither an address in digits nor, it may be, a name at all
            return False
        return bool(self._rules.token)

    def _has_token(self, headers: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except Exception:  # what another program of this host has set may be no cookie by the book
            cookie = None
        given = cookie.value if cookie else headers.get("authorization", "").removeprefix("Bearer ")
        return _equal(given, self._rules.token)


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


async def _answer(send: Send, status: int, title: str, text: str, *headers: tuple[bytes, bytes]) -> None:
    body = REFUSED.format(title=title, text=text).encode()
    start = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
