"""The range test on a workspace with a tiny base and a few pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import bundle, paths
from pipeline.errors import DataError
from pipeline.files import write_table
from pipeline.library import lineage
from pipeline.training import rate_finder
from tests.networks import SIDE, coloured, tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("configs/models").mkdir(parents=True)
    params = (ROOT / "configs/params.yaml").read_text().replace("library: data/demo/library", "library: pictures")
    Path("configs/params.yaml").write_text(params.replace("batch_size: 32", "batch_size: 4", 1))
    Path("configs/models/tiny.yaml").write_text(f"architecture: inception_v4\nimage_size: {SIDE}\n")
    Path("pictures").mkdir()
    pictures, targets = coloured(24)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(f"pictures/{number}.png")
    names = np.array(["cat", "dog", "owl"])[targets]
    images = [f"library/{number}.png" for number in range(24)]
    sets = np.where(np.arange(24) < 18, "train", "test")
    write_table(
        pd.DataFrame({"image": images, "label": names, "set": sets, "flip": True}), paths.SPLITS / "splits.parquet"
    )
    return tmp_path


def base(seen: pd.DataFrame) -> None:
    bundle.save(bundle.Bundle(tiny(), ["cat", "dog", "owl"], bundle.Card("tiny", SIDE), seen), paths.BASE)


def files(workspace: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}


def test_the_rate_is_suggested_for_the_base_that_is_there_and_nothing_is_written(workspace):
    base(lineage.empty())
    before = files(workspace)
    found = rate_finder.find(steps=12)
    assert (found.key, found.now) == ("learning_rate", 0.001)
    assert found.suggestion in set(found.curve["rate"])
    assert files(workspace) == before
    assert found.curve.equals(rate_finder.find(steps=12).curve)


def test_a_base_that_has_learnt_has_a_rate_of_its_own(workspace):
    base(pd.DataFrame({column: ["x"] for column in lineage.empty()}))
    found = rate_finder.find(steps=12)
    assert (found.key, found.now) == ("continued_learning_rate", 0.001)


def test_without_a_base_there_is_no_test(workspace):
    with pytest.raises(DataError, match="there is no bundle"):
        rate_finder.find(steps=12)
