"""ONNX files as people have them: pixels as every image is read go in, features come out, and the rest is refused."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from pipeline.errors import DataError, UsageError
from pipeline.inference import backbones, trials
from pipeline.inference.runtimes import graphs
from pipeline.inference.runtimes.graphs import Input
from tests.onnx_files import MATRIX, SIDE, WIDTH, network

WANTED = Input((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PIXELS = np.random.default_rng(1).integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)


def expected(pixels: np.ndarray, *, scaled: bool = True) -> np.ndarray:
    values = pixels.astype(np.float64)
    if scaled:
        values = (values / 255 - WANTED.mean) / WANTED.std
    return values.mean(axis=(1, 2)) @ MATRIX


def features(file: Path, folder: Path, wanted: Input = WANTED, *, runtime: str = "auto") -> np.ndarray:
    backbone = backbones.of_file(file, wanted, cache=folder)
    chosen = backbone.choose(runtime, lambda: None, comparison=trials.Features(10, 0.99), total=100)
    assert chosen.runtime.image_sizes == (backbone.image_size,)
    probs, found = chosen.runtime.predict_with_features(PIXELS)
    assert probs.shape == (len(PIXELS), 0)
    return found


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
@pytest.mark.parametrize("shape", [("N", 3, SIDE, SIDE), ("N", SIDE, SIDE, 3)])
def test_a_file_gives_its_features_whichever_order_its_axes_have(tmp_path, shape, runtime):
    found = features(network(tmp_path / "own.onnx", shape=shape), tmp_path / "cache", runtime=runtime)
    assert found == pytest.approx(expected(PIXELS), abs=5e-3)


def test_the_first_token_stands_for_the_image(tmp_path):
    found = features(network(tmp_path / "own.onnx", tokens=True), tmp_path / "cache")
    assert found == pytest.approx(expected(PIXELS), abs=5e-3)


def test_a_network_that_takes_bytes_gets_the_pixels_as_they_are(tmp_path):
    file = network(tmp_path / "own.onnx", shape=("N", SIDE, SIDE, 3), kind=TensorProto.UINT8)
    assert features(file, tmp_path / "cache") == pytest.approx(expected(PIXELS, scaled=False), rel=2e-3)


def test_a_size_that_the_file_leaves_open_comes_from_the_params(tmp_path):
    file = network(tmp_path / "own.onnx", shape=("N", 3, "H", "W"))
    with pytest.raises(DataError, match="images of any size"):
        features(file, tmp_path / "cache")
    wanted = Input(WANTED.mean, WANTED.std, image_size=SIDE)
    assert features(file, tmp_path / "cache", wanted) == pytest.approx(expected(PIXELS), abs=5e-3)


def test_a_key_is_that_of_the_file_and_of_what_it_is_given(tmp_path):
    file = network(tmp_path / "own.onnx")
    first = backbones.of_file(file, WANTED, cache=tmp_path / "one")
    assert backbones.of_file(file, WANTED, cache=tmp_path / "two").key == first.key
    other = Input((0.5, 0.5, 0.5), WANTED.std)
    assert backbones.of_file(file, other, cache=tmp_path / "one").key != first.key
    assert backbones.of_file(network(tmp_path / "own.onnx", tokens=True), WANTED, cache=tmp_path).key != first.key


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"inputs": 2}, "2 inputs"),
        ({"shape": ("N", 3, SIDE)}, "not pictures of 3 channels"),
        ({"shape": ("N", 4, SIDE, SIDE)}, "not pictures of 3 channels"),
        ({"shape": (1, 3, SIDE, SIDE)}, "1 pictures at once"),
        ({"shape": ("N", 3, SIDE, SIDE + 1)}, "pixels, not"),
        ({"kind": TensorProto.INT64}, "not floats or bytes"),
    ],
)
def test_an_unexpected_input_is_refused_by_its_name(tmp_path, made, words):
    file = network(tmp_path / "own.onnx", **made)
    with pytest.raises(DataError, match=words) as error:
        backbones.of_file(file, WANTED, cache=tmp_path / "cache")
    assert error.value.where == str(file)
    assert not list((tmp_path / "cache").glob("[!.]*"))


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_file_that_is_cut_short_or_no_network_is_refused(tmp_path, cut):
    file = network(tmp_path / "own.onnx")
    file.write_bytes(file.read_bytes()[:cut] if cut != 1 else b"what is this")
    with pytest.raises(DataError, match=r"not readable as ONNX|has 0 inputs"):
        backbones.of_file(file, WANTED, cache=tmp_path / "cache")


def test_an_output_is_taken_by_its_name_and_the_others_are_offered(tmp_path):
    file = network(tmp_path / "own.onnx", outputs=("embedding", "other"))
    assert features(file, tmp_path, Input(WANTED.mean, WANTED.std, output="other")).shape == (6, WIDTH)
    with pytest.raises(DataError, match="no output 'pooled'") as error:
        backbones.of_file(file, Input(WANTED.mean, WANTED.std, output="pooled"), cache=tmp_path)
    assert "embedding, other" in error.value.mend


def test_a_file_that_is_not_there_and_a_runtime_that_reads_none_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such ONNX file"):
        backbones.of_file(tmp_path / "none.onnx", WANTED, cache=tmp_path)
    with pytest.raises(UsageError, match="reads no ONNX files"):
        graphs.named("keras")
