"""A network on trial: how much it may train in its time, and what is measured of it."""

import pandas as pd
import pytest
from PIL import Image

from pipeline.training import hardware, trial
from pipeline.training.augmentation import Augmentation
from tests.networks import coloured, equal, tiny

CLASSES = ["cat", "dog", "owl"]


def rows(train: int, val: int) -> pd.DataFrame:
    sets = ["train"] * train + ["val"] * val
    labels = [CLASSES[number % 3] for number in range(train + val)]
    return pd.DataFrame({"image": [f"library/{n}.png" for n in range(train + val)], "set": sets, "label": labels})


def test_the_time_is_spent_on_whole_epochs_validation_included():
    table = rows(90, 30)
    chosen, epochs = trial.within(table, 1000, seed=0)
    assert chosen.equals(table)
    assert epochs == 10
    assert trial.within(table, 199, seed=0)[1] == 1


def test_in_too_short_a_time_every_class_gives_the_same_share_and_val_is_whole():
    chosen, epochs = trial.within(rows(90, 30), 55, seed=0)
    train = chosen[chosen["set"] == "train"]
    assert epochs == 1
    assert train["label"].value_counts().nunique() == 1
    assert 40 <= len(train) <= 51
    assert (chosen["set"] == "val").sum() == 30


def test_in_no_time_at_all_a_class_still_has_an_image():
    chosen, _ = trial.within(rows(90, 30), 0, seed=0)
    assert chosen.loc[chosen["set"] == "train", "label"].value_counts().to_dict() == dict.fromkeys(CLASSES, 1)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_network_is_trained_and_measured(tmp_path, monkeypatch, frozen):
    pictures, _ = coloured(36)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(hardware, "images_per_second", lambda *_, **__: 10.0)
    model = tiny()
    body = [weight for layer in model.layers if layer.name != "head" for weight in layer.get_weights()]
    measured = trial.run(
        model,
        rows(24, 12).assign(flip=True),
        CLASSES,
        trial.TrialSettings(
            seconds=6,
            frozen=frozen,
            batch_size=8,
            seed=0,
            learning_rate=0.02,
            weight_decay=0.001,
            label_smoothing=0.1,
            min_delta=0.05,
        ),
        folders={"library": tmp_path},
        work=tmp_path,
        augmentation=Augmentation(flip=True, rotate_degrees=10, zoom=0.1),
    )
    after = [weight for layer in model.layers if layer.name != "head" for weight in layer.get_weights()]
    assert equal(after, body) == frozen
    assert measured["epochs"] == 2
    assert measured["images"] == 24
    assert measured["accuracy"] == sum(measured["right"]) / 12
    assert measured["latency_ms"] > 0
    assert measured["images_per_second"] > 0
    assert measured["size_mb"] > 0
