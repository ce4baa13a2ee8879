"""The queue as a spreadsheet and back, in a workspace of its own."""

from pathlib import Path

import pandas as pd
import pytest
from builders import library_table, sha

from pipeline import paths
from pipeline.errors import DataError, UsageError
from pipeline.files import write_csv, write_json, write_table, write_text
from pipeline.library import labels
from pipeline.review import decisions, near_cutoff, recipes, sheets

ROOTS = "roots:\n  library: {library: library}\n  pool: {pool: pool}\n"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """A repository with one labelled image and a queue of two pool images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_text(ROOTS, tmp_path / "configs/params.yaml")
    write_text("image,label\nlibrary/a.jpg,cat\n", tmp_path / paths.LABELS)
    for name in "12":
        write_text(name, tmp_path / f"pool/{name}.jpg")
    queued = {"image": ["pool/1.jpg", "pool/2.jpg"], "sha256": [sha(1), sha(2)], "label": "owl", "group": ["1", "2"]}
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
    return sheets.take(paths.QUEUE / "sheet.csv", by="ann", at="2026-03-01T12:00:00").number


def test_a_filled_sheet_is_a_review_table():
    fill("yes", "bad")
    assert take() == 2
    found = decisions.read_all(paths.REVIEWS, ["library", "pool"])
    assert found[["image", "decision", "label", "by", "model"]].to_numpy().tolist() == [
        ["pool/1.jpg", "label", "owl", "ann", "m1"],
        ["pool/2.jpg", "bad", "", "ann", "m1"],
    ]


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


def test_without_a_queue_nothing_can_be_reviewed():
    (paths.QUEUE / "look-alike.parquet").unlink()
    with pytest.raises(DataError, match="a table is missing"):
        sheets.queues()


def throw_away(workspace, recipe: str = near_cutoff.RECIPE):
    """The queue of a throw-away run of another model, one picture long."""
    folder = workspace / ".wallaby/throwaway/min-35"
    table = pd.DataFrame(
        {"image": ["pool/1.jpg"], "sha256": sha(1), "label": "emu", "group": "1", "rank": 1, "score": 0.5}
    )
    write_table(table.reindex(columns=recipes.COLUMNS).assign(reason="r"), folder / f"queue/{recipe}.parquet")
    write_json({"model": "m2"}, folder / "predictions/summary.json")
    return folder / "queue"


def test_a_throwaways_queue_is_reviewed_as_the_rounds_and_its_model_is_remembered(workspace):
    queue, sheet = throw_away(workspace), workspace / "sheet.csv"
    assert sheets.write(sheet, queue) == 1
    write_csv(labels.read_csv(sheet, ["decision"]).assign(decision="yes"), sheet)
    taken = sheets.take(sheet, queue, by="ann", at="2026-03-01T12:00:00")
    assert taken.number == 1
    assert labels.read_csv(taken.file, ["image"])[["label", "model", "recipe"]].to_numpy().tolist() == [
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


def queue(**images: str) -> pd.DataFrame:
    """A recipe's table: images and their suggested labels."""
    rows = [
        {"image": f"pool/{n}.jpg", "label": label, "sha256": sha(n), "group": n, "rank": i + 1, "score": 0.5}
        for i, (n, label) in enumerate(images.items())
    ]
    columns = ["image", "sha256", "group", "rank", "label", "score"]
    return pd.DataFrame(rows, columns=columns).assign(reason="r")


def answers(tmp_path, *given: str) -> pd.DataFrame:
    """Writes the queue as a sheet, fills it as a person does, and reads it back."""
    sheet = sheets.to_sheet({"unknown": queue(a="cat", b="dog"), "look-alike": queue(c="owl", d="owl")})
    write_csv(sheet.assign(decision=[*given, *[""] * (4 - len(given))]), tmp_path / "sheet.csv")
    filled = labels.read_csv(tmp_path / "sheet.csv", ["decision"])
    return sheets.from_sheet(filled, "sheet.csv", by="ann", at="2026-03-01", model="m1")


def test_an_unchanged_sheet_holds_no_decision(tmp_path):
    found = answers(tmp_path)
    assert (len(found), list(found)) == (0, decisions.COLUMNS)


def test_a_sheet_is_answered_with_yes_unknown_bad_or_a_class(tmp_path):
    found = answers(tmp_path, "Yes", " wolf ", "UNKNOWN", "bad")
    assert found[["image", "decision", "label", "suggested", "recipe"]].to_dict("split")["data"] == [
        ["pool/a.jpg", "label", "cat", "cat", "unknown"],
        ["pool/b.jpg", "label", "wolf", "dog", "unknown"],
        ["pool/c.jpg", "unknown", "", "owl", "look-alike"],
        ["pool/d.jpg", "bad", "", "owl", "look-alike"],
    ]
    assert found[["by", "at", "model"]].drop_duplicates().to_numpy().tolist() == [["ann", "2026-03-01", "m1"]]


def test_a_sheet_s_decisions_survive_the_review_table(tmp_path):
    given = answers(tmp_path, "yes", "wolf")
    decisions.write(given, tmp_path / "reviews", "monday")
    found = decisions.read_all(tmp_path / "reviews", ["library", "pool"])
    said = ["image", "decision", "label", "by", "at", "model", "suggested", "recipe"]
    assert found[said].equals(given[said])
    assert found["session"].unique().tolist() == ["monday"]


def test_a_sheet_without_a_column_is_refused():
    with pytest.raises(DataError, match="column 'sha256' is missing"):
        sheets.from_sheet(pd.DataFrame(columns=["decision", "image", "label", "recipe"]), "s", by="a", at="", model="")


def test_a_sheet_can_say_keep():
    sheet = pd.DataFrame(
        [["keep", "library/a.jpg", "suspect-label", "dog", "ff"]],
        columns=["decision", "image", "recipe", "label", "sha256"],
    )
    found = sheets.from_sheet(sheet, "sheet.csv", by="ann", at="2026-03-01T12:00:00", model="m1")
    assert found[["decision", "label", "suggested"]].to_numpy().tolist() == [["keep", "", "dog"]]


def test_a_row_whose_file_was_replaced_since_the_sheet_was_written_is_refused_by_name_and_the_others_are_taken():
    fill("yes", "bad")
    write_text("another picture", Path("pool/1.jpg"))
    taken = sheets.take(paths.QUEUE / "sheet.csv", by="ann", at="2026-03-01T12:00:00")
    assert (taken.number, taken.missing) == (1, ["pool/1.jpg"])
    assert decisions.read_all(paths.REVIEWS, ["library", "pool"])["image"].tolist() == ["pool/2.jpg"]


def test_a_sheet_of_which_every_file_was_replaced_makes_no_review_table():
    fill("yes", "")
    write_text("another picture", Path("pool/1.jpg"))
    taken = sheets.take(paths.QUEUE / "sheet.csv", by="ann", at="2026-03-01T12:00:00")
    assert (taken.file, taken.number, taken.missing) == (None, 0, ["pool/1.jpg"])
    assert not paths.REVIEWS.exists()


def test_a_row_lands_on_the_file_that_was_moved_since_once_that_is_indexed():
    fill("yes", "")
    Path("pool/1.jpg").rename("pool/moved.jpg")
    write_table(library_table({"image": "pool/moved.jpg", "sha256": sha(1)}), paths.INDEX / "pool.parquet")
    assert take() == 1
    found = decisions.read_all(paths.REVIEWS, ["library", "pool"])
    assert found[["image", "sha256"]].to_numpy().tolist() == [["pool/moved.jpg", sha(1)]]
