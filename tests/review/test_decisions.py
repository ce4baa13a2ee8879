import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError, ResumableError, UsageError
from pipeline.files import write_csv, write_text
from pipeline.review import decisions
from tests.review.made_up_decisions import ROOTS, said, table

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
        ("pool/2.jpg,label,owl,ann,1.3.2026", "'1.3.2026' is not a time: pool/2.jpg", "2026-03-01"),
        ("pond/2.jpg,label,owl,ann,2026-03-01", "unknown root 'pond'", "did you mean 'pool'?"),
        ("pool/../2.jpg,label,owl,ann,2026-03-01", "a path outside its root", "without '.' and '..'"),
        (",label,owl,ann,2026-03-01", "a row without an image", "name the image"),
        ("pool/2.jpg,undo,,ann,2026-03-01", "an undo takes back: pool/2.jpg", "fill it there"),
        ("pool/2.jpg,label,owl,ann,2026-11-30Tx", "'2026-11-30Tx' is not a time: pool/2.jpg", "2026-03-01"),
        ("pool/2.jpg,label,owl,ann,9999-11-30T12:00:00", "in the future: pool/2.jpg", "2026-03-01"),
        ("pool/2.jpg,label,owl", "a row has 3 of 5 cells", "cut short"),
        ("pool/2.j", "a row has 1 of 5 cells", "cut short"),
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


def test_the_last_verdict_on_a_label_is_remembered_and_what_says_nothing_of_it_is_not():
    rows = [said("library/a.jpg", "dog"), said("library/a.jpg", decision="keep", day=2)]
    verdicts = decisions.verdicts(table(*rows, said("library/b.jpg", decision="bad"), said("library/c.jpg", "cat")))
    assert dict(zip(verdicts["image"], verdicts["label"], strict=True)) == {"library/a.jpg": "", "library/c.jpg": "cat"}


def add(folder, image: str, label: str = "", session: str = "ann", **more: str) -> str:
    return decisions.append(said(image, label, **more), folder, session, ROOTS)


def read(folder) -> list[tuple[str, str]]:
    return [(row.image, row.label) for row in decisions.read_all(folder, ROOTS).itertuples()]


def test_a_decision_is_on_disk_when_it_is_confirmed_and_is_read_as_it_was_said(tmp_path):
    given = said("pool/lion (1), new.jpg", 'the "old" one', seconds="2.5", model="m1", tool="folders", day=3)
    name = decisions.append(given, tmp_path / "reviews", "ann", ROOTS)
    found = decisions.read_all(tmp_path / "reviews", ROOTS).iloc[0].to_dict()
    assert found == dict.fromkeys(decisions.COLUMNS, "") | given | {"id": name, "session": "ann", "blind": "no"}


def test_a_request_that_is_repeated_is_one_decision(tmp_path):
    assert add(tmp_path, "pool/1.jpg", "owl") == add(tmp_path, "pool/1.jpg", "owl")
    first, again = (add(tmp_path, "pool/2.jpg", "owl", id="browser-7", day=day) for day in (1, 2))
    assert (first, again) == ("browser-7", "browser-7")
    assert len((tmp_path / "ann.csv").read_text().splitlines()) == 3


def test_a_decision_taken_back_does_not_hold_and_stays_in_the_log(tmp_path):
    first, _ = add(tmp_path, "pool/1.jpg", "owl"), add(tmp_path, "pool/1.jpg", "cat", day=2)
    add(tmp_path, "pool/1.jpg", decision="undo", undoes=first, day=3, by="bob", session="bob")
    assert read(tmp_path) == [("pool/1.jpg", "cat")]
    assert decisions.read_log(tmp_path, ROOTS)["decision"].tolist() == ["label", "label", "undo"]


def test_a_blind_decision_is_a_check_and_no_decision(tmp_path):
    add(tmp_path, "pool/1.jpg", "owl", blind="yes")
    assert read(tmp_path) == []
    assert decisions.read_log(tmp_path, ROOTS)["blind"].tolist() == ["yes"]


def test_a_table_of_a_spreadsheet_may_be_taken_back_by_the_digest_of_what_it_says(tmp_path):
    write_text(HEAD + GOOD, tmp_path / "monday.csv")
    found = decisions.read_all(tmp_path, ROOTS)
    assert found[["session", "blind"]].to_numpy().tolist() == [["monday", "no"]]
    add(tmp_path, "pool/1.jpg", decision="undo", undoes=found["id"].item(), day=2)
    assert read(tmp_path) == []


def test_a_table_that_was_copied_counts_once(tmp_path):
    write_text(HEAD + GOOD, tmp_path / "monday.csv")
    write_text(HEAD + GOOD, tmp_path / "copy.csv")
    assert len(decisions.read_all(tmp_path, ROOTS)) == 1


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"decision": "undo", "undoes": "nothing"}, "takes back a decision that is not there: pool/1.jpg"),
        ({"label": "cat", "id": "a"}, "two decisions have the same id: pool/1.jpg"),
    ],
)
def test_what_does_not_fit_the_other_tables_is_refused_with_its_row(tmp_path, given, what):
    add(tmp_path, "pool/1.jpg", "owl", id="a", session="ann")
    add(tmp_path, "pool/1.jpg", session="bob", **given)
    with pytest.raises(DataError, match=what) as refused:
        decisions.read_all(tmp_path, ROOTS)
    assert refused.value.where == f"{tmp_path / 'bob.csv'}, row 2"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"label": ""}, "without a class"),
        ({"label": "owl", "by": " "}, "by whom and when"),
        ({"label": "owl", "blind": "maybe"}, "neither yes nor no"),
        ({"label": "owl", "seconds": "long"}, "no number"),
        ({"label": "owl", "undoes": "a"}, "an undo takes back"),
        ({"decision": "unknown", "subclass": "barn owl"}, "a sub-class without its class"),
        ({"label": "owl", "subclass": "barn\nowl"}, "a line break"),
        ({"label": "owl", "id": "a b"}, "`id` is more"),
        ({"label": "owl", "recipe": "a\nb"}, "a line break"),
    ],
)
def test_a_bad_decision_is_refused_before_anything_is_written(tmp_path, given, what):
    with pytest.raises(DataError, match=what):
        add(tmp_path, "pool/1.jpg", **given)
    assert not list(tmp_path.iterdir())


EARLIER = "image,sha256,decision,label,by,at,model,suggested,recipe,id,session,tool,seconds,undoes,blind"


def test_a_table_from_before_there_were_sub_classes_is_read_and_goes_on_as_it_is(tmp_path):
    row = "pool/1.jpg,,label,owl,ann,2026-03-01T12:00:00,,,,,ann,page,1.0,,no"
    write_text(f"{EARLIER}\n{row}\n", tmp_path / "ann.csv")
    first = decisions.read_log(tmp_path, ROOTS)["id"].item()
    write_text(HEAD + GOOD.replace("\n", "\r\n"), tmp_path / "sheet.csv")
    assert len(decisions.read_all(tmp_path, ROOTS)) == 2
    add(tmp_path, "pool/1.jpg", decision="undo", undoes=first, day=2)
    add(tmp_path, "pool/2.jpg", "cat", day=3)
    lines = (tmp_path / "ann.csv").read_text().splitlines()
    assert lines[:2] == [EARLIER, row]
    assert all(line.count(",") == EARLIER.count(",") for line in lines)
    assert read(tmp_path) == [("pool/1.jpg", "owl"), ("pool/2.jpg", "cat")]
    with pytest.raises(UsageError, match="other columns"):
        add(tmp_path, "pool/3.jpg", "cat", subclass="lynx", day=4)


def test_a_sub_class_is_kept_beside_its_class_and_tells_two_decisions_apart(tmp_path):
    names = {add(tmp_path, "pool/1.jpg", "antelope", subclass=below) for below in ("", "gazelle", "oryx")}
    assert len(names) == 3
    assert set(decisions.read_log(tmp_path, ROOTS)["subclass"]) == {"", "gazelle", "oryx"}


@pytest.mark.parametrize("session", ["", "../ann", ".ann", "a/b"])
def test_a_session_s_name_must_be_that_of_a_file(tmp_path, session):
    with pytest.raises(UsageError, match="cannot name a session"):
        add(tmp_path, "pool/1.jpg", "owl", session=session)


def test_a_session_does_not_go_on_in_a_table_with_other_columns(tmp_path):
    write_text(HEAD + GOOD, tmp_path / "ann.csv")
    with pytest.raises(UsageError, match="other columns"):
        add(tmp_path, "pool/2.jpg", "owl")
    assert (tmp_path / "ann.csv").read_text() == HEAD + GOOD


def test_a_full_disk_refuses_the_decision_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    add(tmp_path, "pool/1.jpg", "owl")
    before = (tmp_path / "ann.csv").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(ResumableError, match="the disk is full"):
        patch.setattr(os, "fsync", full)
        add(tmp_path, "pool/2.jpg", "owl")
    assert (tmp_path / "ann.csv").read_bytes() == before
    add(tmp_path, "pool/2.jpg", "owl")
    assert len(read(tmp_path)) == 2


NAMES = st.text("ab,\"' ()é", min_size=1, max_size=4).map(str.strip).filter(bool)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=4, unique=True), st.data())
@settings(deadline=None, max_examples=20)
def test_wherever_a_write_was_cut_no_decision_before_it_is_lost_and_none_is_doubled(tmp_path_factory, said_of, data):
    folder = tmp_path_factory.mktemp("reviews")
    *earlier, (image, label) = said_of
    for name, other in earlier:
        add(folder, f"pool/{name}.jpg", other)
    path = folder / "ann.csv"
    sizes = path.stat().st_size
    add(folder, f"pool/{image}.jpg", label)
    cut = data.draw(st.integers(sizes, path.stat().st_size))
    os.truncate(path, cut)
    whole = sorted((f"pool/{name}.jpg", other) for name, other in earlier)
    last = [(f"pool/{image}.jpg", label)]
    assert sorted(read(folder)) in (whole, sorted(whole + last))
    add(folder, f"pool/{image}.jpg", label)  # nobody confirmed it: it is said again
    assert sorted(read(folder)) == sorted(whole + last)
    assert len(path.read_bytes().splitlines()) == len(said_of) + 1


def reviewed(folder: Path) -> Path:
    """A table of three decisions, as it is written here."""
    for name in "abc":
        add(folder, f"pool/{name}.jpg", "owl")
    return folder / "ann.csv"


def refusal(folder: Path) -> DataError:
    with pytest.raises(DataError) as refused:
        read(folder)
    return refused.value


def test_a_content_hash_that_a_spreadsheet_changed_is_refused_with_its_row(tmp_path):
    path = reviewed(tmp_path)
    path.write_text(path.read_text().replace("pool/b.jpg,,", "pool/b.jpg,1.23E+63,"))
    assert refusal(tmp_path).where == f"{path}, row 3"
    assert "'1.23E+63' is not a content hash" in refusal(tmp_path).what
    with pytest.raises(DataError, match="not a content hash"):
        add(tmp_path, "pool/d.jpg", "owl", sha256="1.23E+63")


def test_a_row_that_was_cut_within_the_table_is_refused(tmp_path):
    path = reviewed(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2][:20] + "\n", *lines[3:]]))
    assert refusal(tmp_path).where == f"{path}, row 3"


def test_a_last_line_that_another_program_left_cut_short_is_refused_and_nothing_is_added_to_it(tmp_path):
    path = reviewed(tmp_path)
    cut = path.read_bytes().replace(b"\n", b"\r\n")[:-20]
    path.write_bytes(cut)
    assert refusal(tmp_path).where == f"{path}, row 4"
    assert "of 16 cells" in refusal(tmp_path).what
    with pytest.raises(DataError, match="of 16 cells"):
        add(tmp_path, "pool/d.jpg", "owl")
    assert path.read_bytes() == cut


@pytest.mark.parametrize("size", [0, 1, 40, len(decisions.HEADER) - 1, len(decisions.HEADER)])
def test_a_table_cut_short_in_its_first_line_holds_nothing_yet(tmp_path, size):
    (tmp_path / "ann.csv").write_bytes(decisions.HEADER[:size])
    assert read(tmp_path) == []
    add(tmp_path, "pool/1.jpg", "owl")
    assert read(tmp_path) == [("pool/1.jpg", "owl")]


def test_two_people_at_once_lose_nothing(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: add(tmp_path, f"pool/{n}.jpg", "owl", by=f"p{n % 3}"), range(40)))
    assert sorted(read(tmp_path)) == sorted((f"pool/{n}.jpg", "owl") for n in range(40))


@given(st.permutations(["a", "b", "c"]))
@settings(deadline=None, max_examples=6)
def test_the_order_of_the_files_does_not_matter(tmp_path_factory, names):
    rows = said("pool/1.jpg", "owl"), said("pool/1.jpg", "cat"), said("pool/1.jpg", "cat", by="bob")
    found = []
    for order in (names, ["a", "b", "c"]):
        folder = tmp_path_factory.mktemp("reviews")
        for name, row in zip(order, rows, strict=True):
            decisions.append(row, folder, name, ROOTS)
        found.append(decisions.read_all(folder, ROOTS).drop(columns="session"))
    assert found[0].equals(found[1])
