"""Stored outputs: each image once through the network, whatever interrupts it or changes around it."""

import numpy as np
import pandas as pd
import pytest

from pipeline import bundle
from pipeline.errors import DataError
from pipeline.evaluation import scores
from pipeline.inference import evaluated, outputs, shards
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage, pictures
from tests.library.builders import noise, put
from tests.networks import SIDE, tiny

MODEL = bundle.Bundle(tiny(), ["cat", "dog", "owl"], bundle.Card("tiny", SIDE, temperature=2.0), lineage.empty())


class Counting(KerasRuntime):
    """Counts the images it is shown; `spoil` spoils what it says of them; `stop` ends it after so many."""

    def __init__(self, *, stop: int | None = None, spoil: bool = False):
        super().__init__(MODEL, batch_size=2)
        self.seen, self._stop, self._spoil = 0, stop, spoil

    def predict_with_features(self, pixels):
        if self._stop is not None and self.seen + len(pixels) > self._stop:
            raise KeyboardInterrupt
        self.seen += len(pixels)
        probs, features = super().predict_with_features(pixels)
        return (probs * np.nan if self._spoil else probs), features


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "SHARD_BATCHES", 1)
    return [put(tmp_path / f"pictures/{n}.png", noise(n, 20)) for n in range(9)]


def complete(tmp_path, files, runtime, *, names=None, model: str = "m") -> evaluated.Outputs:
    keys = pd.Series(names or [path.stem for path in files], dtype="str")
    runtime.key = model
    return outputs.complete(tmp_path / "outputs", keys, files, runtime=runtime, batch_size=2)


def test_what_is_stored_is_what_the_model_says(tmp_path, files):
    found = complete(tmp_path, files, runtime := Counting())
    pixels = np.stack([pictures.read(path, SIDE) for path in files])
    probs = np.concatenate([runtime.predict(pixels[n : n + 2]) for n in range(0, 9, 2)])
    np.testing.assert_allclose(scores.probs_of(found.log_probs[:]), probs, rtol=2e-3)
    features = MODEL.model.layers[-2](MODEL.model.layers[-3].output)
    assert found.features.shape == (9, features.shape[-1])


def test_an_interrupted_run_continues_and_ends_as_if_nothing_had_happened(tmp_path, files):
    whole = complete(tmp_path / "whole", files, Counting())
    with pytest.raises(KeyboardInterrupt):
        complete(tmp_path, files, first := Counting(stop=5))
    found = complete(tmp_path, files, second := Counting())
    assert (first.seen, second.seen) == (4, 5)
    for file in (tmp_path / "whole/outputs").iterdir():
        assert (tmp_path / "outputs" / file.name).read_bytes() == file.read_bytes()
    assert np.array_equal(found.log_probs[:], whole.log_probs[:])


def test_nothing_is_inferred_twice_and_what_is_no_longer_asked_for_goes(tmp_path, files):
    before = complete(tmp_path, files[:6], Counting())
    rows = before.log_probs[:]
    found = complete(tmp_path, [files[5], files[0], files[7]], runtime := Counting())
    assert runtime.seen == 1
    assert np.array_equal(found.log_probs[:2], rows[[5, 0]])
    assert found.log_probs.shape == (3, 3)
    with pytest.raises(DataError, match="1 of 2 images have no stored outputs"):
        evaluated.read(tmp_path / "outputs", pd.Series(["7", "8"]))


def test_the_same_content_is_inferred_once_and_stands_wherever_it_is_asked_for(tmp_path, files):
    found = complete(tmp_path, files[:3], runtime := Counting(), names=["a", "b", "a"])
    assert runtime.seen == 2
    assert np.array_equal(found.log_probs[0], found.log_probs[2])


def test_another_model_says_everything_anew(tmp_path, files):
    complete(tmp_path, files, Counting())
    with pytest.raises(KeyboardInterrupt):
        complete(tmp_path, files, Counting(stop=4), model="other")
    complete(tmp_path, files, runtime := Counting(), model="third")
    assert runtime.seen == 9
    complete(tmp_path, files, runtime := Counting(), model="third")
    assert runtime.seen == 0


def test_a_model_that_says_nan_is_refused_with_the_images_named(tmp_path, files):
    with pytest.raises(DataError, match=r"no numbers \(NaN\) for 2 of 2 images") as refused:
        complete(tmp_path, files, Counting(spoil=True))
    assert "0.png" in refused.value.where
    assert not list((tmp_path / "outputs").iterdir())


def test_a_picture_that_changed_since_it_was_indexed_stops_the_stage_and_what_was_done_is_kept(tmp_path, files):
    files[6].write_bytes(b"no picture")
    with pytest.raises(DataError, match="changed since it was indexed") as refused:
        complete(tmp_path, files, Counting())
    assert refused.value.where == str(files[6])
    put(files[6], noise(6, 20))
    complete(tmp_path, files, runtime := Counting())
    assert runtime.seen < 9


def test_outputs_cut_short_are_named_and_inferred_again(tmp_path, files):
    complete(tmp_path, files, Counting())
    path = tmp_path / "outputs/part-00001.log_probs.npy"
    np.save(path, np.load(path)[:1])
    names = pd.Series([path.stem for path in files])
    with pytest.raises(DataError, match="1 rows for 2 images"):
        evaluated.read(tmp_path / "outputs", names).log_probs[:]
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="cannot be read"):
        evaluated.read(tmp_path / "outputs", names).log_probs[:]
    complete(tmp_path, files, runtime := Counting())
    assert runtime.seen == 2


def test_outputs_tell_whose_they_are(tmp_path, files):
    assert evaluated.model_of(tmp_path / "outputs") == ""
    complete(tmp_path, files, Counting(), model="m")
    assert evaluated.model_of(tmp_path / "outputs") == "m"
    assert shards.model_of(tmp_path / "outputs/part-00000.parquet") == "m"
