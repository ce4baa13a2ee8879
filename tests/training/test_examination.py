"""Which images are examined, and the reading of images in all parts of the program."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import bundle
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage, pictures
from pipeline.training import examination, reading_check
from pipeline.training.doctor import FAIL, PASS
from tests.library.builders import put, sha
from tests.networks import SIDE, coloured, tiny

LABELS = ["cat", "dog", "owl"]


@pytest.fixture
def source() -> bundle.Bundle:
    return bundle.Bundle(tiny(), LABELS, bundle.Card("tiny", SIDE, temperature=2.0), lineage.empty())


def noisy(folder: Path) -> list[Path]:
    return [put(folder / f"{n}.png", Image.fromarray(picture)) for n, picture in enumerate(coloured(3)[0])]


def test_all_parts_read_real_and_awkward_pictures_alike(source, tmp_path):
    found = reading_check.read_alike(source, noisy(tmp_path), tmp_path / "work")
    assert found.verdict == PASS, found.measured
    assert "7 pictures, equal pixels" in found.measured


def test_the_awkward_pictures_are_what_they_are_called(tmp_path):
    modes = {path.stem: Image.open(path).mode for path in reading_check.awkward(tmp_path)}
    assert modes == {"on-its-side": "RGB", "cmyk": "CMYK", "palette": "P", "16-bit": "I;16"}
    assert Image.open(tmp_path / "on-its-side.jpg").getexif()[pictures.ORIENTATION_TAG] == 6


@pytest.mark.parametrize("part", ["train", "identify"])
@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda path, size: np.asarray(Image.open(path).convert("RGB").resize((size, size), 2)), "on-its-side.jpg"),
        (lambda path, size: pictures.read(path, size)[..., ::-1], "0.png"),
        (lambda path, size: pictures.read(path, size // 2).repeat(2, axis=0).repeat(2, axis=1), "0.png"),
    ],
    ids=["EXIF ignored", "BGR", "too small"],
)
def test_a_part_that_reads_in_its_own_way_is_found(source, tmp_path, monkeypatch, part, fault, named):
    if part == "train":

        def decode(paths, size, out):
            return np.stack([fault(path, size) for path in paths])

        monkeypatch.setattr(reading_check, "decode_all", decode)
    else:

        def read(paths, sizes, batch_size):
            yield [np.stack([fault(path, sizes[0]) for path in paths])], [""] * len(paths)

        monkeypatch.setattr(reading_check, "read_batches", read)
    found = reading_check.read_alike(source, noisy(tmp_path), tmp_path / "work")
    assert found.verdict == FAIL
    assert "train and identify differ in" in found.measured
    assert named in found.measured


def test_a_temperature_that_one_part_forgets_is_found(source, tmp_path, monkeypatch):
    plain = bundle.replace(source, card=bundle.replace(source.card, temperature=1.0))
    monkeypatch.setattr(reading_check, "KerasRuntime", lambda _, batch_size: KerasRuntime(plain, batch_size))
    found = reading_check.read_alike(source, noisy(tmp_path), tmp_path / "work")
    assert found.verdict == FAIL
    assert "scores of train and identify differ" in found.measured


def test_a_picture_that_has_gone_is_named(source, tmp_path):
    found = reading_check.read_alike(source, [tmp_path / "gone.png"], tmp_path / "work")
    assert found.verdict == FAIL
    assert "gone.png: missing" in found.measured


def test_some_of_each_class_are_chosen_and_always_the_same():
    rows = pd.DataFrame({"label": list("aaaaaabbc"), "sha256": [sha(n) for n in range(9)]})
    chosen = examination.some_of_each(rows, 5)
    assert chosen["label"].value_counts().to_dict() == {"a": 2, "b": 2, "c": 1}
    again = examination.some_of_each(rows.sample(frac=1, random_state=0), 5)
    assert again["sha256"].tolist() == chosen["sha256"].tolist()
    assert len(examination.some_of_each(rows, 50)) == 9
