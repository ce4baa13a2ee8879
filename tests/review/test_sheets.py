"""The queue as a spreadsheet and back, in a workspace of its own."""

import pandas as pd
import pytest

from pipeline import paths
from pipeline.errors import DataError, UsageError
from pipeline.files import write_csv, write_json, write_table, write_text
from pipeline.library import labels
from pipeline.review import near_cutoff, recipes, sheets

ROOTS = "roots:\n  library: {library: library}\n  pool: {pool: pool}\n"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """A repository with one labelled image and a queue of two pool images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_text(ROOTS, tmp_path / "configs/params.yaml")
    write_text("image,label\nlibrary/a.jpg,cat\n", tmp_path / paths.LABELS)
    queued = {"image": ["pool/1.jpg", "pool/2.jpg"], "sha256": ["1", "2"], "label": "owl", "group": ["1", "2"]}
    table = pd.DataFrame(queued | {"rank": [1, 2], "score": 0.5, "reason": "r"})
    for number, recipe in enumerate(recipes.RECIPES):
        write_table(table[: 0 if number else 2], paths.QUEUE / f"{recipe.name}.parquet")
    write_json({"model": "m1"}, paths.PREDICTIONS / "summary.json")
    return tmp_path


def fill(*answers: str) -> None:
    sheets.write(paths.QUEUE / "sheet.csv")
    filled = labels.read_csv(paths.QUEUE / "sheet.csv", ["decision"]).assign(decision=list(answers))
    write_csv(filled, paths.QUEUE / "sheet.csv")


def take() -> int:
    return sheets.take(paths.QUEUE / "sheet.csv", by="ann", at="2026-03-01T12:00:00")[1]


def test_a_filled_sheet_goes_into_the_labels(workspace):
    fill("yes", "bad")
    assert take() == 2
    dry = sheets.apply(dry_run=True)
    assert (dry.added, labels.read(paths.LABELS, ["library", "pool"])["image"].tolist()) == (2, ["library/a.jpg"])
    assert sheets.apply(dry_run=False).added == 2
    table = labels.read(paths.LABELS, ["library", "pool"]).set_index("image")
    assert table.loc["pool/1.jpg", ["label", "status", "by", "model"]].tolist() == ["owl", "ok", "ann", "m1"]
    assert table.loc["pool/2.jpg", ["label", "status"]].tolist() == ["", "bad"]
    assert sheets.apply(dry_run=False).before == 2


def test_a_sheet_without_an_answer_is_refused():
    fill("", "")
    with pytest.raises(DataError, match="no row has a decision"):
        take()
    assert not paths.REVIEWS.exists()


def test_a_sheet_that_may_hold_decisions_is_not_written_over():
    fill("yes", "")
    with pytest.raises(UsageError, match="may hold decisions"):
        sheets.write(paths.QUEUE / "sheet.csv")


def test_who_decided_must_be_said():
    fill("yes", "")
    with pytest.raises(UsageError, match="who decided"):
        sheets.take(paths.QUEUE / "sheet.csv", by="", at="2026-03-01")


def test_an_image_of_an_unknown_root_is_refused_with_its_row():
    fill("yes", "yes")
    text = (paths.QUEUE / "sheet.csv").read_text().replace("pool/2.jpg", "pond/2.jpg")
    write_text(text, paths.QUEUE / "sheet.csv")
    with pytest.raises(DataError, match="unknown root 'pond'") as refused:
        take()
    assert refused.value.where.endswith("row 3")


def test_a_benchmark_image_is_left_alone():
    write_text("image,label\npool/1.jpg,cat\n", paths.BENCHMARKS / "field.csv")
    fill("yes", "yes")
    take()
    applied = sheets.apply(dry_run=False)
    assert (applied.refused, applied.added) == (["pool/1.jpg"], 1)


def test_without_a_queue_nothing_can_be_reviewed():
    (paths.QUEUE / "look-alike.parquet").unlink()
    with pytest.raises(DataError, match="a table is missing"):
        sheets.queues()


def throw_away(workspace, recipe: str = near_cutoff.RECIPE):
    """The queue of a throw-away run of another model, one picture long."""
    folder = workspace / ".wallaby/throwaway/min-35"
    table = pd.DataFrame(
        {"image": ["pool/1.jpg"], "sha256": "1", "label": "emu", "group": "1", "rank": 1, "score": 0.5}
    )
    write_table(table.reindex(columns=recipes.COLUMNS).assign(reason="r"), folder / f"queue/{recipe}.parquet")
    write_json({"model": "m2"}, folder / "predictions/summary.json")
    return folder / "queue"


def test_a_throwaways_queue_is_reviewed_as_the_rounds_and_its_model_is_remembered(workspace):
    queue, sheet = throw_away(workspace), workspace / "sheet.csv"
    assert sheets.write(sheet, queue) == 1
    write_csv(labels.read_csv(sheet, ["decision"]).assign(decision="yes"), sheet)
    path, number = sheets.take(sheet, queue, by="ann", at="2026-03-01T12:00:00")
    assert number == 1
    assert labels.read_csv(path, ["image"])[["label", "model", "recipe"]].to_numpy().tolist() == [
        ["emu", "m2", near_cutoff.RECIPE]
    ]


def test_a_sheet_of_another_queue_is_refused_since_another_model_suggested_it(workspace):
    queue, sheet = throw_away(workspace), workspace / "sheet.csv"
    sheets.write(sheet, queue)
    write_csv(labels.read_csv(sheet, ["decision"]).assign(decision="yes"), sheet)
    with pytest.raises(UsageError, match="not of this queue"):
        sheets.take(sheet, by="ann", at="2026-03-01T12:00:00")
    fill("yes", "bad")
    with pytest.raises(UsageError, match="not of this queue"):
        sheets.take(paths.QUEUE / "sheet.csv", queue, by="ann", at="2026-03-01T12:00:00")
    assert not paths.REVIEWS.exists()
