"""When and with which camera an image was taken, as its EXIF says; damaged EXIF says nothing and fails no image."""

import re
from datetime import datetime
from typing import Any

from PIL import Image

MAKE, MODEL, CAMERA_SERIAL, EXIF = 0x010F, 0x0110, 0xC62F, 0x8769  # Exif 2.32; the serial number of DNG
ORIGINAL, DIGITIZED, SUBSECONDS_ORIGINAL, SUBSECONDS_DIGITIZED = 0x9003, 0x9004, 0x9291, 0x9292
BODY_SERIAL = 0xA431
TIMES = [(ORIGINAL, SUBSECONDS_ORIGINAL), (DIGITIZED, SUBSECONDS_DIGITIZED)]  # the better one first
TIME = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|[+-]\d\d:?\d\d)?")
MAX_TEXT = 100  # characters of a name or number: more is damage


def of(picture: Image.Image) -> tuple[str, str]:
    """Returns the time and the camera of an image, each "" where it is unknown.

    The time is the camera's clock in ISO format, with fractions of a second where they are known, as the camera wrote
    it: 1970 stays 1970. The camera is make, model and the body's serial number in lower case, such as
    `canon eos 70d #0123`.
    """
    try:
        main = picture.getexif()
        detail = main.get_ifd(EXIF)
        return _taken(detail), _camera(main, detail)
    except Exception:  # Pillow raises many kinds of error for damaged EXIF
        return "", ""


def _taken(detail: dict[int, Any]) -> str:
    for time, subseconds in TIMES:
        if found := _time(_text(detail.get(time)), _text(detail.get(subseconds))):
            return found
    return ""


def _time(text: str, subseconds: str) -> str:
    parts = TIME.fullmatch(text)
    if not parts:
        return ""
    *whole, fraction = parts.groups()
    try:
        moment = datetime.strptime(" ".join(whole), "%Y %m %d %H %M %S").isoformat()
    except ValueError:  # such as 0000:00:00 00:00:00, of a camera whose clock was never set
        return ""
    digits = subseconds if subseconds.isascii() and subseconds.isdigit() else fraction or ""
    return f"{moment}.{digits[:6]}" if digits else moment


def _camera(main: Any, detail: dict[int, Any]) -> str:
    make, model = _text(main.get(MAKE)), _text(main.get(MODEL))
    serial = _text(detail.get(BODY_SERIAL)) or _text(main.get(CAMERA_SERIAL))
    name = model if make and model.lower().startswith(make.lower().split()[0]) else f"{make} {model}".strip()
    return (f"{name} #{serial}".strip() if serial.strip("0") else name).lower()


def _text(value: Any) -> str:
    """The printable characters before the first zero byte, with single spaces; "" for a value that is not text."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore")
    if not isinstance(value, str):
        return ""
    printable = "".join(letter if letter.isprintable() else " " for letter in value.partition("\0")[0])
    return " ".join(printable.split())[:MAX_TEXT]
