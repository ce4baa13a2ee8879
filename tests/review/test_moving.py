"""What becomes of the rows of each table when images lie elsewhere."""

import hashlib

import pandas as pd
import pytest

from pipeline.library import labels, quarantine
from pipeline.review import applying, decisions, moving
from pipeline.review.moving import ABSENT, LABELLED, LISTED, OTHER, STAYS, Facts, Sources

OLD, NEW = "library/cow", "library/cows"


def sha256_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def facts(there: dict[str, str], indexed: dict[str, str] | None = None) -> Facts:
    """Files by their names below the library, and what they contain."""
    files = {f"library/{name}": sha256_of(text) for name, text in there.items()}
    return Facts(OLD, NEW, files, {name: sha256_of(text) for name, text in (indexed or {}).items()})


def labelled(*rows: dict[str, str]) -> pd.DataFrame:
    return labels.check(pd.DataFrame([{"label": "cow"} | row for row in rows]), ["library"], "")


def row(image: str, sha256: str = "a", **more: str) -> dict[str, str]:
    return {"image": f"library/{image}", "sha256": sha256_of(sha256)} | more


def test_a_row_follows_its_content():
    moved = moving.labels(
        labelled(row("cow/1"), row("cow/young/2", "b"), row("cowboy/3", "c")),
        facts({"cows/1": "a", "cows/young/2": "b", "cowboy/3": "c"}),
    )
    assert moved.table["image"].tolist() == ["library/cowboy/3", "library/cows/1", "library/cows/young/2"]
    assert (moved.rows, moved.left, moved.unverified) == (2, {}, frozenset())


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ({"cow/1": "a", "cows/1": "a"}, STAYS),
        ({"cow/1": "a"}, STAYS),
        ({}, ABSENT),
        ({"cows/1": "another"}, OTHER),
        ({"cows/1": ""}, OTHER),
    ],
)
def test_a_row_whose_content_is_not_at_the_new_place_stays(there, why):
    table = labelled(row("cow/1"))
    moved = moving.labels(table, facts(there))
    pd.testing.assert_frame_equal(moved.table, table)
    assert (moved.rows, moved.left) == (0, {"library/cow/1": why})


def test_a_row_moves_though_another_image_has_taken_its_old_name():
    moved = moving.labels(labelled(row("cow/1")), facts({"cow/1": "another", "cows/1": "a"}))
    assert moved.table["image"].tolist() == ["library/cows/1"]


def test_a_row_without_a_content_is_about_what_the_last_index_saw():
    table, seen = labelled(row("cow/1", "")), {"library/cow/1": "a"}
    assert moving.labels(table, facts({"cows/1": "another"}, seen)).left == {"library/cow/1": OTHER}
    moved = moving.labels(table, facts({"cows/1": "a"}, seen))
    assert (moved.rows, moved.unverified) == (1, frozenset())


def test_what_nobody_knows_the_content_of_moves_if_its_file_has_gone_and_is_counted():
    table = labelled(row("cow/1", ""))
    assert moving.labels(table, facts({"cow/1": "x", "cows/1": "x"})).left == {"library/cow/1": STAYS}
    moved = moving.labels(table, facts({"cows/1": "x"}))
    assert (moved.rows, moved.unverified) == (1, frozenset({"library/cow/1"}))


def test_a_row_that_meets_the_same_label_becomes_one_with_it_and_keeps_the_older_source():
    table = labelled(row("cow/1", by="Ada", at="2025-01-01", note="n"), row("cows/1", subclass="young"))
    moved = moving.labels(table, facts({"cows/1": "a"}))
    (left,) = moved.table.to_dict("records")
    assert (left["image"], left["by"], left["note"], left["subclass"]) == ("library/cows/1", "Ada", "n", "young")
    assert (moved.rows, moved.united) == (1, 1)
    table = labelled(row("cow/1", by="Ada", at="2026-01-01"), row("cows/1", by="Ben", at="2025-01-01"))
    assert moving.labels(table, facts({"cows/1": "a"})).table["by"].tolist() == ["Ben"]


def test_a_row_that_meets_another_label_stays_in_every_table():
    tables = sources(
        labels=labelled(row("cow/1"), row("cows/1", label="bull"), row("cow/2", "b")),
        reviews={"r": said(row("cow/1"), row("cow/2", "b"))},
    )
    moved = moving.move(tables, facts({"cows/1": "a", "cows/2": "b"}))
    assert moved.labels["t"].left == {"library/cow/1": LABELLED}
    assert moved.labels["t"].table["image"].tolist() == ["library/cow/1", "library/cows/1", "library/cows/2"]
    assert moved.reviews["r"].table["image"].tolist() == ["library/cow/1", "library/cows/2"]


def test_a_benchmark_keeps_its_order_its_columns_and_its_hand():
    table = pd.DataFrame({"image": ["library/z", "library/cow/1", "library/a"], "label": "cow", "camera": list("xyz")})
    moved = moving.benchmark(table, pd.Series(dtype="str"), facts({"cows/1": "a"}, {"library/cow/1": "a"}))
    assert moved.table["image"].tolist() == ["library/z", "library/cows/1", "library/a"]
    assert moved.table["camera"].tolist() == ["x", "y", "z"]
    elsewhere = moving.benchmark(table, pd.Series(["library/cows/1"]), facts({"cows/1": "a"}))
    assert elsewhere.left == {"library/cow/1": LISTED}


def test_a_quarantined_content_moves_with_its_image():
    table = pd.DataFrame([row("cow/1"), row("cow/2", "b")]).reindex(columns=quarantine.COLUMNS, fill_value="")
    moved = moving.quarantine(table, facts({"cows/1": "a"}))
    assert moved.table["image"].tolist() == ["library/cows/1", "library/cow/2"]


def said(*rows: dict[str, str], columns: list[str] = decisions.COLUMNS[:10]) -> pd.DataFrame:
    """A review table as it was kept before decisions had ids."""
    plain = {"decision": "label", "label": "cow", "by": "Ada", "at": "2026-01-01"}
    return pd.DataFrame([plain | row for row in rows]).reindex(columns=columns, fill_value="").fillna("")


def sources(labels=None, reviews=None, replaced=None) -> Sources:
    return Sources(
        {"t": labelled(row("other", "z")) if labels is None else labels},
        {},
        reviews or {},
        {},
        {} if replaced is None else {"replaced": replaced},
    )


def test_a_decision_keeps_its_id_so_that_what_takes_it_back_still_finds_it():
    first = said(row("cow/1"), row("dog/1", "d"))
    name = decisions.check(first, ["library"], "", session="first")["id"].iloc[0]
    undo = said(row("cow/1", decision="undo", label="", undoes=name), columns=decisions.COLUMNS)
    moved = moving.reviews({"first": first, "second": undo}, facts({"cows/1": "a"}))
    assert moved["first"].table["image"].tolist() == ["library/cows/1", "library/dog/1"]
    assert moved["first"].table["id"].tolist() == [name, ""]
    assert moved["second"].table["image"].tolist() == ["library/cows/1"]
    again = decisions.check(moved["first"].table, ["library"], "", session="first")
    assert again["id"].tolist() == decisions.check(first, ["library"], "", session="first")["id"].tolist()


def test_what_takes_a_decision_back_follows_it_though_it_moved_before():
    undo = said(row("cow/1", decision="undo", label="", undoes="1"), columns=decisions.COLUMNS)
    before = said(row("cows/1", id="1"), columns=decisions.COLUMNS)
    moved = moving.reviews({"first": before, "second": undo}, facts({"cows/1": "another"}))
    assert moved["second"].table["image"].tolist() == ["library/cows/1"]


def test_a_decision_about_an_earlier_content_stays_where_it_was_and_so_does_what_takes_it_back():
    table = said(row("cow/1", "earlier", id="1"), row("cow/1", id="2"), columns=decisions.COLUMNS)
    undo = said(row("cow/1", "", decision="undo", label="", undoes="1"), columns=decisions.COLUMNS)
    moved = moving.reviews({"first": table, "second": undo}, facts({"cows/1": "a"}))
    assert moved["first"].table["image"].tolist() == ["library/cow/1", "library/cows/1"]
    assert moved["second"].table["image"].tolist() == ["library/cow/1"]


def test_a_table_none_of_whose_rows_moves_stays_as_it_is():
    table = said(row("dog/1"))
    assert moving.reviews({"r": table}, facts({}))["r"].table is table


def test_what_a_decision_replaced_goes_where_the_decision_lies():
    rows = [row("cow/1", "", decision="1"), row("cow/2", "", decision="2")]
    table = pd.DataFrame(rows).reindex(columns=applying.REPLACED_COLUMNS, fill_value="")
    log = said(row("cow/1", id="1"), row("cow/2", "b", id="2"), columns=decisions.COLUMNS)
    for reviews in (log, log.assign(image=["library/cows/1", "library/cow/2"])):
        moved = moving.move(sources(reviews={"r": reviews}, replaced=table), facts({"cows/1": "a", "cow/2": "b"}))
        assert moved.replaced["replaced"].table["image"].tolist() == ["library/cows/1", "library/cow/2"]


def test_images_may_move_into_a_folder_of_their_own_folder():
    there = {f"library/cow/young/{name}": sha256_of(text) for name, text in {"1": "a", "2": "b"}.items()}
    inner = Facts("library/cow", "library/cow/young", there, {})
    table = labelled(row("cow/1"), row("cow/young/2", "b"))
    moved = moving.labels(table, inner)
    assert moved.table["image"].tolist() == ["library/cow/young/1", "library/cow/young/2"]
    assert moving.labels(moved.table, inner).rows == 0
