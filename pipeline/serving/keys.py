"""API keys: who may ask, and how often. A file holds their hashes; a key itself is shown once, when it is made."""

import hashlib
import math
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import DataError, UsageError, closest
from pipeline.files import read_json, write_json

LOOK_AGAIN = 1.0  # seconds after which the file is looked at again: a key that was revoked is refused from then on
NAMES = re.compile(r"[\w.@-]{1,60}")


@dataclass(frozen=True)
class Key:
    """The key of one client.

    Attributes:
      name: of the client.
      sha256: of the key, which is random and long: nothing slower is needed.
      per_minute: requests; as many at once.
    """

    name: str
    sha256: str
    per_minute: float


@dataclass
class _Bucket:
    """What a client may still ask: it fills up by the rate of its key, up to one minute's worth."""

    tokens: float
    at: float


def read(path: Path) -> list[Key]:
    """Reads the keys of a file; a missing file has none.

    Raises:
      DataError: if the file is no list of keys.
    """
    try:
        return [Key(**values) for values in read_json(path)] if path.exists() else []
    except TypeError:
        raise DataError(
            "not a list of keys", where=path, mend="take the last version that was, or make it anew"
        ) from None


def add(path: Path, name: str, *, per_minute: float) -> str:
    """Makes a key for a new client, and returns it; only its hash is kept.

    Raises:
      UsageError: if the name is taken, or none, or the rate is no positive number.
    """
    if not (math.isfinite(per_minute) and per_minute > 0):
        raise UsageError(f"{per_minute:g} images a minute", where="--per-minute", mend="a number above 0")
    keys = read(path)
    if not NAMES.fullmatch(name):
        raise UsageError(f"'{name}' cannot name a client", where=path, mend="letters, digits and . _ @ - only")
    if name in {key.name for key in keys}:
        raise UsageError(f"there is a key of '{name}' already", where=path, mend=f"wallaby serve --revoke {name}")
    key = secrets.token_urlsafe(32)
    _write([*keys, Key(name, _hash(key), per_minute)], path)
    return key


def revoke(path: Path, name: str) -> None:
    """Removes the key of a client from the file.

    Raises:
      UsageError: if there is no such key.
    """
    keys = read(path)
    if name not in {key.name for key in keys}:
        raise UsageError(f"there is no key of '{name}'", where=path, mend=closest(name, {key.name for key in keys}))
    _write([key for key in keys if key.name != name], path)


class Keys:
    """The keys of a running service.

    Args:
      path: their file, which may change meanwhile.
      clock: in seconds; it never goes back.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic):
        self._path, self._clock, self._lock = path, clock, threading.Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._stamp: tuple[int, int] | None = None
        self._looked = float("-inf")
        self._keys: dict[str, Key] = {}

    def client(self, given: str) -> Key | None:
        """Whose key it is; None if it is nobody's."""
        self._look()
        return self._keys.get(_hash(given))

    def take(self, key: Key) -> float:
        """Counts a request; returns 0, or the seconds after which the client may ask again."""
        with self._lock:
            now, rate = self._clock(), key.per_minute / 60
            bucket = self._buckets.setdefault(key.sha256, _Bucket(key.per_minute, now))
            bucket.tokens = min(key.per_minute, bucket.tokens + rate * (now - bucket.at))
            bucket.at = now
            if bucket.tokens < 1:
                return (1 - bucket.tokens) / rate
            bucket.tokens -= 1
            return 0.0

    def charge(self, key: Key, number: int) -> None:
        """Counts what a request that was taken has in it beyond its first picture, into debt if need be."""
        with self._lock:
            self._buckets[key.sha256].tokens -= number

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_AGAIN:
            return
        self._looked = now
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp != self._stamp:
                self._keys = {key.sha256: key for key in read(self._path)}
                self._stamp = stamp
        except FileNotFoundError:
            self._keys, self._stamp = {}, None
        except DataError:  # half edited: what was valid stays so
            pass


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _write(keys: list[Key], path: Path) -> None:
    write_json([asdict(key) for key in sorted(keys, key=lambda key: key.name)], path)
    path.chmod(0o600)
