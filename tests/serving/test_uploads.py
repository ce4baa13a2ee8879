"""Whatever is sent: an answer, or a refusal that says why; never a fault of the service."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.serving.made_up_records import stored
from tests.serving.made_up_service import CLASSES, picture, running
from tests.serving.made_up_site import site

SAMPLES = [
    picture(200, format_="JPEG"),
    picture(200, format_="PNG"),
    picture(200, format_="GIF"),
    picture(200, format_="WEBP"),
    picture(200, format_="BMP"),
    picture(200, format_="TIFF"),
    picture(200, format_="JPEG2000"),
    picture(200, format_="AVIF"),
]


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that would be a picture of `side` by `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A PNG whose comment would unfold to 200 MB."""
    whole = picture(200)
    body = b"zTXt" + b"Comment\0\0" + zlib.compress(b"\0" * 200_000_000, 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return whole[:33] + chunk + whole[33:]


def animated() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("L", (16, 16), shade) for shade in (255, 0, 0)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def turned() -> bytes:
    """Stored on its side, light half left."""
    half = np.zeros((16, 32, 3), np.uint8)
    half[:, :24] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(half).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def sixteen_bits() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16), 60_000, np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(tmp_path_factory.mktemp("service")) as own:
        yield own


@pytest.mark.parametrize(
    "data",
    [
        animated(),
        picture(0, format_="JPEG", mode="CMYK"),
        sixteen_bits(),
        turned(),
        picture(1, format_="PNG", mode="1"),
        picture(200, format_="PNG", mode="LA"),
        picture(200, format_="TIFF", mode="F"),
        *SAMPLES,
    ],
    ids=[
        "animated",
        "cmyk",
        "16-bit",
        "turned",
        "1-bit",
        "alpha",
        "float",
        *["jpeg", "png", "gif", "webp", "bmp", "tiff", "jp2", "avif"],
    ],
)
def test_every_kind_of_picture_is_named(service, data):
    answer = service.predict(data)
    assert answer.status_code == 200
    assert answer.json()["pictures"][0]["label"] == "light"


@pytest.mark.parametrize(
    ("data", "status", "why"),
    [
        (b"", 422, "empty file"),
        (b"no picture", 422, "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 422, "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "not a picture"),
        (picture(200, side=400, format_="JPEG")[:-900], 422, "damaged or cut short"),
        (SAMPLES[1][:60], 422, ""),
        (bomb(900), 422, "damaged or cut short"),
        (bomb(60_000), 413, "too large: 60000 x 60000 pixels"),
        (text_bomb(), 422, ""),
        (picture(200, side=1100, format_="JPEG"), 413, "too large: 1100 x 1100 pixels"),
        (b"\0" * 2_500_000, 413, "a body may have 2 MB"),
    ],
    ids=["empty", "text", "postscript", "svg", "cut", "cut-png", "bomb", "huge-bomb", "text-bomb", "large", "body"],
)
def test_what_cannot_be_named_is_refused_with_the_reason(service, data, status, why):
    answer = service.predict(data)
    assert (answer.status_code, why in answer.json()["error"]) == (status, True)
    assert service.predict(SAMPLES[0]).status_code == 200


def test_a_body_of_unknown_length_is_read_no_further_than_it_may_be(service):
    answer = service.client.post("/predict", content=(b"\0" * 100_000 for _ in range(100)))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "C:\\boot.ini", "a\r\nb.png", "\ud800.png", "x" * 5000, "<script>", "", "%00"],
)
def test_the_name_of_a_file_plays_no_part(service, name):
    boundary = b"frontier"
    disposition = f'form-data; name="file"; filename="{name}"'.encode("utf-8", "surrogatepass")
    body = b"--" + boundary + b"\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + SAMPLES[1]
    body += b"\r\n--" + boundary + b"--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=frontier"}
    answer = service.client.post("/predict", content=body, headers=headers)
    strange = not name or "\n" in name or len(name) > 1000
    assert answer.status_code in ((200, 422) if strange else (200,))
    files = {path.name for path in service.folder.rglob("*") if path.is_file()}
    assert not {part for part in files if "passwd" in part or "boot" in part or "script" in part}


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b"--x", {"content-type": "multipart/form-data; boundary=x"}),
        (b"junk", {"content-type": "multipart/form-data"}),
        (b"--x\r\n\r\n\r\n--x--", {"content-type": "multipart/form-data; boundary=x"}),
        (b"a=b", {"content-type": "application/x-www-form-urlencoded"}),
        (b'{"urls": []}', {"content-type": "application/json"}),
        (b"{", {"content-type": "application/json"}),
        (b"\xff", {"content-type": "application/json; charset=utf-7"}),
        (b"x", {"content-type": "\xff"}),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_the_reason(service, content, headers):
    answer = service.client.post(
        "/predict", content=content, headers={k: v.encode("latin-1") for k, v in headers.items()}
    )
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_more_pictures_than_a_request_may_have_are_refused(service):
    assert service.predict(*[SAMPLES[1]] * 9).status_code == 422
    assert service.predict(*[SAMPLES[1]] * 8).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "testserver", "[::2]:8800", "[::1", "127.0.0.1.evil.example"])
def test_another_site_cannot_call_the_service_by_a_name_of_its_own(service, host):
    assert service.client.get("/version", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost:8800", "127.0.0.1:8800", "[::1]:8800", "[::1]"])
def test_this_machine_is_answered_by_each_of_its_own_names(service, host):
    own = {"host": host, "origin": f"http://{host}"}
    assert service.client.post("/predict", content=SAMPLES[1], headers=own).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:81", "http://["])
def test_a_page_of_another_site_cannot_make_a_browser_ask(service, origin):
    assert service.client.post("/predict", content=SAMPLES[1], headers={"origin": origin}).status_code == 403
    own = {"origin": "http://localhost"}
    assert service.client.post("/predict", content=SAMPLES[1], headers=own).status_code == 200


def test_a_thousand_spoilt_pictures_are_named_or_refused_and_each_is_recorded(tmp_path):
    draw = random.Random(0)
    with running(tmp_path, max_megabytes=1) as own:
        told = [own.client.post("/predict", content=spoilt(draw)) for _ in range(1000)]
    assert {answer.status_code for answer in told} <= {200, 413, 422}
    assert all(answer.json()["error"] for answer in told if answer.status_code != 200)
    names = [answer.json()["pictures"][0]["label"] for answer in told if answer.status_code == 200]
    assert set(names) <= set(CLASSES)
    rows = stored(own.url)
    assert sorted(row["request_id"] for row in rows) == sorted(answer.json()["request_id"] for answer in told)
    assert [row["status"] for row in sorted(rows, key=lambda row: row["id"])] == [answer.status_code for answer in told]


def spoilt(draw: random.Random) -> bytes:
    """A picture with some bytes changed, cut out, doubled or put before it."""
    data = bytearray(draw.choice(SAMPLES))
    for _ in range(draw.randint(1, 8)):
        place = draw.randrange(len(data)) if data else 0
        match draw.randrange(4):
            case 0:
                data[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del data[place : place + draw.randint(1, 40)]
            case 2:
                data[place:place] = data[place : place + draw.randint(1, 40)]
            case _:
                data[place : place + 4] = draw.randbytes(4)
    return bytes(data) or b"\0"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300), kind=st.sampled_from(["multipart/form-data; boundary=x", "application/json", "a/b"])
)
def test_no_body_whatever_is_a_fault_of_the_service(service, body, kind):
    assert service.client.post("/predict", content=body, headers={"content-type": kind}).status_code < 500


def test_pictures_are_fetched_only_where_the_params_allow_it(tmp_path):
    def pictures(path: str):
        return (200 if path.endswith(".png") else 404), {}, SAMPLES[1]

    with site(pictures) as address, running(tmp_path, allowed_urls=[f"{address}/public/"]) as own:

        def ask(*urls: str):
            return own.client.post("/predict", json={"urls": list(urls)})

        answer = ask(f"{address}/public/a.png", f"{address}/public/b.png")
        assert [picture["label"] for picture in answer.json()["pictures"]] == ["light", "light"]
        for foreign in (f"{address}/private/a.png", f"{address}/public/../private/a.png", "file:///etc/passwd"):
            assert (ask(foreign).status_code, ask(f"{address}/public/a.png", foreign).status_code) == (403, 403)
        assert ask(f"{address}/public/gone").status_code == 422
    assert len(stored(own.url)) == 2


def test_without_an_allowed_address_none_is_fetched(service):
    answer = service.client.post("/predict", json={"urls": ["http://127.0.0.1:1/a.png"]})
    assert (answer.status_code, answer.json()["mend"]) == (403, "send the picture itself")
