"""What an image file may cost: bounds that no photograph meets, checked on the file's bytes before it is decoded.

A file of a few kilobytes can be legal and still take minutes or gigabytes to decode: scans that repeat, a side of
millions of pixels, millions of chunks, strips or comments. Each bound follows the practice of a decoder or the limit
of a format, with room to spare; the number of pixels is bounded elsewhere, by the user.
"""

import mmap
import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from pipeline.library.failures import Failure, PictureError

MAX_SIDE = 65_535  # pixels: JPEG's own limit; a million rows of one pixel take gigabytes
MAX_SCANS = 100  # of a JPEG: libtiff's limit; encoders write up to about 20
SCANS = 20  # that a JPEG of any size may have
MAX_SCANNED = 500.0  # megapixels times scans of a JPEG with more than `SCANS`: about a second
MAX_SEGMENTS = 5_000  # of a JPEG before its first scan, and between scans
MAX_JUNK = 65_536  # bytes between these segments: decoders skip them one by one
MAX_EXIF_SEGMENTS = 100  # of a JPEG: Pillow joins them one by one
MAX_CHUNKS = 10_000  # of a PNG, and one more for each `CHUNK` bytes
CHUNK = 1_024  # bytes; encoders write 8 kB or more
MAX_PROFILES = 10  # colour profiles of a PNG, which may have one
MAX_BLOCKS = 20_000  # of a GIF before its first frame, 255 bytes each
MAX_STRIPS = 100_000  # strips or tiles of a TIFF
MAX_TILE = 1e8  # pixels of a TIFF's tile, which may be larger than the image
MAX_SLOW = 4_000_000  # pixels and bytes of what Pillow decodes in Python: RLE in BMP, text or odd depths in PPM
MAX_COMMENTS = 100  # of a PPM in text
MAX_PPM_HEADER = 65_536  # bytes

Bytes = bytes | mmap.mmap

# libtiff bounds the scans of a JPEG inside a TIFF, and reads its bound from here.
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", str(SCANS))

_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_AFTER_SCAN = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)  # in a scan, 0 escapes and the rest restarts
_SCAN = re.compile(rb"\xff\xda", re.DOTALL)
_PPM = re.compile(rb"P([1-6f]|0CMYK|PyP|yRGBA|yCMYK)[ \t\n\v\f\r]")
_COMMENT = re.compile(rb"#[^\r\n]*[\r\n]?")
_TIFF = {
    b"MM\0\x2a": ">", b"II\x2a\0": "<", b"MM\x2a\0": ">", b"II\0\x2a": "<", b"MM\0\x2b": ">", b"II\x2b\0": "<",
}  # fmt: skip  # the beginnings that Pillow takes for a TIFF; "+" is BigTIFF
_TIFF_TYPES = {1: "B", 3: "H", 4: "L", 16: "Q"}


def refuse_excess(data: Bytes) -> None:
    """Refuses a file that has too much of something; no pixel is decoded.

    Args:
      data: the file's bytes; what is damaged or no image is left to the decoder.

    Raises:
      PictureError: of a kind of `failures.EXCESS`.
    """
    with suppress(struct.error, IndexError):  # cut short
        if data[:2] == b"\xff\xd8":
            _jpeg(data)
        elif data[:8] == b"\x89PNG\r\n\x1a\n":
            _png(data)
        elif data[:6] in (b"GIF87a", b"GIF89a"):
            _gif(data)
        elif data[:4] in _TIFF:
            _tiff(data)
        elif data[:2] == b"BM":
            _bmp(data)
        elif data[:1] == b"P":
            _ppm(data)


def _jpeg(data: Bytes) -> None:
    frame, exif, junk, end = None, 0, 0, 2
    for number, (marker, place) in enumerate(_segments(data)):
        junk += place - 2 - end
        if number > MAX_SEGMENTS or junk >= MAX_JUNK:
            raise PictureError(Failure.SEGMENTS)
        end = place + _length(data, marker, place)
        if marker in _FRAMES:
            frame = (marker, *struct.unpack_from(">HHB", data, place + 3))
        elif marker == 0xE1 and data[place + 2 : place + 6] == b"Exif":
            exif += 1
            if exif > MAX_EXIF_SEGMENTS:
                raise PictureError(Failure.EXIF_SEGMENTS)
        elif marker == 0xDA:
            if frame is None:
                return
            kind, height, width, components = frame
            if kind not in _PROGRESSIVE and data[place + 2] == components:
                return  # whole after one scan
            _scans(data, place - 2, width * height / 1e6)
            return


def _scans(data: Bytes, first: int, megapixels: float) -> None:
    """As `refuse_excess`, of a JPEG whose first scan begins at a place."""
    most = MAX_SCANS if MAX_SCANS * megapixels <= MAX_SCANNED else max(SCANS, int(MAX_SCANNED / megapixels))
    if len(list(islice(_SCAN.finditer(data, first), most + 1))) <= most:  # a few may belong to what follows the image
        return
    scans = 0
    for number, (marker, _) in enumerate(_segments(data, first)):
        scans += marker == 0xDA
        if scans > most:
            raise PictureError(Failure.SCANS, f"more than {most}")
        if number > MAX_SEGMENTS:
            raise PictureError(Failure.SEGMENTS)


def _segments(data: Bytes, place: int = 2) -> Iterator[tuple[int, int]]:
    """Yields each marker of a JPEG and where its length stands, as libjpeg finds them, up to the image's end.

    Ends where too much lies between two segments, with a marker 0; within a scan, anything may.
    """
    in_scan = False
    while True:
        reach = len(data) if in_scan else place + MAX_JUNK + 2
        found = (_AFTER_SCAN if in_scan else _MARKER).search(data, place, reach)
        if found is None:
            if reach < len(data):
                yield 0, reach
            return
        marker, place = found[1][0], found.end()
        if marker == 0xD9:
            return
        yield marker, place
        place += _length(data, marker, place)
        in_scan = marker == 0xDA or (in_scan and marker < 0xC0)


def _length(data: Bytes, marker: int, place: int) -> int:
    if marker < 0xC0 or 0xD0 <= marker <= 0xD8:  # stands alone
        return 0
    return int(max(struct.unpack_from(">H", data, place)[0], 2))


def _png(data: Bytes) -> None:
    most, number, profiles, place = MAX_CHUNKS + len(data) // CHUNK, 0, 0, 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        number, profiles, place = number + 1, profiles + (kind == b"iCCP"), place + 12 + length
        if number > most or profiles > MAX_PROFILES:
            raise PictureError(Failure.CHUNKS)
        if kind == b"IEND":
            break


def _gif(data: Bytes) -> None:
    place, number = 13 + (3 * (2 << (data[10] & 7)) if data[10] & 0x80 else 0), 0
    while data[place] not in b",;":
        number += 1
        if data[place] != 0x21:
            place += 1
        else:
            place += 2
            while size := data[place]:
                place, number = place + 1 + size, number + 1
                if number > MAX_BLOCKS:
                    break
            place += 1
        if number > MAX_BLOCKS:
            raise PictureError(Failure.BLOCKS)


def _tiff(data: Bytes) -> None:
    order, big = _TIFF[data[:4]], data[2:4] in (b"\0\x2b", b"\x2b\0")
    (place,) = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)
    (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, place)
    place += 8 if big else 2
    entry, size, tile = ("HHQ", 20, [1, 1]) if big else ("HHL", 12, [1, 1])
    if entries > 65_535:
        raise PictureError(Failure.TAGS)
    for start in range(place, place + size * entries, size):
        tag, kind, count = struct.unpack_from(order + entry, data, start)
        if tag in (273, 279, 324, 325) and count > MAX_STRIPS:
            raise PictureError(Failure.STRIPS)
        if tag in (322, 323) and kind in _TIFF_TYPES:
            (tile[tag - 322],) = struct.unpack_from(order + _TIFF_TYPES[kind], data, start + size - (8 if big else 4))
            if tile[0] * tile[1] > MAX_TILE:
                raise PictureError(Failure.LARGE_TILES, f"{tile[0]} x {tile[1]} pixels")


def _bmp(data: Bytes) -> None:
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    if struct.unpack_from("<I", data, 14)[0] >= 40 and compression in (1, 2):
        _slow(data, abs(width * height))


def _ppm(data: Bytes) -> None:
    magic = _PPM.match(data)
    if magic is None:
        return
    head = _COMMENT.sub(b"", data[magic.end() : MAX_PPM_HEADER])
    tokens = head.split(None, 3)[:3]
    if len(tokens) < 3:
        if len(data) > MAX_PPM_HEADER:
            raise PictureError(Failure.LONG_HEADER)
        return
    try:
        pixels = int(tokens[0]) * int(tokens[1])
    except ValueError:
        return
    if magic[1] in b"123":
        if len(list(islice(re.finditer(b"#", data), MAX_COMMENTS + 1))) > MAX_COMMENTS:
            raise PictureError(Failure.COMMENTS)
        _slow(data, pixels)
    elif magic[1] in b"56" and tokens[2] not in (b"255", b"65535"):
        _slow(data, pixels)


def _slow(data: Bytes, pixels: int) -> None:
    if pixels > MAX_SLOW or len(data) > MAX_SLOW:
        raise PictureError(Failure.SLOW, "save it as PNG")
