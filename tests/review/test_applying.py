import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.library import labels
from pipeline.library.benchmarks import COLUMNS
from pipeline.review import applying, decisions
from pipeline.review.applying import Applied
from pipeline.review.corrections import Guarded
from tests.library.builders import label_table, sha
from tests.review.made_up_decisions import ROOTS, said, table


def guarded(*benchmark: str, test: tuple[str, ...] = (), label: str = "cat") -> Guarded:
    rows = {"benchmark": "field", "image": benchmark, "label": label, "sha256": ""}
    sets = pd.DataFrame(rows, columns=COLUMNS, dtype="str")
    return Guarded(sets, pd.DataFrame({"image": test, "sha256": [sha(image) for image in test]}, dtype="str"))


def apply(
    labelled: pd.DataFrame,
    *rows: dict,
    replaced: pd.DataFrame | None = None,
    guards: Guarded | None = None,
    correct: bool = False,
) -> Applied:
    kept = pd.DataFrame(columns=applying.REPLACED_COLUMNS, dtype="str") if replaced is None else replaced
    return applying.apply(labelled, table(*rows), kept, guards or guarded(), correct=correct)


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
    content = sha("pool/1.jpg")
    applied = apply(library, said("pool/1.jpg", "owl", suggested="owl", model="m1", sha256=content))
    assert (applied.added, applied.changed, applied.before) == (1, 0, 0)
    assert row(applied, "pool/1.jpg") == {
        "label": "owl", "subclass": "", "origin": "real", "group": "", "status": "ok", "by": "ann",
        "at": "2026-03-01T12:00:00", "model": "m1", "note": "", "sha256": content,
    }  # fmt: skip
    assert labels.check(applied.table, ROOTS, "labels.csv").equals(applied.table)


def test_a_sub_class_that_was_named_is_applied_and_taken_back_to_the_letter(library):
    named = said("library/a.jpg", "cat", subclass="lynx", day=2)
    applied = apply(library, named, said("pool/1.jpg", "antelope", subclass="gazelle"))
    assert row(applied, "library/a.jpg")["subclass"] == "lynx"
    assert row(applied, "pool/1.jpg")["subclass"] == "gazelle"
    undo = {"decision": "undo", "undoes": table(named)["id"].item(), "day": 3}
    back = apply(applied.table, named, said("library/a.jpg", **undo), replaced=applied.replaced)
    assert row(back, "library/a.jpg") == library.set_index("image").loc["library/a.jpg"].to_dict()


def test_a_class_that_is_confirmed_keeps_the_sub_class_that_was_known(library):
    assert row(apply(library, said("library/a.jpg", "cat", day=2)), "library/a.jpg")["subclass"] == "night"


def test_reviewers_who_name_different_sub_classes_differ(library):
    rows = [said("pool/1.jpg", "cat", by=by, subclass=below) for by, below in (("ann", "lynx"), ("bob", "ocelot"))]
    applied = apply(library, *rows)
    assert (applied.added, applied.conflicts["subclass"].tolist()) == (0, ["lynx", "ocelot"])


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
    assert (applied.conflicts["image"].tolist(), applied.added, applied.changed) == (["library/a.jpg"] * 2, 1, 0)
    assert row(applied, "library/a.jpg")["label"] == "cat"


def test_reviewers_who_come_to_agree_are_followed(library):
    rows = said("library/a.jpg", "dog"), said("library/a.jpg", "owl", by="bob"), said("library/a.jpg", "owl", day=2)
    applied = apply(library, *rows)
    assert (len(applied.conflicts), row(applied, "library/a.jpg")["label"]) == (0, "owl")


def test_a_benchmark_image_is_refused_and_named(library):
    applied = apply(
        library, said("pool/1.jpg", "owl"), said("library/a.jpg", "dog"), guards=guarded("pool/1.jpg", "library/a.jpg")
    )
    assert applied.refused == ["library/a.jpg", "pool/1.jpg"]
    assert applied.table.equals(library)


def test_a_correction_by_hand_is_not_undone_by_the_decision_before_it(library):
    once = apply(library, said("library/a.jpg", "dog"))
    by_hand = once.table.assign(label=once.table["label"].replace("dog", "wolf"))
    again = apply(by_hand, said("library/a.jpg", "dog"))
    assert row(again, "library/a.jpg")["label"] == "wolf"
    assert again.changed == 0


def test_a_decision_that_says_what_the_label_says_confirms_it_and_changes_nothing(library):
    table = label_table(
        {"image": "library/a.jpg", "label": "cat", "at": "2026-01-01"},
        {"image": "library/b.jpg", "label": "cat", "at": "2026-01-01"},
    )
    applied = apply(table, said("library/a.jpg", "cat", day=3), said("library/b.jpg", "dog", day=3))
    assert (applied.added, applied.changed, applied.confirmed) == (0, 1, 1)


def test_without_decisions_nothing_is_changed(library):
    applied = apply(library)
    assert (applied.added, applied.changed, applied.before, len(applied.conflicts), applied.refused) == (0, 0, 0, 0, [])
    assert applied.table.equals(library)


def test_the_first_decisions_may_meet_an_empty_label_table():
    applied = apply(label_table(), said("pool/1.jpg", "owl"))
    assert (applied.added, list(applied.table)) == (1, labels.COLUMNS)


def undo(image: str, *rows: dict, day: int = 9) -> list[dict]:
    """Takes back what these rows decided on an image."""
    log = table(*rows)
    names = log.loc[(log["image"] == image) & (log["decision"] != "undo"), "id"]
    return [said(image, decision="undo", undoes=name, day=day) for name in names]


def together(*parts: pd.DataFrame) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)


def test_a_decision_taken_back_restores_the_row_to_the_letter(library):
    rows = said("library/a.jpg", "dog"), said("pool/1.jpg", "owl"), said("library/c.jpg", decision="bad")
    once = apply(library, *rows)
    back = [row for image in ("library/a.jpg", "pool/1.jpg", "library/c.jpg") for row in undo(image, *rows)]
    restored = apply(once.table, *rows, *back, replaced=once.replaced)
    assert (restored.restored, restored.changed, restored.stuck) == (3, 0, [])
    assert restored.table.equals(library)


def test_the_decision_before_the_one_taken_back_counts_again(library):
    first, second = said("library/a.jpg", "dog"), said("library/a.jpg", "owl", day=2)
    once = apply(library, first)
    twice = apply(once.table, first, second, replaced=once.replaced)
    back = undo("library/a.jpg", second)
    again = apply(twice.table, first, second, *back, replaced=together(once.replaced, twice.replaced))
    assert again.table.equals(once.table)


def test_a_colleague_s_equal_decision_stands_in_for_the_one_taken_back(library):
    rows = said("library/a.jpg", "dog", day=2), said("library/a.jpg", "dog", by="bob", day=1)
    once = apply(library, *rows)
    again = apply(once.table, *rows, *undo("library/a.jpg", rows[0]), replaced=once.replaced)
    assert (row(again, "library/a.jpg")["label"], row(again, "library/a.jpg")["by"]) == ("dog", "bob")


def test_a_row_changed_by_hand_since_is_left_alone_and_named(library):
    rows = [said("library/a.jpg", "dog")]
    once = apply(library, *rows)
    by_hand = once.table.assign(label=once.table["label"].replace("dog", "wolf"))
    again = apply(by_hand, *rows, *undo("library/a.jpg", *rows), replaced=once.replaced)
    assert (again.stuck, row(again, "library/a.jpg")["label"]) == (["library/a.jpg"], "wolf")


def test_a_row_from_before_rows_were_kept_is_left_alone_and_named(library):
    rows = [said("library/a.jpg", "dog")]
    again = apply(apply(library, *rows).table, *rows, *undo("library/a.jpg", *rows))
    assert (again.stuck, row(again, "library/a.jpg")["label"]) == (["library/a.jpg"], "dog")


def test_who_is_killed_between_the_two_tables_keeps_each_replaced_row_once(library):
    rows = [said("library/a.jpg", "dog")]
    once = apply(library, *rows)
    again = apply(library, *rows, replaced=once.replaced)
    assert len(again.replaced) == 0
    assert again.table.equals(once.table)


def test_a_dispute_is_settled_by_name_and_may_begin_anew(library):
    rows = [said("library/a.jpg", "dog"), said("library/a.jpg", "owl", by="bob", day=2)]
    rows.append(said("library/a.jpg", "owl", by="eve", recipe="settle", day=3))
    settled = apply(library, *rows)
    assert (len(settled.conflicts), row(settled, "library/a.jpg")["by"]) == (0, "eve")
    again = apply(library, *rows, said("library/a.jpg", "dog", day=4))
    assert again.conflicts["by"].tolist() == ["eve", "ann"]


def test_one_person_s_answers_in_two_tools_may_differ(library):
    applied = apply(
        library, said("pool/1.jpg", "owl", tool="folders"), said("pool/1.jpg", "cat", tool="fiftyone", day=2)
    )
    assert applied.conflicts["tool"].tolist() == ["folders", "fiftyone"]
    assert applied.added == 0


def test_who_says_two_things_at_once_differs_from_himself(library):
    assert len(apply(library, said("pool/1.jpg", "owl"), said("pool/1.jpg", "cat")).conflicts) == 2


def test_a_blind_check_is_never_applied(library):
    assert apply(library, said("library/a.jpg", "dog", blind="yes")).table.equals(library)


def test_a_test_image_is_left_alone_until_it_is_to_be_corrected(library):
    guards = guarded(test=("library/a.jpg",))
    rows = said("library/a.jpg", "dog"), said("pool/copy.jpg", "dog", sha256=sha("library/a.jpg"))
    left = apply(library, *rows, guards=guards)
    assert (left.refused, left.corrected) == (["library/a.jpg", "pool/copy.jpg"], [])
    assert left.table.equals(library)
    made = apply(library, *rows, guards=guards, correct=True)
    assert (made.refused, made.corrected) == ([], ["library/a.jpg", "pool/copy.jpg"])
    assert apply(made.table, *rows, guards=guards, replaced=made.replaced).refused == []
    back = undo("library/a.jpg", *rows)
    kept = apply(made.table, *rows, *back, guards=guards, replaced=made.replaced)
    assert kept.refused == ["library/a.jpg"]
    assert kept.table.equals(made.table)
    restored = apply(made.table, *rows, *back, guards=guards, replaced=made.replaced, correct=True)
    assert row(restored, "library/a.jpg") == row(left, "library/a.jpg")


@pytest.mark.parametrize(
    ("decision", "label", "then"),
    [
        ("label", "owl", ["owl", "cat"]),
        ("unknown", "", ["", "cat"]),
        ("bad", "", ["cat"]),
        ("keep", "", ["cat", "cat"]),
    ],
)
def test_a_benchmark_is_corrected_once_and_as_it_was_when_that_is_taken_back(library, decision, label, then):
    guards = guarded("pool/1.jpg", "pool/2.jpg")
    rows = [said("pool/1.jpg", label, decision=decision)]
    made = apply(library, *rows, guards=guards, correct=True)
    assert made.benchmarks["label"].tolist() == then
    assert made.table.equals(library)
    now = Guarded(made.benchmarks, guards.test)
    assert apply(library, *rows, guards=now, replaced=made.replaced, correct=True).benchmarks.equals(made.benchmarks)
    by_hand = Guarded(made.benchmarks.assign(label="emu"), guards.test)
    assert not apply(library, *rows, guards=by_hand, replaced=made.replaced).refused
    back = undo("pool/1.jpg", *rows)
    restored = apply(library, *rows, *back, guards=now, replaced=made.replaced, correct=True)
    assert restored.benchmarks.equals(guards.benchmarks)


def test_a_benchmark_is_not_emptied(library):
    with pytest.raises(DataError, match="no image would be left in the benchmark 'field'"):
        apply(library, said("pool/1.jpg", decision="bad"), guards=guarded("pool/1.jpg"), correct=True)


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
@settings(deadline=None, max_examples=15)
def test_no_row_is_lost_no_image_stands_twice_and_everything_adds_up(labelled, rows, benchmark):
    before = label_table(*[{"image": image, "label": "cat"} for image in labelled])
    applied = apply(before, *rows, guards=guarded(*sorted(benchmark)))
    decided = {row["image"] for row in rows} - set(applied.conflicts["image"])
    assert set(applied.table["image"]) == labelled | (decided - benchmark)
    assert applied.table["image"].is_unique
    written = applied.added + applied.changed + applied.confirmed
    assert written + applied.before + len(applied.refused) == len(decided)
    untouched = before["image"].isin(benchmark) | ~before["image"].isin(decided)
    kept = applied.table[applied.table["image"].isin(before.loc[untouched, "image"])]
    assert kept.reset_index(drop=True).equals(before[untouched].reset_index(drop=True))
    again = apply(applied.table, *rows, guards=guarded(*sorted(benchmark)))
    assert again.table.equals(applied.table)


def test_to_keep_a_label_changes_nothing_and_is_remembered(library):
    kept = said("library/a.jpg", decision="keep", model="m1", recipe="suspect-label")
    assert apply(library, kept).table.equals(library)
    assert decisions.verdicts(table(kept)).to_numpy().tolist() == [["library/a.jpg", "2026-03-01T12:00:00", "m1", ""]]


def test_who_keeps_a_label_and_who_corrects_it_differ(library):
    applied = apply(library, said("library/a.jpg", decision="keep", by="bob"), said("library/a.jpg", "dog", day=2))
    assert applied.conflicts["by"].tolist() == ["bob", "ann"]
    assert applied.table.equals(library)


STEP = st.tuples(st.lists(DECISION, max_size=3), st.booleans())


@given(st.sets(IMAGE), st.lists(STEP, max_size=4))
@settings(deadline=None, max_examples=15)
def test_whatever_was_said_applied_and_said_again_taking_all_back_restores_the_table(labelled, steps):
    before = label_table(*[{"image": image, "label": "emu", "note": image} for image in labelled])
    now, replaced, rows = before, pd.DataFrame(columns=applying.REPLACED_COLUMNS, dtype="str"), []
    for some, take_back in [*steps, ([], True)]:
        rows += some
        if take_back:
            for image in {row["image"] for row in rows}:
                rows += undo(image, *rows)
        applied = apply(now, *rows, replaced=replaced)
        now, replaced = applied.table, together(replaced, applied.replaced)
        assert apply(now, *rows, replaced=replaced).table.equals(now)
    assert now.equals(before)
