"""`wallaby apply`, in a workspace after a small round."""

from pathlib import Path

import pandas as pd
import pytest
from builders import sha

from pipeline import paths
from pipeline.errors import DataError, UsageError
from pipeline.files import read_table, write_table, write_text
from pipeline.library import labels
from pipeline.review import copying, decisions, labelling

ROOTS = ["library", "pool"]
PARAMS = "roots:\n  library: {library: library}\n  pool: {pool: pool}\n"
LABELS = "image,label,by\nlibrary/a.jpg,cat,\nlibrary/b.jpg,cat,\nlibrary/c.jpg,dog,\nlibrary/d.jpg,dog,\n"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """Two cats and two dogs, of which d is tested, two benchmark images, and a pool of four."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    params = (Path(__file__).parents[2] / "configs/params.yaml").read_text()
    rest = params[params.index("\nindex:") :].replace("min_images: 40", "min_images: 3")
    write_text(PARAMS + rest, tmp_path / "configs/params.yaml")
    write_text(LABELS, paths.LABELS)
    write_text("image,label,site\npool/field1.jpg,cat,north\npool/field2.jpg,dog,\n", paths.BENCHMARKS / "field.csv")
    index("library", "a", "b", "c", "d")
    index("pool", "1", "2", "3", "4", "field1", "field2")
    kept = rows("library", "a", "b", "c", "d").assign(group=list("abcd"), label=["cat", "cat", "dog", "dog"])
    kept = kept.assign(subclass="", origin="real")
    write_table(kept.head(0), paths.CURATED / "images.parquet")
    write_table(kept.assign(reason="below the cutoff"), paths.CURATED / "excluded.parquet")
    sets = rows("pool", "field1", "field2").assign(label=["cat", "dog"], set="benchmark:field")
    sets = pd.concat([kept[["image", "sha256", "label"]].assign(set=["train", "val", "train", "test"]), sets])
    write_table(sets.reset_index(drop=True), paths.SPLITS / "splits.parquet")
    queue = rows("pool", "1", "2", "3", "4").assign(
        group=["g", "g", "h", "i"], rank=1, label="cat", score=0.5, reason=""
    )
    write_table(queue, paths.QUEUE / "low-count.parquet")
    return tmp_path


def rows(root: str, *names: str) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{root}/{name}.jpg" for name in names], "sha256": [sha(name) for name in names]})


def index(root: str, *names: str) -> None:
    """Files that hold their names, and the index of them."""
    for name in names:
        write_text(name, Path(root, f"{name}.jpg"))
    write_table(rows(root, *names), paths.INDEX / f"{root}.parquet")


def decide(session: str = "monday", by: str = "ann", day: int = 1, **said: str) -> list[str]:
    """Decides images by the last part of their names: a class, unknown, bad or keep."""
    made = []
    for name, answer in said.items():
        root = "library" if name in "abcd" else "pool"
        words = {"decision": answer} if answer in ("unknown", "bad", "keep") else {"decision": "label", "label": answer}
        row = {"image": f"{root}/{name.removeprefix('p')}.jpg", "by": by, "at": f"2026-03-0{day}T12:00:00"} | words
        made.append(decisions.append(row, paths.REVIEWS, session, ROOTS))
    return made


def apply(said: list[dict] | None = None, *, dry_run: bool = False, correct: bool = False, **more):
    return labelling.apply(said or [], dry_run=dry_run, correct=correct, **more)


def label_of(image: str) -> str:
    return labels.read(paths.LABELS, ROOTS).set_index("image")["label"].get(image, "none")


def everything() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path("data").rglob("*")) if path.is_file()}


def test_a_dry_run_writes_nothing_and_says_what_it_does_to_each_class():
    decide(p1="cat", p2="cat", p3="dog", a="dog", b="bad")
    before = everything()
    report = apply(dry_run=True)
    assert everything() == before
    found = report.classes.set_index("label")
    assert found.loc["cat", ["gained", "lost", "images", "images_then", "groups", "groups_then"]].tolist() == [
        2, 2, 2, 2, 2, 1,
    ]  # fmt: skip
    assert found.loc["dog", ["gained", "lost", "images_then", "groups_then", "crosses"]].tolist() == [2, 0, 4, 4, "in"]
    assert report.unlabelled == {"bad": 1}
    assert (report.applied.added, report.applied.changed) == (3, 2)


def test_near_duplicates_of_the_queue_count_once_for_the_cutoff():
    decide(p1="cat", p2="cat")
    found = apply(dry_run=True).classes.iloc[0]
    assert (found["images_then"], found["groups_then"], found["crosses"]) == (4, 3, "in")


def test_a_class_that_loses_its_images_drops_out():
    decide(p3="cat")
    apply()
    decide(day=2, a="unknown")
    assert apply(dry_run=True).classes[["label", "lost", "crosses"]].to_numpy().tolist() == [["cat", 1, "out"]]


def test_pictures_that_curation_refuses_do_not_count():
    table = read_table(paths.CURATED / "excluded.parquet").assign(reason="too small")
    write_table(table, paths.CURATED / "excluded.parquet")
    decide(a="dog")
    found = apply(dry_run=True).classes.set_index("label")
    assert found.loc["dog", ["gained", "images", "images_then"]].tolist() == [1, 0, 0]


def test_what_a_label_conflict_is_decided_to_be_counts_again():
    table = read_table(paths.CURATED / "excluded.parquet")
    write_table(table.assign(reason=["label conflict", *table["reason"][1:]]), paths.CURATED / "excluded.parquet")
    decide(a="dog")
    found = apply(dry_run=True).classes.set_index("label")
    assert found.loc[["cat", "dog"], ["images", "images_then"]].to_numpy().tolist() == [[1, 1], [2, 3]]


def test_class_events_name_the_classes_of_the_board():
    write_text("event,class,to\nmerge,puma,cat\n", paths.CLASSES)
    decide(p3="puma")
    assert apply(dry_run=True).classes[["label", "gained", "images_then"]].to_numpy().tolist() == [["cat", 1, 3]]


def test_before_the_first_round_the_labels_change_all_the_same():
    (paths.CURATED / "images.parquet").unlink()
    decide(p1="cat")
    report = apply()
    assert (len(report.classes), report.applied.added, label_of("pool/1.jpg")) == (0, 1, "cat")


def test_applying_twice_writes_nothing_the_second_time():
    decide(p1="cat", a="dog")
    apply()
    before = everything()
    assert apply().applied.before == 2
    assert everything() == before


def test_a_decision_and_a_session_are_taken_back_to_the_letter():
    before = labels.read(paths.LABELS, ROOTS)
    first = decide(p1="cat", a="dog")
    decide(session="tuesday", day=2, b="bad", p3="owl")
    apply()
    apply(labelling.take_back(names=first[:1], session="", by="eve", at="2026-04-01"))
    assert [label_of(f"pool/{name}.jpg") for name in (1, 3)] == ["none", "owl"]
    apply(labelling.take_back(names=[], session="tuesday", by="eve", at="2026-04-01"))
    assert [label_of("library/a.jpg"), label_of("library/b.jpg"), label_of("pool/3.jpg")] == ["dog", "cat", "none"]
    apply(labelling.take_back(names=first[1:], session="", by="eve", at="2026-04-01"))
    assert labels.read(paths.LABELS, ROOTS).equals(before)


def test_what_cannot_be_taken_back_is_said():
    (name,) = decide(p1="cat")
    asked = {"by": "eve", "at": "2026-04-01"}
    with pytest.raises(UsageError, match="'nothing' is not there"):
        labelling.take_back(names=["nothing"], session="", **asked)
    with pytest.raises(UsageError, match="no session is called 'munday'") as refused:
        labelling.take_back(names=[], session="munday", **asked)
    assert refused.value.mend == "did you mean 'monday'?"
    apply(labelling.take_back(names=[name], session="", **asked))
    with pytest.raises(UsageError, match="was taken back before"):
        labelling.take_back(names=[name], session="", **asked)
    with pytest.raises(UsageError, match="taken back before"):
        labelling.take_back(names=[], session="monday", **asked)


def test_a_dry_run_of_taking_back_keeps_no_decision():
    (name,) = decide(p1="cat")
    apply()
    before = everything()
    undo = labelling.take_back(names=[name], session="", by="eve", at="2026-04-01")
    assert apply(undo, dry_run=True).applied.restored == 1
    assert everything() == before


def test_a_dispute_is_settled_on_the_command_line():
    decide(p1="cat")
    decide(p1="dog", by="bob", session="bob")
    assert apply().left == 1
    said = labelling.settle("pool/1.jpg=dog", by="eve", at="2026-04-01")
    report = apply([said])
    assert (report.left, label_of("pool/1.jpg")) == (0, "dog")
    assert decisions.read_log(paths.REVIEWS, ROOTS)["recipe"].tolist() == ["", "", "settle"]
    assert said["sha256"] == sha("1")


@pytest.mark.parametrize(
    ("said", "what"),
    [("pool/1.jpg", "does not say IMAGE=CLASS"), ("=cat", "does not say"), ("pool/9.jpg=cat", "no image 'pool/9.jpg'")],
)
def test_a_settlement_must_name_an_image_and_a_class(said, what):
    with pytest.raises((UsageError, DataError), match=what):
        labelling.settle(said, by="eve", at="2026-04-01")


def test_a_misspelt_class_settles_nothing():
    with pytest.raises(DataError, match="differ by case only"):
        apply([labelling.settle("pool/1.jpg=Cat", by="eve", at="2026-04-01")])
    assert not paths.REVIEWS.exists()


def test_a_correction_of_a_measured_image_makes_a_new_version_of_its_set_and_of_no_other():
    decide(d="cat", pfield1="owl")
    before = everything()
    refused = apply()
    assert (refused.applied.refused, refused.left) == (["library/d.jpg", "pool/field1.jpg"], 2)
    assert {name: data for name, data in everything().items() if "reviews" not in name} == {
        name: data for name, data in before.items() if "reviews" not in name
    }
    report = apply(correct=True)
    assert sorted(report.versions) == ["benchmark:field", "test"]
    assert all(old != new for old, new in report.versions.values())
    assert label_of("library/d.jpg") == "cat"
    table = (paths.BENCHMARKS / "field.csv").read_text()
    assert table == f"image,label,site,sha256\npool/field1.jpg,owl,north,{sha('field1')}\npool/field2.jpg,dog,,\n"
    assert label_of("pool/field1.jpg") == "none"
    assert apply().left == 0


def test_a_correction_of_a_benchmark_is_taken_back():
    before = (paths.BENCHMARKS / "field.csv").read_text()
    (name,) = decide(pfield2="bad")
    apply(correct=True)
    assert (paths.BENCHMARKS / "field.csv").read_text() == "image,label,site\npool/field1.jpg,cat,north\n"
    undo = labelling.take_back(names=[name], session="", by="eve", at="2026-04-01")
    assert apply(undo).applied.refused == ["pool/field2.jpg"]
    apply(correct=True)
    assert (paths.BENCHMARKS / "field.csv").read_text() == before


def test_a_picture_with_the_content_of_an_ancestor_s_test_image_is_guarded():
    lineage = pd.DataFrame({"sha256": [sha("1")], "role": ["test"]})
    write_table(lineage, paths.BASE / "lineage.parquet")
    row = {
        "image": "pool/1.jpg",
        "sha256": sha("1"),
        "decision": "label",
        "label": "cat",
        "by": "ann",
        "at": "2026-03-01",
    }
    decisions.append(row, paths.REVIEWS, "monday", ROOTS)
    assert apply().applied.refused == ["pool/1.jpg"]


def test_pictures_are_copied_only_where_that_is_asked_for_and_never_moved(tmp_path):
    for name in ("1", "2", "3"):
        write_text(f"picture {name}", Path(f"pool/{name}.jpg"))
    Path("pool/4.jpg").unlink()
    decide(p1="night/owl", p2="night/owl", p3="bad", p4="cat")
    report = apply()
    assert report.copied == 0
    report = apply(copy_to=tmp_path / "copies")
    assert (report.copied, report.missing) == (2, ["pool/4.jpg"])
    assert sorted(path.name for path in Path("copies/night%2Fowl").iterdir()) == ["1.jpg", "2.jpg"]
    assert Path("pool/1.jpg").read_text() == Path("copies/night%2Fowl/1.jpg").read_text()
    assert apply(copy_to=tmp_path / "copies").copied == 0


def test_two_pictures_of_one_name_are_copied_side_by_side(tmp_path):
    for folder in ("x", "y"):
        write_text(folder, Path(f"pool/{folder}/1.jpg"))
    table = pd.DataFrame({"image": ["pool/x/1.jpg", "pool/y/1.jpg"], "label": "cat"})
    assert copying.copy(table, tmp_path / "copies", {"pool": tmp_path / "pool"}) == (2, [])
    assert sorted(path.read_text() for path in Path("copies/cat").iterdir()) == ["x", "y"]


def test_copies_do_not_lie_below_a_root():
    with pytest.raises(UsageError, match="lies below the root 'pool'"):
        apply(copy_to=Path("pool/copies"))


@pytest.mark.parametrize("label", ["a/b", "..", ".hidden", "100%", 'what? "this"', "c:\\d"])
def test_any_class_can_name_a_folder_and_is_read_back(label):
    from urllib.parse import unquote

    name = copying.folder_name(label)
    assert unquote(name) == label
    assert Path("x", name).parent == Path("x")
    assert not name.startswith(".")


def on_content(name: str, content: str, answer: str = "cat", day: int = 1) -> str:
    """A decision on what a pool image held when a person saw it."""
    row = {"image": f"pool/{name}.jpg", "sha256": sha(content), "by": "ann", "at": f"2026-03-0{day}T12:00:00"}
    return decisions.append(row | {"decision": "label", "label": answer}, paths.REVIEWS, "monday", ROOTS)


def test_a_file_that_was_replaced_since_it_was_decided_is_left_alone_though_the_index_is_older():
    name = on_content("1", "1")
    on_content("2", "2")
    write_text("another picture", Path("pool/1.jpg"))
    report = apply()
    assert (report.applied.added, report.applied.other_content, report.left) == (1, ["pool/1.jpg"], 1)
    assert report.as_dict()["other_content"] == ["pool/1.jpg"]
    assert (label_of("pool/1.jpg"), label_of("pool/2.jpg")) == ("none", "cat")
    apply(labelling.take_back(names=[name], session="", by="eve", at="2026-04-01"))
    assert apply().left == 0


def test_a_label_goes_where_its_file_was_moved_once_the_index_has_seen_it():
    on_content("1", "1")
    Path("pool/1.jpg").rename("pool/moved.jpg")
    assert (apply().applied.other_content, label_of("pool/1.jpg")) == (["pool/1.jpg"], "none")
    write_table(pd.DataFrame({"image": ["pool/moved.jpg"], "sha256": [sha("1")]}), paths.INDEX / "pool.parquet")
    assert (apply().left, label_of("pool/moved.jpg"), label_of("pool/1.jpg")) == (0, "cat", "none")
    assert labels.read(paths.LABELS, ROOTS).set_index("image").loc["pool/moved.jpg", "sha256"] == sha("1")


def test_a_decision_that_names_no_content_is_given_that_of_the_file():
    decide(p1="cat")
    apply()
    assert labels.read(paths.LABELS, ROOTS).set_index("image").loc["pool/1.jpg", "sha256"] == sha("1")


def test_a_replaced_image_counts_for_its_class_again_once_its_label_is_confirmed():
    table = labels.read(paths.LABELS, ROOTS)
    labels.write(table.assign(sha256=[sha("what a was"), *table["sha256"][1:]]), paths.LABELS)
    excluded = read_table(paths.CURATED / "excluded.parquet")
    excluded.loc[0, ["label", "reason"]] = ["", "another content than was labelled"]
    write_table(excluded, paths.CURATED / "excluded.parquet")
    row = {"image": "library/a.jpg", "sha256": sha("a"), "by": "ann", "at": "2026-03-01T12:00:00"}
    decisions.append(row | {"decision": "keep"}, paths.REVIEWS, "monday", ROOTS)
    report = apply()
    found = report.classes.set_index("label")
    assert found.loc["cat", ["gained", "lost", "images", "images_then"]].tolist() == [1, 0, 1, 2]
    assert labels.read(paths.LABELS, ROOTS).set_index("image").loc["library/a.jpg", ["label", "sha256"]].tolist() == [
        "cat", sha("a"),
    ]  # fmt: skip
