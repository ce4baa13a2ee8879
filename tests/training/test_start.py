"""What a training starts from: the base's weights under a new head."""

import pandas as pd
import pytest

from pipeline import bundle
from pipeline.errors import DataError, UsageError
from pipeline.library import lineage
from pipeline.models.ensemble import average
from pipeline.training import start
from tests.networks import SIDE, equal, save_bundle, tiny

ROWS = pd.DataFrame({"label": list("bacab"), "set": ["train", "train", "val", "val", "test"]})


@pytest.fixture
def base(tmp_path) -> bundle.Stored:
    save_bundle(tmp_path / "base", classes=["a", "x", "y"])
    return bundle.Stored(tmp_path / "base")


def test_only_rows_of_classes_that_can_be_learnt_are_left(base):
    prepared = start.prepare(base, ROWS, preset_size=SIDE, seed=0)
    assert prepared.classes == ["a", "b"]
    assert prepared.rows["label"].tolist() == ["b", "a", "a", "b"]
    assert prepared.model.output_shape == (None, 2)


def test_the_same_seed_gives_the_same_head_and_the_body_is_the_bases(base):
    one, two, other = (start.prepare(base, ROWS, preset_size=None, seed=seed).model for seed in (0, 0, 1))
    assert equal(one.get_weights(), two.get_weights())
    assert not equal(one.get_weights(), other.get_weights())
    assert equal(one.get_weights()[:-2], base.model.get_weights()[:-2])


def test_a_head_that_grows_keeps_what_the_base_knows_of_a_class(base):
    kernel = start.prepare(base, ROWS, preset_size=None, head="grow", seed=0).model.get_layer("head").kernel
    assert (kernel[:, 0] == base.model.get_layer("head").kernel[:, 0]).numpy().all()


def test_layers_named_are_frozen_and_a_wrong_name_is_refused(base):
    name = base.model.layers[2].name
    assert not start.prepare(base, ROWS, preset_size=None, frozen=[name], seed=0).model.get_layer(name).trainable
    with pytest.raises(UsageError, match="no layer's name begins with 'nothing'"):
        start.prepare(base, ROWS, preset_size=None, frozen=["nothing"], seed=0)


def test_a_base_of_another_image_size_than_its_preset_is_refused(base):
    with pytest.raises(DataError, match=r"its preset .* says 75"):
        start.prepare(base, ROWS, preset_size=75, seed=0)


def test_each_network_of_an_ensemble_goes_on_from_its_own_weights(tmp_path):
    networks = [tiny(3, seed=seed) for seed in (1, 2)]
    made = bundle.Bundle(average(networks, [1.0, 1.0]), ["a", "x", "y"], bundle.Card("tiny", SIDE), lineage.empty())
    bundle.save(made, tmp_path / "both")
    for member, expected in [(0, 0), (1, 1), (2, 0)]:
        prepared = start.prepare(bundle.Stored(tmp_path / "both"), ROWS, preset_size=SIDE, seed=0, member=member)
        assert equal(prepared.model.get_weights()[:-2], networks[expected].get_weights()[:-2])
        assert prepared.model.output_shape == (None, 2)
