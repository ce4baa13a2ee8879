"""The other views of an image, and the second look at what they make alike."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.library import looks, pictures
from tests.library.builders import encoded

TURN = Image.Transpose


def photograph(seed: int) -> Image.Image:
    """Shapes of all sizes, the large ones the strongest, as photographs have them."""
    random = np.random.default_rng(seed)
    shapes = np.zeros((240, 320))
    for cells in (3, 6, 12, 24, 48, 96):
        noise = Image.fromarray(random.normal(0, 1, (cells, cells)).astype(np.float32))
        shapes += np.asarray(noise.resize((320, 240), Image.Resampling.BICUBIC)) * 90 / cells
    return Image.fromarray(np.clip(128 + shapes, 0, 255).astype(np.uint8)).convert("RGB")


PHOTOGRAPH = photograph(1)


def hashes(image: Image.Image) -> dict[str, str]:
    """The hash of each view of an image, and its own."""
    facts = pictures.inspect(encoded(image))
    views = looks.views(facts.grey)
    digits = [views[start : start + 16] for start in range(0, len(views), 16)]
    return {"own": facts.phash} | dict(zip(looks.VIEWS, digits, strict=True))


def bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize(
    ("view", "transform"),
    [
        ("mirror", ImageOps.mirror),
        ("upside down", lambda image: image.transpose(TURN.ROTATE_180)),
        ("flip", ImageOps.flip),
        ("turn", lambda image: image.transpose(TURN.ROTATE_270)),
        ("transpose", lambda image: image.transpose(TURN.TRANSPOSE)),
        ("transverse", lambda image: image.transpose(TURN.TRANSVERSE)),
        ("crop 95", lambda image: image.crop((8, 6, 312, 234))),
        ("crop 90", lambda image: image.crop((16, 12, 304, 228))),
        ("rotate 2", lambda image: image.rotate(-2, Image.Resampling.BICUBIC)),
        ("rotate -2", lambda image: image.rotate(2, Image.Resampling.BICUBIC)),
    ],
)
def test_a_view_has_the_hash_of_the_image_seen_so(view, transform):
    assert bits(hashes(PHOTOGRAPH)[view], hashes(transform(PHOTOGRAPH))["own"]) <= 4


def test_a_turn_to_the_left_is_a_turn_of_the_other_image():
    turned = PHOTOGRAPH.transpose(TURN.ROTATE_90)
    assert bits(hashes(turned)["turn"], hashes(PHOTOGRAPH)["own"]) <= 4


@pytest.mark.parametrize("border", [(0, 40), (30, 0), (9, 9), (8, 50)])
@pytest.mark.parametrize("colour", ["black", "white", "red"])
def test_a_uniform_border_is_trimmed(border, colour):
    framed = ImageOps.expand(PHOTOGRAPH, border, colour)
    assert bits(hashes(framed)["trim"], hashes(PHOTOGRAPH)["own"]) <= 4


def test_an_image_without_a_border_has_nothing_to_trim():
    assert hashes(PHOTOGRAPH)["trim"] == looks.NONE
    assert bits(looks.NONE, hashes(PHOTOGRAPH)["own"]) > 16


def test_a_flat_image_has_no_views():
    assert looks.views(np.full((64, 64), 90, np.uint8)) == ""


def test_a_flat_image_in_a_frame_has_no_trimmed_view():
    framed = np.zeros((64, 64), np.uint8)
    framed[10:54, 10:54] = 120
    views = looks.views(framed)
    assert len(views) == 16 * len(looks.VIEWS)
    assert views[16 * looks.VIEWS.index("trim") :][:16] == looks.NONE


def seen(image: Image.Image, *options: str, **more: int) -> np.ndarray:
    return looks.look(pictures.inspect(encoded(image, *options, **more)).grey)


def verdict(first: Image.Image, second: Image.Image, view: str = looks.OWN) -> str:
    return looks.verdicts(seen(first)[None], seen(second)[None], [view])[0]


def scene(animal: int, share: float = 0.01) -> Image.Image:
    """A fixed camera's background, shot again with noise and other light, with an animal on a share of it, or none."""
    random = np.random.default_rng(animal)
    pixels = np.asarray(PHOTOGRAPH, float).copy()
    if animal:
        side = round((share * 320 * 240) ** 0.5)
        across, down = random.integers(0, 320 - side), random.integers(0, 240 - side)
        pixels[down : down + side, across : across + side] += random.choice([-60, 60])
    pixels = pixels * random.uniform(0.96, 1.04) + random.normal(0, 4, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def test_an_image_encoded_again_resized_or_lighter_is_the_same():
    assert verdict(PHOTOGRAPH, PHOTOGRAPH.resize((160, 120))) == looks.SAME
    lighter = Image.fromarray((np.asarray(PHOTOGRAPH) * 0.8 + 20).astype(np.uint8))
    assert verdict(PHOTOGRAPH, lighter) == looks.SAME
    again = seen(PHOTOGRAPH, "JPEG", quality=40)
    assert looks.same(seen(PHOTOGRAPH)[None], again[None]).tolist() == [True]


def test_the_same_image_in_a_view_is_the_same():
    assert verdict(ImageOps.mirror(PHOTOGRAPH), PHOTOGRAPH, "mirror") == looks.SAME
    assert verdict(PHOTOGRAPH.transpose(TURN.ROTATE_270), PHOTOGRAPH, "turn") == looks.SAME


def test_another_animal_before_one_background_is_alike_and_an_empty_frame_the_same():
    empty = scene(0)
    assert verdict(empty, Image.fromarray(np.asarray(empty)[::1])) == looks.SAME
    assert {verdict(scene(animal), scene(animal + 1)) for animal in range(1, 20)} == {looks.ALIKE}
    assert {verdict(empty, scene(animal)) for animal in range(1, 20)} == {looks.ALIKE}


def test_a_crop_a_watermark_and_a_slight_turn_are_alike():
    marked = PHOTOGRAPH.copy()
    marked.paste("white", (180, 210, 300, 222), Image.new("L", (120, 12), 60))
    for changed in (PHOTOGRAPH.crop((8, 6, 312, 234)), marked, PHOTOGRAPH.rotate(2).crop((12, 12, 308, 228))):
        assert verdict(PHOTOGRAPH, changed) == looks.ALIKE


def test_other_images_are_unlike():
    assert {verdict(PHOTOGRAPH, photograph(seed)) for seed in range(2, 12)} == {looks.UNLIKE}
