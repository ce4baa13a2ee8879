"""The stage train as a whole: an ensemble is trained, interrupted, and goes on in the next round."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import yaml

from pipeline import bundle
from pipeline.files import read_json, write_table
from pipeline.models.ensemble import members
from pipeline.stages import train
from pipeline.workspace import Workspace
from tests import golden
from tests.networks import equal


@pytest.fixture
def workspace():
    with golden.workspace():
        params = yaml.safe_load(Path("configs/params.yaml").read_text())
        params["train"] |= {"members": 2, "max_epochs": 2, "continued_max_epochs": 2}
        Path("configs/params.yaml").write_text(yaml.safe_dump(params))
        golden.save_bundle("data/base", [])
        write_table(golden.sets(36), Path("data/splits/splits.parquet"))
        yield Workspace(Path())


def trained() -> list[list[np.ndarray]]:
    return [network.get_weights() for network in members(bundle.load(Path("data/model")).model)]


def test_an_ensemble_interrupted_in_its_second_network_ends_as_if_nothing_had_happened(workspace, capsys):
    train.main(workspace)
    undisturbed, card = trained(), bundle.check(Path("data/model"))
    assert len(undisturbed) == card.training["members"] == 2
    assert not np.array_equal(undisturbed[0][0], undisturbed[1][0])
    assert "network 2 of 2" in capsys.readouterr().out

    ended, original = [], train.train

    def until_the_second(*args, **kwargs):
        if ended:
            raise KeyboardInterrupt
        ended.append(original(*args, **kwargs))
        return ended[0]

    with mock.patch.object(train, "train", until_the_second), pytest.raises(KeyboardInterrupt):
        train.main(workspace)
    capsys.readouterr()
    train.main(workspace)
    assert "epoch   1" not in capsys.readouterr().out.partition("network 2 of 2")[0], "the first is trained again"
    assert all(map(equal, trained(), undisturbed))
    assert bundle.check(Path("data/model")).temperature == card.temperature


def test_a_round_goes_on_with_one_network_of_an_ensemble_where_one_is_asked_for(workspace):
    train.main(workspace)
    ensemble = bundle.load(Path("data/model"))
    bundle.save(ensemble, Path("data/base"))
    params = yaml.safe_load(Path("configs/params.yaml").read_text())
    params["train"] |= {"members": 1, "continued_learning_rate": 1e-12}
    Path("configs/params.yaml").write_text(yaml.safe_dump(params))
    with mock.patch("pipeline.library.lineage.refuse_overlaps"):
        train.main(Workspace(Path()))
    (network,) = trained()
    first = members(ensemble.model)[0].get_weights()
    np.testing.assert_allclose(network[0], first[0], atol=1e-6)


def test_the_recipe_and_the_card_say_that_it_is_an_ensemble(workspace):
    train.main(workspace)
    assert read_json(Path("data/model") / bundle.RECIPE)["members"] == 2
    card = bundle.check(Path("data/model"))
    assert card.training["epochs"] == 2
    assert card.training["seconds"] > 0
