"""What serves is the model that was released: its runtime, its classes of today, its thresholds and promises."""

import time

import numpy as np
import pandas as pd
import pytest

from pipeline.bundle import Stored
from pipeline.errors import DataError
from pipeline.evaluation import thresholds
from pipeline.evaluation.thresholds import NEVER, Thresholds
from pipeline.files import read_json, write_table
from pipeline.inference import machine, selection
from pipeline.inference.runtimes import kinds
from pipeline.inference.trials import Limits
from pipeline.library import classes
from pipeline.serving import served
from pipeline.serving.choosing import Chooser
from tests.library.builders import noise, put, sha
from tests.networks import SIDE, save_bundle
from tests.serving.made_up_service import Shade


@pytest.fixture
def stored(tmp_path) -> Stored:
    save_bundle(tmp_path / "bundle")
    return Stored(tmp_path / "bundle")


def chooser(tmp_path, **values) -> Chooser:
    own = {
        "runtime": "auto", "limits": Limits(0.995, 0.95, 8), "batch_size": 16, "bulk_batch_size": 64,
        "splits": tmp_path / "splits.parquet", "pool": tmp_path / "pool.parquet", "folders": {},
        "cache": tmp_path / "runtimes",
    }  # fmt: skip
    return Chooser(**(own | values))


def test_without_pictures_to_try_others_on_keras_serves_in_batches_of_several_sizes(stored, tmp_path):
    chosen = chooser(tmp_path)(stored, None)
    assert (chosen.runtime, sorted(chosen.runtimes)) == ("keras", [1, 4, 16])


def test_what_bulk_identification_has_chosen_serves(stored, tmp_path, monkeypatch):
    rows = pd.DataFrame(
        {"image": ["library/a.png"], "sha256": ["a" * 64], "label": [stored.classes[0]], "set": ["val"]}
    )
    write_table(rows, tmp_path / "splits.parquet")
    asked = {}

    def choose(name, candidates, **values):
        asked.update(values, name=name, batch=candidates.batch_size)
        return selection.Choice("onnx", "the fastest"), Shade()

    monkeypatch.setattr(selection, "choose", choose)
    chosen = chooser(tmp_path, folders={"library": tmp_path})(stored, None)
    assert (chosen.runtime, list(chosen.runtimes), asked["name"], asked["batch"]) == ("onnx", [16], "auto", 64)


@pytest.mark.parametrize(("agrees", "serves"), [(True, "onnx"), (False, "keras")])
def test_auto_tries_the_validation_set_and_takes_the_fastest_that_agrees_else_keras(
    stored, tmp_path, monkeypatch, agrees, serves
):
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    monkeypatch.setattr(kinds, "missing", lambda name: "" if name in ("keras", "onnx") else "not installed")
    monkeypatch.setattr(kinds, "load", fast_onnx(kinds.load, agrees))
    for number in range(64):
        put(tmp_path / f"{number}.png", noise(number, SIDE))
    rows = pd.DataFrame({"image": [f"library/{number}.png" for number in range(64)], "set": "val"})
    rows = rows.assign(sha256=rows["image"].map(sha), label=stored.classes[0])
    write_table(rows, tmp_path / "splits.parquet")
    choose = chooser(tmp_path, limits=Limits(0.995, 0.95, 128), folders={"library": tmp_path})
    chosen = choose(stored, None)
    assert (chosen.runtime, sorted(chosen.runtimes)) == (serves, [16] if agrees else [1, 4, 16])
    [kept] = (tmp_path / "runtimes").glob("choice-*.json")
    tried = read_json(kept)["tried"]["onnx"]
    assert (tried["compared"], tried["refused"]) == (64, "" if agrees else "at least 99.50% shall be alike")


def fast_onnx(load, agrees: bool):
    """Gives Keras slowed down, and by the name of ONNX Keras as it is, or such as says another class."""

    class Other:
        def __init__(self, name: str, keras):
            self.classes, self.image_sizes = keras.classes, keras.image_sizes
            self._name, self._keras = name, keras

        def predict(self, pixels: np.ndarray) -> np.ndarray:
            if self._name == "keras":
                time.sleep(0.3)
                return self._keras.predict(pixels)
            return np.roll(self._keras.predict(pixels), 0 if agrees else 1, axis=1)

    def made(name, *arguments, **options):
        return Other(name, load("keras", *arguments, **options))

    return made


def test_a_smaller_batch_of_keras_says_the_same(stored, tmp_path):
    own = served.load(stored.folder, choose=chooser(tmp_path, runtime="keras"), events=no_events(tmp_path), top_k=2)
    pixels = np.random.default_rng(0).integers(0, 255, (5, SIDE, SIDE, 3), dtype=np.uint8)
    together = own.say(pixels)
    for number, alone in enumerate(own.say(pixels[[place]])[0] for place in range(5)):
        assert alone.label == together[number].label
        assert alone.top_scores == pytest.approx(together[number].top_scores, abs=1e-5)


def no_events(tmp_path) -> classes.Classes:
    path = tmp_path / "classes.csv"
    path.write_text("event,class,to,min_images,flip,by,at,note\n")
    return classes.read(path)


def test_classes_that_were_merged_since_answer_as_one(stored, tmp_path):
    first, second, third = stored.classes
    path = tmp_path / "classes.csv"
    path.write_text(f"event,class,to,min_images,flip,by,at,note\nmerge,{second},{first},,,ann,2026-01-01,\n")
    own = served.load(stored.folder, choose=chooser(tmp_path), events=classes.read(path), top_k=3)
    [said] = own.say(np.zeros((1, SIDE, SIDE, 3), np.uint8))
    assert own.classes == [first, third]
    assert sum(said.top_scores) == pytest.approx(1, abs=1e-5)


def test_without_thresholds_or_where_none_is_reached_no_answer_is_shown(stored, tmp_path):
    pixels = np.zeros((1, SIDE, SIDE, 3), np.uint8)

    def said():
        return served.load(stored.folder, choose=chooser(tmp_path), events=no_events(tmp_path), top_k=1).say(pixels)[0]

    assert (said().shown, said().threshold) == (False, None)
    never = Thresholds(stored.card.model_digest, 1.0, 0.95, ["test"], 9, NEVER, "unreached", {}, [])
    thresholds.write(never, stored.folder / thresholds.FILE)
    assert (said().shown, said().threshold) == (False, None)


def test_thresholds_of_another_model_are_refused(stored, tmp_path):
    other = Thresholds("f" * 64, 1.0, 0.95, ["test"], 9, 0.5, "assured", {}, [])
    thresholds.write(other, stored.folder / thresholds.FILE)
    with pytest.raises(DataError, match="another model"):
        served.load(stored.folder, choose=chooser(tmp_path), events=no_events(tmp_path), top_k=1)


def test_what_evaluation_promised_is_told_by_set_and_class():
    scored = pd.DataFrame(
        [
            ("test", "emu", "emu", 0.9, 1), ("test", "emu", "okapi", 0.4, 2), ("test", "okapi", "okapi", 0.8, 1),
            ("benchmark:field", "", "emu", 0.9, -1), ("train", "emu", "emu", 1.0, 1),
        ],
        columns=["set", "label", "predicted", "score", "label_rank"],
    )  # fmt: skip
    limits = Thresholds("m", 1.0, 0.95, ["test"], 3, 0.5, "assured", {}, [])
    promised = served.expectation(scored, limits)
    assert set(promised) == {"test", "benchmark:field"}
    test = promised["test"]
    assert (test["n"], test["top1"], test["shown"], test["shown_precision"]) == (3, 2 / 3, 2 / 3, 1.0)
    assert test["classes"] == {"emu": {"n": 2, "top1": 0.5}, "okapi": {"n": 1, "top1": 1.0}}
    assert promised["benchmark:field"]["shown_precision"] == 0.0
    assert promised["benchmark:field"]["top1"] is None
