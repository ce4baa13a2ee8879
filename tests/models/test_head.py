import keras
import numpy as np
import pytest
from keras import layers

from pipeline.errors import UsageError
from pipeline.models.head import FEATURES, HEAD, MODES, add_head, calibrated, freeze, renew_head, replace_head
from tests.networks import SIDE, coloured, equal, tiny


def body(model: keras.Model) -> list[np.ndarray]:
    """All that the network knows, but for its head."""
    return [v.numpy() for layer in model.layers if layer.name != HEAD for v in layer.weights]


def kernel(model: keras.Model) -> np.ndarray:
    return model.get_layer(HEAD).kernel.numpy()


def test_a_new_head_keeps_every_other_weight():
    base = tiny(3)
    before = body(base)
    assert equal(body(replace_head(base, 5)), before)
    assert len(before) == 5


def test_a_new_head_has_today_s_classes_and_its_own_random_weights():
    base = tiny(3)
    heads = [kernel(replace_head(base, 3, seed=seed)) for seed in (1, 1, 2)]
    assert heads[0].shape == (4, 3)
    assert np.array_equal(heads[0], heads[1])
    assert not np.array_equal(heads[0], heads[2])
    assert not np.array_equal(heads[0], kernel(base))
    assert replace_head(base, 7).output_shape == (None, 7)


@pytest.mark.parametrize("frozen", [lambda model: [model], lambda model: model.layers, lambda model: model.layers[2:4]])
def test_all_layers_learn_even_if_the_base_was_frozen(frozen):
    base = tiny(3)
    for part in frozen(base):
        part.trainable = False
    model = replace_head(base, 3)
    assert all(layer.trainable for layer in model.layers)
    assert len(model.trainable_weights) == 5  # kernel, gamma, beta; kernel and bias of the head


def test_one_step_of_training_moves_every_weight():
    model = replace_head(tiny(3), 3)
    before = model.get_weights()
    model.compile(optimizer=keras.optimizers.AdamW(0.01), loss="sparse_categorical_crossentropy")
    model.train_on_batch(*coloured(6))
    same = [v.path for v, old in zip(model.weights, before, strict=True) if np.array_equal(v.numpy(), old)]
    assert same == []


def test_the_head_is_found_by_its_name_and_not_by_its_place():
    pixels = keras.Input((SIDE, SIDE, 3))
    features = layers.GlobalAveragePooling2D(name=FEATURES)(pixels)
    deep = layers.Dense(8, name="deep")(features)
    model = replace_head(keras.Model(pixels, add_head(deep, 3)), 4)
    assert [layer.name for layer in model.layers[1:]] == [FEATURES, HEAD]
    assert kernel(model).shape == (3, 4)


def test_a_network_without_features_is_refused():
    pixels = keras.Input((4,))
    with pytest.raises(ValueError, match="features"):
        replace_head(keras.Model(pixels, layers.Dense(3)(pixels)), 4)


def test_the_head_computes_in_full_precision_whatever_the_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        head = replace_head(tiny(3), 3).get_layer(HEAD)
    finally:
        keras.config.set_dtype_policy(before)
    assert head.compute_dtype == "float32"


def test_a_model_with_a_new_head_says_the_same_after_saving_and_loading(tmp_path):
    model, (pictures, _) = replace_head(tiny(3), 5), coloured(4)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert np.abs(model.predict(pictures, verbose=0) - loaded.predict(pictures, verbose=0)).max() == 0


def rows(model: keras.Model, classes: list[str]) -> dict[str, list[float]]:
    """Each class' weights in the head, its bias last."""
    kernel, bias = model.get_layer(HEAD).get_weights()
    return {name: [*kernel[:, number].tolist(), float(bias[number])] for number, name in enumerate(classes)}


def learnt(classes: list[str]) -> keras.Model:
    """A network whose head has learnt something, its bias too."""
    model = tiny(len(classes))
    kernel, bias = model.get_layer(HEAD).get_weights()
    model.get_layer(HEAD).set_weights([kernel, bias + np.arange(1, len(classes) + 1)])
    return model


OLD, NEW = ["cat", "dog", "owl"], ["bat", "dog", "cat", "elk"]  # another order; the owl is gone


@pytest.mark.parametrize("mode", MODES)
def test_all_but_the_head_begins_as_the_base_and_then_moves(mode):
    base = learnt(OLD)
    before = body(base)
    model = renew_head(base, NEW, old_classes=OLD, mode=mode, seed=1)
    assert equal(body(model), before)
    model.compile(optimizer=keras.optimizers.AdamW(0.01), loss="sparse_categorical_crossentropy")
    model.train_on_batch(*coloured(6))
    assert not any(map(np.array_equal, body(model), before))


def test_a_known_class_keeps_its_weights_by_name_and_not_by_place():
    base = learnt(OLD)
    old = rows(base, OLD)
    new = rows(renew_head(base, NEW, old_classes=OLD, mode="grow", seed=1), NEW)
    assert (new["cat"], new["dog"]) == (old["cat"], old["dog"])


def test_a_head_that_grows_gives_a_new_class_random_weights():
    base = learnt(OLD)
    random = rows(renew_head(base, NEW, old_classes=OLD, seed=1), NEW)
    new = rows(renew_head(base, NEW, old_classes=OLD, mode="grow", seed=1), NEW)
    assert (new["bat"], new["elk"]) == (random["bat"], random["elk"])


def test_a_head_that_is_reset_knows_nothing_of_before():
    new = rows(renew_head(learnt(OLD), OLD, old_classes=OLD, seed=1), OLD)
    assert not set(map(tuple, new.values())) & set(map(tuple, rows(learnt(OLD), OLD).values()))


@pytest.mark.parametrize("mode", MODES)
def test_a_base_that_has_learnt_no_class_gets_a_random_head(mode):
    model = renew_head(tiny(1), NEW, old_classes=[], mode=mode, seed=1)
    assert rows(model, NEW) == rows(replace_head(tiny(1), 4, seed=1), NEW)


def test_only_the_layers_named_are_frozen():
    model = replace_head(tiny(3), 3)
    [conv] = [layer.name for layer in model.layers if layer.name.startswith("conv2d")]
    freeze(model, ["conv2d"])
    assert [layer.name for layer in model.layers if not layer.trainable] == [conv]
    freeze(model, [])
    assert [layer.name for layer in model.layers if not layer.trainable] == [conv]


@pytest.mark.parametrize(("prefix", "offered"), [("conv3d", "did you mean 'conv2d"), ("head", "would freeze the head")])
def test_a_prefix_that_freezes_nothing_or_the_head_is_refused(prefix, offered):
    with pytest.raises(UsageError) as refused:
        freeze(tiny(3), [prefix])
    assert offered in str(refused.value)


def test_a_calibrated_network_shares_its_layers_and_leaves_the_other_as_it_is():
    model, (pixels, _) = tiny(), coloured(6)
    before = model.predict(pixels, verbose=0)
    warm = calibrated(model, 2.0)
    assert warm.layers[1] is model.layers[1]
    assert np.array_equal(model.predict(pixels, verbose=0), before)
    assert not np.allclose(warm.predict(pixels, verbose=0), before)
    assert calibrated(model, 1.0) is model
