"""Files that cost more than any photograph are refused at once; photographs, however odd, are not."""

import time

import pandas as pd
import pytest
from PIL import Image

from pipeline.library import index, pictures
from pipeline.library.failures import EXCESS, PictureError
from tests import hostile
from tests.library.builders import encoded, noise, photograph, put

HOSTILE = {
    "scans": (lambda: hostile.jpeg(1800, 1800, 1500), "too many scans: more than 100"),
    "scans-large": (lambda: hostile.jpeg(5000, 5000, 40), "too many scans: more than 20"),
    "row-of-one": (lambda: hostile.png(1, 20_000_000), "too long: 1 x 20000000 pixels, and a side may have 65535"),
    "one-row": (lambda: hostile.png(20_000_000, 1), "too long"),
    "jpeg-segments": (lambda: hostile.jpeg_with(b"\xff\xee\0\x02" * 200_000), "too many segments"),
    "jpeg-fill": (lambda: hostile.jpeg_with(b"\xff" * 5_000_000), "too many segments"),
    "jpeg-exif": (lambda: hostile.jpeg_with(b"\xff\xe1\0\x0aExif\0\0xx" * 4_000), "too many segments of Exif"),
    "png-chunks": (lambda: hostile.png(9, 9, hostile.chunk(b"abCd", b"") * 200_000), "too many chunks"),
    "png-chunks-after": (lambda: hostile.png(9, 9, b"", hostile.chunk(b"abCd", b"") * 200_000), "too many chunks"),
    "png-profiles": (lambda: hostile.png(9, 9, hostile.chunk(b"iCCP", b"x\0\0") * 50), "too many chunks"),
    "gif-comments": (lambda: hostile.gif_with(b"!\xfe\x01x\0" * 200_000), "too many blocks before the first frame"),
    "gif-junk": (lambda: hostile.gif_with(bytes(1_000_000)), "too many blocks before the first frame"),
    "tiff-tiles": (lambda: hostile.tiff(1000, 1000, (1, 1)), "too many strips or tiles"),
    "tiff-huge-tile": (lambda: hostile.tiff(16, 16, (40_000, 40_000)), "too large tiles: 40000 x 40000 pixels"),
    "bmp-rle": (lambda: hostile.bmp(60_000, 800, b"\x01\x05\0\0" * 800), "which is slow to read"),
    "ppm-text": (lambda: b"P2\n3000 3000\n255\n" + b"1 " * 9_000_000, "which is slow to read"),
    "ppm-broken-number": (lambda: b"P2\n30#\n00 3_000\n255\n" + b"1 " * 9_000_000, "which is slow to read"),
    "ppm-depth": (lambda: b"P6\n2500 2500\n254\n" + bytes(18_750_000), "which is slow to read"),
    "ppm-comments": (lambda: b"P2\n900 900\n255\n" + b"#\n" * 900_000, "too many comments"),
    "ppm-header": (lambda: b"P5\n#" + b"x" * 5_000_000 + b"\n16 16\n255\n" + bytes(256), "too long a header"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_costs_more_than_any_photograph_is_refused_before_it_is_decoded(kind, tmp_path):
    make, reason = HOSTILE[kind]
    data = make()
    path = put(tmp_path / "x.jpg", data)
    for use in (
        pictures.decode,
        pictures.inspect,
        pictures.dimensions,
        lambda data: pictures.to_pixels(data, 64),
        lambda data: pictures.to_thumbnail(data, 160),
        lambda data: pictures.read(path, 64),
    ):
        began = time.process_time()
        with pytest.raises(PictureError) as refused:
            use(data)
        assert reason in str(refused.value)
        assert refused.value.kind in EXCESS
        assert time.process_time() - began < 0.5


def test_in_the_index_it_is_one_row_with_its_reason_and_without_an_ending_none(tmp_path):
    for number, kind in enumerate(HOSTILE):
        put(tmp_path / "pool" / f"{number}.jpg", HOSTILE[kind][0]())
        put(tmp_path / "pool" / f"{number}", HOSTILE[kind][0]())
    put(tmp_path / "pool" / "good.jpg", encoded(noise(1), "JPEG"))
    began = time.process_time()
    rows = index.scan({"pool": tmp_path / "pool"}, tmp_path / "cache.parquet", max_megapixels=100)
    assert time.process_time() - began < 10
    failures = rows.set_index("image")["failure"]
    assert failures.pop("pool/good.jpg") == ""
    assert [reason in failures[f"pool/{number}.jpg"] for number, (_, reason) in enumerate(HOSTILE.values())] == [
        True
    ] * len(HOSTILE)
    again = index.scan({"pool": tmp_path / "pool"}, tmp_path / "cache.parquet", max_megapixels=100)
    pd.testing.assert_frame_equal(rows, again)


@pytest.mark.parametrize(
    "data",
    [
        encoded(photograph(640, 480), "JPEG", progressive=True),
        hostile.jpeg(320, 240, 100),
        hostile.jpeg(5000, 4000, 20),
        encoded(photograph(640, 480), "JPEG", exif=b"Exif\0\0" + b"\xff\xda" * 30_000),
        encoded(photograph(640, 480), "JPEG", progressive=True) + b"\xff\xda" * 100_000,
        encoded(photograph(640, 480), "JPEG", progressive=True, icc_profile=b"\xff\xda" * 200_000),
        encoded(Image.new("L", (65_535, 3)), "PNG"),
        encoded(Image.new("L", (3, 65_535)), "TIFF"),
        hostile.png(9, 9, hostile.chunk(b"tEXt", b"Comment\0x") * 2_000),
        hostile.gif_with(b"!\xfe" + (b"\xff" + b"x" * 255) * 4_000 + b"\0"),
        hostile.bmp(300, 2, b"\xff\x05\x2d\x05\0\0\xff\x07\x2d\x07\0\0\0\x01"),
        b"P2\n# a comment\n2 2\n255\n1 2 3 4\n",
        b"P6\n2 2\n1000\n" + bytes(24),
        b"P5\n2500 2500\n255\n" + bytes(6_250_000),
    ],
    ids=[
        *("progressive", "100-scans", "20-scans-of-20-megapixels", "scans-in-exif", "scans-after-the-end"),
        *("scans-in-profile", "widest", "highest", "2000-comments", "long-comment", "rle", "text", "depth", "raw"),
    ],
)  # fmt: skip
def test_what_an_encoder_may_write_is_read(data):
    assert pictures.to_pixels(data, 32).shape == (32, 32, 3)
    assert pictures.inspect(data).width


def test_many_scans_are_found_behind_whatever_stands_between_them():
    """A reader that skipped what libjpeg reads would count too few."""
    data = hostile.jpeg(64, 48, 400)
    first = data.index(b"\xff\xda")
    for between in (b"\xff\x02\xff\xff", b"\xff\x01", b"\xff\xff\xff", b"\xff\xfe\0\x04xx", b"\xff\xd3"):
        spoilt = data[:first] + data[first:].replace(b"\xff\xda", between + b"\xff\xda")
        with pytest.raises(PictureError, match="too many scans"):
            pictures.dimensions(spoilt)
