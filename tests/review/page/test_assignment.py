"""Who sees which card, and what becomes of a decision: without a browser, without a network."""

import itertools
import os
import resource
import signal
import threading
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.commands import review
from pipeline.errors import DataError, ResumableError
from pipeline.files import write_table, write_text
from pipeline.review import decisions
from pipeline.review.page import assignment
from pipeline.review.page.assignment import Answer, StaleError, TakenError
from pipeline.review.page.queues import Filter
from pipeline.workspace import Workspace
from tests.review.page import made_up_workspace

NAME = "low-count"
ROOTS = ["library", "pool"]


@pytest.fixture
def workspace(tmp_path):
    return made_up_workspace.build(tmp_path)


class Office:
    """A review whose clock advances by a second with every decision."""

    ticks = itertools.count()

    def __init__(self, workspace):
        self.folder = workspace
        self.reviews = workspace / "data/reviews"
        self.place = review.reviewing(Workspace(workspace), workspace / "data/queue", self.now)

    def now(self) -> str:
        return (datetime(2026, 3, 1) + timedelta(seconds=next(self.ticks))).isoformat()

    def deal(self, by: str = "ann", number: int = 3, **more) -> list[int]:
        hand = {"again": True, "tab": more.get("tab", "")}
        told = self.place.deal(NAME, by, Filter(), number, more.get("have", []), more.get("skip", []), **hand)
        return [-1 - card["row"] if card["blind"] else card["row"] for card in told["cards"]]

    def say(self, row: int, label: str = "zebra", by: str = "ann", decision: str = "label", **more) -> tuple:
        answer = Answer(row, decision, label if decision == "label" else "", more.pop("rows", ()))
        version = more.pop("version", self.place.assignment(NAME).queue.version)
        options = {"seconds": 1.0, "blind": False, "bulk": False} | more
        return self.place.decide(NAME, by, version, [answer], **options)

    def said(self) -> dict[str, str]:
        log = decisions.read_all(self.reviews, ROOTS)
        return {row.image[5:13]: row.label or row.decision for row in log.itertuples()}


@pytest.fixture
def office(workspace):
    return Office(workspace)


def test_nobody_is_given_a_card_that_another_has_in_hand(office):
    assert office.deal("ann") == [0, 1, 2]
    assert office.deal("bob") == [3, 4, 5]
    assert office.deal("ann", have=[0, 1, 2]) == [6, 7, 8]


def test_twenty_tabs_of_one_person_show_twenty_cards(tmp_path):
    office = Office(made_up_workspace.build(tmp_path, cards=24))
    hands = [office.deal("ann", 6, tab=f"tab-{number}") for number in range(20)]
    shown = [hand[0] for hand in hands]
    assert len(set(shown)) == 20
    assert sum(map(len, hands[:4])) == 24


def test_a_tab_learns_which_of_its_cards_another_tab_has_taken_over(office):
    first = office.deal("ann", 12, tab="a")
    second = office.deal("ann", 3, tab="b")
    assert second == first[-1:-4:-1]
    assert office.place.assignment(NAME).lost("ann", "a", first) == first[-3:]
    office.deal("ann", 3, tab="a", have=first)
    assert office.place.assignment(NAME).lost("ann", "b", second) == []


def test_a_tab_that_is_closed_or_loaded_again_leaves_its_cards_to_others(office):
    hand = office.deal("ann", tab="a")
    assert office.deal("ann", tab="a") == hand
    office.place.release(NAME, "ann", "a")
    assert office.deal("bob") == hand


def test_a_card_that_was_left_lying_is_given_to_another(office, monkeypatch):
    office.deal("ann")
    place = office.place.assignment(NAME)
    monkeypatch.setattr(place, "_clock", lambda: 1e12)
    assert office.deal("bob") == [0, 1, 2]


def test_a_card_is_decided_once_and_the_second_reviewer_is_told_by_whom(office):
    office.say(0, "okapi", by="ann")
    with pytest.raises(TakenError, match="ann has decided this one meanwhile: okapi"):
        office.say(0, "zebra", by="bob")
    assert office.said() == {"shot_000": "okapi"}


def test_a_reviewer_may_think_better_of_it(office):
    office.say(0, "okapi")
    office.say(0, "zebra")
    assert office.said() == {"shot_000": "zebra"}


def test_of_many_cards_those_that_another_has_decided_are_left_out(office):
    office.say(0, "okapi", by="ann")
    version = office.place.assignment(NAME).queue.version
    answers = [Answer(row, "label", "zebra") for row in (0, 1, 2)]
    decided = office.place.decide(NAME, "bob", version, answers, seconds=3.0, blind=False, bulk=True)
    assert (len(decided.stroke.rows), decided.late) == (2, ["pool/shot_000.png"])
    assert office.said() == {"shot_000": "okapi", "shot_001": "zebra", "shot_002": "zebra"}


def test_undo_goes_back_to_the_first_decision_and_no_further(office):
    for row in (0, 1, 2):
        office.say(row)
    backs = [office.place.undo(NAME, "ann") for _ in range(4)]
    assert [[card["row"] for card in told["cards"]] for told in backs] == [[2], [1], [0], []]
    assert (backs[3]["undone"], office.said()) == (0, {})
    assert office.deal() == [0, 1, 2]


def test_a_card_comes_back_though_all_tables_are_read_anew_while_it_is_taken_back(office):
    for row in (0, 1):
        office.say(row)
    place, decision_log = office.place.assignment(NAME), office.place.decision_log()
    stroke = decision_log.undo("ann")
    decision_log.read()
    place.refresh()
    assert place.taken_back(stroke) == [1]


def test_what_is_being_written_here_is_not_taken_for_another_programs(office, monkeypatch):
    decision_log, append_all = office.place.decision_log(), decisions.append_all
    written, looked, answers = threading.Event(), threading.Event(), []

    def slow(*arguments):
        ids = append_all(*arguments)
        written.set()
        looked.wait(0.2)  # for whoever looks now without waiting
        return ids

    def look():
        written.wait()
        answers.append(decision_log.changed())
        looked.set()

    monkeypatch.setattr(decisions, "append_all", slow)
    looking = threading.Thread(target=look)
    looking.start()
    office.say(0)
    looking.join()
    assert answers == [False]


@pytest.mark.parametrize("step", ["read_log", "append_all"])
def test_what_another_program_writes_in_the_same_moment_is_seen_afterwards(office, monkeypatch, step):
    decision_log, own = office.place.decision_log(), getattr(decisions, step)
    other = {"image": "pool/shot_005.png", "decision": "bad", "by": "bob", "at": "2026-03-02", "model": ""}

    def beside(*arguments):
        done = own(*arguments)
        monkeypatch.setattr(decisions, step, own)
        decisions.append(other | {"model": made_up_workspace.MODEL}, office.reviews, "other", ROOTS)
        return done

    monkeypatch.setattr(decisions, step, beside)
    decision_log.read()
    office.say(0)
    assert "pool/shot_005.png" in dict(office.place.decision_log().decided())


def test_tables_that_cannot_be_read_leave_what_is_known_as_it_was(office):
    office.say(0)
    decision_log = office.place.decision_log()
    write_text("image,decision\n", office.reviews / "broken.csv")
    with pytest.raises(DataError):
        decision_log.read()
    assert list(dict(decision_log.decided())) == ["pool/shot_000.png"]


def test_nobody_takes_back_what_another_has_decided(office):
    office.say(0, by="ann")
    assert office.place.undo(NAME, "bob")["undone"] == 0
    assert office.said() == {"shot_000": "zebra"}


def test_a_burst_is_one_decision_and_is_taken_back_as_one(workspace):
    table = pd.read_parquet(workspace / "data/queue/low-count.parquet")
    table.loc[[0, 4, 7], "group"] = "burst"
    write_table(table, workspace / "data/queue/low-count.parquet")
    office = Office(workspace)
    office.say(0, "okapi")
    assert office.said() == {"shot_000": "okapi", "shot_004": "okapi", "shot_007": "okapi"}
    seconds = decisions.read_all(office.reviews, ROOTS).set_index("image")["seconds"]
    assert seconds.astype(float).sum() == 1.0
    assert office.place.undo(NAME, "ann")["undone"] == 3
    assert (office.said(), office.deal()) == ({}, [0, 1, 2])


def test_of_a_burst_one_picture_can_be_left_out(workspace):
    table = pd.read_parquet(workspace / "data/queue/low-count.parquet")
    table.loc[[0, 4], "group"] = "burst"
    write_table(table, workspace / "data/queue/low-count.parquet")
    office = Office(workspace)
    office.say(0, "okapi", rows=(0,))
    assert office.said() == {"shot_000": "okapi"}
    assert office.deal() == [0, 1, 2], "the card is not done"


def burst(workspace) -> Office:
    """A queue whose first three images are one burst."""
    queue = workspace / "data/queue/low-count.parquet"
    table = pd.read_parquet(queue)
    write_table(table.assign(group=["a"] * 3 + list("bcdefghij"[: len(table) - 3])), queue)
    return Office(workspace)


def test_one_frame_of_a_burst_is_taken_back_and_the_others_stay(workspace):
    office = burst(workspace)
    office.say(0)
    version = office.place.assignment(NAME).queue.version
    told = office.place.take_back(NAME, "ann", version, [1])
    assert told["undone"] == 1
    decided = {member["row"]: member["decided"] for member in told["cards"][0]["members"]}
    assert decided == {0: {"by": "ann", "said": "zebra"}, 1: None, 2: {"by": "ann", "said": "zebra"}}
    assert office.said() == {"shot_000": "zebra", "shot_002": "zebra"}
    assert office.deal()[0] == 0  # the card is open again
    assert office.place.undo(NAME, "ann")["undone"] == 2
    assert office.said() == {}
    assert office.place.undo(NAME, "ann")["undone"] == 0


def test_what_was_taken_back_frame_by_frame_is_so_for_another_server(workspace):
    office = burst(workspace)
    office.say(0)
    version = office.place.assignment(NAME).queue.version
    office.place.take_back(NAME, "ann", version, [2])
    other = Office(workspace)
    assert other.place.undo(NAME, "ann")["undone"] == 2
    assert other.said() == {}


def test_nobody_takes_back_a_frame_that_another_has_decided(workspace):
    office = burst(workspace)
    office.say(0)
    version = office.place.assignment(NAME).queue.version
    assert office.place.take_back(NAME, "bob", version, [1])["undone"] == 0
    assert len(office.said()) == 3
    with pytest.raises(StaleError):
        office.place.take_back(NAME, "ann", "before", [1])
    with pytest.raises(DataError, match="no such row"):
        office.place.take_back(NAME, "ann", version, [99])


def test_the_last_card_is_shown_as_it_was_decided(workspace):
    office = burst(workspace)
    assert office.place.last(NAME, "ann")["cards"] == []
    office.say(0, rows=(0, 2))
    (card,) = office.place.last(NAME, "ann")["cards"]
    assert [member["decided"] is not None for member in card["members"]] == [True, False, True]
    assert office.place.last(NAME, "bob")["cards"] == []


def test_a_burst_whose_first_frame_was_left_out_is_not_read_a_second_time(workspace, monkeypatch):
    office = burst(workspace)
    monkeypatch.setattr(assignment, "AGAIN_AFTER", 0)
    monkeypatch.setattr(office.place, "_blind_share", 1.0)
    office.say(0, rows=(1, 2))
    assert -1 not in office.deal()
    office.say(0, rows=(0,))
    assert -1 in office.deal()


def test_another_server_goes_on_where_the_first_one_was(workspace, office):
    office.say(0)
    office.say(1, decision="bad")
    again = Office(workspace)
    assert again.deal() == [2, 3, 4]
    assert [again.place.undo(NAME, "ann")["cards"][0]["row"] for _ in range(2)] == [1, 0]
    assert again.said() == {}


def test_two_servers_on_one_workspace_see_each_others_decisions(workspace, office):
    other = Office(workspace)
    assert other.deal("bob", 1) == [0]
    office.say(0, "okapi", by="ann")
    with pytest.raises(TakenError):
        other.say(0, "zebra", by="bob")
    assert other.deal("bob", 1) == [1]


def test_a_decision_of_an_earlier_model_does_not_settle_todays_queue(workspace, office):
    office.say(0)
    write_text('{"model": "' + "7" * 64 + '"}', workspace / "data/predictions/summary.json")
    assert office.deal("bob", 1) == [0]


def test_a_tab_from_before_a_new_round_decides_nothing(workspace, office):
    version = office.place.assignment(NAME).queue.version
    table = pd.read_parquet(workspace / "data/queue/low-count.parquet").iloc[::-1]
    write_table(table, workspace / "data/queue/low-count.parquet")
    with pytest.raises(StaleError, match="a new round has replaced this queue"):
        office.say(0, version=version)
    assert office.said() == {}


@pytest.mark.parametrize(
    ("label", "what"),
    [("Zebra", "differ by case only"), ("unknown", "never a class"), ("", "without a class"), ("a\nb", "line break")],
)
def test_what_can_be_no_class_is_refused_and_nothing_is_written(office, label, what):
    with pytest.raises(DataError, match=what):
        office.say(0, label)
    assert office.said() == {}


def test_a_class_that_another_has_made_is_offered_and_its_name_in_another_case_refused(office):
    office.say(0, "Sable antelope", by="ann")
    told = office.place.deal(NAME, "bob", Filter(), 1, [], [], again=False)
    assert told["named"] == ["Sable antelope"]
    with pytest.raises(DataError, match="differ by case only") as refused:
        office.say(1, "sable Antelope", by="bob")
    assert "write 'Sable antelope'" in refused.value.mend
    office.say(1, "Sable antelope", by="bob")
    assert Office(office.folder).said() == {"shot_000": "Sable antelope", "shot_001": "Sable antelope"}


def test_a_sub_class_is_written_beside_its_class_and_undone_with_it(office):
    version = office.place.assignment(NAME).queue.version
    answer = Answer(0, "label", "antelope", subclass="gazelle")
    office.place.decide(NAME, "ann", version, [answer], seconds=1.0, blind=False, bulk=False)
    found = decisions.read_all(office.reviews, ROOTS).iloc[0]
    assert (found["label"], found["subclass"]) == ("antelope", "gazelle")
    office.place.undo(NAME, "ann")
    assert office.said() == {}


def test_the_day_of_a_file_and_the_origin_of_a_label_are_found_by_name(workspace, office):
    images = pa.chunked_array([["library/zebra/0.png", "pool/shot_001.png", "pool/never.png"]])
    cache = workspace / "cache.parquet"
    changed = int(datetime(2026, 3, 4, 5, tzinfo=UTC).timestamp()) * 10**9
    pq.write_table(pa.table({"image": ["pool/shot_001.png"], "mtime_ns": [changed]}), cache)
    office.place.context._index_cache = cache
    assert office.place.context.days(images).astype(str).tolist() == ["NaT", "2026-03-04", "NaT"]
    assert office.place.context.origins(images).tolist() == ["real", "unlabelled", "unlabelled"]


def test_the_first_page_tells_what_short_classes_may_gain(workspace, office):
    assert office.place.yields() == []
    write_text(
        "label,short_by,known,candidates,expected,low,high,queued,queued_expected,model\n"
        "zebra,2,True,9,4.5,1.0,8.0,6,3.2,m\nemu,9,False,0,,,,7,,m\n",
        workspace / "data/queue/yield.csv",
    )
    zebra, emu = office.place.yields()
    assert (zebra["expected"], zebra["queued_expected"]) == (4.5, 3.2)
    assert (emu["expected"], emu["queued_expected"], emu["queued"]) == (None, None, 7)


def test_a_new_class_is_as_good_as_a_known_one(office):
    office.say(0, "sable antelope")
    assert office.said() == {"shot_000": "sable antelope"}


@pytest.mark.parametrize("answer", [Answer(99, "label", "zebra"), Answer(-1, "bad"), Answer(0, "maybe")])
def test_an_answer_to_no_card_is_refused(office, answer):
    version = office.place.assignment(NAME).queue.version
    with pytest.raises(DataError, match="no such card"):
        office.place.decide(NAME, "ann", version, [answer], seconds=1.0, blind=False, bulk=False)


@pytest.mark.parametrize("word", ["bad", "Keep", "no", "label", "undo", "yes"])
def test_a_word_of_the_decisions_is_no_new_class(office, word):
    with pytest.raises(DataError, match=f"'{word}' is a word of the reviews"):
        office.say(0, word)
    assert office.said() == {}


def test_two_thousand_answers_for_one_image_at_once_are_refused(office):
    version = office.place.assignment(NAME).queue.version
    answers = [Answer(0, "label", "zebra")] * 2000
    with pytest.raises(DataError, match="several answers at once") as refused:
        office.place.decide(NAME, "ann", version, answers, seconds=1.0, blind=False, bulk=True)
    assert refused.value.where == "pool/shot_000.png"
    assert office.said() == {}


def test_a_full_disk_is_said_and_nothing_is_half_written(office):
    office.say(0, "zebra")
    (table,) = office.reviews.glob("*.csv")
    before = table.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        with pytest.raises(ResumableError, match="disk is full"):
            office.say(1, "okapi")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert table.read_bytes() == before
    assert office.deal("ann", 1) == [1], "the card waits"
    office.say(1, "okapi")
    assert office.said() == {"shot_000": "zebra", "shot_001": "okapi"}


def test_a_line_cut_short_by_a_power_cut_is_overwritten_by_the_next_decision(workspace, office):
    office.say(0, "zebra")
    (table,) = office.reviews.glob("*.csv")
    os.truncate(table, table.stat().st_size - 9)
    again = Office(workspace)
    assert again.deal("ann", 1) == [0], "it was never confirmed"
    again.say(0, "okapi")
    assert again.said() == {"shot_000": "okapi"}


def test_a_share_is_shown_again_blind_and_never_counts_as_a_label(workspace, monkeypatch):
    made_up_workspace.params(workspace, blind_share=1.0)
    monkeypatch.setattr(assignment, "AGAIN_AFTER", 2)
    office = Office(workspace)
    assert office.deal(number=1) == [0], "nothing has been decided yet"
    for row in (0, 1, 2):
        office.say(row, "zebra")
    assert office.deal(number=1) == [-1, 3]
    office.say(0, "okapi", blind=True)
    assert office.said() == {f"shot_00{row}": "zebra" for row in (0, 1, 2)}
    assert office.deal(number=1) == [-2, 3], "none is read a third time"
    (told,) = office.place.reviewers()
    assert (told["checked"], told["differing"], told["error"]) == (1, 1, 1.0)


def test_a_card_is_read_again_in_one_tab_alone(workspace, monkeypatch):
    monkeypatch.setattr(assignment, "AGAIN_AFTER", 2)
    made_up_workspace.params(workspace, blind_share=1.0)
    office = Office(workspace)
    for row in range(4):
        office.say(row)
    firsts = [office.deal(number=1, tab=tab)[0] for tab in ("a", "b", "c", "a")]
    assert firsts == [-1, -2, 6, -1]


def test_a_second_reading_is_taken_back_like_any_decision(workspace, monkeypatch):
    made_up_workspace.params(workspace, blind_share=1.0)
    monkeypatch.setattr(assignment, "AGAIN_AFTER", 1)
    office = Office(workspace)
    office.say(0)
    office.say(1)
    office.say(0, blind=True)
    told = office.place.undo(NAME, "ann")
    assert [(card["row"], card["blind"]) for card in told["cards"]] == [(0, True)]
    assert office.said() == {"shot_000": "zebra", "shot_001": "zebra"}


def test_what_was_put_aside_does_not_come_again_until_it_is_asked_for(office):
    assert office.deal(skip=[0, 2]) == [1, 3, 4]
    assert office.deal(have=[1, 3, 4]) == [0, 2, 5]


def test_the_sample_of_a_quarantine_promises_what_was_judged(workspace):
    table = pd.read_parquet(workspace / "data/queue/low-count.parquet")
    write_table(table, workspace / "data/queue/purge-low.parquet")
    write_table(table[["image", "sha256", "score"]], workspace / "data/queue/whole/purge-low.parquet")
    office = Office(workspace)
    version = office.place.assignment("purge-low").queue.version
    for row in range(10):
        answers = [Answer(row, "bad")] if row else [Answer(row, "label", "zebra")]
        office.place.decide("purge-low", "ann", version, answers, seconds=1.0, blind=False, bulk=False)
    told = office.place.about("purge-low")["purge"]
    assert (told["judged"], told["good"], told["listed"]) == (10, 1, 12)
    assert 0.1 < told["bound"] < 0.5


def replace(office, row: int) -> None:
    made_up_workspace.picture(office.folder, f"pool/shot_{row:03d}.png", 500 + row)


def test_a_card_whose_file_was_replaced_since_it_was_dealt_is_refused_and_says_why(office):
    office.deal()
    replace(office, 0)
    with pytest.raises(assignment.ChangedError, match="the file was replaced since the queue was made") as refused:
        office.say(0)
    assert (refused.value.where, office.said()) == ("pool/shot_000.png", {})
    office.say(1)
    assert office.said() == {"shot_001": "zebra"}


def test_of_many_cards_those_whose_files_were_replaced_are_left_out_and_named(office):
    replace(office, 1)
    version = office.place.assignment(NAME).queue.version
    answers = [Answer(row, "label", "zebra") for row in (0, 1, 2)]
    decided = office.place.decide(NAME, "ann", version, answers, seconds=3.0, blind=False, bulk=True)
    assert (len(decided.stroke.rows), decided.changed) == (2, ["pool/shot_001.png"])
    assert office.said() == {"shot_000": "zebra", "shot_002": "zebra"}


def test_what_was_decided_of_the_content_before_closes_no_card_of_the_new_one(office):
    for row in (0, 1):
        office.say(row)
    replace(office, 0)
    path = office.folder / f"data/queue/{NAME}.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "sha256"] = made_up_workspace.picture(office.folder, "pool/shot_000.png", 500)
    write_table(table, path)
    assert office.deal(number=1) == [0]
    office.say(0, "okapi")
    assert decisions.read_all(office.reviews, ROOTS)["sha256"].tolist()[-1] == table.loc[0, "sha256"]
