"""The one reading of a picture: train, evaluate, identify and every page decode, turn and resize it here."""

import io
import math
import mmap
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
from PIL import Image

from pipeline.library import capture, image_limits
from pipeline.library.failures import Failure, PictureError

MAX_MEGAPIXELS = 100.0
PREPROCESSING = "upright-rgb-stretch-bilinear-2"  # names what `read` does; a bundle records it
REDUCED = 1.25  # nearer to the size asked for, the reduced scale shows: by 2 of 255 a pixel, and by 0.7 from here on
SMALL = 64  # side of the small grey picture that all but the size is measured on, in pixels
NEARLY = 0.9  # of a thumbnail's side: nobody sees the rest, and twice the scale takes three times as long
ORIENTATION_TAG = 0x0112
UPRIGHT = {  # what makes a picture stored in this orientation upright (Exif 2.32, tag 0x0112)
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FORMATS = [
    "AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP",
]  # fmt: skip  # what cameras and people make; Pillow would also run programs, for PostScript
BACKGROUND = (255, 255, 255)  # shown through transparent pixels
NOT_READ = {
    b"\x00\x00\x00\x0cJXL ": "JPEG XL", b"\xff\x0a": "JPEG XL", b"8BPS": "Photoshop", b"%PDF": "PDF",
    b"FUJIFILM": "camera raw",
}  # fmt: skip  # first bytes of what people take for an image
STRIP = 4_000_000  # pixels that are converted at once: a whole image of 16 bits takes ten times its size

pillow_heif.register_heif_opener()
cv2.setNumThreads(0)  # pictures are read side by side, one a thread
warnings.filterwarnings("ignore", module=r"PIL\.")  # once: `catch_warnings` is not safe side by side
Image.MAX_IMAGE_PIXELS = None  # `decode` has its own bound, checked before any pixel is decoded


@dataclass(frozen=True)
class Facts:
    """What the index wants of a picture.

    Width and height are those of the upright picture, in pixels; `grey` is the whole of it, upright and stretched to
    uint8 (64, 64), for whatever else is measured. `taken` and `camera` are those of `capture.of`.
    """

    width: int
    height: int
    format: str
    orientation: int
    phash: str
    taken: str
    camera: str
    grey: np.ndarray


def read(path: Path, image_size: int) -> np.ndarray:
    """Returns the picture at `path` as the network sees it: uint8 (image_size, image_size, 3), RGB, upright.

    The whole picture is kept and stretched to the square: a crop could lose the subject. Its size is not judged again:
    the index has done that, by the user's `max_megapixels`.

    Raises:
      PictureError: if the file is missing, empty or no picture.
    """
    return to_pixels(load_bytes(path), image_size)


def dimensions(data: bytes, *, max_megapixels: float = MAX_MEGAPIXELS) -> tuple[int, int]:
    """Width and height in pixels as the file's header tells them, before it is turned; no pixel is decoded.

    Raises:
      PictureError: for what is not an image, larger than `max_megapixels`, or out of bounds in another way.
    """
    return _open(data, max_megapixels).size


def to_pixels(data: bytes, image_size: int) -> np.ndarray:
    """As `read`, from the file's bytes."""
    picture = decode(data, least_side=image_size, max_megapixels=math.inf)
    return np.asarray(picture.resize((image_size, image_size), Image.Resampling.BILINEAR))


def looks_like_one(path: Path) -> bool:
    """Whether the first bytes of the file are those of a picture that may be opened; the rest is not read."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            image_limits.refuse_excess(data)
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:
        return False


def load_bytes(path: Path) -> bytes:
    """Reads a file; what the system refuses becomes a reason."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise PictureError(Failure.MISSING) from None
    except OSError as error:
        raise PictureError(Failure.UNREADABLE, error.strerror or "") from None


def decode(
    data: bytes,
    *,
    least_side: int | None = None,
    longer_side: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Image.Image:
    """Decodes any picture format to an upright RGB picture; of an animation, its first frame.

    Args:
      data: the file's bytes; the format is told from them, never from the file's name.
      least_side: a JPEG may be decoded at a reduced scale, with both sides at least REDUCED times this many pixels.
      longer_side: or with the longer side at least this many pixels, for people's eyes.
      max_megapixels: a larger picture is refused before its pixels are decoded.

    Raises:
      PictureError: with the reason.
    """
    picture = _open(data, max_megapixels)
    if picture.format == "JPEG" and least_side:
        least = math.ceil(REDUCED * least_side)
        picture.draft("RGB", (least, least))
    elif picture.format == "JPEG" and longer_side:
        share = longer_side / max(picture.size)
        picture.draft("RGB", (math.ceil(share * picture.width), math.ceil(share * picture.height)))
    return _upright(_flat(picture, "RGB"), _orientation(picture))


def inspect(data: bytes, *, max_megapixels: float = MAX_MEGAPIXELS) -> Facts:
    """Decodes a picture for the index.

    A JPEG is decoded in grey and at a reduced scale; all its bytes are read nevertheless, so that damage shows.

    Raises:
      PictureError: with the reason.
    """
    picture = _open(data, max_megapixels)
    (width, height), format_ = picture.size, picture.format or ""
    # The box is the whole picture: at a reduced scale its last rows and columns may hold less than a pixel of it.
    _, box = picture.draft("L", (SMALL, SMALL)) or (None, None)
    orientation = _orientation(picture)
    small = _flat(picture, "L").resize((SMALL, SMALL), Image.Resampling.BILINEAR, box=box)
    left_to_turn = _orientation(picture)  # a TIFF is upright once it is loaded
    if left_to_turn >= 5:
        width, height = height, width
    grey = np.asarray(_upright(small, left_to_turn))
    return Facts(width, height, format_, orientation, perceptual_hash(grey), *capture.of(picture), grey)


def perceptual_hash(grey: np.ndarray) -> str:
    """The 64-bit pHash (Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", 3.2.1).

    The signs of the 8 x 8 lowest cosine frequencies of the 32 x 32 grey picture against their median, as 16
    hexadecimal digits; empty for a picture without contrast, whose signs would be noise.

    Args:
      grey: the small grey picture, uint8 (64, 64).
    """
    low = low_frequencies(grey)
    return "" if low is None else hashes_of(low[None])[0]


def low_frequencies(grey: np.ndarray) -> np.ndarray | None:
    """The 8 x 8 lowest cosine frequencies, float32, of the 32 x 32 grey picture; None of one without contrast."""
    halved = cv2.resize(grey.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA)
    return None if cv2.meanStdDev(halved)[1][0, 0] < 2.0 else cv2.dct(halved)[:8, :8]


def hashes_of(low: np.ndarray) -> list[str]:
    """The pHashes, 16 hexadecimal digits each, of low cosine frequencies (N, 8, 8)."""
    flat = low.reshape(len(low), 64)
    medians = np.sort(flat[:, 1:], axis=1)[:, 31:32]
    return [row.tobytes().hex() for row in np.packbits(flat > medians, axis=1)]


def thumbnail(path: Path, side: int) -> bytes:
    """A JPEG of the upright picture, at most `side` pixels wide and high."""
    return to_thumbnail(load_bytes(path), side)


def to_thumbnail(data: bytes, side: int) -> bytes:
    """As `thumbnail`, from the file's bytes; a JPEG is decoded at the least scale that nearly fills it, and left so."""
    picture = decode(data, longer_side=math.ceil(NEARLY * side), max_megapixels=math.inf)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def _open(data: bytes, max_megapixels: float) -> Image.Image:
    if not data:
        raise PictureError(Failure.EMPTY)
    image_limits.refuse_excess(data)
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:
        kind = next((kind for start, kind in NOT_READ.items() if data.startswith(start)), "")
        raise PictureError(Failure.UNSUPPORTED if kind else Failure.NOT_AN_IMAGE, kind) from None
    size = f"{picture.width} x {picture.height} pixels"
    if picture.width * picture.height > max_megapixels * 1e6:
        raise PictureError(Failure.TOO_LARGE, size, size=picture.size)
    if max(picture.size) > image_limits.MAX_SIDE:
        raise PictureError(Failure.TOO_LONG, f"{size}, and a side may have {image_limits.MAX_SIDE}")
    return picture


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(ORIENTATION_TAG, 1)  # of a PNG, this decodes the pixels
    except Exception:  # damaged EXIF; damaged pixels are found when they are decoded
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _flat(picture: Image.Image, mode: str) -> Image.Image:
    """Decodes to 8 bits a channel, over the background where it is transparent."""
    if picture.mode == "LAB":
        raise PictureError(Failure.UNSUPPORTED, "colours in CIELAB")
    try:
        picture.load()
        deep = picture.mode.startswith(("I", "F"))  # 16 and 32 bits a pixel
        if not deep and not picture.has_transparency_data:
            return picture.convert(mode)
        top = _top(np.asarray(picture.crop(box)) for box in _strips(picture)) if deep else 0.0
        flat = Image.new(mode, picture.size)
        for box in _strips(picture):
            flat.paste(_flat_strip(picture.crop(box), top).convert(mode), box)
        return flat
    except MemoryError:
        raise
    except Exception:  # Pillow's decoders raise many kinds of error for damaged bytes
        raise PictureError(Failure.DAMAGED) from None


def _strips(picture: Image.Image) -> list[tuple[int, int, int, int]]:
    """Boxes of whole rows, from the top to the bottom."""
    rows = max(1, STRIP // picture.width)
    starts = range(0, picture.height, rows)
    return [(0, start, picture.width, min(start + rows, picture.height)) for start in starts]


def _flat_strip(strip: Image.Image, top: float) -> Image.Image:
    if top:
        strip = Image.fromarray(_to_8_bits(np.asarray(strip), top))
    if strip.has_transparency_data:
        strip = strip.convert("RGBA")
        strip = Image.alpha_composite(Image.new("RGBA", strip.size, (*BACKGROUND, 255)), strip)
    return strip


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    return picture.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else picture


def _top(strips: Iterable[np.ndarray]) -> float:
    """What is white.

    16 bits are read as such, also where all would fit into 8 because the image is dark; but for a highest value that
    takes exactly 12 bits: many cameras have so many, and as 16 bits their images are next to black.
    """
    highest, whole = 0.0, False
    for values in strips:
        highest, whole = max(highest, float(_finite(values).max())), values.dtype.kind == "u"
    if whole:
        return 4095.0 if 2048 <= highest < 4096 else 65535.0
    return 65535.0 if highest > 255 else 255.0 if highest > 1 else 1.0


def _to_8_bits(values: np.ndarray, top: float) -> np.ndarray:
    return np.clip(_finite(values) * (255.0 / top), 0, 255).astype(np.uint8)


def _finite(values: np.ndarray) -> np.ndarray:
    wide = values.astype(np.float64)
    return np.nan_to_num(wide, copy=False, posinf=0.0, neginf=0.0) if values.dtype.kind == "f" else wide
