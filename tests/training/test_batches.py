from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError, ResumableError
from pipeline.library import pictures
from pipeline.training.augmentation import Augmentation
from pipeline.training.batches import Batches, balanced_order, decode_all
from tests.library.builders import encoded, noise, put
from tests.networks import batches as coloured_batches
from tests.networks import tiny


def numbered(number: int, *, augment: bool = True, seed: int = 0, batch_size: int = 4, zoom: float = 0.0) -> Batches:
    """Picture i is of class i, and all its pixels are i."""
    decoded = np.arange(number, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    steps = Augmentation(flip=False, rotate_degrees=0, zoom=zoom) if augment else None
    return Batches(decoded, np.arange(number), num_classes=number, batch_size=batch_size, seed=seed, augment=steps)


def noisy(*, seed: int = 0) -> Batches:
    decoded = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)
    steps = Augmentation(flip=True, rotate_degrees=10, zoom=0.1)
    return Batches(decoded, np.arange(10), num_classes=10, batch_size=4, seed=seed, augment=steps)


def order(batches: Batches) -> list[int]:
    return np.concatenate([batches[i][1].argmax(axis=1) for i in range(len(batches))]).tolist()


def pixels(batches: Batches) -> np.ndarray:
    return np.concatenate([batches[i][0] for i in range(len(batches))])


def test_each_epoch_has_every_picture_once_with_its_own_class():
    batches = numbered(10)
    found = [batches[i] for i in range(len(batches))]
    assert [len(images) for images, _ in found] == [3, 3, 4]
    assert sorted(order(batches)) == list(range(10))
    assert all((images[:, 0, 0, 0] == targets.argmax(axis=1)).all() for images, targets in found)
    assert all((targets.sum(axis=1) == 1).all() for _, targets in found)
    assert (found[0][0].dtype, found[0][1].dtype) == (np.uint8, np.float32)


@given(st.integers(1, 200), st.integers(1, 40))
def test_no_batch_is_larger_than_asked_and_none_is_a_small_rest(images, batch_size):
    """Two pictures would be normalised by statistics of their own, and spoil what the epoch has learnt."""
    batches = Batches(
        np.zeros((images, 1, 1, 3), np.uint8), np.zeros(images, int), num_classes=1, batch_size=batch_size
    )
    sizes = [len(targets) for _, targets in batches]
    assert sum(sizes) == images == batches.images
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_validation_keeps_the_order_of_the_table_in_every_epoch():
    batches = numbered(10, augment=False)
    batches.of_epoch(3)
    assert order(batches) == list(range(10))


def test_each_epoch_and_each_seed_have_an_order_of_their_own():
    batches = numbered(10)
    first = order(batches)
    batches.of_epoch(1)
    assert order(batches) != first
    assert order(numbered(10, seed=1)) != first
    assert order(numbered(10)) == first


def test_training_resumed_at_an_epoch_sees_what_it_would_have_seen():
    steady, resumed = noisy(), noisy()
    for epoch in range(4):
        pixels(steady.of_epoch(epoch))
    resumed.of_epoch(3)
    assert order(steady) == order(resumed)
    assert np.array_equal(pixels(steady), pixels(resumed))


def test_a_batch_is_the_same_whenever_it_is_asked_for():
    batches = noisy()
    last = batches[2][0]
    pixels(batches)
    assert np.array_equal(batches[2][0], last)


def test_a_picture_is_augmented_anew_each_epoch_and_by_each_seed():
    def of_class_0(batches: Batches) -> bytes:
        return pixels(batches)[order(batches).index(0)].tobytes()

    later = noisy()
    later.of_epoch(1)
    assert len({of_class_0(noisy()), of_class_0(later), of_class_0(noisy(seed=1))}) == 3


def test_batches_are_the_same_whatever_the_number_of_threads_that_ask_for_them():
    alone = [noisy()[i][0] for i in range(3)]
    shared = noisy()
    with ThreadPoolExecutor(8) as workers:
        together = list(workers.map(lambda i: shared[i % 3][0], range(60)))
    assert all(np.array_equal(pixels, alone[i % 3]) for i, pixels in enumerate(together))


def test_the_network_takes_the_pixels_for_the_numbers_they_are():
    model, (images, _) = tiny(), coloured_batches(8)[0]
    assert np.array_equal(model.predict(images, verbose=0), model.predict(images.astype(np.float32), verbose=0))


def test_pictures_of_a_class_not_safe_to_flip_are_never_mirrored():
    half = np.zeros((2, 8, 8, 3), np.uint8)
    half[:, :, 4:] = 255  # light on the right
    steps = Augmentation(flip=True, rotate_degrees=0, zoom=0)
    batches = Batches(half, np.array([0, 1]), num_classes=2, batch_size=2, augment=steps, no_flip={1})
    mirrored = {0: 0, 1: 0}
    for epoch in range(40):
        batches.of_epoch(epoch)
        for picture, target in zip(*batches[0], strict=True):
            mirrored[int(target.argmax())] += int(picture[0, 0, 0] == 255)
    assert mirrored[1] == 0
    assert 8 < mirrored[0] < 32


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 5))
def test_balanced_every_class_comes_equally_often_and_none_of_its_pictures_twice_before_all_came(sizes, seed):
    targets = np.repeat(np.arange(len(sizes)), sizes)
    drawn = balanced_order(targets, np.random.default_rng(seed))
    assert len(drawn) == len(targets)
    times = np.bincount(targets[drawn], minlength=len(sizes))
    assert times.max() - times.min() <= 1
    for label in range(len(sizes)):
        of_each = np.bincount(drawn, minlength=len(targets))[targets == label]
        assert of_each.max() - of_each.min() <= 1


def uneven(*, seed: int = 0) -> Batches:
    """Class 0 has nine pictures, class 1 one."""
    decoded = np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), dtype=np.uint8)
    steps = Augmentation(flip=True, rotate_degrees=10, zoom=0.1)
    targets = np.array([0] * 9 + [1])
    return Batches(decoded, targets, num_classes=2, batch_size=4, seed=seed, augment=steps, balance=True)


def test_a_balanced_epoch_is_a_function_of_the_seed_and_the_epoch():
    steady, resumed = uneven().of_epoch(0), uneven()
    pixels(steady)
    steady.of_epoch(1)
    resumed.of_epoch(1)
    assert np.array_equal(pixels(steady), pixels(resumed))
    assert not np.array_equal(pixels(uneven()), pixels(resumed))
    assert not np.array_equal(pixels(uneven()), pixels(uneven(seed=1)))


def test_a_picture_drawn_several_times_in_an_epoch_is_augmented_differently_each_time():
    batches = uneven()
    rare = pixels(batches)[np.array(order(batches)) == 1]
    assert len({picture.tobytes() for picture in rare}) == len(rare) == 5


def test_a_picture_of_a_class_that_is_not_trained_is_refused():
    """NumPy would take the index -1 for the last class."""
    with pytest.raises(DataError, match="1 pictures have a class that no training picture has"):
        Batches(np.zeros((2, 8, 8, 3), np.uint8), np.array([0, -1]), num_classes=2, batch_size=2)


def test_pictures_are_decoded_in_the_order_of_the_table(tmp_path):
    paths = [put(tmp_path / f"{n}.png", noise(n, 20 + n)) for n in (3, 1, 2)]
    decoded = decode_all(paths, 8, tmp_path / "work" / "train.npy")
    assert decoded.shape == (3, 8, 8, 3)
    assert all(np.array_equal(picture, pictures.read(path, 8)) for picture, path in zip(decoded, paths, strict=True))
    assert np.array_equal(np.load(tmp_path / "work" / "train.npy"), decoded)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(lambda path: path.unlink(), "missing"), (lambda path: path.write_bytes(b"x"), "not a picture")],
)
def test_a_picture_that_changed_since_it_was_indexed_is_named(tmp_path, spoil, reason):
    paths = [put(tmp_path / f"{n}.png", noise(n)) for n in range(3)]
    spoil(paths[1])
    with pytest.raises(DataError, match=reason) as refused:
        decode_all(paths, 8, tmp_path / "train.npy")
    assert refused.value.where == str(paths[1])


def test_a_disk_too_small_for_the_pictures_says_so_before_they_are_decoded(tmp_path):
    (tmp_path / "train.part").symlink_to("/dev/full")
    with pytest.raises(ResumableError):
        decode_all([put(tmp_path / "a.jpg", encoded(noise(1), "JPEG"))], 8, tmp_path / "train.npy")
    assert not (tmp_path / "train.part").is_symlink()
