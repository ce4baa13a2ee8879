"""What the files of the queues' images hold now: a decision is about the picture that was shown."""

from pathlib import Path

from pipeline.files import digests
from pipeline.library import labels


class Files:
    """Remembers what a file held until its size or modification time is another.

    Args:
      folders: every root's folder, by name.
    """

    def __init__(self, folders: dict[str, Path]):
        self._folders = folders
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def contents(self, images: list[str]) -> dict[str, str]:
        """The SHA-256 of each image's file; images without a file, or with one that cannot be read, are left out."""
        paths = {image: labels.locate(image, self._folders) for image in images}
        stamps = {path: stamp for path in paths.values() if (stamp := _stamp(path))}
        new = [path for path, stamp in stamps.items() if self._known.get(path, ((), ""))[0] != stamp]
        for path, content in zip(new, digests(new), strict=True):
            self._known[path] = (stamps[path], content)
        found = {image: self._known[path][1] for image, path in paths.items() if path in stamps}
        return {image: content for image, content in found.items() if content}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns
