import numpy as np
import pytest
from PIL import Image

from pipeline import bundle
from pipeline.evaluation import calibration
from pipeline.inference.reading import AHEAD, predict_all, read_batches
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage, pictures
from tests.library.builders import encoded, noise, photograph, put
from tests.networks import SIDE, coloured, tiny


@pytest.fixture(scope="module")
def model() -> bundle.Bundle:
    return bundle.Bundle(tiny(), ["cat", "dog", "owl"], bundle.Card("tiny", SIDE, temperature=2.0), lineage.empty())


def test_a_runtime_gives_the_model_s_calibrated_probabilities(model):
    seen, _ = coloured(4)
    plain = model.model.predict(seen, verbose=0)
    probs = KerasRuntime(model, batch_size=4).predict(seen)
    np.testing.assert_allclose(probs, calibration.scale(plain, 2.0), atol=1e-6)
    assert not np.allclose(probs, plain, atol=1e-4)


def test_the_network_sees_batches_of_one_size_only_and_an_image_s_neighbours_do_not_matter(model):
    runtime, seen = KerasRuntime(model, batch_size=4), coloured(4)[0]
    whole = runtime.predict(seen)
    shapes = []
    plain = model.model.predict_on_batch
    model.model.predict_on_batch = lambda pixels: shapes.append(pixels.shape) or plain(pixels)
    try:
        for number in (1, 3, 4):
            np.testing.assert_allclose(runtime.predict(seen[:number]), whole[:number], atol=1e-6)
    finally:
        del model.model.predict_on_batch
    assert shapes == [(4, SIDE, SIDE, 3)] * 3


def test_the_reduced_scale_at_which_a_jpeg_is_decoded_changes_no_clear_class_and_hardly_a_score(tmp_path):
    side = 64
    stored = bundle.Bundle(tiny(side=side), ["cat", "dog", "owl"], bundle.Card("tiny", side), lineage.empty())
    read, full = [], []
    for number in range(12):
        path = put(tmp_path / f"{number}.jpg", encoded(photograph(1000, 750, seed=number), "JPEG", quality=88))
        read.append(pictures.read(path, side))
        full.append(np.asarray(pictures.decode(path.read_bytes()).resize((side, side), Image.Resampling.BILINEAR)))
    assert not np.array_equal(read, full)
    found, expected = (KerasRuntime(stored, 12).predict(np.stack(pixels)) for pixels in (read, full))
    spread = np.ptp(expected, axis=0).max()
    clear = np.diff(np.sort(expected))[:, -1] > 0.05 * spread  # random weights leave some pictures between two classes
    assert clear.sum() >= 9
    assert np.array_equal(found[clear].argmax(axis=1), expected[clear].argmax(axis=1))
    assert np.abs(found - expected).max() < 0.1 * spread


@pytest.fixture
def many(tmp_path):
    """More pictures than are read ahead; number 3 is missing and number 5 is none."""
    paths = [put(tmp_path / f"{n}.png", noise(n, 10)) for n in range(3 * (AHEAD + 2) + 1)]
    paths[3].unlink()
    paths[5].write_bytes(b"notes")
    return paths


def test_pictures_come_in_the_order_of_their_names_and_failures_with_their_reasons(many):
    found = list(read_batches(many, (8,), batch_size=3))
    failures = [failure for _, reasons in found for failure in reasons]
    assert {number: failure for number, failure in enumerate(failures) if failure} == {3: "missing", 5: "not a picture"}
    assert [len(reasons) for _, reasons in found] == [3] * (AHEAD + 2) + [1]
    readable = [path for path, failure in zip(many, failures, strict=True) if not failure]
    expected = np.stack([pictures.read(path, 8) for path in readable])
    assert np.array_equal(np.concatenate([pixels for (pixels,), _ in found]), expected)


def test_a_batch_without_a_readable_picture_does_not_reach_the_network(tmp_path):
    class Unasked:
        image_sizes = (8,)

        def predict(self, *pixels):
            raise AssertionError

    found = list(predict_all(Unasked(), [tmp_path / "a.png", tmp_path / "b.png"], batch_size=2))
    assert [(len(probs), reasons) for probs, reasons in found] == [(0, ["missing", "missing"])]


def test_a_picture_is_read_once_at_each_size_and_fails_at_all_of_them(many):
    pixels, reasons = next(read_batches(many, (4, 8), batch_size=5))
    assert [array.shape for array in pixels] == [(4, 4, 4, 3), (4, 8, 8, 3)]
    assert reasons == ["", "", "", "missing", ""]
    for size, array in zip((4, 8), pixels, strict=True):
        assert np.array_equal(array[-1], pictures.read(many[4], size))


def test_predictions_of_another_temperature_are_another_runtime_s():
    warm, cold = (bundle.Bundle(None, [], bundle.Card("tiny", SIDE, temperature=t), None) for t in (2.0, 1.0))
    assert KerasRuntime(warm, 1).key != KerasRuntime(cold, 1).key


def test_no_picture_gives_no_batch():
    assert list(read_batches([], (8,), batch_size=2)) == []


def test_a_reader_that_stops_early_is_not_kept_waiting(many):
    for _ in read_batches(many, (8,), batch_size=3):
        break
