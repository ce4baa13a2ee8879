"""Starts the server of the review page and says where it is."""

import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable

import uvicorn

from pipeline.errors import UsageError, WallabyError
from pipeline.review.page import app
from pipeline.review.page.auditing import Auditing
from pipeline.review.page.reviewing import Reviewing
from pipeline.review.page.safety import Rules
from pipeline.review.page.trying import Trial
from pipeline.web import loopback
from pipeline.web.connections import Limits, Settings

PORT = 8700


def serve(
    place: Reviewing,
    trial: Trial,
    audit: Auditing,
    *,
    host: str,
    port: int | None,
    by: str,
    browser: bool,
    say: Callable[[str], None],
) -> None:
    """Serves the review page until the user stops it.

    Args:
      host, port: where; without a port, `PORT` or, if that is taken, any. Beyond loopback the address has a token.
      by: the reviewer's name, if the page shall not ask for it.
      browser: whether to open the page.
      say: is told where the page is, before anything else is done; an address that colleagues can open, too.

    Raises:
      UsageError: if the server cannot be bound there.
    """
    token = "" if host in loopback.NAMES else secrets.token_urlsafe(24)
    listening = _bind(host, port)
    address = loopback.url(loopback.reachable(host), listening.getsockname()[1])
    whole = f"{address}?token={token}" if token else address
    say(whole)
    if browser:
        webbrowser.open(whole)
    threading.Thread(target=_prepare, args=(place,), daemon=True).start()
    application = app.create(place, trial, audit, Rules.of(host, token), by=by)
    server = uvicorn.Server(Settings(application, Limits(body_seconds=app.BODY_SECONDS)))
    server.run(sockets=[listening])


def _prepare(place: Reviewing) -> None:
    """Opens the queues before somebody waits for a first card."""
    for name in place.names():
        try:
            place.prepare(name)
        except WallabyError as error:  # the page says so of this queue, and shows the others
            print(error, file=sys.stderr)


def _bind(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in [PORT, 0] if port is None else [port]:
        try:
            return socket.create_server((host, wanted), family=family)
        except OSError as error:
            reason = error.strerror or str(error)
    raise UsageError(f"cannot listen at {host}, port {port}: {reason}", mend="name another --port, or --host")
