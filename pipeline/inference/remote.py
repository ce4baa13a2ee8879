"""Pictures beyond this machine: roots that lie behind a URL, read with fsspec (s3, gs, http, file and more)."""

import threading
import time
from pathlib import Path
from typing import Any

import fsspec

from pipeline.errors import ResumableError, UsageError
from pipeline.inference import prediction
from pipeline.library.failures import Failure, PictureError

WHERE = "configs/params.yaml, identify.remote_roots"
ATTEMPTS = 4  # of reading a file, against a storage that is busy or away for a moment
PAUSE = 0.5  # seconds before the second attempt; twice as long before each further one
FIRST = 100  # pictures that may be missing before the first one of a root is there


class Root:
    """A root behind a URL."""

    def __init__(self, name: str, url: str):
        self._name, self._url = name, url.rstrip("/")
        self._lock, self._missing, self._found = threading.Lock(), 0, False
        self._filesystem = _filesystem(name, self._url)

    def load(self, path: str) -> bytes:
        """Returns the bytes of the file at `path` below the root.

        Raises:
          PictureError: if it is not there.
          ResumableError: if the storage does not answer, or has none of the first pictures: a wrong address would make
            the whole pool seem to be missing.
        """
        for attempt in range(ATTEMPTS):
            try:
                data = self._filesystem.cat_file(f"{self._url}/{path}")
            except FileNotFoundError:
                self._count_missing()
                raise PictureError(Failure.MISSING) from None
            except Exception as error:  # each storage raises its own kinds
                if attempt == ATTEMPTS - 1:
                    reason = str(error).partition("\n")[0] or type(error).__name__
                    raise ResumableError(
                        f"root '{self._name}' cannot be read: {reason}",
                        where=f"{self._url}/{path}",
                        mend="see that the workers may reach and read it, and run the same command again",
                    ) from error
                time.sleep(PAUSE * 2**attempt)
            else:
                self._found = True
                return data
        raise AssertionError("unreachable")

    def _count_missing(self) -> None:
        with self._lock:
            self._missing += 1
            gone = not self._found and self._missing >= FIRST
        if gone:
            raise ResumableError(
                f"none of the first {FIRST} pictures of root '{self._name}' is there",
                where=self._url,
                mend=f"correct {WHERE}; if they were deleted on purpose, run `dvc repro`",
            )


def from_roots(folders: dict[str, Path], urls: dict[str, str]) -> prediction.Load:
    """Loads images from the URLs of their roots, and those of other roots from their folders.

    Raises:
      UsageError: if a root that has a URL is not known, or what its storage needs is not installed.
    """
    for name in urls.keys() - folders.keys():
        raise UsageError(f"unknown root '{name}'", where=WHERE, mend=f"known: {', '.join(sorted(folders))}")
    roots = {name: Root(name, url) for name, url in urls.items()}
    from_folders = prediction.from_folders(folders)

    def load(image: str) -> bytes:
        name, _, path = image.partition("/")
        return roots[name].load(path) if name in roots else from_folders(image)

    return load


def _filesystem(name: str, url: str) -> Any:
    try:
        return fsspec.core.url_to_fs(url)[0]
    except (ImportError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"root '{name}' cannot be opened: {reason}", where=f"{WHERE}: {url}") from None
