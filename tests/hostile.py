"""Images of a few bytes that cost a decoder minutes or gigabytes."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

CHUNK = b"\0" * 1_000_000


def jpeg(width: int, height: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan of the first refinement is repeated."""
    whole = encoded(Image.new("L", (width, height), 128), "JPEG", progressive=True, quality=50)
    starts = [place for place in range(len(whole)) if whole[place : place + 2] == b"\xff\xda"]
    first, after = starts[-1], whole.index(b"\xff\xd9", starts[-1])
    return whole[:first] + whole[first:after] * (scans - len(starts) + 1) + whole[after:]


def jpeg_with(segments: bytes) -> bytes:
    whole = encoded(Image.new("L", (16, 16)), "JPEG")
    return whole[:2] + segments + whole[2:]


def png(width: int, height: int, before: bytes = b"", after: bytes = b"", *, bits: int = 8, colour: int = 0) -> bytes:
    """A black PNG, with chunks before and after its pixels."""
    bands = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    left, packed = height * (1 + width * bands * bits // 8), []
    while left > 0:
        packed.append(packer.compress(CHUNK[:left]))
        left -= len(CHUNK)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", b"".join(packed) + packer.flush())
    return b"\x89PNG\r\n\x1a\n" + header + before + pixels + after + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif_with(blocks: bytes) -> bytes:
    whole = encoded(Image.new("L", (16, 16), 9), "GIF")
    place = 13 + 3 * (2 << (whole[10] & 7))
    return whole[:place] + blocks + whole[place:]


def tiff(width: int, height: int, tile: tuple[int, int]) -> bytes:
    """An uncompressed grey TIFF whose tiles all lie at one place."""
    number = -(-width // tile[0]) * -(-height // tile[1])
    values = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1, 322: tile[0], 323: tile[1]}
    table = 8 + 2 + 12 * (len(values) + 2) + 4
    pixels = table + 8 * number
    entries = [struct.pack("<HHLL", tag, 4, 1, value) for tag, value in values.items()]
    entries += [struct.pack("<HHLL", 324, 4, number, table), struct.pack("<HHLL", 325, 4, number, table + 4 * number)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<L", 0)
    places = np.full(number, pixels, "<u4").tobytes() + np.full(number, tile[0] * tile[1], "<u4").tobytes()
    return b"II*\0" + struct.pack("<L", 8) + directory + places + b"\0" * min(tile[0] * tile[1], 10_000)


def bmp(width: int, height: int, runs: bytes) -> bytes:
    """A BMP of 256 colours with run-length encoding."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 2835, 2835, 256, 0)
    start = 14 + len(header) + 1024
    return b"BM" + struct.pack("<IHHI", start + len(runs), 0, 0, start) + header + bytes(1024) + runs


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()
