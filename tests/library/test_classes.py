import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.library import classes
from pipeline.library.classes import Classes


def events(*rows: tuple[str, ...], **columns: str) -> Classes:
    """Events as (event, class, to)."""
    table = pd.DataFrame([row + ("",) * (3 - len(row)) for row in rows], columns=["event", "class", "to"])
    return classes.check(table.assign(**columns), "classes.csv")


def today(decided: Classes, label: str, subclass: str = "") -> tuple[str, str]:
    row = decided.apply(pd.DataFrame({"label": [label], "subclass": [subclass]})).iloc[0]
    return row["label"], row["subclass"]


def refusal(*rows: tuple[str, ...], **columns: str) -> str:
    with pytest.raises(DataError) as refused:
        events(*rows, **columns)
    assert len(str(refused.value).splitlines()) <= 3
    return str(refused.value)


def test_a_renamed_class_goes_by_its_new_name_everywhere():
    decided = events(("rename", "puma", "cougar"), ("rename", "cougar", "mountain lion"))
    assert today(decided, "puma", "cub") == ("mountain lion", "cub")
    assert today(decided, "cougar") == ("mountain lion", "")
    assert today(decided, "lion") == ("lion", "")


def test_a_merged_class_lives_on_as_a_sub_class():
    decided = events(("merge", "sambar", "deer"), ("merge", "roe", "deer"))
    assert today(decided, "sambar", "doe") == ("deer", "sambar/doe")
    assert today(decided, "roe") == ("deer", "roe")


def test_a_sub_class_is_split_off_and_what_lies_below_it_goes_with_it():
    decided = events(("split", "antelope/gazelle", "gazelle"))
    assert today(decided, "antelope", "gazelle/young") == ("gazelle", "young")
    assert today(decided, "antelope", "gazelles") == ("antelope", "gazelles")


def test_what_was_merged_can_be_split_off_again_under_another_name():
    decided = events(("merge", "sambar", "deer"), ("split", "deer/sambar", "sambar deer"))
    assert today(decided, "sambar", "doe") == ("sambar deer", "doe")


def test_events_count_in_the_order_in_which_they_were_decided():
    decided = events(("split", "cat/wild", "wildcat"), ("rename", "cat", "house cat"))
    assert today(decided, "cat", "wild") == ("wildcat", "")
    assert today(decided, "cat", "tabby") == ("house cat", "tabby")


def test_a_table_without_events_is_left_as_it_is(tmp_path):
    table = pd.DataFrame({"label": ["lion"], "subclass": ["cub"]})
    assert classes.none().apply(table) is table
    assert classes.read(tmp_path / "classes.csv").apply(table) is table


def test_names_of_benchmarks_and_older_models_are_mapped_as_well():
    decided = events(("rename", "puma", "cougar"), ("merge", "roe", "deer"))
    assert decided.names(pd.Series(["puma", "roe", "lion", ""])).tolist() == ["cougar", "deer", "lion", ""]


def test_rows_keep_their_places():
    table = pd.DataFrame({"label": ["puma", "lion"], "subclass": "", "image": ["a", "b"]}, index=[7, 3])
    named = events(("rename", "puma", "cougar")).apply(table)
    assert named.index.tolist() == [7, 3]
    assert named["label"].to_dict() == {7: "cougar", 3: "lion"}
    assert named["image"].tolist() == ["a", "b"]


def test_a_retired_class_is_named_by_todays_name():
    assert events(("rename", "puma", "cougar"), ("retire", "cougar")).retired == {"cougar"}


def test_settings_of_a_class_follow_it_to_its_new_name():
    table = pd.DataFrame(
        [("set", "puma", "", "25", "no"), ("rename", "puma", "cougar", "", "")],
        columns=["event", "class", "to", "min_images", "flip"],
    )
    decided = classes.check(table, "classes.csv")
    assert (decided.cutoffs, decided.no_flip) == ({"cougar": 25}, {"cougar"})


def test_a_cycle_is_refused():
    assert "row 2 made it 'b'" in refusal(("rename", "a", "b"), ("rename", "b", "a"))
    assert "to itself" in refusal(("rename", "a", "a"))
    assert "row 3" in refusal(("rename", "a", "b"), ("merge", "c", "a"))


def test_a_class_that_was_given_up_cannot_be_decided_on_again():
    assert "row 2 made it 'cougar'" in refusal(("rename", "puma", "cougar"), ("retire", "puma"))
    assert "row 2 retired it" in refusal(("retire", "puma"), ("merge", "lion", "puma"))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("renam", "a", "b"), "did you mean 'rename'?"),
        (("rename", "a"), "a rename names a class and what it becomes"),
        (("retire", "a", "b"), "a retire names a class and nothing that it becomes"),
        (("split", "a", "b"), "CLASS/SUBCLASS"),
        (("rename", "a", "Unknown"), "'unknown' is never a class"),
        (("retire", ""), "names a class"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused_with_its_row(row, said):
    message = refusal(("retire", "zebra"), row)
    assert said in message
    assert "row 3" in message


@pytest.mark.parametrize(("column", "value"), [("min_images", "2"), ("min_images", "many"), ("flip", "perhaps")])
def test_a_setting_out_of_range_is_refused(column, value):
    assert value in refusal(("set", "lion"), **{column: value})


def test_a_class_that_nobody_has_is_refused_and_the_nearest_is_offered():
    decided = events(("rename", "cuogar", "puma"))
    with pytest.raises(DataError, match="did you mean 'cougar'"):
        classes.check_names(decided, {"cougar", "lion"}, "classes.csv")
    classes.check_names(events(("rename", "cougar", "puma"), ("retire", "puma")), {"cougar"}, "classes.csv")


def test_an_unknown_column_offers_the_nearest(tmp_path):
    (tmp_path / "classes.csv").write_text("event,class,too\nrename,a,b\n")
    with pytest.raises(DataError, match="did you mean 'to'"):
        classes.read(tmp_path / "classes.csv")


def test_an_event_is_added_only_if_it_fits(tmp_path):
    path = tmp_path / "classes.csv"
    classes.write(classes.add(path, {"event": "rename", "class": "puma", "to": "cougar"}, {"puma"}).events, path)
    assert classes.read(path).names(pd.Series(["puma"])).tolist() == ["cougar"]
    with pytest.raises(DataError):
        classes.add(path, {"event": "retire", "class": "puma"}, {"puma"})


NAME = st.sampled_from(["a", "b", "c", "d", "e"])
EVENT = st.one_of(
    st.tuples(st.sampled_from(["rename", "merge"]), NAME, NAME),
    st.tuples(st.just("split"), st.builds("{}/{}".format, NAME, NAME), NAME),
    st.tuples(st.just("retire"), NAME),
)


@given(st.lists(EVENT, max_size=6), st.lists(st.tuples(NAME, st.sampled_from(["", "a", "b/c"])), min_size=1))
def test_events_that_are_taken_lead_to_no_name_that_was_given_up(rows, said):
    try:
        decided = events(*rows)
    except DataError:
        return
    given_up = {row[1] for row in rows if row[0] in ("rename", "merge")}
    table = pd.DataFrame(said, columns=["label", "subclass"])
    named = decided.apply(table)
    assert not set(named["label"]) & given_up
    assert len(named) == len(table)
    pd.testing.assert_frame_equal(table, pd.DataFrame(said, columns=["label", "subclass"]))
