"""The server of an application: it takes its address first, says when it answers, and ends what would hold it up."""

import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from pipeline.errors import UsageError
from pipeline.serving.image_archive import Keeper
from pipeline.serving.store.log import Log
from pipeline.web.connections import Limits, Settings

DAY = 86_400_000_000  # microseconds
PRUNE_EVERY = 3600.0  # seconds


def bind(host: str, port: int) -> socket.socket:
    """Takes the address, now, and lets nobody in: whoever connects before a model is loaded would wait for it.

    Raises:
      UsageError: if it cannot be taken.
    """
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        return taken
    except OSError as error:
        taken.close()
        reason = error.strerror or str(error)
    raise UsageError(f"cannot listen at {host}, port {port}: {reason}", mend="name another --port, or --host")


def run(application: FastAPI, listening: socket.socket, limits: Limits, *, say: Callable[[], None]) -> None:
    """Serves an application (`app.create`) until the user stops it.

    Args:
      say: is called once requests are answered.
    """
    settings = Settings(application, limits, timeout_graceful_shutdown=30)
    signal.signal(signal.SIGTERM, _ended)
    _Server(settings, say, application.state.fetcher.close).run(sockets=[listening])


def prune(log: Log, keeper: Keeper, *, keep_days: int, spared: Callable[[], set[str]]) -> float:
    """Deletes what is older than the days to keep, and returns the seconds until that is to be done again.

    Args:
      spared: returns the paths of kept images that stay.

    Raises:
      WallabyError: if the store cannot be used, or `spared` raises it: nothing is deleted then.
    """
    labelled = spared()  # before rows go: they alone know which images were kept
    deleted = log.prune(time.time_ns() // 1000 - keep_days * DAY)
    keeper.remove(deleted.paths, spared=labelled)
    return PRUNE_EVERY


class _Server(uvicorn.Server):
    """Says so once it can be asked, and ends what would hold it up."""

    def __init__(self, settings: uvicorn.Config, say: Callable[[], None], end: Callable[[], None]):
        super().__init__(settings)
        self._say, self._end = say, end

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._say()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end()
        await super().shutdown(sockets)


def _ended(number: int, frame: FrameType | None) -> None:
    """Uvicorn answers what has come, and raises the signal again: by default the process would end there and then."""
