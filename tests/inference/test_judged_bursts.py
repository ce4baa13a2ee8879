"""Bursts among the images that a model has named: each judged as a whole, beside what it makes of each frame."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.files import read_table
from pipeline.inference import judged_bursts
from tests.library.builders import sha
from tests.review.made_up_pools import predictions, store

FILE = "judged.parquet"
CLASSES = ["cat", "dog", "emu", "owl", "rat"]


def known(**bursts: str) -> pd.DataFrame:
    """The contents of bursts: for each burst the names of its images."""
    rows = [(sha(name), burst, "names in sequence") for burst, names in bursts.items() for name in names]
    return pd.DataFrame(rows, columns=["sha256", "burst", "evidence"], dtype="str")


def write(folder: Path, bursts: pd.DataFrame, *, top_k: int) -> int:
    return judged_bursts.write(folder, bursts, CLASSES, top_k=top_k, out=folder / FILE)


def test_each_frame_has_a_row_with_the_judgement_of_its_burst(tmp_path):
    table = predictions(a=("cat", 0.9), b=("dog", 0.8), c=("cat", 0.7), d=("emu", 0.9), e=("cat", 0.6))
    store(table, tmp_path)
    assert write(tmp_path, known(x="ace", y="d"), top_k=2) == 1
    rows = read_table(tmp_path / FILE)
    assert rows["image"].tolist() == ["pool/a.jpg", "pool/c.jpg", "pool/e.jpg"]
    assert rows["place"].tolist() == [0, 2, 4]
    assert (set(rows["burst"]), set(rows["frames"]), set(rows["burst_label"])) == ({"x"}, {3}, {"cat"})
    assert 0.6 < rows["burst_score"][0] < 0.9
    assert list(rows["burst_top_labels"][1]) == ["cat", "owl"]
    assert rows["burst_top_scores"][1][0] == rows["burst_score"][0]
    assert set(rows["evidence"]) == {"names in sequence"}


def test_a_burst_is_read_with_its_judgement(tmp_path):
    table = predictions(a=("cat", 0.9), b=("dog", 0.8), c=("dog", 0.8), d=("emu", 0.9), e=("cat", 0.6))
    store(table, tmp_path)
    write(tmp_path, known(x="ae", y="bc"), top_k=2)
    found = judged_bursts.read(tmp_path / FILE, tmp_path)
    assert found is not None
    names = found.bursts["burst"].reindex(found.frames).tolist()
    assert dict(zip(found.frames.index, names, strict=True)) == {0: "x", 1: "y", 2: "y", 4: "x"}
    assert found.bursts.set_index("burst")["label"].to_dict() == {"x": "cat", "y": "dog"}
    assert list(found.details(["y"]).loc["y", "top_labels"]) == ["dog", "owl"]
    assert found.classes == 5


def test_a_frame_that_could_not_be_named_is_no_part_of_it(tmp_path):
    table = predictions(a=("cat", 0.9), b=("cat", 0.8), c=("dog", 0.7))
    table.loc[1, "failure"] = "it cannot be read"
    store(table, tmp_path)
    assert write(tmp_path, known(x="ab"), top_k=2) == 0
    assert judged_bursts.read(tmp_path / FILE, tmp_path) is None


def test_without_bursts_there_is_an_empty_table_and_nothing_to_read(tmp_path):
    store(predictions(a=("cat", 0.9)), tmp_path)
    assert judged_bursts.read(tmp_path / FILE, tmp_path) is None
    write(tmp_path, known(), top_k=2)
    assert judged_bursts.read(tmp_path / FILE, tmp_path) is None


def test_bursts_of_other_predictions_are_refused(tmp_path):
    store(predictions(a=("cat", 0.9), b=("cat", 0.8)), tmp_path)
    write(tmp_path, known(x="ab"), top_k=2)
    store(predictions(a=("cat", 0.9)), tmp_path)
    with pytest.raises(DataError, match="the bursts are those of other predictions"):
        judged_bursts.read(tmp_path / FILE, tmp_path)


def test_bursts_are_judged_in_blocks_as_they_are_at_once(tmp_path, monkeypatch):
    names = "abcdefgh"
    scores = {name: (CLASSES[place % 3], 0.5 + place / 20) for place, name in enumerate(names)}
    store(predictions(**scores), tmp_path)
    bursts = known(x="ab", y="cdf", z="egh")
    write(tmp_path, bursts, top_k=3)
    at_once = read_table(tmp_path / FILE)
    monkeypatch.setattr(judged_bursts, "AT_ONCE", 2)
    write(tmp_path, bursts, top_k=3)
    pd.testing.assert_frame_equal(read_table(tmp_path / FILE), at_once)
