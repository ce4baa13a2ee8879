"""`wallaby why` and `wallaby board CLASS`: all that is known, from the round's tables."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline import cli, passport
from pipeline.errors import DataError
from pipeline.files import read_table, write_csv, write_json, write_table, write_text
from pipeline.library import board, history, labels, lineage
from pipeline.library.curation import COLUMNS, EXCLUDED_COLUMNS
from pipeline.library.exclusion import Reason
from pipeline.review import decisions
from tests.library.builders import encoded, flip, label_table, library_table, noise, phash, put, sha

REPOSITORY = Path(__file__).parents[1]
LOOK = phash("lion")


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch) -> Path:
    """A round's tables: a near-duplicate pair, one excluded image, one of another class, and one of the pool."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    (tmp_path / "data/benchmarks").mkdir(parents=True)
    rows = [
        {
            "image": "library/a.jpg",
            "label": "lion",
            "phash": LOOK,
            "by": "ann",
            "at": "2026-03-01T10:00:00",
            "model": "5" * 64,
        },
        {"image": "library/b.jpg", "label": "lion", "phash": flip(LOOK, 1)},
        {"image": "library/c.jpg", "label": "emu"},
    ]
    labels.write(
        label_table(*({k: v for k, v in row.items() if k in labels.COLUMNS} for row in rows)), Path("data/labels.csv")
    )
    index = library_table(*({k: v for k, v in row.items() if k in ("image", "phash")} for row in rows))
    write_table(index, Path("data/index/library.parquet"))
    write_table(library_table({"image": "pool/p.jpg"}), Path("data/index/pool.parquet"))
    whole = index.assign(label=[row["label"] for row in rows], group="g", together="", subclass="", origin="real")
    kept, out = whole.iloc[[0]], whole.iloc[[1]].assign(reason="duplicate", detail="near-duplicates are kept already")
    below = whole.iloc[[2]].assign(reason="below the cutoff", detail="short by 39", group="h")
    out, below = out.assign(label_then=""), below.assign(label_then="")
    write_table(kept[COLUMNS].assign(set="test"), Path("data/splits/splits.parquet"))
    write_table(kept[COLUMNS].iloc[:0].assign(reason=""), Path("data/splits/left_out.parquet"))
    write_table(pd.concat([out, below])[EXCLUDED_COLUMNS], Path("data/curated/excluded.parquet"))
    write_csv(board.count(whole, min_images=2), Path("data/curated/board.csv"))
    write_json({"other_content": {"images": 2, "classes": {"emu": 2}}}, Path("data/curated/summary.json"))
    seen = lineage.extend(lineage.empty(), kept.assign(set="test"), round_=3)
    write_table(lineage.extend(seen, kept.assign(set="test"), round_=5), Path("data/base/lineage.parquet"))
    images = whole.assign(set="test", reason="")[history.IMAGE_COLUMNS]
    history.write(Path("data/base"), images, history.empty()[1])
    said = {"decision": "label", "label": "lion", "suggested": "lion", "recipe": "low-count", "model": "5" * 64}
    review = pd.DataFrame([{"image": "library/a.jpg", "by": "ann", "at": "2026-03-01T10:00:00"} | said])
    decisions.write(review, Path("data/reviews"), "session")
    predicted = {
        "image": "pool/p.jpg",
        "sha256": sha("pool/p.jpg"),
        "label": "emu",
        "score": 0.7,
        "failure": "",
        "model": "9" * 64,
    }
    write_table(pd.DataFrame([predicted]), Path("data/predictions/part-1.parquet"))
    return tmp_path


def test_an_image_tells_who_labelled_it_when_and_on_which_models_word():
    told = passport.of_image("library/a.jpg")
    assert (told["label"]["by"], told["label"]["at"], told["label"]["model"]) == (
        "ann",
        "2026-03-01T10:00:00",
        "5" * 64,
    )
    assert [(d["by"], d["decision"], d["suggested"], d["recipe"]) for d in told["history"]] == [
        ("ann", "label", "lion", "low-count")
    ]


def test_an_image_tells_its_set_and_which_models_had_it_there():
    told = passport.of_image("library/a.jpg")
    assert told["today"] == {"set": "test"}
    assert told["lineage"] == {"role": "test", "first_round": 3, "last_round": 5}
    assert told["last_round"]["set"] == "test"


def test_a_group_names_its_members_and_what_became_of_them():
    assert passport.of_image("library/a.jpg")["group"]["others"] == [
        {"image": "library/b.jpg", "label": "lion", "state": "duplicate"}
    ]
    assert passport.of_image("library/b.jpg")["today"]["reason"] == "duplicate"


def test_a_pool_image_tells_its_predictions():
    told = passport.of_image("pool/p.jpg")
    assert [(p["label"], p["score"]) for p in told["predictions"]] == [("emu", 0.7)]
    assert (told["label"], told["today"], told["lineage"]) == (None, None, None)


def test_an_image_is_found_by_the_beginning_of_its_content_hash():
    assert passport.of_image(sha("library/c.jpg")[:12])["image"] == "library/c.jpg"
    assert passport.of_image(f"sha256:{sha('library/c.jpg')}")["image"] == "library/c.jpg"


def test_a_picture_file_is_known_by_its_content_or_by_what_it_looks_like(workspace):
    file = put(workspace / "somewhere.png", encoded(noise(1)))
    told = passport.of_image(str(file))
    assert told["near"] == []
    table = pd.read_parquet("data/index/library.parquet")
    table.loc[0, "phash"] = passport.pictures.inspect(file.read_bytes()).phash
    write_table(table, Path("data/index/library.parquet"))
    assert passport.of_image(str(file))["near"] == [{"image": "library/a.jpg", "bits": 0}]


def test_a_renamed_class_is_told_beside_the_label_that_was_written():
    write_text("event,class,to\nrename,lion,panthera\n", Path("data/classes.csv"))
    label = passport.of_image("library/a.jpg")["label"]
    assert (label["label"], label["class"]) == ("lion", "panthera")


def test_an_unknown_image_is_an_error_that_offers_similar_names():
    with pytest.raises(DataError, match=r"perhaps library/a\.jpg"):
        passport.of_image("somewhere/else/a.jpg")
    with pytest.raises(DataError, match="no image"):
        passport.of_image("nothing at all")


def test_a_class_is_explained_image_by_image():
    standing, images = passport.of_class("lion")
    assert standing["groups"] == 1
    assert images[["image", "state"]].to_numpy().tolist() == [["library/b.jpg", "duplicate"], ["library/a.jpg", "test"]]
    _, images = passport.of_class("emu")
    assert images["detail"].tolist() == ["short by 39"]


def test_an_unknown_class_offers_the_nearest():
    with pytest.raises(DataError, match="did you mean 'lion'"):
        passport.of_class("loin")


@pytest.mark.parametrize(
    "command", [["why", "library/a.jpg"], ["why", "pool/p.jpg"], ["board", "lion"], ["board"], ["classes"]]
)
def test_the_command_prints_for_people_and_for_machines(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == 0
    assert capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*command, "--json"])
    json.loads(capsys.readouterr().out)


def test_a_class_event_says_what_it_changes_and_can_be_taken_back(capsys):
    def classes(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["classes", *arguments])
        return f"{ended.value.code} {capsys.readouterr().out}"

    before = Path("data/labels.csv").read_bytes()
    assert "2 images of 'lion' would count as 'panthera'" in classes("rename", "lion", "panthera", "--dry-run")
    assert not Path("data/classes.csv").exists()
    assert "2 images of 'lion' count as 'panthera'" in classes("rename", "lion", "panthera", "--by", "ann")
    assert "1 images of 'emu' count as ''" in classes("retire", "emu")
    assert "panthera" in classes()
    assert "1 images of '' count as 'emu'" in classes("undo")
    assert classes("rename", "lino", "x").startswith("3")
    assert classes("merge", "lion").startswith("2")
    assert Path("data/labels.csv").read_bytes() == before


def replace_a(content: str = "another") -> None:
    """The index sees another content under a's name than was labelled, scored and decided; curation has seen it too."""
    table = read_table(Path("data/index/library.parquet"))
    old = table["sha256"].iloc[0]
    write_table(table.assign(sha256=[sha(content), *table["sha256"][1:]]), Path("data/index/library.parquet"))
    labelled = labels.read(Path("data/labels.csv"), ["library"])
    labels.write(labelled.assign(sha256=[old, "", ""]), Path("data/labels.csv"))
    log = pd.read_csv("data/reviews/session.csv", dtype=str, keep_default_na=False)
    write_csv(log.assign(sha256=old), Path("data/reviews/session.csv"))
    scored = {"image": "library/a.jpg", "sha256": old, "label": "lion", "predicted": "emu", "score": 0.9}
    write_table(pd.DataFrame([scored | {"set": "test"}]), Path("data/evaluation/scores.parquet"))
    excluded = read_table(Path("data/curated/excluded.parquet"))
    row = excluded.iloc[[0]].assign(image="library/a.jpg", sha256=sha(content), label="", label_then="lion")
    row = row.assign(reason=Reason.OTHER_CONTENT, detail="the content 123 was called lion")
    write_table(pd.concat([excluded, row]), Path("data/curated/excluded.parquet"))
    in_sets = read_table(Path("data/splits/splits.parquet"))
    write_table(in_sets.head(0), Path("data/splits/splits.parquet"))


def test_what_was_said_of_the_content_before_is_not_told_of_a_replaced_file():
    assert not passport.of_image("library/a.jpg")["label"]["other_content"]
    replace_a()
    told = passport.of_image("library/a.jpg")
    assert told["label"]["other_content"]
    assert [row["other_content"] for row in told["history"]] == [True]
    assert told["predictions"] == []
    assert told["last_round"] is None
    assert told["today"]["reason"] == Reason.OTHER_CONTENT
    assert told["today"]["label_then"] == "lion"


def test_the_old_prediction_is_told_while_the_file_has_its_content():
    replace_a(content="library/a.jpg")
    assert [row["label"] for row in passport.of_image("library/a.jpg")["predictions"]] == ["emu"]


def test_why_says_in_a_sentence_that_the_label_was_given_to_another_content(capsys):
    replace_a()
    with pytest.raises(SystemExit):
        cli.main(["why", "library/a.jpg"])
    out = capsys.readouterr().out
    assert "none for what the file holds now; another content" in out
    assert "was called lion by ann" in out


def test_a_class_lists_the_replaced_files_that_were_called_so():
    replace_a()
    _, images = passport.of_class("lion")
    assert dict(zip(images["image"], images["state"], strict=True))["library/b.jpg"] == "duplicate"
    assert Reason.OTHER_CONTENT in set(images["state"])
