import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import bundle
from pipeline.errors import DataError
from pipeline.files import read_json, write_json, write_text
from pipeline.library import lineage
from tests.networks import SIDE, coloured, equal, save_bundle

REPOSITORY = Path(__file__).parents[1]
CLASSES = ["cat", "dög, brown", "owl"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "model"
    save_bundle(folder, classes=CLASSES, round=3, temperature=1.7, run_id="r1", training={"epochs": 4})
    return folder


@pytest.fixture
def copied(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def change_card(folder: Path, **values: object) -> None:
    write_json(read_json(folder / bundle.CARD) | values, folder / bundle.CARD)


def test_a_bundle_comes_back_as_it_was_saved(saved, tmp_path):
    found = bundle.load(saved)
    assert found.classes == CLASSES
    assert (found.card.round, found.card.temperature, found.card.training) == (3, 1.7, {"epochs": 4})
    assert found.lineage.empty
    card = bundle.save(found, tmp_path / "again")
    again = bundle.load(tmp_path / "again")
    assert card == bundle.check(tmp_path / "again")
    assert equal(again.model.get_weights(), found.model.get_weights())
    pictures, _ = coloured(4)
    assert np.array_equal(again.model.predict(pictures, verbose=0), found.model.predict(pictures, verbose=0))


def test_equal_weights_give_a_bundle_of_equal_digest_whenever_it_is_saved(saved, tmp_path, monkeypatch):
    found = bundle.load(saved)
    first = bundle.save(found, tmp_path / "first")
    later = time.localtime(time.time() + 86_400)
    monkeypatch.setattr(time, "localtime", lambda *_: later)
    assert bundle.save(found, tmp_path / "later").model_digest == first.model_digest
    layer = found.model.layers[-1]
    layer.set_weights([weight + 1 for weight in layer.get_weights()])
    assert bundle.save(found, tmp_path / "other").model_digest != first.model_digest
    assert [path.name for path in (tmp_path / "first").iterdir() if path.suffix == ".dated"] == []


def test_a_bundle_s_card_names_its_very_model(saved):
    assert bundle.check(saved).model_digest == bundle.digest(saved / bundle.MODEL)


@pytest.mark.parametrize("name", bundle.FILES)
def test_a_missing_file_is_named(copied, name):
    (copied / name).unlink()
    with pytest.raises(DataError, match=f"incomplete: {name} missing"):
        bundle.check(copied)


def test_a_missing_bundle_says_how_to_get_one(tmp_path):
    with pytest.raises(DataError, match="there is no bundle") as refused:
        bundle.load(tmp_path / "base")
    assert "wallaby init-base" in refused.value.mend


def test_a_model_that_was_changed_is_refused(copied):
    with (copied / bundle.MODEL).open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match="not the one its card describes"):
        bundle.load(copied)


def test_a_model_that_keras_cannot_read_is_named(copied):
    write_text("no model", copied / bundle.MODEL)
    change_card(copied, model_digest=bundle.digest(copied / bundle.MODEL))
    with pytest.raises(DataError, match="Keras cannot read the model") as refused:
        bundle.load(copied)
    assert refused.value.where == str(copied / bundle.MODEL)


def test_a_list_of_classes_that_was_changed_is_refused(copied):
    write_text("cat\nowl\n", copied / bundle.CLASSES)
    with pytest.raises(DataError, match="2 classes for 3 outputs"):
        bundle.load(copied)


def test_a_base_that_has_seen_nothing_has_no_classes(tmp_path):
    save_bundle(tmp_path / "base", classes=[])
    assert bundle.load(tmp_path / "base").classes == []


def test_a_model_that_reads_pictures_in_another_way_is_refused(copied):
    change_card(copied, preprocessing="crop-2")
    with pytest.raises(DataError, match="another reading of pictures, crop-2 and not"):
        bundle.check(copied)


@pytest.mark.parametrize("values", [{"colour": 1}, {"temprature": 1.0}])
def test_a_card_with_other_keys_is_refused(copied, values):
    change_card(copied, **values)
    with pytest.raises(DataError, match=f"other keys than expected: {next(iter(values))}"):
        bundle.check(copied)


def test_a_card_of_earlier_years_has_fewer_keys(copied):
    card = read_json(copied / bundle.CARD)
    for key in ("pretrained", "hub_digest", "training"):
        del card[key]
    write_json(card, copied / bundle.CARD)
    found = bundle.check(copied)
    assert (found.pretrained, found.hub_digest, found.training, found.round) == ("", "", {}, 3)


@pytest.mark.parametrize("key", ["preset", "image_size"])
def test_a_card_without_what_no_one_can_guess_is_refused(copied, key):
    card = read_json(copied / bundle.CARD)
    del card[key]
    write_json(card, copied / bundle.CARD)
    with pytest.raises(DataError, match=f"other keys than expected: {key}"):
        bundle.check(copied)


@pytest.mark.parametrize(
    ("pretrained", "seen", "learnt"), [("", 0, False), ("imagenet", 0, True), ("", 1, True), ("hub:x", 1, True)]
)
def test_a_base_has_learnt_by_its_lineage_or_before_it(pretrained, seen, learnt):
    rows = pd.DataFrame({name: ["x"] * seen for name in lineage.COLUMNS})
    made = bundle.Bundle(None, [], bundle.Card("tiny", SIDE, pretrained=pretrained), rows)
    assert made.has_learnt == learnt


def test_a_card_that_is_cut_short_is_named(copied):
    write_text("{", copied / bundle.CARD)
    with pytest.raises(DataError, match="not readable as JSON"):
        bundle.check(copied)


def test_a_saved_bundle_replaces_the_old_one_as_a_whole(copied):
    (copied / "history.csv").write_text("of the old one")
    before = bundle.check(copied)
    save_bundle(copied, seed=1)
    assert bundle.check(copied).model_digest != before.model_digest
    assert sorted(path.name for path in copied.iterdir()) == sorted(bundle.FILES)


def test_reading_a_card_and_a_lineage_imports_neither_keras_nor_tensorflow(saved):
    code = (
        "import sys; from pathlib import Path; from pipeline import bundle, files\n"
        f"folder = Path({str(saved)!r})\n"
        "bundle.check(folder); bundle.read_classes(folder); files.read_table(folder / bundle.LINEAGE)\n"
        "print(*({'keras', 'tensorflow', 'mlflow'} & sys.modules.keys()))"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert said.stdout.split() == []
