import re
from concurrent.futures import ThreadPoolExecutor

import albumentations as A  # noqa: N812
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.training.augmentation import Augmentation

SEEDS = range(60)
SAFE = {"flip": True, "rotate_degrees": 10, "zoom": 0.1}
NOISE = {"GaussNoise": {"std_range": [0.05, 0.1], "p": 0.5}}


def picture(height: int = 41, width: int = 41) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def spot(row: int, column: int, side: int = 81) -> np.ndarray:
    """A small white spot on black."""
    black = np.zeros((side, side, 3), np.uint8)
    black[row - 1 : row + 2, column - 1 : column + 2] = 255
    return black


def place(augmented: np.ndarray) -> np.ndarray:
    """The spot's place, (x, y) from the middle of the picture."""
    light = augmented[..., 0].astype(float)
    rows, columns = np.indices(light.shape)
    middle = (light.shape[0] - 1) / 2
    return np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum() - middle


@pytest.mark.parametrize("stronger", [{}, NOISE])
def test_the_same_seed_gives_the_same_picture_whatever_the_number_of_threads(stronger):
    augment = Augmentation(**SAFE, stronger=stronger)
    alone = [augment(picture(), seed) for seed in SEEDS]
    with ThreadPoolExecutor(8) as workers:
        together = list(workers.map(lambda seed: Augmentation(**SAFE, stronger=stronger)(picture(), seed), SEEDS))
        shared = list(workers.map(lambda seed: augment(picture(), seed), SEEDS))
    assert np.array_equal(alone, together)
    assert np.array_equal(alone, shared)
    assert len({image.tobytes() for image in alone}) == len(SEEDS)


@given(degrees=st.floats(-45, 45), scale=st.floats(0.5, 1.5), mirror=st.booleans())
def test_the_one_warp_does_what_albumentations_means_by_its_steps(degrees, scale, mirror):
    affine = A.Affine(rotate=(degrees, degrees), scale=(scale, scale), border_mode=cv2.BORDER_REFLECT_101, p=1)
    steps = A.Compose([A.HorizontalFlip(p=float(mirror)), affine])
    smooth = cv2.GaussianBlur(picture(40, 60), (0, 0), 3)  # on noise, the last bit of a coordinate is seen
    once = Augmentation(**SAFE)._warp(smooth, mirror=mirror, degrees=degrees, scale=scale)
    assert np.abs(steps(image=smooth)["image"].astype(int) - once).max() <= 4


def test_a_seed_s_picture_does_not_depend_on_what_was_drawn_before():
    augment = Augmentation(**SAFE)
    first = augment(picture(), 5)
    for seed in SEEDS:
        augment(picture(), seed)
    assert np.array_equal(augment(picture(), 5), first)


def test_no_black_wedge_enters_at_the_corners():
    augment = Augmentation(flip=True, rotate_degrees=45, zoom=0.5)
    white = np.full((32, 32, 3), 255, np.uint8)
    assert all((augment(white, seed) == 255).all() for seed in SEEDS)


@pytest.mark.parametrize("shape", [(41, 41), (30, 50)])
def test_size_and_type_of_the_picture_are_kept(shape):
    augmented = Augmentation(**SAFE)(picture(*shape), 3)
    assert augmented.shape == (*shape, 3)
    assert augmented.dtype == np.uint8


def test_a_picture_is_mirrored_half_of_the_time_and_only_when_asked():
    plain, mirrored = picture(), picture()[:, ::-1]
    flips = [Augmentation(flip=True, rotate_degrees=0, zoom=0)(plain, seed) for seed in range(200)]
    number = sum(np.array_equal(image, mirrored) for image in flips)
    assert 70 < number < 130
    assert number + sum(np.array_equal(image, plain) for image in flips) == 200
    never = Augmentation(flip=False, rotate_degrees=0, zoom=0)
    assert all(np.array_equal(never(plain, seed), plain) for seed in SEEDS)


def test_nothing_is_ever_turned_upside_down():
    above = spot(10, 40)
    assert all(place(Augmentation(**SAFE)(above, seed))[1] < -20 for seed in SEEDS)


def test_the_middle_stays_and_rotation_and_zoom_keep_within_their_bounds():
    augment = Augmentation(flip=False, rotate_degrees=10, zoom=0.1)
    assert max(np.abs(place(augment(spot(40, 40), seed))).max() for seed in SEEDS) < 1
    places = np.array([place(augment(spot(40, 70), seed)) for seed in range(200)])
    angles = np.degrees(np.arctan2(places[:, 1], places[:, 0]))
    sizes = np.hypot(*places.T) / 30
    assert np.abs(angles).max() < 11
    assert angles.min() < -8
    assert angles.max() > 8
    assert 0.88 < sizes.min() < 0.93
    assert 1.07 < sizes.max() < 1.12


def test_colours_are_evidence_and_stay():
    grey = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert all((Augmentation(**SAFE)(grey, seed) == (200, 100, 50)).all() for seed in SEEDS)


def test_a_picture_that_may_not_be_flipped_never_is_and_is_turned_all_the_same():
    two_sided = np.concatenate([np.zeros((41, 20, 3)), np.full((41, 21, 3), 255)], axis=1).astype(np.uint8)
    drawn = [Augmentation(**SAFE)(two_sided, seed, may_flip=False) for seed in SEEDS]
    assert all(image[20, 35].min() == 255 and image[20, 5].max() == 0 for image in drawn)
    assert len({image.tobytes() for image in drawn}) == len(SEEDS)


def test_nothing_in_a_picture_without_black_becomes_black():
    light = np.clip(picture(), 100, None)
    augment = Augmentation(flip=True, rotate_degrees=45, zoom=0.9)
    assert all(augment(light, seed).min() >= 100 for seed in SEEDS)
    assert all(view.min() >= 100 for view in augment.extremes(light).values())


def test_a_stronger_step_is_done_as_often_as_it_says():
    plain = Augmentation(flip=False, rotate_degrees=0, zoom=0, stronger=NOISE)
    changed = sum(not np.array_equal(plain(picture(), seed), picture()) for seed in range(200))
    assert 70 < changed < 130


@pytest.mark.parametrize(
    ("stronger", "said"),
    [
        ({"GausNoise": {}}, "no transform 'GausNoise'.*did you mean 'GaussNoise'"),
        ({"Compose": {}}, "no transform 'Compose'"),
        ({"Affine": {"scal": 1}}, "takes no 'scal'.*did you mean 'scale'"),
        ({"GaussNoise": {"var_limit": [10, 50]}}, "takes no 'var_limit'.*std_range"),  # of version 1, ignored by 2
        ({"GaussNoise": {"std_range": [5, 10]}}, "std_range.*must be >= 0 and <= 1"),
        ({"GaussNoise": {"p": 3}}, "p: Input should be less than or equal to 1"),
        ({"ShiftScaleRotate": {}}, "use Affine"),
        ({"FDA": {}}, "fda_metadata"),
        ({"RandomCrop": {"height": 8, "width": 8}}, "does not keep a picture's size and type"),
        ({"Normalize": {}}, "does not keep a picture's size and type"),
        ({"GaussNoise": None}, "no arguments by name"),
    ],
)
def test_a_stronger_step_that_would_not_be_done_as_written_is_refused(stronger, said):
    with pytest.raises(UsageError) as refused:
        Augmentation(**SAFE, stronger=stronger)
    text = " ".join(str(refused.value).split())
    assert re.search(said, text)
    assert "validation error" not in text
    assert len(str(refused.value).splitlines()) <= 3


def test_the_extremes_are_the_furthest_that_training_can_go():
    views = Augmentation(**SAFE).extremes(spot(40, 70))
    assert list(views) == ["zoomed out", "zoomed in, turned left", "zoomed in, turned right", "mirrored"]
    assert place(views["zoomed out"]) == pytest.approx([27, 0], abs=0.5)
    assert place(views["mirrored"]) == pytest.approx([-30, 0], abs=0.5)
    left, right = place(views["zoomed in, turned left"]), place(views["zoomed in, turned right"])
    assert left == pytest.approx([33 * np.cos(np.pi / 18), -33 * np.sin(np.pi / 18)], abs=0.5)  # y points down
    assert right == pytest.approx(left * (1, -1), abs=0.5)
    assert "mirrored" not in Augmentation(**SAFE).extremes(spot(40, 70), may_flip=False)


def test_what_is_always_seen_is_never_pushed_out():
    seen = Augmentation(**SAFE).always_seen(81)
    assert seen[40, 40]
    assert not seen[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert 0.6 < seen.mean() < 0.9
    assert Augmentation(flip=True, rotate_degrees=0, zoom=0).always_seen(20).all()
