import pandas as pd
import pytest
from builders import label_table
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.files import write_csv, write_text
from pipeline.library import labels
from pipeline.review import decisions
from pipeline.review.decisions import Applied

ROOTS = ["library", "pool"]
NO_BENCHMARK = pd.Series(dtype="str")


def said(image: str, label: str = "", decision: str = "label", by: str = "ann", day: int = 1, **more: str) -> dict:
    return {"image": image, "label": label, "decision": decision, "by": by, "at": f"2026-03-{day:02d}T12:00:00"} | more


def table(*rows: dict) -> pd.DataFrame:
    """Decisions as `read_all` gives them: the oldest first."""
    made = pd.DataFrame(list(rows), columns=decisions.COLUMNS, dtype="object").fillna("").astype("str")
    return made.sort_values(["at", "image"], kind="stable", ignore_index=True)


def apply(labelled: pd.DataFrame, *rows: dict, benchmark: tuple[str, ...] = ()) -> Applied:
    return decisions.apply(labelled, table(*rows), pd.Series(benchmark, dtype="str"))


def row(applied: Applied, image: str) -> dict:
    return applied.table.set_index("image").loc[image].to_dict()


@pytest.fixture
def library() -> pd.DataFrame:
    return label_table(
        {"image": "library/a.jpg", "label": "cat", "subclass": "night", "group": "g1", "note": "by the gate"},
        {"image": "library/b.jpg", "label": "dog", "origin": "staged"},
        {"image": "library/c.jpg", "status": "unknown"},
    )


def test_a_pool_image_gets_a_row_of_its_own(library):
    applied = apply(library, said("pool/1.jpg", "owl", suggested="owl", model="m1"))
    assert (applied.added, applied.changed, applied.before) == (1, 0, 0)
    assert row(applied, "pool/1.jpg") == {
        "label": "owl", "subclass": "", "origin": "real", "group": "", "status": "ok", "by": "ann",
        "at": "2026-03-01T12:00:00", "model": "m1", "note": "",
    }  # fmt: skip
    assert labels.check(applied.table, ROOTS, "labels.csv").equals(applied.table)


def test_a_corrected_image_keeps_what_the_reviewer_did_not_decide(library):
    found = row(apply(library, said("library/a.jpg", "dog")), "library/a.jpg")
    assert (found["label"], found["group"], found["note"]) == ("dog", "g1", "by the gate")
    assert row(apply(library, said("library/b.jpg", "cat")), "library/b.jpg")["origin"] == "staged"


@pytest.mark.parametrize(("label", "subclass"), [("cat", "night"), ("dog", "")])
def test_a_subclass_goes_with_its_class(library, label, subclass):
    assert row(apply(library, said("library/a.jpg", label)), "library/a.jpg")["subclass"] == subclass


def test_an_unknown_image_is_named(library):
    found = row(apply(library, said("library/c.jpg", "giraffe")), "library/c.jpg")
    assert (found["label"], found["status"]) == ("giraffe", "ok")


@pytest.mark.parametrize("decision", ["unknown", "bad"])
def test_an_image_that_nobody_can_name_or_use_loses_its_label(library, decision):
    found = row(apply(library, said("library/a.jpg", decision=decision, model="m1")), "library/a.jpg")
    assert (found["label"], found["status"], found["by"], found["model"]) == ("", decision, "ann", "")


@pytest.mark.parametrize(("suggested", "model"), [("owl", "m1"), ("cat", ""), ("", "")])
def test_the_model_is_recorded_only_where_its_suggestion_was_accepted(library, suggested, model):
    applied = apply(library, said("pool/1.jpg", "owl", suggested=suggested, model="m1"))
    assert row(applied, "pool/1.jpg")["model"] == model


def test_applying_twice_changes_nothing(library):
    rows = said("pool/1.jpg", "owl"), said("library/a.jpg", "dog"), said("library/c.jpg", decision="bad")
    once = apply(library, *rows)
    twice = apply(once.table, *rows)
    assert (twice.added, twice.changed, twice.before) == (0, 0, 3)
    assert twice.table.equals(once.table)


def test_a_reviewer_s_later_decision_wins(library):
    applied = apply(library, said("library/a.jpg", "owl", day=2), said("library/a.jpg", "dog", day=1))
    assert row(applied, "library/a.jpg")["label"] == "owl"
    later = apply(applied.table, said("library/a.jpg", "owl", day=2), said("library/a.jpg", decision="bad", day=3))
    assert row(later, "library/a.jpg")["status"] == "bad"


@pytest.mark.parametrize(
    "other", [said("library/a.jpg", "owl", by="bob", day=2), said("library/a.jpg", decision="bad", by="bob")]
)
def test_where_reviewers_differ_nothing_is_changed_and_the_image_is_named(library, other):
    applied = apply(library, said("library/a.jpg", "dog"), other, said("pool/1.jpg", "owl"))
    assert (applied.conflicts, applied.added, applied.changed) == (["library/a.jpg"], 1, 0)
    assert row(applied, "library/a.jpg")["label"] == "cat"


def test_reviewers_who_come_to_agree_are_followed(library):
    rows = said("library/a.jpg", "dog"), said("library/a.jpg", "owl", by="bob"), said("library/a.jpg", "owl", day=2)
    applied = apply(library, *rows)
    assert (applied.conflicts, row(applied, "library/a.jpg")["label"]) == ([], "owl")


def test_a_benchmark_image_is_refused_and_named(library):
    applied = apply(
        library, said("pool/1.jpg", "owl"), said("library/a.jpg", "dog"), benchmark=("pool/1.jpg", "library/a.jpg")
    )
    assert applied.refused == ["library/a.jpg", "pool/1.jpg"]
    assert applied.table.equals(library)


def test_a_correction_by_hand_is_not_undone_by_the_decision_before_it(library):
    once = apply(library, said("library/a.jpg", "dog"))
    by_hand = once.table.assign(label=once.table["label"].replace("dog", "wolf"))
    again = apply(by_hand, said("library/a.jpg", "dog"))
    assert row(again, "library/a.jpg")["label"] == "wolf"
    assert again.changed == 0


def test_without_decisions_nothing_is_changed(library):
    applied = apply(library)
    assert (applied.added, applied.changed, applied.before, applied.conflicts, applied.refused) == (0, 0, 0, [], [])
    assert applied.table.equals(library)


def test_the_first_decisions_may_meet_an_empty_label_table():
    applied = apply(label_table(), said("pool/1.jpg", "owl"))
    assert (applied.added, list(applied.table)) == (1, labels.COLUMNS)


IMAGE = st.sampled_from([f"{root}/{n}.jpg" for root in ROOTS for n in range(4)])
DECISION = st.builds(
    said,
    IMAGE,
    st.sampled_from(["cat", "dog"]),
    by=st.sampled_from(["ann", "bob"]),
    day=st.integers(1, 3),
    suggested=st.sampled_from(["cat", ""]),
) | st.builds(said, IMAGE, decision=st.sampled_from(["unknown", "bad"]), day=st.integers(1, 3))


@given(st.sets(IMAGE), st.lists(DECISION, max_size=8), st.sets(IMAGE, max_size=2))
@settings(deadline=None, max_examples=30)
def test_no_row_is_lost_no_image_stands_twice_and_everything_adds_up(labelled, rows, benchmark):
    before = label_table(*[{"image": image, "label": "cat"} for image in labelled])
    applied = apply(before, *rows, benchmark=tuple(benchmark))
    decided = {row["image"] for row in rows} - set(applied.conflicts)
    assert set(applied.table["image"]) == labelled | (decided - benchmark)
    assert applied.table["image"].is_unique
    assert applied.added + applied.changed + applied.before + len(applied.refused) == len(decided)
    untouched = before["image"].isin(benchmark) | ~before["image"].isin(decided)
    kept = applied.table[applied.table["image"].isin(before.loc[untouched, "image"])]
    assert kept.reset_index(drop=True).equals(before[untouched].reset_index(drop=True))
    again = apply(applied.table, *rows, benchmark=tuple(benchmark))
    assert again.table.equals(applied.table)


HEAD = "image,decision,label,by,at\n"
GOOD = "pool/1.jpg,label,owl,ann,2026-03-01T12:00:00\n"


@pytest.mark.parametrize(
    ("row", "what", "mend"),
    [
        ("pool/2.jpg,lable,owl,ann,2026-03-01", "unknown decision 'lable'", "did you mean 'label'?"),
        ("pool/2.jpg,label,,ann,2026-03-01", "a decision without a class: pool/2.jpg", "unknown"),
        ("pool/2.jpg,label,Unknown,ann,2026-03-01", "a decision without a class: pool/2.jpg", "unknown"),
        ('pool/2.jpg,label,"ow\nl",ann,2026-03-01', "a line break", "one line"),
        ("pool/2.jpg,label,owl,,2026-03-01", "by whom and when: pool/2.jpg", "`by`"),
        ("pool/2.jpg,label,owl,ann,", "by whom and when: pool/2.jpg", "`at`"),
        ("pool/2.jpg,label,owl,ann,1.3.2026", "by whom and when: pool/2.jpg", "2026-03-01"),
        ("pond/2.jpg,label,owl,ann,2026-03-01", "unknown root 'pond'", "did you mean 'pool'?"),
        ("pool/../2.jpg,label,owl,ann,2026-03-01", "a path outside its root", "without '.' and '..'"),
        (",label,owl,ann,2026-03-01", "a row without an image", "name the image"),
    ],
)
def test_a_bad_review_is_refused_with_its_file_and_row(tmp_path, row, what, mend):
    write_text(HEAD + GOOD + row + "\n", tmp_path / "monday.csv")
    with pytest.raises(DataError) as refused:
        decisions.read_all(tmp_path, ROOTS)
    assert what in refused.value.what
    assert mend in refused.value.mend
    assert refused.value.where == f"{tmp_path / 'monday.csv'}, row 3"


def test_a_review_without_its_columns_is_refused(tmp_path):
    write_text("image,label\npool/1.jpg,owl\n", tmp_path / "monday.csv")
    with pytest.raises(DataError, match="column 'decision' is missing"):
        decisions.read_all(tmp_path, ROOTS)


def test_reviews_are_read_from_all_files_the_oldest_decision_first(tmp_path):
    write_csv(table(said("pool/2.jpg", "owl", day=2), said("pool/1.jpg", "owl", day=4)), tmp_path / "a.csv")
    write_csv(table(said("pool/3.jpg", "owl", day=1), said("pool/1.jpg", "cat", day=3)), tmp_path / "b.csv")
    assert decisions.read_all(tmp_path, ROOTS)["at"].str[8:10].tolist() == ["01", "02", "03", "04"]


def test_without_a_review_there_are_no_decisions(tmp_path):
    assert list(decisions.read_all(tmp_path / "none", ROOTS)) == decisions.COLUMNS


def test_each_session_is_a_file_of_its_own(tmp_path):
    first = decisions.write(table(said("pool/1.jpg", "owl")), tmp_path, "monday")
    before = first.read_bytes()
    second = decisions.write(table(said("pool/2.jpg", "cat")), tmp_path, "monday")
    assert (first.name, second.name) == ("monday.csv", "monday-2.csv")
    assert first.read_bytes() == before
    assert len(decisions.read_all(tmp_path, ROOTS)) == 2


def queue(**images: str) -> pd.DataFrame:
    """A recipe's table: images and their suggested labels."""
    rows = [
        {"image": f"pool/{n}.jpg", "label": label, "sha256": n, "group": n, "rank": i + 1, "score": 0.5, "reason": "r"}
        for i, (n, label) in enumerate(images.items())
    ]
    return pd.DataFrame(rows, columns=["image", "sha256", "group", "rank", "label", "score", "reason"])


def answers(tmp_path, *given: str) -> pd.DataFrame:
    """Writes the queue as a sheet, fills it as a person does, and reads it back."""
    sheet = decisions.to_sheet({"unknown": queue(a="cat", b="dog"), "look-alike": queue(c="owl", d="owl")})
    write_csv(sheet.assign(decision=[*given, *[""] * (4 - len(given))]), tmp_path / "sheet.csv")
    filled = labels.read_csv(tmp_path / "sheet.csv", ["decision"])
    return decisions.from_sheet(filled, "sheet.csv", by="ann", at="2026-03-01", model="m1")


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


def test_a_sheet_s_decisions_survive_the_review_table_and_reach_the_labels(tmp_path, library):
    decisions.write(answers(tmp_path, "yes", "wolf"), tmp_path / "reviews", "monday")
    applied = decisions.apply(library, decisions.read_all(tmp_path / "reviews", ROOTS), NO_BENCHMARK)
    assert row(applied, "pool/a.jpg")["model"] == "m1"
    assert row(applied, "pool/b.jpg")["model"] == ""
    assert (applied.added, row(applied, "pool/b.jpg")["label"]) == (2, "wolf")


def test_a_sheet_without_a_column_is_refused():
    with pytest.raises(DataError, match="column 'sha256' is missing"):
        decisions.from_sheet(
            pd.DataFrame(columns=["decision", "image", "label", "recipe"]), "s", by="a", at="", model=""
        )


def test_to_keep_a_label_changes_nothing_and_is_remembered(library):
    kept = said("library/a.jpg", decision="keep", model="m1", recipe="suspect-label")
    assert apply(library, kept).table.equals(library)
    assert decisions.verdicts(table(kept)).to_numpy().tolist() == [["library/a.jpg", "2026-03-01T12:00:00", "m1", ""]]


def test_who_keeps_a_label_and_who_corrects_it_differ(library):
    applied = apply(library, said("library/a.jpg", decision="keep", by="bob"), said("library/a.jpg", "dog", day=2))
    assert applied.conflicts == ["library/a.jpg"]
    assert applied.table.equals(library)


def test_the_last_verdict_on_a_label_is_remembered_and_what_says_nothing_of_it_is_not():
    rows = [said("library/a.jpg", "dog"), said("library/a.jpg", decision="keep", day=2)]
    verdicts = decisions.verdicts(table(*rows, said("library/b.jpg", decision="bad"), said("library/c.jpg", "cat")))
    assert dict(zip(verdicts["image"], verdicts["label"], strict=True)) == {"library/a.jpg": "", "library/c.jpg": "cat"}


def test_a_sheet_can_say_keep():
    sheet = pd.DataFrame(
        [["keep", "library/a.jpg", "suspect-label", "dog", "ff"]],
        columns=["decision", "image", "recipe", "label", "sha256"],
    )
    found = decisions.from_sheet(sheet, "sheet.csv", by="ann", at="2026-03-01T12:00:00", model="m1")
    assert found[["decision", "label", "suggested"]].to_numpy().tolist() == [["keep", "", "dog"]]
