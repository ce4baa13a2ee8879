"""When and with which camera an image was taken."""

import io

import pytest
from PIL import Image

from pipeline.library import capture, pictures
from tests.library.builders import encoded, noise

UNKNOWN = ("", "")


def photo(detail: dict | None = None, format_: str = "JPEG", **main: str) -> bytes:
    exif = Image.Exif()
    tags = {"make": capture.MAKE, "model": capture.MODEL, "serial": capture.CAMERA_SERIAL}
    for name, value in main.items():
        exif[tags[name]] = value
    if detail:
        exif[capture.EXIF] = detail
    return encoded(noise(1), format_, exif=exif)


def read(data: bytes) -> tuple[str, str]:
    facts = pictures.inspect(data)
    return facts.taken, facts.camera


def taken(text: object, **more: object) -> str:
    names = {"part": capture.SUBSECONDS_ORIGINAL, "digitized": capture.DIGITIZED}
    return read(photo({capture.ORIGINAL: text} | {names[name]: value for name, value in more.items()}))[0]


def test_a_photograph_says_when_and_with_which_body_it_was_taken():
    detail = {capture.ORIGINAL: "2026:05:04 03:02:01", capture.SUBSECONDS_ORIGINAL: "25", capture.BODY_SERIAL: "0123"}
    for format_ in ("JPEG", "PNG", "WEBP"):
        data = photo(detail, format_, make="Canon", model="Canon EOS 70D")
        assert read(data) == ("2026-05-04T03:02:01.25", "canon eos 70d #0123")


def test_an_image_without_exif_says_nothing():
    assert read(encoded(noise(1), "JPEG")) == UNKNOWN
    assert read(encoded(noise(1), "BMP")) == UNKNOWN


@pytest.mark.parametrize(
    "text", ["0000:00:00 00:00:00", "    :  :     :  :  ", "", "2026:13:01 00:00:00", "2026:02:30 00:00:00", "soon"]
)
def test_a_time_that_is_none_is_unknown(text):
    assert taken(text) == ""
    assert taken(text, digitized="2025:01:01 10:00:00") == "2025-01-01T10:00:00"


def test_a_clock_that_was_never_set_is_kept_as_it_is():
    assert taken("1970:01:01 00:00:00") == "1970-01-01T00:00:00"


def test_a_time_has_fractions_where_the_camera_wrote_them():
    assert taken("2026:05:04 03:02:01", part="007") == "2026-05-04T03:02:01.007"
    assert taken("2026:05:04 03:02:01", part="  ") == "2026-05-04T03:02:01"
    assert taken("2026-05-04T03:02:01.5+02:00") == "2026-05-04T03:02:01.5"


@pytest.mark.parametrize(
    ("main", "camera"),
    [
        ({"make": "NIKON CORPORATION", "model": "NIKON D90 "}, "nikon d90"),
        ({"make": "RECONYX", "model": "HC600\0\0", "serial": "H600"}, "reconyx hc600 #h600"),
        ({"model": "Bushnell\t 119"}, "bushnell 119"),
        ({"make": "Acme", "model": "One", "serial": "0000000"}, "acme one"),
        ({"make": "  "}, ""),
        ({"make": "x" * 5000}, "x" * capture.MAX_TEXT),
    ],
)
def test_a_camera_is_its_make_model_and_number(main, camera):
    assert read(photo(**main))[1] == camera


def test_damaged_exif_fails_no_image():
    whole = photo({capture.ORIGINAL: "2026:05:04 03:02:01"}, make="Acme", model="One")
    start = whole.index(b"Exif\0\0")
    length = int.from_bytes(whole[start - 2 : start])
    for place in range(start + 6, start + length - 2):
        for flipped in (0xFF, 0x01, 0x80):
            damaged = bytearray(whole)
            damaged[place] ^= flipped
            assert pictures.inspect(bytes(damaged)).phash == pictures.inspect(whole).phash


def test_a_name_that_is_no_text_is_unknown():
    class Strange:
        def getexif(self) -> "Strange":
            return self

        def get_ifd(self, _: int) -> dict:
            return {capture.ORIGINAL: 7, capture.BODY_SERIAL: (1, 2)}

        def get(self, _: int) -> bytes:
            return b"\xff\xfe"

    assert capture.of(Strange()) == UNKNOWN
    assert capture.of(Image.open(io.BytesIO(photo(make="Acme"))))[1] == "acme"
