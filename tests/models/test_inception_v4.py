"""The numbers of Szegedy et al. 2016, and the family built from its blocks."""

import numpy as np
import pytest
from keras import Model, layers

from pipeline.config import load_preset
from pipeline.errors import UsageError
from pipeline.models import presets
from pipeline.models.inception_v4 import inception_v4
from pipeline.sections import Preset

SMALLEST = {"image_size": 75, "num_classes": 3, "width": 0.05, "blocks": (1, 1, 1)}


@pytest.fixture(scope="module")
def full() -> Model:
    return presets.build(load_preset("inception_v4"), num_classes=1000)


@pytest.fixture(scope="module")
def smallest() -> Model:
    return inception_v4(**SMALLEST)


def parameters(variables: list) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def joints(model: Model) -> list[tuple[int, ...]]:
    """The shape after each joint of branches, from the stem on."""
    return [layer.output.shape[1:] for layer in model.layers if isinstance(layer, layers.Concatenate)]


def test_the_full_network_has_the_number_of_parameters_usually_given(full):
    assert parameters(full.trainable_weights) == 42_679_816
    assert full.count_params() == 42_742_984


def test_the_full_network_has_the_shapes_and_the_blocks_of_the_paper(full):
    stem = [(73, 73, 160), (71, 71, 192)]
    a, b, c = [(35, 35, 384)], [(17, 17, 1024)], [(8, 8, 1536)]
    assert joints(full) == stem + a * (1 + 4) + b * (1 + 7) + c * (1 + 3)
    assert full.input_shape == (None, 299, 299, 3)
    assert full.output_shape == (None, 1000)


def test_a_member_of_the_family_has_its_own_width_depth_and_size(smallest):
    assert len(joints(smallest)) == 2 + (1 + 1) + (1 + 1) + (1 + 1)
    assert joints(smallest)[-1] == (1, 1, 6 * round(0.05 * 256))
    probs = smallest.predict(np.full((2, 75, 75, 3), 255.0), verbose=0)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)


def test_pixels_from_0_to_255_are_scaled_inside_the_network(smallest):
    scaled = Model(smallest.input, smallest.get_layer("scale").output)
    pixels = np.array([0, 127.5, 255]).repeat(75 * 75 * 3).reshape(3, 75, 75, 3)
    assert np.unique(scaled.predict(pixels, verbose=0)).tolist() == [-1, 0, 1]
    first = next(layer for layer in smallest.layers if isinstance(layer, layers.Conv2D))
    assert first.input is scaled.output


def test_a_picture_too_small_for_the_network_is_refused():
    with pytest.raises(ValueError, match="image_size 74 is too small for Inception-V4: at least 75"):
        inception_v4(**SMALLEST | {"image_size": 74})


def test_the_same_seed_gives_the_same_random_weights(smallest):
    preset = Preset(architecture="inception_v4", image_size=75, options={"width": 0.05, "blocks": [1, 1, 1]})
    one, same = (presets.build(preset, 3, seed=1).get_weights() for _ in range(2))
    assert all(map(np.array_equal, one, same))
    assert not np.array_equal(one[0], smallest.get_weights()[0])


@pytest.mark.parametrize(
    ("preset", "what", "mend"),
    [
        ({"architecture": "inception_v5"}, "unknown architecture 'inception_v5'", "did you mean 'inception_v4'?"),
        ({"options": {"widht": 0.5}}, "unknown option 'widht'", "did you mean 'width'?"),
        ({"options": {"num_classes": 5}}, "unknown option 'num_classes'", "known: "),
        ({"options": {"blocks": [1, 2]}}, "does not fit inception_v4", ""),
        ({"options": {"width": "half"}}, "does not fit inception_v4", ""),
        ({"image_size": 64}, "image_size 64 is too small", ""),
    ],
)
def test_a_slip_in_a_preset_is_named_with_the_nearest(preset, what, mend):
    with pytest.raises(UsageError) as refused:
        presets.build(Preset(**{"architecture": "inception_v4", "image_size": 75} | preset), num_classes=2)
    assert what in refused.value.what
    assert mend in refused.value.mend
