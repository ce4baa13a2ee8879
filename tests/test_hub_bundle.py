"""A network on a TensorFlow Hub module through the wheel: bundle, twin, training, head, and from place to place."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline import bundle
from pipeline.commands import init_base
from pipeline.errors import DataError
from pipeline.library import lineage
from pipeline.models import hub_layer, keras
from pipeline.models.head import freeze, renew_head
from pipeline.models.hub import hub
from pipeline.sections import Preset
from pipeline.training import hardware
from tests.hub_modules import save_module
from tests.networks import SIDE, coloured, equal, train, weights

REPOSITORY = Path(__file__).parents[1]
CLASSES = ["cat", "dog", "owl"]
HUB_FILES = ["hub/saved_model.pb", "hub/variables/variables.data-00000-of-00001", "hub/variables/variables.index"]


@pytest.fixture(scope="module")
def module(tmp_path_factory) -> Path:
    return save_module(tmp_path_factory.mktemp("modules") / "vector")


def network(module: Path) -> keras.Model:
    keras.utils.set_random_seed(0)
    return hub(image_size=SIDE, num_classes=3, handle=str(module))


@pytest.fixture(scope="module")
def saved(module, tmp_path_factory) -> Path:
    """A bundle whose weights are no longer those of its module."""
    model = network(module)
    for variable in model.trainable_variables:
        variable.assign(variable * 1.5)
    folder = tmp_path_factory.mktemp("bundles") / "model"
    card = bundle.Card("hub", SIDE, round=2, pretrained="hub:vector")
    bundle.save(bundle.Bundle(model, CLASSES, card, lineage.empty()), folder)
    return folder


@pytest.fixture
def forgotten(monkeypatch) -> None:
    """As in a new process, which knows no SavedModel."""
    monkeypatch.setattr(hub_layer, "_folders", {})


def probs(model: keras.Model) -> np.ndarray:
    return model.predict(coloured(6)[0], verbose=0)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_bundle_carries_its_module(saved):
    assert files(saved) == sorted([*bundle.FILES, *HUB_FILES])
    assert bundle.check(saved).hub_digest == bundle.load(saved).model.get_layer("hub").module


def test_a_bundle_says_the_same_wherever_it_lies(saved, module, tmp_path, forgotten):
    expected = probs(bundle.load(saved).model)
    moved = Path(shutil.copytree(saved, tmp_path / "elsewhere" / "base"))
    hub_layer._folders.clear()
    found = bundle.load(moved)
    assert hub_layer.locate(found.card.hub_digest) == moved / "hub"
    assert np.array_equal(probs(found.model), expected)
    assert not np.allclose(probs(network(module)), expected)  # the module's own weights are others


def test_a_bundle_that_was_loaded_can_be_saved_and_promoted_again(saved, tmp_path):
    """From files that may only be read, as DVC links them."""
    linked = tmp_path / "linked"
    for name in files(saved):
        (linked / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(saved / name, linked / name)
        (linked / name).chmod(0o444)
    (linked / "history.csv").write_text("of the training")
    again = bundle.save(bundle.load(linked), tmp_path / "again")
    assert again.hub_digest == bundle.check(saved).hub_digest
    bundle.copy(linked, tmp_path / "base")
    assert files(tmp_path / "base") == files(tmp_path / "again") == files(saved)
    assert all(os.access(tmp_path / "base" / name, os.W_OK) for name in HUB_FILES)
    assert np.array_equal(probs(bundle.load(tmp_path / "base").model), probs(bundle.load(saved).model))


def test_a_bundle_without_its_module_is_incomplete(saved, tmp_path):
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    shutil.rmtree(folder / "hub")
    with pytest.raises(DataError, match=r"incomplete: hub/saved_model\.pb missing"):
        bundle.check(folder)


@pytest.mark.parametrize("name", HUB_FILES)
def test_a_bundle_with_another_module_is_refused(saved, tmp_path, name):
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    (folder / name).write_bytes(b"another")
    with pytest.raises(DataError, match="not the one the card describes") as refused:
        bundle.load(folder)
    assert refused.value.where == str(folder / "hub")
    (folder / name).unlink()
    with pytest.raises(DataError, match=r"not the one the card describes|incomplete"):
        bundle.load(folder)


def test_a_network_without_its_bundle_says_what_it_needs(saved, forgotten):
    with pytest.raises(DataError, match="needs the SavedModel") as refused:
        keras.saving.load_model(saved / bundle.MODEL)
    assert "load the bundle" in refused.value.mend


def test_a_twin_says_the_same_and_shares_nothing(saved):
    model = bundle.load(saved).model
    freeze(model, ["hub"])
    twin = hardware.twin(model, precision="mixed_bfloat16")
    assert equal(weights(twin), weights(model))
    assert [variable.path for variable in twin.trainable_variables] == ["head/kernel", "head/bias"]
    before = weights(model)
    for variable in twin.variables:
        variable.assign(variable * 0)
    assert equal(weights(model), before)
    assert np.array_equal(probs(hardware.twin(model)), probs(model))


@pytest.mark.parametrize("frozen", [[], ["hub"]], ids=["fine-tuned", "frozen"])
def test_a_resumed_training_ends_as_if_nothing_had_happened(module, tmp_path, frozen):
    def start(folder: Path, epochs: int):
        model = network(module)
        freeze(model, frozen)
        return train(folder, model, max_epochs=epochs, patience=9, head_warmup_epochs=1, body_rate=0.5, ema=0.8)

    whole, fitted = start(tmp_path / "whole", 4)
    start(tmp_path / "stopped", 2)
    resumed, again = start(tmp_path / "stopped", 4)
    assert equal(weights(resumed), weights(whole))
    assert np.array_equal(again.history["val_loss"], fitted.history["val_loss"])
    untouched = np.array_equal(weights(whole)[0], weights(network(module))[0])
    assert untouched == bool(frozen)


def test_a_new_head_keeps_the_module_s_weights(saved):
    base = bundle.load(saved)
    before = [variable.numpy() for variable in base.model.get_layer("hub").variables]
    renewed = renew_head(base.model, ["ape", *CLASSES], old_classes=CLASSES, mode="grow", seed=1)
    assert equal([variable.numpy() for variable in renewed.get_layer("hub").variables], before)
    assert np.allclose(renewed.get_layer("head").kernel[:, 1:], base.model.get_layer("head").kernel)


def test_two_devices_train_one_module(module, tmp_path):
    """Two logical ones, in a process of its own: they are made before TensorFlow starts."""
    program = (
        "import sys; from pathlib import Path; import tensorflow as tf; import numpy as np;"
        "device = tf.config.LogicalDeviceConfiguration();"
        "cpu = tf.config.list_physical_devices('CPU')[0];"
        "tf.config.set_logical_device_configuration(cpu, [device, device]);"
        "from pipeline.models.hub import hub; from tests.networks import SIDE, train, weights;"
        "model = hub(image_size=SIDE, num_classes=3, handle=sys.argv[1]); before = weights(model);"
        "model, fitted = train(Path(sys.argv[2]), model, max_epochs=2, devices=['CPU:0', 'CPU:1']);"
        "assert np.isfinite(fitted.history['val_loss']).all(), fitted.history;"
        "assert not any(map(np.array_equal, before[:3], weights(model)[:3]));"
        "print('trained')"
    )
    command = [sys.executable, "-c", program, str(module), str(tmp_path)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "trained" in result.stdout, result.stderr[-3000:]


def test_round_0_knows_what_its_module_had_learnt(module, tmp_path):
    preset, folder = Preset(architecture="hub", image_size=SIDE), tmp_path / "base"
    card = init_base.make("mine", preset, folder, seed=0, weights=f"hub:{module}", cache=tmp_path)
    base = bundle.load(folder)
    assert (card.pretrained, base.has_learnt, len(base.lineage)) == ("hub:vector", True, 0)
    again = init_base.make("mine", preset, folder, seed=0, weights=f"hub:{folder}/hub", cache=tmp_path)
    assert again.hub_digest == card.hub_digest
