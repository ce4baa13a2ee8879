from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipeline.training.augmentation import Augmentation

SEEDS = range(60)
SAFE = {"flip": True, "rotate_degrees": 10, "zoom": 0.1}


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


def test_the_same_seed_gives_the_same_picture_whatever_the_number_of_threads():
    augment = Augmentation(**SAFE)
    alone = [augment(picture(), seed) for seed in SEEDS]
    with ThreadPoolExecutor(8) as workers:
        together = list(workers.map(lambda seed: Augmentation(**SAFE)(picture(), seed), SEEDS))
        shared = list(workers.map(lambda seed: augment(picture(), seed), SEEDS))
    assert np.array_equal(alone, together)
    assert np.array_equal(alone, shared)
    assert len({image.tobytes() for image in alone}) == len(SEEDS)


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
