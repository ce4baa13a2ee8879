"""A preset's network as a frozen one: made once, known by its weights, run by what agrees with Keras."""

import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UsageError
from pipeline.inference import backbones, trials
from pipeline.sections import Preset
from tests.hub_modules import FEATURES, body, save_module
from tests.networks import SIDE

PRESET = Preset(architecture="hub", image_size=SIDE)
NOTHING = pd.DataFrame(columns=["sha256", "path", "label"])


def made(module, folder) -> backbones.OfPreset:
    return backbones.of_preset(
        "hub",
        PRESET,
        f"hub:{module}",
        batch_size=4,
        cache=folder / "backbones",
        runtimes=folder / "runtimes",
        archives=folder / "hub",
    )


def test_a_backbone_is_made_once_and_its_key_is_that_of_its_weights(tmp_path):
    module = save_module(tmp_path / "module")
    first = made(module, tmp_path / "one")
    (folder,) = (tmp_path / "one/backbones").glob("[!.]*")
    written = (folder / "bundle/model.keras").stat().st_mtime_ns
    assert made(module, tmp_path / "one").key == first.key
    assert (folder / "bundle/model.keras").stat().st_mtime_ns == written
    assert made(module, tmp_path / "another machine").key == first.key
    shutil.rmtree(module)
    other = save_module(module, body(SIDE, seed=5))
    assert made(other, tmp_path / "two").key != first.key


def test_a_backbone_that_was_cut_short_in_the_cache_is_made_again(tmp_path):
    module = save_module(tmp_path / "module")
    first = made(module, tmp_path)
    (model,) = (tmp_path / "backbones").glob("*/bundle/model.keras")
    model.write_bytes(model.read_bytes()[:1000])
    assert made(module, tmp_path).key == first.key
    assert model.stat().st_size > 1000


def test_its_features_are_those_of_the_network_whatever_its_head(tmp_path):
    module = body(SIDE)
    backbone = made(save_module(tmp_path / "module", module), tmp_path)
    chosen = backbone.choose("auto", lambda: NOTHING, comparison=trials.Features(10, 0.99), total=1)
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    probs, features = chosen.runtime.predict_with_features(pixels)
    assert (probs.shape, features.shape, chosen.choice.runtime) == ((3, 0), (3, FEATURES), "keras")
    assert features == pytest.approx(np.asarray(module(pixels / np.float32(255))), abs=2e-3)


def test_random_weights_are_refused(tmp_path):
    with pytest.raises(UsageError, match="random weights see nothing") as error:
        backbones.of_preset("hub", PRESET, "random", batch_size=4, cache=tmp_path, runtimes=tmp_path, archives=tmp_path)
    assert "embed.weights" in error.value.where


@pytest.mark.parametrize(("noise", "refused"), [(0.01, False), (0.3, True)])
def test_a_runtime_whose_features_point_elsewhere_is_refused(noise, refused):
    random = np.random.default_rng(0)
    expected = random.normal(size=(200, 64))
    given = expected + noise * random.normal(size=expected.shape)
    trial = trials.Features(images=200, min_cosine=0.99).judge(pd.DataFrame(index=range(200)), expected, given, [])
    assert bool(trial.refused) == refused
    assert "cosine to Keras" in str(trial)
    assert "answers alike" not in str(trial)
    broken = trials.Features(images=200, min_cosine=0.99).judge(pd.DataFrame(), expected, given * np.nan, [])
    assert broken.refused == "it gives no numbers (NaN)"
