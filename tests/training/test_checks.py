import pandas as pd
import pytest

from pipeline.bundle import Card
from pipeline.errors import DataError
from pipeline.training.checks import name_classes_without_validation, refuse_another_image_size
from tests.networks import SIDE, tiny


def rows(**sets: str) -> pd.DataFrame:
    return pd.DataFrame([(name, label) for name, labels in sets.items() for label in labels], columns=["set", "label"])


def test_a_base_of_its_card_s_image_size_is_taken():
    for preset_size in (SIDE, None):
        refuse_another_image_size(tiny(), Card("tiny", SIDE), preset_size, where="data/base")


@pytest.mark.parametrize(
    ("card_size", "preset_size", "refusal"), [(32, None, "its card 'tiny' says 32"), (SIDE, 75, "its preset 'tiny'")]
)
def test_a_base_of_another_image_size_is_refused(card_size, preset_size, refusal):
    with pytest.raises(DataError, match=f"reads pictures of 16 pixels, {refusal}"):
        refuse_another_image_size(tiny(), Card("tiny", card_size), preset_size, where="data/base")


def test_a_class_without_validation_images_is_named(capsys):
    assert name_classes_without_validation(rows(train="abc", val="a"), where="splits") == ["b", "c"]
    assert "no validation image of b, c" in capsys.readouterr().out
    assert name_classes_without_validation(rows(train="ab", val="ba"), where="splits") == []


def test_without_any_validation_image_training_is_refused():
    with pytest.raises(DataError, match="no image to validate on"):
        name_classes_without_validation(rows(train="ab"), where="splits")
