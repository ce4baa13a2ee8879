"""`wallaby apply`, in a repo after a small round."""

from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from pipeline.commands import apply as command
from pipeline.errors import DataError, Exit, UsageError
from pipeline.evaluation import round_record
from pipeline.files import read_table, write_table, write_text
from pipeline.library import labels
from pipeline.review import copying, decisions
from pipeline.workspace import Workspace
from tests.evaluation.made_up_records import record
from tests.library.builders import sha

ROOTS = ["library", "pool"]
PARAMS = "roots:\n  library: {library: library}\n  pool: {pool: pool}\n"
LABELS = "image,label,by\nlibrary/a.jpg,cat,\nlibrary/b.jpg,cat,\nlibrary/c.jpg,dog,\nlibrary/d.jpg,dog,\n"
EVE = {"by": "eve", "at": "2026-04-01"}


class Repository(Workspace):
    """Two cats and two dogs, of which d is tested, two benchmark images, and a pool of four."""

    def __init__(self, root: Path):
        super().__init__(root)
        params = (Path(__file__).parents[2] / "configs/params.yaml").read_text()
        rest = params[params.index("\nindex:") :].replace("min_images: 40", "min_images: 3")
        write_text(PARAMS + rest, self.params_file)
        write_text(LABELS, self.labels)
        table = "image,label,site\npool/field1.jpg,cat,north\npool/field2.jpg,dog,\n"
        write_text(table, self.benchmarks / "field.csv")
        self._add("library", "a", "b", "c", "d")
        self._add("pool", "1", "2", "3", "4", "field1", "field2")
        kept = rows("library", "a", "b", "c", "d").assign(group=list("abcd"), label=["cat", "cat", "dog", "dog"])
        kept = kept.assign(subclass="", origin="real")
        write_table(kept.head(0), self.curated_images)
        write_table(kept.assign(reason="below the cutoff"), self.excluded)
        sets = rows("pool", "field1", "field2").assign(label=["cat", "dog"], set="benchmark:field")
        sets = pd.concat([kept[["image", "sha256", "label"]].assign(set=["train", "val", "train", "test"]), sets])
        write_table(sets.reset_index(drop=True), self.splits_table)
        queue = rows("pool", "1", "2", "3", "4").assign(group=["g", "g", "h", "i"], rank=1, label="cat", score=0.5)
        write_table(queue.assign(reason=""), self.queue / "low-count.parquet")

    def _add(self, root: str, *names: str) -> None:
        """Files that hold their names, and the index of them."""
        for name in names:
            self.fill(f"{root}/{name}.jpg", name)
        write_table(rows(root, *names), self.index / f"{root}.parquet")

    def fill(self, image: str, content: str) -> None:
        write_text(content, self.root / image)

    def decide(self, session: str = "monday", by: str = "ann", day: int = 1, **answers: str) -> list[str]:
        """Decides images by the last part of their names: a class, unknown, bad or keep."""
        made = []
        for name, answer in answers.items():
            root = "library" if name in "abcd" else "pool"
            plain = answer in ("unknown", "bad", "keep")
            words = {"decision": answer} if plain else {"decision": "label", "label": answer}
            row = {"image": f"{root}/{name.removeprefix('p')}.jpg", "by": by, "at": f"2026-03-0{day}T12:00:00"} | words
            made.append(decisions.append(row, self.reviews, session, ROOTS))
        return made

    def decide_on_content(self, name: str, content: str, answer: str = "cat", day: int = 1) -> str:
        """A decision on what a pool image held when a person saw it."""
        row = {"image": f"pool/{name}.jpg", "sha256": sha(content), "by": "ann", "at": f"2026-03-0{day}T12:00:00"}
        return decisions.append(row | {"decision": "label", "label": answer}, self.reviews, "monday", ROOTS)

    def apply(self, **options) -> command.Report:
        return command.apply(self, **options).data

    def table(self) -> pd.DataFrame:
        return labels.read(self.labels, ROOTS)

    def label_of(self, image: str) -> str:
        return self.table().set_index("image")["label"].get(image, "none")

    def everything(self) -> dict[str, bytes]:
        files = sorted((self.root / "data").rglob("*"))
        return {str(path): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path)


def rows(root: str, *names: str) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{root}/{name}.jpg" for name in names], "sha256": [sha(name) for name in names]})


def test_a_dry_run_writes_nothing_and_says_what_it_does_to_each_class(repo):
    repo.decide(p1="cat", p2="cat", p3="dog", a="dog", b="bad")
    before = repo.everything()
    report = repo.apply(dry_run=True)
    assert repo.everything() == before
    found = report.classes.set_index("label")
    assert found.loc["cat", ["gained", "lost", "images", "images_then", "groups", "groups_then"]].tolist() == [
        2, 2, 2, 2, 2, 1,
    ]  # fmt: skip
    assert found.loc["dog", ["gained", "lost", "images_then", "groups_then", "crosses"]].tolist() == [2, 0, 4, 4, "in"]
    assert report.unlabelled == {"bad": 1}
    assert (report.applied.added, report.applied.changed) == (3, 2)


def test_near_duplicates_of_the_queue_count_once_for_the_cutoff(repo):
    repo.decide(p1="cat", p2="cat")
    found = repo.apply(dry_run=True).classes.iloc[0]
    assert (found["images_then"], found["groups_then"], found["crosses"]) == (4, 3, "in")


def test_a_class_that_loses_its_images_drops_out(repo):
    repo.decide(p3="cat")
    repo.apply()
    repo.decide(day=2, a="unknown")
    assert repo.apply(dry_run=True).classes[["label", "lost", "crosses"]].to_numpy().tolist() == [["cat", 1, "out"]]


def test_pictures_that_curation_refuses_do_not_count(repo):
    table = read_table(repo.excluded).assign(reason="too small")
    write_table(table, repo.excluded)
    repo.decide(a="dog")
    found = repo.apply(dry_run=True).classes.set_index("label")
    assert found.loc["dog", ["gained", "images", "images_then"]].tolist() == [1, 0, 0]


def test_what_a_label_conflict_is_decided_to_be_counts_again(repo):
    table = read_table(repo.excluded)
    write_table(table.assign(reason=["label conflict", *table["reason"][1:]]), repo.excluded)
    repo.decide(a="dog")
    found = repo.apply(dry_run=True).classes.set_index("label")
    assert found.loc[["cat", "dog"], ["images", "images_then"]].to_numpy().tolist() == [[1, 1], [2, 3]]


def test_class_events_name_the_classes_of_the_board(repo):
    write_text("event,class,to\nmerge,puma,cat\n", repo.classes)
    repo.decide(p3="puma")
    assert repo.apply(dry_run=True).classes[["label", "gained", "images_then"]].to_numpy().tolist() == [["cat", 1, 3]]


def test_before_the_first_round_the_labels_change_all_the_same(repo):
    (repo.curated_images).unlink()
    repo.decide(p1="cat")
    report = repo.apply()
    assert (len(report.classes), report.applied.added, repo.label_of("pool/1.jpg")) == (0, 1, "cat")


def test_applying_twice_writes_nothing_the_second_time(repo):
    repo.decide(p1="cat", a="dog")
    repo.apply()
    before = repo.everything()
    assert repo.apply().applied.before == 2
    assert repo.everything() == before


def test_a_decision_and_a_session_are_taken_back_to_the_letter(repo):
    before = repo.table()
    first = repo.decide(p1="cat", a="dog")
    repo.decide(session="tuesday", day=2, b="bad", p3="owl")
    repo.apply()
    repo.apply(undo=first[:1], **EVE)
    assert [repo.label_of(f"pool/{name}.jpg") for name in (1, 3)] == ["none", "owl"]
    repo.apply(undo_session="tuesday", **EVE)
    names = ["library/a.jpg", "library/b.jpg", "pool/3.jpg"]
    assert [repo.label_of(name) for name in names] == ["dog", "cat", "none"]
    repo.apply(undo=first[1:], **EVE)
    assert repo.table().equals(before)


def test_what_cannot_be_taken_back_is_said(repo):
    (name,) = repo.decide(p1="cat")
    with pytest.raises(UsageError, match="'nothing' is not there"):
        repo.apply(undo=["nothing"], **EVE)
    with pytest.raises(UsageError, match="no session is called 'munday'") as refused:
        repo.apply(undo_session="munday", **EVE)
    assert refused.value.mend == "did you mean 'monday'?"
    repo.apply(undo=[name], **EVE)
    with pytest.raises(UsageError, match="was taken back before"):
        repo.apply(undo=[name], **EVE)
    with pytest.raises(UsageError, match="taken back before"):
        repo.apply(undo_session="monday", **EVE)


def test_a_dry_run_of_taking_back_keeps_no_decision(repo):
    (name,) = repo.decide(p1="cat")
    repo.apply()
    before = repo.everything()
    assert repo.apply(undo=[name], **EVE, dry_run=True).applied.restored == 1
    assert repo.everything() == before


def test_a_dispute_is_settled_on_the_command_line(repo):
    repo.decide(p1="cat")
    repo.decide(p1="dog", by="bob", session="bob")
    assert command.apply(repo).code == Exit.SOME_FAILED
    report = repo.apply(settle=["pool/1.jpg=dog"], **EVE)
    assert (report.left, repo.label_of("pool/1.jpg")) == (0, "dog")
    log = decisions.read_log(repo.reviews, ROOTS)
    assert log["recipe"].tolist() == ["", "", "settle"]
    assert log["sha256"].iloc[-1] == sha("1")


@pytest.mark.parametrize(
    ("text", "what"),
    [("pool/1.jpg", "does not say IMAGE=CLASS"), ("=cat", "does not say"), ("pool/9.jpg=cat", "no image 'pool/9.jpg'")],
)
def test_a_settlement_must_name_an_image_and_a_class(repo, text, what):
    with pytest.raises((UsageError, DataError), match=what):
        repo.apply(settle=[text], **EVE)


def test_a_misspelt_class_settles_nothing(repo):
    with pytest.raises(DataError, match="differ by case only"):
        repo.apply(settle=["pool/1.jpg=Cat"], **EVE)
    assert not repo.reviews.exists()


def test_a_correction_of_a_measured_image_makes_a_new_version_of_its_set_and_of_no_other(repo):
    repo.decide(d="cat", pfield1="owl")
    before = repo.everything()
    refused = repo.apply()
    assert (refused.applied.refused, refused.left) == (["library/d.jpg", "pool/field1.jpg"], 2)
    assert {name: data for name, data in repo.everything().items() if "reviews" not in name} == {
        name: data for name, data in before.items() if "reviews" not in name
    }
    report = repo.apply(correct=True)
    assert sorted(report.versions) == ["benchmark:field", "test"]
    assert all(old != new for old, new in report.versions.values())
    assert repo.label_of("library/d.jpg") == "cat"
    table = (repo.benchmarks / "field.csv").read_text()
    assert table == f"image,label,site,sha256\npool/field1.jpg,owl,north,{sha('field1')}\npool/field2.jpg,dog,,\n"
    assert repo.label_of("pool/field1.jpg") == "none"
    assert repo.apply().left == 0


def test_a_correction_of_a_benchmark_is_taken_back(repo):
    before = (repo.benchmarks / "field.csv").read_text()
    (name,) = repo.decide(pfield2="bad")
    repo.apply(correct=True)
    assert (repo.benchmarks / "field.csv").read_text() == "image,label,site\npool/field1.jpg,cat,north\n"
    assert repo.apply(undo=[name], **EVE).applied.refused == ["pool/field2.jpg"]
    repo.apply(correct=True)
    assert (repo.benchmarks / "field.csv").read_text() == before


def test_a_picture_with_the_content_of_an_ancestor_s_test_image_is_guarded(repo):
    lineage = pd.DataFrame({"sha256": [sha("1")], "role": ["test"]})
    write_table(lineage, repo.base / "lineage.parquet")
    row = {
        "image": "pool/1.jpg",
        "sha256": sha("1"),
        "decision": "label",
        "label": "cat",
        "by": "ann",
        "at": "2026-03-01",
    }
    decisions.append(row, repo.reviews, "monday", ROOTS)
    assert repo.apply().applied.refused == ["pool/1.jpg"]


def test_pictures_are_copied_only_where_that_is_asked_for_and_never_moved(repo, tmp_path):
    for name in ("1", "2", "3"):
        repo.fill(f"pool/{name}.jpg", f"picture {name}")
    (repo.root / "pool/4.jpg").unlink()
    repo.decide(p1="night/owl", p2="night/owl", p3="bad", p4="cat")
    report = repo.apply()
    assert report.copied == 0
    report = repo.apply(copy_to=tmp_path / "copies")
    assert (report.copied, report.missing) == (2, ["pool/4.jpg"])
    assert sorted(path.name for path in (repo.root / "copies/night%2Fowl").iterdir()) == ["1.jpg", "2.jpg"]
    assert (repo.root / "pool/1.jpg").read_text() == (repo.root / "copies/night%2Fowl/1.jpg").read_text()
    assert repo.apply(copy_to=tmp_path / "copies").copied == 0


def test_two_pictures_of_one_name_are_copied_side_by_side(repo, tmp_path):
    for folder in ("x", "y"):
        repo.fill(f"pool/{folder}/1.jpg", folder)
    table = pd.DataFrame({"image": ["pool/x/1.jpg", "pool/y/1.jpg"], "label": "cat"})
    assert copying.copy(table, tmp_path / "copies", {"pool": tmp_path / "pool"}) == (2, [])
    assert sorted(path.read_text() for path in (repo.root / "copies/cat").iterdir()) == ["x", "y"]


def test_copies_do_not_lie_below_a_root(repo):
    with pytest.raises(UsageError, match="lies below the root 'pool'"):
        repo.apply(copy_to=(repo.root / "pool/copies"))


@pytest.mark.parametrize("label", ["a/b", "..", ".hidden", "100%", 'what? "this"', "c:\\d"])
def test_any_class_can_name_a_folder_and_is_read_back(label):
    name = copying.folder_name(label)
    assert unquote(name) == label
    assert Path("x", name).parent == Path("x")
    assert not name.startswith(".")


def test_a_file_that_was_replaced_since_it_was_decided_is_left_alone_though_the_index_is_older(repo):
    name = repo.decide_on_content("1", "1")
    repo.decide_on_content("2", "2")
    repo.fill("pool/1.jpg", "another picture")
    report = repo.apply()
    assert (report.applied.added, report.applied.other_content, report.left) == (1, ["pool/1.jpg"], 1)
    assert report.as_dict()["other_content"] == ["pool/1.jpg"]
    assert (repo.label_of("pool/1.jpg"), repo.label_of("pool/2.jpg")) == ("none", "cat")
    repo.apply(undo=[name], **EVE)
    assert repo.apply().left == 0


def test_a_label_goes_where_its_file_was_moved_once_the_index_has_seen_it(repo):
    repo.decide_on_content("1", "1")
    (repo.root / "pool/1.jpg").rename(repo.root / "pool/moved.jpg")
    assert (repo.apply().applied.other_content, repo.label_of("pool/1.jpg")) == (["pool/1.jpg"], "none")
    write_table(pd.DataFrame({"image": ["pool/moved.jpg"], "sha256": [sha("1")]}), repo.index / "pool.parquet")
    assert (repo.apply().left, repo.label_of("pool/moved.jpg"), repo.label_of("pool/1.jpg")) == (
        0,
        "cat",
        "none",
    )
    assert repo.table().set_index("image").loc["pool/moved.jpg", "sha256"] == sha("1")


def test_a_decision_that_names_no_content_is_given_that_of_the_file(repo):
    repo.decide(p1="cat")
    repo.apply()
    assert repo.table().set_index("image").loc["pool/1.jpg", "sha256"] == sha("1")


def test_a_replaced_image_counts_for_its_class_again_once_its_label_is_confirmed(repo):
    table = repo.table()
    labels.write(table.assign(sha256=[sha("what a was"), *table["sha256"][1:]]), repo.labels)
    excluded = read_table(repo.excluded)
    excluded.loc[0, ["label", "reason"]] = ["", "another content than was labelled"]
    write_table(excluded, repo.excluded)
    row = {"image": "library/a.jpg", "sha256": sha("a"), "by": "ann", "at": "2026-03-01T12:00:00"}
    decisions.append(row | {"decision": "keep"}, repo.reviews, "monday", ROOTS)
    report = repo.apply()
    found = report.classes.set_index("label")
    assert found.loc["cat", ["gained", "lost", "images", "images_then"]].tolist() == [1, 0, 1, 2]
    assert repo.table().set_index("image").loc["library/a.jpg", ["label", "sha256"]].tolist() == [
        "cat", sha("a"),
    ]  # fmt: skip


def test_a_complete_round_is_recorded_before_the_labels_move_on(repo):
    write_text(round_record.to_text(record(1)), repo.round)
    command.apply(repo, dry_run=True)
    assert not repo.rounds.exists()
    command.apply(repo)
    assert [path.name for path in repo.rounds.iterdir()] == [record(1).name]
