"""A training from rows and pictures: what is chosen once, what is decoded once, and what it hands on."""

from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import config, sections
from pipeline.errors import DataError
from pipeline.library.failures import Failure, PictureError
from pipeline.training import batches, hardware, trainer
from pipeline.training.augmentation import Augmentation
from pipeline.training.fitting import FitSettings, OutOfMemoryError
from pipeline.training.trainer import TrainSettings
from pipeline.training.trial import TrialSettings
from tests.networks import FIT, SIDE, coloured, equal, tiny, weights

ROOT = Path(__file__).parents[2]
CLASSES = ["cat", "dog", "owl"]
SAFE = Augmentation(flip=True, rotate_degrees=10, zoom=0.1)


@pytest.fixture
def library(tmp_path) -> pd.DataFrame:
    """Twenty-four pictures to train on, twelve to validate on, and one of a benchmark that is not there."""
    pictures, targets = coloured(36)
    rows = []
    for number, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
        rows.append({"image": f"library/{number}.png", "set": "train" if number < 24 else "val", "label": target})
    table = pd.DataFrame(rows).assign(flip=True)
    table["label"] = table["label"].map(dict(enumerate(CLASSES)))
    return pd.concat([table, table.head(1).assign(image="library/gone.png", set="benchmark:hard")])


def train(library: pd.DataFrame, tmp_path, *, work: str = "work", **settings):
    model = tiny()
    machine = trainer.Machine(batch_size=settings.pop("batch_size", 8), precision="float32")
    (tmp_path / work).mkdir(exist_ok=True)
    trained = trainer.train(
        model,
        library,
        CLASSES,
        TrainSettings(**(asdict(FIT) | {"seed": 0, "max_epochs": 3} | settings)),
        folders={"library": tmp_path},
        work=tmp_path / work,
        machine=machine,
        augmentation=SAFE,
    )
    return model, trained


def test_only_the_training_and_validation_pictures_are_read(library, tmp_path):
    model, trained = train(library, tmp_path)
    assert trained.val_probs.shape == (12, 3)
    assert trained.val_targets.tolist() == [0, 1, 2] * 4
    assert trained.example.shape == (6, SIDE, SIDE, 3)  # twelve, cut evenly
    np.testing.assert_allclose(trained.val_probs[:6], model.predict(trained.example, verbose=0), atol=1e-5)


def test_a_resumed_training_decodes_no_picture_again(library, tmp_path, monkeypatch):
    undisturbed, _ = train(library, tmp_path, work="undisturbed")
    train(library, tmp_path, max_epochs=2)
    monkeypatch.setattr(batches.pictures, "read", None)
    resumed, _ = train(library, tmp_path)
    assert equal(weights(resumed), weights(undisturbed))


def test_half_decoded_pictures_are_decoded_again(library, tmp_path, monkeypatch):
    read, left = batches.pictures.read, iter(range(10))

    def failing(path, side):
        if next(left, None) is None:
            raise PictureError(Failure.DAMAGED)
        return read(path, side)

    with monkeypatch.context() as patched:
        patched.setattr(batches.pictures, "read", failing)
        with pytest.raises(DataError, match="changed since it was indexed"):
            train(library, tmp_path)
    undisturbed, _ = train(library, tmp_path, work="undisturbed")
    again, _ = train(library, tmp_path)
    assert equal(weights(again), weights(undisturbed))


def test_a_batch_size_that_fitted_is_tried_first_when_training_resumes(library, tmp_path, monkeypatch):
    sizes = []

    def too_large(model, data, val, settings, **others):
        sizes.append(len(data[0][0]))
        if sizes[-1] > 4:
            raise OutOfMemoryError
        return fit(model, data, val, settings, **others)

    fit = trainer.fit
    monkeypatch.setattr(trainer, "fit", too_large)
    train(library, tmp_path, max_epochs=1)
    train(library, tmp_path, max_epochs=2)
    assert sizes == [8, 4, 4]


def section(**changes) -> sections.Train:
    return config.changed(sections.Train, changes, ROOT / config.PARAMS)


def test_every_key_of_the_section_that_is_no_other_parts_reaches_training():
    others = sections.AUGMENTATION | sections.NETWORK | sections.MACHINE | sections.CONTINUED | sections.FOR_PEOPLE
    keys = set(sections.Train.model_fields)
    assert others < keys
    assert keys - others == {field.name for field in fields(TrainSettings)}
    changed = section(seed=7, ema=0.5, decay="cosine", imbalance="sampling", focal_gamma=1.5, max_class_weight=3)
    settings = TrainSettings(**changed.training(learnt=False))
    assert (settings.seed, settings.ema, settings.decay) == (7, 0.5, "cosine")
    assert (settings.imbalance, settings.focal_gamma, settings.max_class_weight) == ("sampling", 1.5, 3)


@pytest.mark.parametrize(("learnt", "expected"), [(False, (40, 0.1, 1.0, 0)), (True, (20, 0.01, 0.5, 2))])
def test_a_base_that_has_learnt_is_trained_on_at_its_own_rate(learnt, expected):
    own = {"max_epochs": 40, "learning_rate": 0.1, "continued_max_epochs": 20, "continued_learning_rate": 0.01}
    settings = TrainSettings(**section(body_rate=0.5, head_warmup_epochs=2, **own).training(learnt=learnt))
    assert (settings.max_epochs, settings.learning_rate, settings.body_rate, settings.head_warmup_epochs) == expected


@pytest.mark.parametrize("kind", [FitSettings, TrainSettings, TrialSettings])
def test_a_misspelt_setting_is_refused(kind):
    known = {field.name: 0 for field in fields(kind)}
    assert kind(**known)
    with pytest.raises(TypeError, match="lerning_rate"):
        kind(**known, lerning_rate=0.1)
    with pytest.raises(TypeError, match="min_delta"):
        kind(**{name: value for name, value in known.items() if name != "min_delta"})


def test_what_is_left_to_the_machine_is_measured_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hardware, "fastest_precision", lambda *_, **__: asked.append("precision") or "mixed_bfloat16")
    monkeypatch.setattr(hardware, "best_batch_size", lambda *_, **given: asked.append(given["most"]) or 16)
    left = {"batch_size": None, "precision": "auto", "gpus": 0, "images": 640, "note": tmp_path / "machine.json"}
    chosen = trainer.choose_machine(tiny(), **left)
    assert (chosen.batch_size, chosen.precision) == (16, "mixed_bfloat16")
    assert trainer.choose_machine(tiny(), **left) == chosen
    assert asked == ["precision", 32]


def test_what_is_given_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "images_per_second", None)
    chosen = trainer.choose_machine(
        tiny(), batch_size=8, precision="float32", gpus=0, images=640, note=tmp_path / "machine.json"
    )
    assert (chosen.batch_size, chosen.precision) == (8, "float32")
