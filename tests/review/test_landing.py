"""Decisions land on the image that has the content which the person saw, or are left alone by name."""

from functools import partial

import pandas as pd
import pytest

from pipeline.library.benchmarks import COLUMNS
from pipeline.review import applying, landing
from pipeline.review.corrections import Guarded
from tests.library.builders import label_table, sha
from tests.review.made_up_decisions import said, table

NOBODY = Guarded(pd.DataFrame(columns=COLUMNS, dtype="str"), pd.DataFrame(columns=["image", "sha256"], dtype="str"))


def files(**contents: str) -> pd.DataFrame:
    """What pool images hold now."""
    rows = [(f"pool/{name}.jpg", sha(content)) for name, content in contents.items()]
    return pd.DataFrame(rows, columns=["image", "sha256"], dtype="str")


def decided(name: str, content: str, label: str = "owl", **more) -> dict:
    return said(f"pool/{name}.jpg", label, sha256=sha(content) if content else "", **more)


def labelled(*rows: tuple[str, str, str], **more: str) -> pd.DataFrame:
    return label_table(*({"image": f"pool/{n}.jpg", "label": label, "sha256": sha(c)} | more for n, c, label in rows))


def apply(
    before: pd.DataFrame, now: pd.DataFrame, *rows: dict, replaced=None, guards=NOBODY, **more
) -> applying.Applied:
    kept = pd.DataFrame(columns=applying.REPLACED_COLUMNS, dtype="str") if replaced is None else replaced
    land = partial(landing.land, images=now)
    return applying.apply(before, table(*rows), kept, guards, land=land, **more)


def named(applied: applying.Applied) -> dict[str, str]:
    return dict(zip(applied.table["image"].str[5:-4], applied.table["label"], strict=True))


def undo(row: dict) -> dict:
    return said(row["image"], decision="undo", undoes=table(row)["id"].item(), day=9)


NOTHING = label_table()


@pytest.mark.parametrize(
    ("decision", "lands", "gone"),
    [
        (decided("a", "A"), ["a"], []),
        (decided("x", "B"), ["b", "copy"], []),
        (decided("a", "B"), ["b", "copy"], []),  # another file has taken its name
        (decided("b", "B"), ["b"], []),
        (decided("a", "Z"), [], ["a"]),
        (decided("a", ""), ["a"], []),
        (decided("nowhere", ""), ["nowhere"], []),
    ],
)
def test_a_decision_goes_where_its_content_is(decision, lands, gone):
    found = landing.land(table(decision), files(a="A", b="B", copy="B"))
    assert found.rows["image"].str[5:-4].tolist() == lands
    assert found.gone["image"].str[5:-4].tolist() == gone


def test_decisions_keep_their_order_and_one_without_a_content_is_given_that_of_today():
    rows = [decided("x", "B", day=1), decided("a", "", day=2), decided("y", "B", day=3)]
    found = landing.land(table(*rows), files(a="A", b="B"))
    assert found.rows["at"].str[8:10].tolist() == ["01", "02", "03"]
    assert found.rows["sha256"].tolist() == [sha("B"), sha("A"), sha("B")]


def test_a_decision_on_a_file_that_was_replaced_is_left_alone_and_named_and_others_are_taken():
    applied = apply(NOTHING, files(a="Z", b="B"), decided("a", "A"), decided("b", "B"))
    assert (named(applied), applied.other_content) == ({"b": "owl"}, ["pool/a.jpg"])


def test_a_label_follows_a_file_that_moved_before_it_was_applied_with_what_was_known_of_it():
    before = labelled(("a", "A", "cat"), origin="staged", group="g", note="north", subclass="day")
    applied = apply(before, files(b="A"), decided("a", "A", "cat"))
    row = applied.table.set_index("image").loc["pool/b.jpg"]
    assert row[["label", "subclass", "origin", "group", "note", "sha256"]].tolist() == [
        "cat", "day", "staged", "g", "north", sha("A"),
    ]  # fmt: skip


def test_a_later_decision_or_a_later_row_ends_the_naming_and_so_does_taking_it_back():
    first = decided("a", "A")
    assert apply(NOTHING, files(a="Z"), first, decided("a", "Z", "emu", day=2)).other_content == []
    later = labelled(("a", "Z", "cat"), at="2026-03-02T12:00:00")
    assert apply(later, files(a="Z"), first).other_content == []
    assert apply(NOTHING, files(a="Z"), first, undo(first)).other_content == []


def test_applying_again_after_the_file_moved_changes_nothing_wherever_it_went():
    row = decided("a", "A")
    once = apply(NOTHING, files(a="A"), row)
    for place in ("b", "c"):
        again = apply(once.table, files(**{place: "A"}), row, replaced=once.replaced)
        assert again.table.equals(once.table)
        assert (again.added, again.before, again.other_content) == (0, 1, [])
    moved = apply(NOTHING, files(b="A"), row)
    again = apply(moved.table, files(c="A"), row, replaced=moved.replaced)
    assert again.table.equals(moved.table)


@pytest.mark.parametrize("place", ["a", "b"])
def test_taking_back_restores_to_the_letter_wherever_the_row_went(place):
    before = labelled(("a", "A", "cat"), subclass="day", note="north", by="eve", at="2026-01-01")
    row = decided("a", "A", "dog")
    once = apply(before, files(a="A"), row)

    def moved(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(image=f"pool/{place}.jpg")

    back = apply(moved(once.table), files(**{place: "A"}), row, undo(row), replaced=once.replaced)
    assert back.table.equals(moved(before))


def test_a_replaced_row_of_earlier_years_that_names_no_content_is_restored_with_the_decision_s():
    before = labelled(("a", "A", "cat"))
    row = decided("a", "A", "dog")
    once = apply(before, files(a="A"), row)
    old = once.replaced.assign(sha256="")
    assert apply(once.table, files(a="Z"), row, undo(row), replaced=old).table.equals(before)


def test_to_keep_a_label_confirms_it_for_the_new_content_and_that_is_taken_back_to_the_letter():
    before = labelled(("a", "A", "cat"), subclass="day", origin="staged", model="m0")
    row = decided("a", "Z", "", decision="keep")
    once = apply(before, files(a="Z"), row)
    found = once.table.iloc[0]
    assert found[["label", "subclass", "origin", "by", "model", "sha256"]].tolist() == [
        "cat", "day", "staged", "ann", "", sha("Z"),
    ]  # fmt: skip
    assert apply(once.table, files(a="Z"), row, replaced=once.replaced).table.equals(once.table)
    assert apply(once.table, files(a="Z"), row, undo(row), replaced=once.replaced).table.equals(before)


@pytest.mark.parametrize("content", ["A", ""])
def test_to_keep_a_label_confirms_nothing_that_the_person_did_not_see(content):
    before = labelled(("a", "A", "cat"))
    assert apply(before, files(a="Z"), decided("a", content, "", decision="keep")).table.equals(before)


@pytest.mark.parametrize("answer", [{"label": "dog"}, {"label": "cat"}, {"decision": "bad"}, {"decision": "unknown"}])
def test_every_answer_on_the_new_content_settles_it(answer):
    before = labelled(("a", "A", "cat"))
    row = decided("a", "Z", **({"label": ""} | answer))
    applied = apply(before, files(a="Z"), row)
    assert applied.table["sha256"].tolist() == [sha("Z")]


def test_the_old_label_that_is_confirmed_is_no_model_s():
    row = decided("a", "Z", "cat", suggested="cat", model="m1", recipe="changed-content")
    assert apply(labelled(("a", "A", "cat")), files(a="Z"), row).table["model"].tolist() == [""]


def test_what_was_said_of_the_old_content_is_in_no_dispute_with_what_is_said_of_the_new():
    before = labelled(("a", "A", "cat"), by="ann", at="2026-03-01T12:00:00")
    applied = apply(before, files(a="Z"), decided("a", "A", "cat"), decided("a", "Z", "dog", by="bob", day=2))
    assert (len(applied.conflicts), named(applied)) == (0, {"a": "dog"})


def test_reviewers_who_named_a_content_differently_differ_wherever_it_has_gone():
    rows = decided("a", "A", "cat"), decided("b", "A", "dog", by="bob", day=2)
    applied = apply(NOTHING, files(b="A"), *rows)
    assert (applied.conflicts["image"].unique().tolist(), named(applied)) == (["pool/b.jpg"], {})


def test_a_test_image_whose_file_was_replaced_is_no_longer_guarded_and_what_was_tested_is():
    test = pd.DataFrame({"image": ["pool/a.jpg"], "sha256": [sha("A")]}, dtype="str")
    guards, before = Guarded(NOBODY.benchmarks, test), labelled(("a", "A", "cat"))
    new = decided("a", "Z", "dog")
    once = apply(before, files(a="Z"), new, guards=guards)
    assert (once.refused, named(once)) == ([], {"a": "dog"})
    assert apply(once.table, files(a="Z"), new, undo(new), replaced=once.replaced, guards=guards).table.equals(before)
    assert apply(before, files(a="A"), decided("a", "A", "dog"), guards=guards).refused == ["pool/a.jpg"]


@pytest.mark.parametrize(("answer", "then"), [({"label": "emu"}, "emu"), ({"decision": "keep", "label": ""}, "cat")])
def test_a_benchmark_takes_an_image_back_whose_file_was_replaced(answer, then):
    row = {"benchmark": "field", "image": "pool/a.jpg", "label": "cat", "sha256": sha("A")}
    guards = Guarded(pd.DataFrame([row, row | {"image": "pool/b.jpg", "sha256": sha("B")}], dtype="str"), NOBODY.test)
    now, said_ = files(a="Z", b="B"), decided("a", "Z", **answer)
    assert apply(NOTHING, now, said_, guards=guards).refused == ["pool/a.jpg"]
    once = apply(NOTHING, now, said_, guards=guards, correct=True)
    assert once.benchmarks.set_index("image").loc["pool/a.jpg", ["label", "sha256"]].tolist() == [then, sha("Z")]
    after = Guarded(once.benchmarks, NOBODY.test)
    again = apply(NOTHING, now, said_, guards=after, correct=True, replaced=once.replaced)
    assert again.benchmarks.equals(once.benchmarks)
    back = apply(NOTHING, now, said_, undo(said_), guards=after, correct=True, replaced=once.replaced)
    assert back.benchmarks.equals(guards.benchmarks)


def test_a_decision_about_what_a_benchmark_s_file_no_longer_holds_is_left_alone_and_named():
    row = {"benchmark": "field", "image": "pool/a.jpg", "label": "cat", "sha256": sha("A")}
    guards = Guarded(pd.DataFrame([row], dtype="str"), NOBODY.test)
    applied = apply(NOTHING, files(a="Z"), decided("a", "A", "emu"), guards=guards, correct=True)
    assert applied.benchmarks.equals(guards.benchmarks)
    assert applied.other_content == ["pool/a.jpg"]
