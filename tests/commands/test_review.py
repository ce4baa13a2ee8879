"""`wallaby review` in a spreadsheet, in a repository of its own."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli import main as wallaby
from pipeline.commands import review
from pipeline.errors import DataError, Exit, UsageError
from pipeline.files import write_csv, write_json, write_table, write_text
from pipeline.library import labels, sheets
from pipeline.review import decisions, near_cutoff, recipes
from pipeline.workspace import Workspace
from tests.library.builders import library_table, sha

ROOTS = "roots:\n  library: {library: library}\n  pool: {pool: pool}\n"
AT = "2026-03-01T12:00:00"


class Repository(Workspace):
    """One labelled image and a queue of two pool images; the sheet lies beside."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.sheet = root / "sheet.csv"
        write_text(ROOTS, self.params_file)
        write_text("image,label\nlibrary/a.jpg,cat\n", self.labels)
        for name in "12":
            write_text(name, root / f"pool/{name}.jpg")
        queued = {"image": ["pool/1.jpg", "pool/2.jpg"], "sha256": [sha(1), sha(2)], "label": "owl"}
        table = pd.DataFrame(queued | {"group": ["1", "2"], "rank": [1, 2], "score": 0.5, "reason": "r"})
        for number, recipe in enumerate(recipes.RECIPES):
            write_table(table[: 0 if number else 2], self.queue / f"{recipe.name}.parquet")
        write_json({"model": "m1"}, self.predictions / "summary.json")

    def fill(self, *answers: str, queue: Path | None = None) -> None:
        """Writes a queue as a sheet and fills it as a person does."""
        review.write_sheet(self, self.sheet, queue=queue or self.queue)
        write_csv(labels.read_csv(self.sheet, ["decision"]).assign(decision=list(answers)), self.sheet)

    def take(self, *, by: str = "ann", queue: Path | None = None):
        return review.take(self, self.sheet, queue=queue or self.queue, by=by, at=AT)

    def log(self) -> pd.DataFrame:
        return decisions.read_all(self.reviews, ["library", "pool"])

    def throw_away(self) -> Path:
        """The queue of a throw-away run of another model, one image long."""
        folder = self.root / ".wallaby/throwaway/min-35"
        row = {"image": "pool/1.jpg", "sha256": sha(1), "label": "emu", "group": "1", "rank": 1, "score": 0.5}
        table = pd.DataFrame([row]).reindex(columns=recipes.COLUMNS).assign(reason="r")
        write_table(table, folder / f"queue/{near_cutoff.RECIPE}.parquet")
        write_json({"model": "m2"}, folder / "predictions/summary.json")
        return folder / "queue"


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path)


def test_a_sheet_has_a_link_to_each_image_and_no_cell_that_a_spreadsheet_executes(repo):
    name = f"{recipes.RECIPES[0].name}.parquet"
    queued = pd.read_parquet(repo.queue / name)
    write_table(queued.assign(label=["=HYPERLINK(1)", "@owl"], reason="+1"), repo.queue / name)
    repo.fill("yes", "bad")
    sheet = labels.read_csv(repo.sheet, ["decision"])
    assert sheets.executed(sheet) == 0
    assert sheet["link"].tolist() == [(repo.root / f"pool/{name}.jpg").absolute().as_uri() for name in "12"]
    repo.take()
    assert repo.log()["suggested"].tolist() == ["=HYPERLINK(1)", "@owl"]
    assert repo.log()["label"].tolist() == ["=HYPERLINK(1)", ""]


def test_a_filled_sheet_is_a_review_table(repo):
    repo.fill("yes", "bad")
    assert repo.take().data["decisions"] == 2
    found = repo.log()
    assert found[["image", "decision", "label", "by", "model"]].to_numpy().tolist() == [
        ["pool/1.jpg", "label", "owl", "ann", "m1"],
        ["pool/2.jpg", "bad", "", "ann", "m1"],
    ]


def test_a_sheet_without_an_answer_is_refused(repo):
    repo.fill("", "")
    with pytest.raises(DataError, match="no row has a decision"):
        repo.take()
    assert not repo.reviews.exists()


def test_a_sheet_that_may_hold_decisions_is_not_written_over(repo):
    repo.fill("yes", "")
    with pytest.raises(UsageError, match="may hold decisions"):
        repo.fill("yes", "")


def test_who_decided_must_be_said(repo):
    repo.fill("yes", "")
    with pytest.raises(UsageError, match="who decided"):
        repo.take(by="")


def test_an_image_of_an_unknown_root_is_refused_with_its_row(repo):
    repo.fill("yes", "yes")
    text = (repo.sheet).read_text().replace("pool/2.jpg", "pond/2.jpg")
    write_text(text, repo.sheet)
    with pytest.raises(DataError, match="unknown root 'pond'") as refused:
        repo.take()
    assert refused.value.where.endswith("row 3")


def test_a_throwaways_queue_is_reviewed_as_the_rounds_and_its_model_is_remembered(repo):
    queue = repo.throw_away()
    repo.fill("yes", queue=queue)
    taken = repo.take(queue=queue).data
    assert taken["decisions"] == 1
    assert labels.read_csv(taken["file"], ["image"])[["label", "model", "recipe"]].to_numpy().tolist() == [
        ["emu", "m2", near_cutoff.RECIPE]
    ]


def test_a_sheet_of_another_queue_is_refused_since_another_model_suggested_it(repo):
    queue = repo.throw_away()
    repo.fill("yes", queue=queue)
    with pytest.raises(UsageError, match="not of this queue"):
        repo.take()
    repo.sheet.unlink()
    repo.fill("yes", "bad")
    with pytest.raises(UsageError, match="not of this queue"):
        repo.take(queue=queue)
    assert not repo.reviews.exists()


def test_a_row_whose_file_was_replaced_since_the_sheet_was_written_is_refused_by_name_and_the_others_are_taken(repo):
    repo.fill("yes", "bad")
    write_text("another picture", repo.root / "pool/1.jpg")
    taken = repo.take()
    assert (taken.code, taken.data["decisions"], taken.data["missing"]) == (Exit.SOME_FAILED, 1, ["pool/1.jpg"])
    assert repo.log()["image"].tolist() == ["pool/2.jpg"]


def test_a_sheet_of_which_every_file_was_replaced_makes_no_review_table(repo):
    repo.fill("yes", "")
    write_text("another picture", repo.root / "pool/1.jpg")
    taken = repo.take()
    assert taken.data == {"decisions": 0, "file": None, "missing": ["pool/1.jpg"]}
    assert not repo.reviews.exists()


def test_a_row_lands_on_the_file_that_was_moved_since_once_that_is_indexed(repo):
    repo.fill("yes", "")
    (repo.root / "pool/1.jpg").rename(repo.root / "pool/moved.jpg")
    write_table(library_table({"image": "pool/moved.jpg", "sha256": sha(1)}), repo.index / "pool.parquet")
    assert repo.take().data["decisions"] == 1
    found = repo.log()
    assert found[["image", "sha256"]].to_numpy().tolist() == [["pool/moved.jpg", sha(1)]]


def test_in_a_sub_directory_the_queue_is_found_above_and_the_sheet_lies_where_it_is_asked_for(repo, monkeypatch):
    monkeypatch.chdir(repo.queue)
    with pytest.raises(SystemExit) as ended:
        wallaby(["review", "--sheet", "mine.csv"])
    assert not ended.value.code
    assert labels.read_csv(repo.queue / "mine.csv", ["decision"])["image"].tolist() == ["pool/1.jpg", "pool/2.jpg"]
