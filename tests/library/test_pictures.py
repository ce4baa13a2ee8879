import io
import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.library import pictures
from pipeline.library.failures import PictureError
from tests.library.builders import encoded, noise, photograph, put

FLIP, TURN = Image.Transpose, Image.Transpose
STORED = {  # how a camera stores the upright picture, for each EXIF orientation (Exif 2.32, tag 0x0112)
    1: lambda p: p,
    2: lambda p: p.transpose(FLIP.FLIP_LEFT_RIGHT),
    3: lambda p: p.transpose(TURN.ROTATE_180),
    4: lambda p: p.transpose(FLIP.FLIP_TOP_BOTTOM),
    5: lambda p: p.transpose(FLIP.TRANSPOSE),
    6: lambda p: p.transpose(TURN.ROTATE_90),
    7: lambda p: p.transpose(FLIP.TRANSVERSE),
    8: lambda p: p.transpose(TURN.ROTATE_270),
}


def corners() -> Image.Image:
    """Red, green, blue and white corners, wider than high: no turn or flip leaves it as it is."""
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    return Image.fromarray(np.kron(colours, np.ones((16, 32, 1), dtype=np.uint8)))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[pictures.ORIENTATION_TAG] = orientation
    return tags


def bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def phash(picture: Image.Image) -> str:
    return pictures.inspect(encoded(picture)).phash


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_read_as_the_same_upright_picture(orientation, format_, tmp_path):
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format_, {})
    data = encoded(STORED[orientation](corners()), format_, exif=exif(orientation), **options)
    upright = pictures.decode(data)
    assert upright.size == (64, 32)
    assert np.abs(np.asarray(upright, int) - np.asarray(corners(), int)).max() < 12
    facts = pictures.inspect(data)
    assert (facts.width, facts.height, facts.orientation, facts.format) == (64, 32, orientation, format_)
    seen = pictures.read(put(tmp_path / "x.jpg", data), 16)
    assert np.abs(seen[2, 2].astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_the_index_measures_is_measured_upright(orientation, format_):
    picture = photograph(301, 203)
    options = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}}.get(format_, {})
    upright, stored = (
        pictures.inspect(encoded(kept, format_, exif=exif(tag), **options))
        for kept, tag in ((picture, 1), (STORED[orientation](picture), orientation))
    )
    assert (stored.width, stored.height, stored.orientation) == (301, 203, orientation)
    assert bits(stored.phash, upright.phash) <= 2
    assert np.abs(stored.grey.astype(int) - upright.grey).mean() < 2


@pytest.mark.parametrize("value", [0, 9, 77])
def test_a_senseless_orientation_counts_as_upright(value):
    assert pictures.inspect(encoded(corners(), "JPEG", exif=exif(value))).orientation == 1


@pytest.mark.parametrize("tags", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01", b"Exif\0\0"])
def test_a_picture_with_damaged_exif_is_still_a_picture(tags):
    facts = pictures.inspect(encoded(corners(), "JPEG", exif=tags))
    assert (facts.width, facts.height, facts.orientation) == (64, 32, 1)


def with_alpha(mode: str) -> Image.Image:
    if mode == "P":
        picture = Image.new("P", (8, 8), 1)
        picture.putpalette([255, 0, 0, 0, 0, 255])
        picture.paste(0, (0, 0, 4, 8))
        picture.info["transparency"] = 0
        return picture
    picture = Image.new(mode, (8, 8), {"RGBA": (0, 0, 255, 255), "LA": (40, 255)}[mode])
    picture.paste({"RGBA": (0, 0, 0, 0), "LA": (0, 0)}[mode], (0, 0, 4, 8))
    return picture


@pytest.mark.parametrize(("mode", "solid"), [("RGBA", (0, 0, 255)), ("LA", (40, 40, 40)), ("P", (0, 0, 255))])
def test_transparent_pixels_show_white(mode, solid):
    seen = pictures.decode(encoded(with_alpha(mode)))
    assert seen.mode == "RGB"
    assert (seen.getpixel((1, 4)), seen.getpixel((6, 4))) == ((255, 255, 255), solid)


def test_half_transparent_pixels_are_mixed_with_white():
    assert pictures.decode(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))).getpixel((0, 0)) == (127, 127, 127)


def test_twelve_bits_in_sixteen_are_not_next_to_black():
    values = np.linspace(0, 4090, 64 * 64).reshape(64, 64).astype(np.uint16)
    grey = pictures.inspect(encoded(Image.fromarray(values))).grey
    assert grey.mean() == pytest.approx(127, abs=2)
    assert pictures.inspect(encoded(Image.fromarray(values // 4))).grey.mean() < 4  # no camera: a dark image


def test_a_heic_of_a_phone_is_read_upright():
    facts = pictures.inspect(encoded(STORED[6](corners()), "HEIF", exif=exif(6).tobytes(), quality=-1))
    assert (facts.width, facts.height, facts.format) == (64, 32, "HEIF")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(20), "a kind of image that is not read: JPEG XL"),
        (b"%PDF-1.7" + bytes(20), "a kind of image that is not read: PDF"),
        (encoded(corners().convert("LAB"), "TIFF"), "a kind of image that is not read: colours in CIELAB"),
    ],
    ids=["JPEG XL", "PDF", "LAB"],
)
def test_a_kind_of_image_that_is_not_read_is_named(data, reason):
    with pytest.raises(PictureError) as refused:
        pictures.inspect(data)
    assert str(refused.value) == reason


@pytest.mark.parametrize(("value", "grey"), [(65535, 255), (32768, 127), (200, 0), (0, 0)])
def test_sixteen_bits_a_pixel_keep_their_brightness_however_dark(value, grey):
    data = encoded(Image.fromarray(np.full((8, 8), value, dtype=np.uint16)))
    assert pictures.decode(data).getpixel((3, 3)) == (grey, grey, grey)


@pytest.mark.parametrize(("value", "grey"), [(0.5, 127), (1.0, 255), (200.0, 200), (float("nan"), 0)])
def test_pixels_kept_as_fractions_keep_their_brightness(value, grey):
    data = encoded(Image.fromarray(np.full((8, 8), value, dtype=np.float32)), "TIFF")
    assert pictures.decode(data).getpixel((3, 3)) == (grey, grey, grey)


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr"])
def test_every_colour_mode_becomes_rgb(mode, tmp_path):
    data = encoded(noise(1).convert(mode), "TIFF" if mode == "1" else "JPEG")
    assert pictures.read(put(tmp_path / "x", data), 32).shape == (32, 32, 3)


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path):
    path = put(tmp_path / "x.jpg", encoded(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(pictures.read(path, 8).astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_read(format_):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], format_, save_all=True, append_images=frames[1:], duration=50)
    assert np.abs(np.asarray(pictures.decode(data), int) - [255, 0, 0]).max() < 6


def test_the_format_is_told_from_the_bytes_not_from_the_name(tmp_path):
    path = put(tmp_path / "a.jpg", encoded(corners(), "WEBP", lossless=True))
    assert pictures.inspect(pictures.load_bytes(path)).format == "WEBP"
    assert pictures.read(path, 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"These are notes.\n", "not a picture"),
        (encoded(noise(1, 256), "JPEG")[:3000], "damaged or cut short"),
        (encoded(noise(1), "JPEG")[:100], "not a picture"),
        (encoded(noise(1), "JPEG")[:-200], "damaged or cut short"),
        (encoded(noise(1), "PNG")[:500], "damaged or cut short"),
        (encoded(Image.new("L", (2000, 2000))), "too large: 2000 x 2000 pixels"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(data, reason):
    for use in (pictures.decode, pictures.inspect):
        with pytest.raises(PictureError) as refused:
            use(data, max_megapixels=3.9)
        assert str(refused.value) == reason


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.99, -50, -8])
def test_a_jpeg_cut_short_is_found_though_it_is_decoded_at_a_reduced_scale(kept, progressive):
    data = encoded(photograph(640, 480), "JPEG", quality=85, progressive=progressive)
    assert pictures.inspect(data).width == 640
    short = data[: int(kept * len(data)) if kept > 0 else kept]
    for use in (pictures.decode, pictures.inspect):
        with pytest.raises(PictureError, match=r"^damaged or cut short$"):
            use(short)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_damaged_jpeg_is_a_failure_in_the_index_where_it_is_one_in_training(data):
    bytes_ = bytearray(SCALED)
    for _ in range(data.draw(st.integers(1, 6))):
        bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
    reasons = []
    for use in (pictures.decode, pictures.inspect):
        try:
            use(bytes(bytes_), max_megapixels=1)
            reasons.append("")
        except PictureError as reason:
            reasons.append(str(reason))
    assert reasons[0] == reasons[1]


def test_a_picture_of_exactly_the_largest_size_is_read():
    assert pictures.decode(encoded(Image.new("L", (2000, 2000))), max_megapixels=4).size == (2000, 2000)


def test_a_too_large_picture_is_refused_before_its_pixels_are_decoded():
    header = encoded(Image.new("1", (12_000, 12_000)))  # 144 megapixels in a few kB
    with pytest.raises(PictureError, match="too large"):
        pictures.inspect(header)


def test_what_the_index_took_is_read_whatever_its_size(tmp_path):
    """The user may set max_megapixels above the module's own bound; train must not refuse what the index accepts."""
    path = put(tmp_path / "wide.jpg", encoded(Image.new("L", (10_200, 10_000)), "JPEG"))
    assert pictures.read(path, 8).shape == (8, 8, 3)


def test_a_missing_file_and_a_folder_say_so(tmp_path):
    with pytest.raises(PictureError, match=r"^missing$"):
        pictures.load_bytes(tmp_path / "x.jpg")
    with pytest.raises(PictureError, match="unreadable: Is a directory"):
        pictures.load_bytes(tmp_path)


SCALED = encoded(photograph(200, 150), "JPEG", quality=50)
WHOLE = {format_: encoded(noise(2, 24), format_) for format_ in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")}


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_bytes_are_a_picture_or_a_picture_error_and_nothing_else(data):
    bytes_ = bytearray(WHOLE[data.draw(st.sampled_from(sorted(WHOLE)))])
    for _ in range(data.draw(st.integers(1, 8))):
        bytes_[data.draw(st.integers(0, min(len(bytes_) - 1, 400)))] = data.draw(st.integers(0, 255))
    with suppress(PictureError):
        pictures.inspect(bytes(bytes_), max_megapixels=1)


@pytest.mark.parametrize("colour", ["black", "white", "red", (120, 120, 121)])
def test_a_flat_picture_has_no_perceptual_hash(colour):
    assert pictures.inspect(encoded(Image.new("RGB", (64, 48), colour), "JPEG")).phash == ""


@pytest.mark.parametrize("seed", range(5))
def test_a_picture_encoded_again_smaller_or_brighter_looks_the_same(seed):
    picture = noise(seed, 128)
    own = phash(picture)
    brighter = picture.point(lambda value: min(255, value + 6))
    for data in (encoded(picture, "JPEG", quality=60), encoded(picture.resize((96, 96))), encoded(brighter, "WEBP")):
        assert bits(own, pictures.inspect(data).phash) <= 4
    assert bits(own, phash(noise(seed + 100, 128))) > 10


@pytest.mark.parametrize("size", [(640, 480), (277, 183), (1031, 129), (65, 300)])
def test_a_jpeg_of_any_size_looks_like_its_png(size):
    """A JPEG is decoded at a scale of a half, a quarter or an eighth, which seldom divides its sides."""
    picture = photograph(*size, seed=4)
    own = phash(picture)
    small = picture.resize((round(size[0] * 0.37), round(size[1] * 0.37)), Image.Resampling.BICUBIC)
    for data in (encoded(picture, "JPEG", quality=90), encoded(small, "JPEG", quality=90), encoded(small)):
        assert bits(own, pictures.inspect(data).phash) <= 4


def test_a_perceptual_hash_is_sixteen_hexadecimal_digits():
    assert len(phash(noise(3))) == 16
    assert int(phash(noise(3)), 16) > 0


def test_two_pictures_in_a_cameras_file_are_read_as_the_first():
    data = encoded(photograph(640, 480), "MPO", save_all=True, append_images=[noise(2, 64)])
    facts = pictures.inspect(data)
    assert (facts.format, facts.width, facts.height) == ("MPO", 640, 480)
    assert bits(facts.phash, phash(photograph(640, 480))) <= 4


def test_the_whole_picture_is_stretched_to_the_square(tmp_path):
    wide = Image.new("RGB", (300, 60), "white")
    wide.paste("red", (0, 0, 30, 60))
    wide.paste("blue", (270, 0, 300, 60))
    seen = pictures.read(put(tmp_path / "x.png", wide), 50)
    assert seen.shape == (50, 50, 3)
    assert seen.dtype == np.uint8
    assert (seen[25, 1] == [255, 0, 0]).all()
    assert (seen[25, 48] == [0, 0, 255]).all()


def test_a_jpeg_decoded_at_a_reduced_scale_is_close_to_the_full_one(tmp_path):
    path = put(tmp_path / "x.jpg", encoded(noise(5, 1200), "JPEG", quality=90))
    whole = pictures.decode(path.read_bytes())
    reduced = pictures.decode(path.read_bytes(), least_side=100)
    assert whole.size == (1200, 1200)
    assert 100 * pictures.REDUCED <= reduced.width < 200 * pictures.REDUCED
    full = np.asarray(whole.resize((100, 100), Image.Resampling.BILINEAR), int)
    assert np.abs(pictures.read(path, 100) - full).mean() < 1


def test_a_thumbnail_is_upright_and_keeps_its_shape(tmp_path):
    data = encoded(STORED[6](corners()), "JPEG", exif=exif(6))
    small = Image.open(io.BytesIO(pictures.thumbnail(put(tmp_path / "x.jpg", data), 20)))
    assert (small.size, small.format) == ((20, 10), "JPEG")


def test_a_thumbnail_of_a_large_jpeg_is_decoded_small_and_is_close_to_the_full_one():
    data = encoded(noise(5, 1200), "JPEG", quality=90)
    small = Image.open(io.BytesIO(pictures.to_thumbnail(data, 150)))
    assert small.size == (150, 150)
    assert pictures.decode(data, longer_side=150).size == (150, 150)
    whole = np.asarray(pictures.decode(data).resize((150, 150), Image.Resampling.BICUBIC), int)
    assert np.abs(np.asarray(small, int) - whole).mean() < 3


@pytest.mark.parametrize(("side", "made"), [(150, 150), (160, 150), (180, 180)])
def test_a_large_jpeg_that_nearly_fills_the_side_at_a_reduced_scale_is_left_so(side, made):
    data = encoded(noise(5, 1200), "JPEG", quality=90)
    assert Image.open(io.BytesIO(pictures.to_thumbnail(data, side))).size == (made, made)


def test_reading_pictures_leaves_the_programs_own_warnings_alone():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        pictures.decode(encoded(with_alpha("P")))
        warnings.warn("a warning of ours", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in heard] == ["a warning of ours"]


def test_a_text_does_not_look_like_a_picture(tmp_path):
    assert not pictures.looks_like_one(put(tmp_path / "a.jpg", b"notes"))
    assert not pictures.looks_like_one(tmp_path / "missing.jpg")
    assert pictures.looks_like_one(put(tmp_path / "b", noise(1)))
