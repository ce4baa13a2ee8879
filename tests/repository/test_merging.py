"""The label table of two branches: merged by image, and only what people decided differently is left to them."""

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.library import labels
from pipeline.repository import dvc, merging


def table(**rows: str) -> pd.DataFrame:
    listed = [{"image": f"library/{name}.jpg", "label": label} for name, label in rows.items()]
    return pd.DataFrame(listed, columns=["image", "label"])


def named(merged: pd.DataFrame) -> dict[str, str]:
    return {image[8:-4]: label for image, label in zip(merged["image"], merged["label"], strict=True)}


def test_what_one_branch_changed_added_or_removed_is_taken():
    before = table(a="lion", b="lion", c="lion", d="lion")
    merged, conflicts = merging.merge(
        before, table(a="puma", b="lion", c="lion", e="cow"), table(a="lion", b="lion", d="lion", f="cow")
    )
    assert named(merged) == {"a": "puma", "b": "lion", "e": "cow", "f": "cow"}
    assert conflicts == []


def test_an_image_that_both_changed_is_a_conflict_unless_they_agree():
    before = table(a="lion", b="lion", c="lion")
    merged, conflicts = merging.merge(
        before, table(a="puma", b="puma", c="puma", d="cow", e="cow"), table(a="puma", b="cow", d="cow", e="dog")
    )
    assert conflicts == ["library/b.jpg", "library/c.jpg", "library/e.jpg"]
    assert named(merged) == {"a": "puma", "b": "puma", "c": "puma", "d": "cow", "e": "cow"}


@pytest.fixture
def repository(tmp_path) -> Path:
    for command in (["init", "-q", "-b", "main"], ["config", "user.email", "a@b.c"], ["config", "user.name", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / ".gitattributes").write_text(merging.ATTRIBUTES)
    (tmp_path / "data" / "reviews").mkdir(parents=True)
    merging.install(tmp_path)
    return tmp_path


def commit(repository: Path, rows: pd.DataFrame, review: str) -> None:
    whole = rows.reindex(columns=labels.COLUMNS, fill_value="").assign(origin="real", status="ok")
    labels.write(whole, repository / "data" / "labels.csv")
    with (repository / "data" / "reviews" / "ann.csv").open("a") as file:
        file.write(review)
    for command in (["add", "-A"], ["commit", "-q", "-m", "labels"]):
        subprocess.run(["git", *command], cwd=repository, check=True)


def merge(repository: Path, before: tuple, ours: tuple, theirs: tuple) -> subprocess.CompletedProcess:
    """Commits rows and reviews: `before`, then those of two branches, which git merges."""
    commit(repository, *before)
    dvc.git(repository, "checkout", "-q", "-b", "other")
    commit(repository, *theirs)
    dvc.git(repository, "checkout", "-q", "main")
    commit(repository, *ours)
    command = ["git", "merge", "-q", "other", "-m", "both"]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


def test_git_merges_labels_by_image_and_unites_reviews(repository):
    before = table(a="lion", b="lion"), "image,decision\n"
    merged = merge(repository, before, (table(a="cow", b="lion"), "a,cow\n"), (table(a="lion", b="puma"), "b,puma\n"))
    assert merged.returncode == 0, merged.stderr
    assert named(labels.read(repository / "data" / "labels.csv", ["library"])) == {"a": "cow", "b": "puma"}
    assert sorted((repository / "data/reviews/ann.csv").read_text().split()) == ["a,cow", "b,puma", "image,decision"]


def test_a_conflict_stands_in_the_table_and_every_reader_calls_it_so(repository):
    merged = merge(
        repository, (table(a="lion", b="lion"), ""), (table(a="lion", b="cow"), ""), (table(a="lion", b="puma"), "")
    )
    assert merged.returncode != 0
    path = repository / "data" / "labels.csv"
    assert [line[:17] for line in path.read_text().splitlines()[1:]] == [
        "library/a.jpg,lio",
        "<<<<<<< ours",
        "library/b.jpg,cow",
        "=======",
        "library/b.jpg,pum",
        ">>>>>>> theirs",
    ]
    with pytest.raises(DataError, match="a merge conflict is not solved") as refused:
        labels.read(path, ["library"])
    assert refused.value.where.endswith("labels.csv, row 3")


def test_a_table_that_both_branches_have_added_is_merged_too(tmp_path):
    base, ours, theirs = (tmp_path / name for name in ("base", "ours", "theirs"))
    base.touch()
    for path, rows in ((ours, table(a="lion")), (theirs, table(a="lion", b="cow"))):
        labels.write(rows.reindex(columns=labels.COLUMNS, fill_value="").assign(origin="real", status="ok"), path)
    assert merging.main([str(base), str(ours), str(theirs), "data/labels.csv"]) == 0
    assert named(labels.read(ours, ["library"])) == {"a": "lion", "b": "cow"}
