"""The queue as a spreadsheet and back."""

import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.files import write_csv, write_table
from pipeline.library import labels
from pipeline.review import decisions, recipes, spreadsheets
from tests.library.builders import sha


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
    sheet = spreadsheets.to_sheet({"unknown": queue(a="cat", b="dog"), "look-alike": queue(c="owl", d="owl")})
    write_csv(sheet.assign(decision=[*given, *[""] * (4 - len(given))]), tmp_path / "sheet.csv")
    filled = labels.read_csv(tmp_path / "sheet.csv", ["decision"])
    return spreadsheets.from_sheet(filled, "sheet.csv", by="ann", at="2026-03-01", model="m1")


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
        spreadsheets.from_sheet(
            pd.DataFrame(columns=["decision", "image", "label", "recipe"]), "s", by="a", at="", model=""
        )


def test_a_sheet_can_say_keep():
    sheet = pd.DataFrame(
        [["keep", "library/a.jpg", "suspect-label", "dog", "ff"]],
        columns=["decision", "image", "recipe", "label", "sha256"],
    )
    found = spreadsheets.from_sheet(sheet, "sheet.csv", by="ann", at="2026-03-01T12:00:00", model="m1")
    assert found[["decision", "label", "suggested"]].to_numpy().tolist() == [["keep", "", "dog"]]


def test_the_queues_of_a_folder_come_in_the_order_of_the_recipes_and_others_behind(tmp_path):
    names = [recipe.name for recipe in recipes.RECIPES]
    for name in ["a-queue-of-ones-own", *sorted(names)]:
        write_table(queue(a="cat"), tmp_path / f"{name}.parquet")
    assert list(spreadsheets.queues(tmp_path)) == [*names, "a-queue-of-ones-own"]


def test_without_a_queue_nothing_can_be_reviewed(tmp_path):
    with pytest.raises(DataError, match="there is no queue"):
        spreadsheets.queues(tmp_path)
