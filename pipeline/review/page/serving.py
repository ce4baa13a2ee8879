"""`wallaby review`: starts the server and says where it is."""

import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from pipeline import config, paths, sections
from pipeline.errors import UsageError, WallabyError
from pipeline.library import index
from pipeline.review.page import app
from pipeline.review.page.auditing import Auditing
from pipeline.review.page.safety import Rules
from pipeline.review.page.surroundings import Surroundings
from pipeline.review.page.trying import Places, Trial
from pipeline.review.page.workplace import Workplace
from pipeline.web import loopback
from pipeline.web.connections import Limits, Settings

PORT = 8700


def serve(
    *,
    queue: Path,
    host: str,
    port: int | None,
    by: str,
    browser: bool,
    now: Callable[[], str],
    say: Callable[[str], None],
) -> None:
    """Serves the review page until the user stops it.

    Args:
      queue: the folder of the recipes' tables.
      host, port: where; without a port, `PORT` or, if that is taken, any. Beyond loopback the address has a token.
      by: the reviewer's name, if the page shall not ask for it.
      browser: whether to open the page.
      say: is told where the page is, once it can be opened.

    Raises:
      UsageError: if the server cannot be bound there.
    """
    place = workplace(queue, now)
    for name in place.names():
        try:
            place.prepare(name)  # now, and not while somebody waits for the first card
        except WallabyError as error:  # the page says so of this queue, and shows the others
            print(error, file=sys.stderr)
    token = "" if host in loopback.NAMES else secrets.token_urlsafe(24)
    listening = _bind(host, port)
    address = loopback.url(host, listening.getsockname()[1])
    whole = f"{address}?token={token}" if token else address
    say(whole)
    if browser:
        webbrowser.open(whole)
    application = app.create(place, trial(place), auditing(), Rules.of(host, token), by=by)
    server = uvicorn.Server(Settings(application, Limits(body_seconds=app.BODY_SECONDS)))
    server.run(sockets=[listening])


def workplace(queue: Path, now: Callable[[], str]) -> Workplace:
    """The workspace that the command runs in."""
    folders = config.load(sections.Roots).folders

    def beside(product: Path) -> Path:
        """A throw-away run keeps some of its products next to its queue; the rest is the round's."""
        own = queue.parent / product.name
        return own if own.exists() else product

    surroundings = Surroundings(
        labels_table=paths.LABELS,
        curated=beside(paths.CURATED),
        evaluation=beside(paths.EVALUATION),
        predictions=beside(paths.PREDICTIONS),
        index_cache=config.cache(index.CACHE),
        folders=folders,
        cache=config.own("vectors"),
    )
    return Workplace(
        queue=queue,
        predictions=beside(paths.PREDICTIONS),
        reviews=paths.REVIEWS,
        surroundings=surroundings,
        folders=folders,
        cache=config.cache("review"),
        now=now,
        confidence=config.load(sections.Evaluate).confidence,
        **config.load(sections.Review).model_dump(),
    )


def trial(place: Workplace) -> Trial:
    """The models of the workspace that the command runs in."""
    models = Places(paths.RELEASED, paths.MODEL, paths.EVALUATION, paths.CLASSES)
    return Trial(models, place.surroundings, max_megapixels=config.load(sections.Index).max_megapixels)


def auditing() -> Auditing:
    """The random audit of the service that belongs to the workspace."""
    served = config.load(sections.Serve)
    return Auditing(
        url=served.store,
        kept=Path(served.pictures),
        folders=config.load(sections.Roots).folders,
        index=paths.INDEX,
        cache=config.cache("review") / "served",
    )


def _bind(host: str, port: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in [PORT, 0] if port is None else [port]:
        try:
            return socket.create_server((host, wanted), family=family)
        except OSError as error:
            reason = error.strerror or str(error)
    raise UsageError(f"cannot listen at {host}, port {port}: {reason}", mend="name another --port, or --host")
