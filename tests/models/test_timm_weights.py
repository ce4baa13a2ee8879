"""timm's Inception-V4: its layout, of timm 1.0.31, and logits that it gave for the weights made up here."""

import hashlib

import numpy as np
import pytest
from keras import Model
from safetensors.numpy import save_file

from pipeline.errors import DataError, UsageError
from pipeline.models import presets, timm_weights
from pipeline.models.head import FEATURES, HEAD
from pipeline.models.inception_v4 import inception_v4
from pipeline.sections import Preset

# A block: its convolutions, each as the name, filters, channels, height and width.
STEM = """
0 32 3 3 3; 1 32 32 3 3; 2 64 32 3 3; 3.conv 96 64 3 3; 4.branch0.0 64 160 1 1; 4.branch0.1 96 64 3 3;
4.branch1.0 64 160 1 1; 4.branch1.1 64 64 1 7; 4.branch1.2 64 64 7 1; 4.branch1.3 96 64 3 3; 5.conv 192 192 3 3
"""
A = """
branch0 96 384 1 1; branch1.0 64 384 1 1; branch1.1 96 64 3 3; branch2.0 64 384 1 1; branch2.1 96 64 3 3;
branch2.2 96 96 3 3; branch3.1 96 384 1 1
"""
REDUCTION_A = "branch0 384 384 3 3; branch1.0 192 384 1 1; branch1.1 224 192 3 3; branch1.2 256 224 3 3"
B = """
branch0 384 1024 1 1; branch1.0 192 1024 1 1; branch1.1 224 192 1 7; branch1.2 256 224 7 1; branch2.0 192 1024 1 1;
branch2.1 192 192 7 1; branch2.2 224 192 1 7; branch2.3 224 224 7 1; branch2.4 256 224 1 7; branch3.1 128 1024 1 1
"""
REDUCTION_B = """
branch0.0 192 1024 1 1; branch0.1 192 192 3 3; branch1.0 256 1024 1 1; branch1.1 256 256 1 7; branch1.2 320 256 7 1;
branch1.3 320 320 3 3
"""
C = """
branch0 256 1536 1 1; branch1_0 384 1536 1 1; branch1_1a 256 384 1 3; branch1_1b 256 384 3 1; branch2_0 384 1536 1 1;
branch2_1 448 384 3 1; branch2_2 512 448 1 3; branch2_3a 256 512 1 3; branch2_3b 256 512 3 1; branch3.1 256 1536 1 1
"""
FEATURES_OF_TIMM = {"features": STEM} | {
    f"features.{place}": block
    for place, block in enumerate([A] * 4 + [REDUCTION_A] + [B] * 7 + [REDUCTION_B] + [C] * 3, start=6)
}
SIDE = 107  # a quarter of the full network's places; 7x1 kernels and borders all come into play
CLASSES = [0, 1, 250, 500, 999]
LOGITS = [
    [4.86300, 2.51413, -1.50978, -0.93620, 7.41586],
    [4.69944, 2.53537, -1.52744, -0.78211, 7.36338],
]


def shapes() -> dict[str, tuple[int, ...]]:
    """timm's tensors, but for its counters."""
    found: dict[str, tuple[int, ...]] = {}
    for place, block in FEATURES_OF_TIMM.items():
        for convolution in block.split(";"):
            name, *shape = convolution.split()
            filters = int(shape[0])
            found[f"{place}.{name}.conv.weight"] = tuple(map(int, shape))
            found |= {
                f"{place}.{name}.bn.{kind}": (filters,) for kind in ("weight", "bias", "running_mean", "running_var")
            }
    return found | {"last_linear.weight": (1000, 1536), "last_linear.bias": (1000,)}


def made_up(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that depend on nothing but the name, at a scale that keeps a picture alive through 149 layers."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    if name.endswith(("running_var", "bn.weight")):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) == 1:
        return random.normal(0, 0.1, shape).astype(np.float32)
    return random.standard_normal(shape, dtype=np.float32) * np.float32((2 / np.prod(shape[1:])) ** 0.5)


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return {name: made_up(name, shape) for name, shape in shapes().items()}


@pytest.fixture(scope="module")
def model() -> Model:
    return inception_v4(image_size=SIDE)


def logits(model: Model, pictures: np.ndarray) -> np.ndarray:
    features = Model(model.input, model.get_layer(FEATURES).output).predict(pictures, verbose=0)
    kernel, bias = model.get_layer(HEAD).get_weights()
    return features @ kernel + bias


def test_the_logits_are_those_of_timm(model, tensors):
    timm_weights.load(model, tensors | {"features.0.bn.num_batches_tracked": np.array(0)})
    pictures = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)
    np.testing.assert_allclose(logits(model, pictures)[:, CLASSES], LOGITS, atol=1e-3)


def test_every_weight_but_the_head_s_is_loaded_into_a_network_of_other_classes(tensors):
    model = inception_v4(image_size=75, num_classes=2)
    head = model.get_layer(HEAD).get_weights()
    before = {weight.path: weight.numpy() for weight in model.weights}
    timm_weights.load(model, tensors)
    kept = [weight.path for weight in model.weights if np.array_equal(weight.numpy(), before[weight.path])]
    assert kept == ["head/kernel", "head/bias"]
    assert all(map(np.array_equal, model.get_layer(HEAD).get_weights(), head))


def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(model, tensors):
    before = model.get_layer("stem_1_conv").get_weights()[0]
    wrong = {name: tensor for name, tensor in tensors.items() if "features.21." not in name}
    wrong |= {
        "features.0.conv.weight": np.zeros((32, 1, 3, 3)),
        "fc.weight": np.zeros((10, 4)),
        "fc.bias": np.zeros(10),
    }
    with pytest.raises(DataError) as refused:
        timm_weights.load(model, wrong, where="resnet.safetensors")
    missing, left_over, reshaped = refused.value.what.split("; ")
    assert "50 missing (features.21.branch0.conv.weight, features.21.branch0.bn.weight" in missing
    assert missing.count("features.21.") == 10
    assert missing.endswith("and 40 more)")
    assert left_over == "2 left over (fc.weight, fc.bias)"
    assert reshaped == "1 of another shape (features.0.conv.weight)"
    assert "resnet.safetensors" in str(refused.value)
    assert np.array_equal(model.get_layer("stem_1_conv").get_weights()[0], before)


def test_a_smaller_network_of_the_family_refuses_timm_s_weights_by_name(tensors):
    with pytest.raises(DataError, match=r"missing .* left over .* of another shape"):
        timm_weights.load(inception_v4(image_size=75, width=0.25, blocks=(1, 2, 1), num_classes=2), tensors)


PRESET = Preset(architecture="inception_v4", image_size=75, options={"width": 0.05, "blocks": [1, 1, 1]})


@pytest.fixture
def fitting(tmp_path) -> tuple[str, dict[str, np.ndarray]]:
    """A file that fits the tiny network of the preset, in timm's layout."""
    model = presets.build(PRESET, num_classes=3)
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    wanted = {weight.name: weight.variable for weight in timm_weights._body(model)}
    wanted |= {"last_linear.weight": model.get_layer(HEAD).kernel, "last_linear.bias": model.get_layer(HEAD).bias}
    tensors = {
        name: np.ascontiguousarray(made_up(name, weight.shape).transpose(order[len(weight.shape)]))
        for name, weight in wanted.items()
    }
    save_file(tensors, tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors"), tensors


def test_a_file_of_weights_is_read_when_a_preset_is_built(fitting):
    file, tensors = fitting
    model = presets.build(PRESET, num_classes=3, weights=file)
    assert np.array_equal(model.get_layer("stem_1_conv").kernel.numpy().transpose(3, 2, 0, 1), tensors[FIRST])
    assert np.array_equal(model.get_layer(HEAD).bias.numpy(), tensors["last_linear.bias"])


FIRST = "features.0.conv.weight"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "not readable as safetensors"),
        (b"PK\x03\x04 a zip file of torch", "not readable as safetensors"),
        (None, "no such file"),
    ],
)
def test_a_file_that_holds_no_weights_is_one_clear_error(tmp_path, content, what):
    file = tmp_path / "weights.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((DataError, UsageError), match=what):
        presets.build(PRESET, num_classes=3, weights=str(file))


def test_a_file_cut_short_is_one_clear_error(fitting, tmp_path):
    cut = tmp_path / "cut.safetensors"
    with open(fitting[0], "rb") as whole:
        cut.write_bytes(whole.read(5000))
    with pytest.raises(DataError, match="not readable as safetensors"):
        presets.build(PRESET, num_classes=3, weights=str(cut))


@pytest.mark.parametrize(
    ("weights", "preset", "told"),
    [
        ("imagnet", {}, "did you mean 'imagenet'?"),
        ("imagenet", {}, "Keras has no ImageNet weights of inception_v4"),
        ("some.safetensors", {"architecture": "squeezenet", "options": {}}, "not for squeezenet"),
    ],
)
def test_weights_that_the_network_cannot_begin_with_are_refused(weights, preset, told):
    with pytest.raises(UsageError) as refused:
        presets.build(PRESET.model_copy(update=preset), num_classes=3, weights=weights)
    assert told in str(refused.value)
