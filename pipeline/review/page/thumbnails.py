"""Pictures for the page: made small when they are first asked for, kept by content, and only of images it has named.

The name of a picture that the server hands out is signed, so that no other file can be asked for. A file is shown only
if it lies, links followed, below one of the roots, and if it still has the content that was indexed.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from urllib.parse import urlencode

from pipeline.files import atomic
from pipeline.library import labels, pictures

SIDES = (160, 480, 1024, 2400)  # pixels of the longer side: in a grid, in the hand, on its own, magnified


class NoPictureError(Exception):
    """Why there is no picture to show, in words for a person."""


class Thumbnails:
    """The thumbnails of the images, with addresses that only this server can hand out.

    Args:
      folders: every root's folder, by name.
      cache: where thumbnails are kept; it can be deleted at any time.
    """

    def __init__(self, folders: dict[str, Path], cache: Path):
        self._folders, self._cache = folders, cache
        self._real = [folder.resolve() for folder in folders.values()]
        self._secret = _secret(cache / "key")

    def address(self, image: str, sha256: str = "") -> str:
        """Where the browser finds the picture; it appends `&side=` and one of `SIDES`."""
        return "/picture?" + urlencode({"image": image, "sha256": sha256, "key": self._key(image, sha256)})

    def get(self, image: str, sha256: str, side: int, key: str) -> bytes:
        """The JPEG behind an address.

        Raises:
          NoPictureError: if the address was not handed out here, or there is no such picture any more.
        """
        if side not in SIDES or not hmac.compare_digest(key.encode(), self._key(image, sha256).encode()):
            raise NoPictureError("This address was not given by the server: reload the page.")
        path = self.locate(image)
        name = sha256 or _stamp(path)
        kept = self._cache / name[:2] / f"{name}-{side}.jpg"
        try:
            return kept.read_bytes()
        except FileNotFoundError:
            pass
        try:
            data = pictures.load_bytes(path)
            if sha256 and hashlib.sha256(data).hexdigest() != sha256:
                raise NoPictureError("The file has changed since it was indexed: run `dvc repro` before you decide it.")
            made = pictures.to_thumbnail(data, side)
        except (pictures.PictureError, OSError) as reason:
            raise NoPictureError(f"The picture cannot be read: {reason}.") from None
        _keep(made, kept)
        return made

    def locate(self, image: str) -> Path:
        """The image's file.

        Raises:
          NoPictureError: if it is gone, or lies outside every root.
        """
        root, _, below = image.partition("/")
        if root not in self._folders or not below or ".." in below.split("/") or "\0" in below:
            raise NoPictureError("The name leads outside the folders of configs/params.yaml.")
        path = labels.locate(image, self._folders)
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise NoPictureError("The file is gone.") from None
        if not any(real.is_relative_to(folder) for folder in self._real):
            raise NoPictureError("The file is a link to outside the folders of configs/params.yaml: it is not shown.")
        return real

    def _key(self, image: str, sha256: str) -> str:
        return hmac.new(self._secret, f"{image}\n{sha256}".encode(), "sha256").hexdigest()[:32]


def _stamp(path: Path) -> str:
    status = path.stat()
    return hashlib.sha256(f"{path} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()


def _keep(data: bytes, path: Path) -> None:
    """A cache that cannot be written is none, and no reason to show nothing."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # two requests may make the same one
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)


def _secret(path: Path) -> bytes:
    """Kept, so that a page that is open goes on when the server is started again."""
    if path.exists():
        return path.read_bytes()
    made = secrets.token_bytes(32)
    with atomic(path) as temporary, open(os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(made)
    return made
