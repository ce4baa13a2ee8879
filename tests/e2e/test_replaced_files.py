"""Labelled files that were replaced under their names: from the index to the label that a person confirms."""

import shutil

import pandas as pd
import pytest

from pipeline.library.exclusion import Reason
from tests.e2e.conftest import Workspace, fresh

COWS = [f"library/cow/{number:04d}.jpg" for number in range(5)]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Workspace:
    """A demo that is indexed and curated, whose labels were written by a program that noted no contents."""
    workspace = fresh(tmp_path_factory.mktemp("replaced") / "clone")
    workspace.run("wallaby", "demo", "--size", "0.1")
    for name in ("labels.csv", "benchmarks/field.csv"):
        table = pd.read_csv(workspace.path / "data" / name, dtype=str, keep_default_na=False)
        table.drop(columns="sha256").to_csv(workspace.path / "data" / name, index=False)
    workspace.run("wallaby", "init-base", "--model", "squeezenet")
    return workspace


def test_replaced_files_are_out_of_every_set_until_a_person_confirms_their_label(labelled):
    first = labelled.stage("index").stdout
    assert "noted in data/labels.csv which content each of" in first
    assert "noted in data/benchmarks which content each of" in first
    assert "noted" not in labelled.stage("index").stdout
    assert Reason.OTHER_CONTENT not in labelled.stage("curate").stdout
    before = labelled.table("data/curated/board.csv").set_index("label").loc["cow", "images"]

    pool = sorted((labelled.path / "data/demo/pool/00").iterdir())
    for image, picture in zip(COWS, pool[10:], strict=False):
        shutil.copyfile(picture, labelled.path / "data/demo" / image)
    labelled.stage("index")
    said = labelled.stage("curate").stdout
    assert f"5 images have {Reason.OTHER_CONTENT}: 5 cow, first {COWS[0]}" in said
    excluded = labelled.table("data/curated/excluded.parquet").set_index("image")
    assert set(excluded.loc[COWS, "reason"]) == {Reason.OTHER_CONTENT}
    assert labelled.table("data/curated/board.csv").set_index("label").loc["cow", "images"] == before - 5

    said = excluded.loc[COWS[:2]].reset_index().assign(by="ann", at="2026-03-01T12:00:00")
    said = said.assign(decision=["keep", "label"], label=["", "cow"])
    said[["image", "sha256", "decision", "label", "by", "at"]].to_csv(labelled.path / "data/reviews/s.csv", index=False)
    labelled.run("wallaby", "apply")
    labelled.stage("curate")
    excluded = labelled.table("data/curated/excluded.parquet").set_index("image")
    assert set(excluded.index[excluded["reason"] == Reason.OTHER_CONTENT]) == set(COWS[2:])
