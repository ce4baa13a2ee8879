"""`wallaby why`, `board` and `classes`: what is known of images and classes, from the round's tables."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from pipeline import cli
from pipeline.cli.tables import library as tables
from pipeline.commands import board, classes
from pipeline.commands.why import why
from pipeline.errors import DataError, UsageError
from pipeline.files import read_table, write_csv, write_json, write_table, write_text
from pipeline.library import board as cutoffs
from pipeline.library import bursts, history, labels, lineage, pictures
from pipeline.library.curation import COLUMNS, EXCLUDED_COLUMNS
from pipeline.library.exclusion import Reason
from pipeline.review import decisions
from pipeline.workspace import Workspace
from tests.library.builders import encoded, flip, label_table, library_table, noise, phash, put, sha

REPOSITORY = Path(__file__).parents[2]
LOOK = phash("lion")


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A round's tables: a near-duplicate pair, one excluded image, one of another class, and one of the pool."""
    workspace = Workspace(tmp_path)
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    workspace.benchmarks.mkdir(parents=True)
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
        label_table(*({k: v for k, v in row.items() if k in labels.COLUMNS} for row in rows)), workspace.labels
    )
    index = library_table(*({k: v for k, v in row.items() if k in ("image", "phash")} for row in rows))
    write_table(index, workspace.library_table)
    write_table(library_table({"image": "pool/p.jpg"}), workspace.pool_table)
    whole = index.assign(label=[row["label"] for row in rows], group="g", together="", subclass="", origin="real")
    whole = whole.assign(burst="g", evidence="names in sequence")
    kept, out = whole.iloc[[0]], whole.iloc[[1]].assign(reason="duplicate", detail="near-duplicates are kept already")
    below = whole.iloc[[2]].assign(reason="below the cutoff", detail="short by 39", group="h")
    out, below = out.assign(label_then=""), below.assign(label_then="")
    write_table(kept[COLUMNS].assign(set="test"), workspace.splits_table)
    write_table(kept[COLUMNS].iloc[:0].assign(reason=""), workspace.left_out)
    write_table(pd.concat([out, below])[EXCLUDED_COLUMNS], workspace.excluded)
    write_table(whole[["image", "sha256", "burst", "evidence"]], workspace.bursts)
    link = ["library/a.jpg", "library/b.jpg", "names in sequence", "", 0.93, 0.0004]
    write_table(pd.DataFrame([link], columns=bursts.LINK_COLUMNS), workspace.burst_links)
    write_csv(cutoffs.count(whole, min_images=2), workspace.board)
    write_json({"other_content": {"images": 2, "classes": {"emu": 2}}}, workspace.curated / "summary.json")
    seen = lineage.extend(lineage.empty(), kept.assign(set="test"), round_=3)
    write_table(lineage.extend(seen, kept.assign(set="test"), round_=5), workspace.base / "lineage.parquet")
    images = whole.assign(set="test", reason="")[history.IMAGE_COLUMNS]
    history.write(workspace.base, images, history.empty()[1])
    decision = {"decision": "label", "label": "lion", "suggested": "lion", "recipe": "low-count", "model": "5" * 64}
    review = pd.DataFrame([{"image": "library/a.jpg", "by": "ann", "at": "2026-03-01T10:00:00"} | decision])
    decisions.write(review, workspace.reviews, "session")
    predicted = {
        "image": "pool/p.jpg",
        "sha256": sha("pool/p.jpg"),
        "label": "emu",
        "score": 0.7,
        "failure": "",
        "model": "9" * 64,
    }
    write_table(pd.DataFrame([predicted]), workspace.predictions / "part-1.parquet")
    return workspace


def test_an_image_tells_who_labelled_it_when_and_on_which_models_word(workspace):
    facts = why(workspace, "library/a.jpg").data
    assert (facts["label"]["by"], facts["label"]["at"], facts["label"]["model"]) == (
        "ann",
        "2026-03-01T10:00:00",
        "5" * 64,
    )
    assert [(d["by"], d["decision"], d["suggested"], d["recipe"]) for d in facts["history"]] == [
        ("ann", "label", "lion", "low-count")
    ]


def test_an_image_says_when_and_with_which_camera_it_was_taken(workspace, capsys):
    table = read_table(workspace.library_table)
    table.loc[table["image"] == "library/b.jpg", ["taken", "camera"]] = ["2026-03-01T12:00:05.25", "canon eos 70d #12"]
    write_table(table, workspace.library_table)
    facts = why(workspace, "library/b.jpg").data
    assert (facts["taken"], facts["camera"]) == ("2026-03-01T12:00:05.25", "canon eos 70d #12")
    tables.why(facts)
    assert "taken  2026-03-01 12:00:05.25, by canon eos 70d #12" in capsys.readouterr().out


def test_an_image_without_exif_says_nothing_of_its_capture(workspace, capsys):
    tables.why(why(workspace, "library/a.jpg").data)
    assert "taken" not in capsys.readouterr().out


def test_an_image_tells_its_set_and_which_models_had_it_there(workspace):
    facts = why(workspace, "library/a.jpg").data
    assert facts["today"] == {"set": "test"}
    assert facts["lineage"] == {"role": "test", "first_round": 3, "last_round": 5}
    assert facts["last_round"]["set"] == "test"


def test_a_group_names_its_members_and_what_became_of_them(workspace):
    assert why(workspace, "library/a.jpg").data["group"]["others"] == [
        {"image": "library/b.jpg", "label": "lion", "state": "duplicate"}
    ]
    assert why(workspace, "library/b.jpg").data["today"]["reason"] == "duplicate"


def test_an_image_tells_what_ties_it_to_its_burst(workspace):
    facts = why(workspace, "library/b.jpg").data["burst"]
    assert (facts["images"], facts["torn"]) == (3, False)
    assert [(link["other"], link["evidence"], link["chance"]) for link in facts["links"]] == [
        ("library/a.jpg", "names in sequence", 0.0004)
    ]


def test_a_pool_image_tells_its_predictions(workspace):
    facts = why(workspace, "pool/p.jpg").data
    assert [(p["label"], p["score"]) for p in facts["predictions"]] == [("emu", 0.7)]
    assert (facts["label"], facts["today"], facts["lineage"]) == (None, None, None)


def test_a_pool_image_tells_what_the_model_makes_of_its_burst(workspace):
    told = {"frames": 15, "evidence": "names in sequence", "burst_label": "emu", "burst_score": 0.8}
    write_table(pd.DataFrame([{"image": "pool/p.jpg", "burst": "x"} | told]), workspace.judged_bursts)
    facts = why(workspace, "pool/p.jpg")
    burst = {"images": 15, "torn": False, "links": [], "evidence": "names in sequence", "label": "emu", "score": 0.8}
    assert facts.data["burst"] == burst
    assert dict(tables._lines(facts.data))["as a whole"] == "emu 80.0%; tied by names in sequence"


def test_an_image_is_found_by_the_beginning_of_its_content_hash(workspace):
    assert why(workspace, sha("library/c.jpg")[:12]).data["image"] == "library/c.jpg"
    assert why(workspace, f"sha256:{sha('library/c.jpg')}").data["image"] == "library/c.jpg"


def test_a_picture_file_is_known_by_its_content_or_by_what_it_looks_like(workspace):
    file = put(workspace.root / "somewhere.png", encoded(noise(1)))
    facts = why(workspace, str(file)).data
    assert facts["near"] == []
    table = pd.read_parquet(workspace.library_table)
    table.loc[0, "phash"] = pictures.inspect(file.read_bytes()).phash
    write_table(table, workspace.library_table)
    assert why(workspace, str(file)).data["near"] == [{"image": "library/a.jpg", "bits": 0}]


def test_a_renamed_class_is_told_beside_the_label_that_was_written(workspace):
    write_text("event,class,to\nrename,lion,panthera\n", workspace.classes)
    label = why(workspace, "library/a.jpg").data["label"]
    assert (label["label"], label["class"]) == ("lion", "panthera")


def test_an_unknown_image_is_an_error_that_offers_similar_names(workspace):
    with pytest.raises(DataError, match=r"perhaps library/a\.jpg"):
        why(workspace, "somewhere/else/a.jpg")
    with pytest.raises(DataError, match="no image"):
        why(workspace, "nothing at all")


def explained(workspace: Workspace, label: str) -> tuple[dict, pd.DataFrame]:
    answer = board.of_class(workspace, label).data
    return answer["board"], answer["images"]


def test_a_class_is_explained_image_by_image(workspace):
    standing, images = explained(workspace, "lion")
    assert standing["groups"] == 1
    assert images[["image", "state"]].to_numpy().tolist() == [["library/b.jpg", "duplicate"], ["library/a.jpg", "test"]]
    _, images = explained(workspace, "emu")
    assert images["detail"].tolist() == ["short by 39"]


def test_an_unknown_class_offers_the_nearest(workspace):
    with pytest.raises(DataError, match="did you mean 'lion'"):
        board.of_class(workspace, "loin")


@pytest.mark.parametrize("below", [".", "data", "data/index"])
@pytest.mark.parametrize(
    "command", [["why", "library/a.jpg"], ["why", "pool/p.jpg"], ["board", "lion"], ["board"], ["classes"]]
)
def test_the_command_prints_for_people_and_for_machines_in_any_folder(workspace, command, below, capsys, monkeypatch):
    monkeypatch.chdir(workspace.root / below)
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == 0
    assert capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*command, "--json"])
    json.loads(capsys.readouterr().out)


def test_a_class_event_says_what_it_changes_and_can_be_taken_back(workspace):
    before = workspace.labels.read_bytes()
    trial = classes.add(workspace, "rename", "lion", "panthera", dry_run=True)
    assert "2 images of 'lion' would count as 'panthera'" in trial.text
    assert not workspace.classes.exists()
    done = classes.add(workspace, "rename", "lion", "panthera", by="ann")
    assert "2 images of 'lion' count as 'panthera'" in done.text
    assert "1 images of 'emu' count as ''" in classes.add(workspace, "retire", "emu").text
    assert classes.listed(workspace).data[["event", "class", "to"]].to_numpy().tolist() == [
        ["rename", "lion", "panthera"],
        ["retire", "emu", ""],
    ]
    assert classes.undo(workspace).data == {"changes": [("", "emu", 1)]}
    with pytest.raises(DataError, match="unknown class 'lino'"):
        classes.add(workspace, "rename", "lino", "x")
    assert workspace.labels.read_bytes() == before


def test_a_repeated_event_says_that_it_is_done_and_writes_nothing(workspace):
    classes.add(workspace, "rename", "lion", "panthera", by="ann")
    classes.add(workspace, "retire", "emu", by="ann")
    before = workspace.classes.read_bytes()
    again = classes.add(workspace, "rename", "lion", "panthera", by="bob")
    assert again.data == {"changes": [], "done": 2}
    assert "done already: by row 2 of classes.csv, 'lion' is 'panthera'" in again.text
    assert "'emu' is retired" in classes.add(workspace, "retire", "emu").text
    assert workspace.classes.read_bytes() == before


def test_without_an_event_there_is_none_to_take_back(workspace):
    with pytest.raises(UsageError, match="no event to take back"):
        classes.undo(workspace)


def replace_a(workspace: Workspace, content: str = "another") -> None:
    """The index sees another content under a's name than was labelled, scored and decided; curation has seen it too."""
    table = read_table(workspace.library_table)
    old = table["sha256"].iloc[0]
    write_table(table.assign(sha256=[sha(content), *table["sha256"][1:]]), workspace.library_table)
    labelled = labels.read(workspace.labels, ["library"])
    labels.write(labelled.assign(sha256=[old, "", ""]), workspace.labels)
    log = pd.read_csv(workspace.reviews / "session.csv", dtype=str, keep_default_na=False)
    write_csv(log.assign(sha256=old), workspace.reviews / "session.csv")
    scored = {"image": "library/a.jpg", "sha256": old, "label": "lion", "predicted": "emu", "score": 0.9}
    write_table(pd.DataFrame([scored | {"set": "test"}]), workspace.scores)
    excluded = read_table(workspace.excluded)
    row = excluded.iloc[[0]].assign(image="library/a.jpg", sha256=sha(content), label="", label_then="lion")
    row = row.assign(reason=Reason.OTHER_CONTENT, detail="the content 123 was called lion")
    write_table(pd.concat([excluded, row]), workspace.excluded)
    in_sets = read_table(workspace.splits_table)
    write_table(in_sets.head(0), workspace.splits_table)


def test_what_was_said_of_the_content_before_is_not_told_of_a_replaced_file(workspace):
    assert not why(workspace, "library/a.jpg").data["label"]["other_content"]
    replace_a(workspace)
    facts = why(workspace, "library/a.jpg").data
    assert facts["label"]["other_content"]
    assert [row["other_content"] for row in facts["history"]] == [True]
    assert facts["predictions"] == []
    assert facts["last_round"] is None
    assert facts["today"]["reason"] == Reason.OTHER_CONTENT
    assert facts["today"]["label_then"] == "lion"


def test_the_old_prediction_is_told_while_the_file_has_its_content(workspace):
    replace_a(workspace, content="library/a.jpg")
    assert [row["label"] for row in why(workspace, "library/a.jpg").data["predictions"]] == ["emu"]


def test_why_says_in_a_sentence_that_the_label_was_given_to_another_content(workspace, capsys):
    replace_a(workspace)
    tables.why(why(workspace, "library/a.jpg").data)
    out = capsys.readouterr().out
    assert "none for what the file holds now; another content" in out
    assert "was called lion by ann" in out


def test_a_class_lists_the_replaced_files_that_were_called_so(workspace):
    replace_a(workspace)
    _, images = explained(workspace, "lion")
    assert dict(zip(images["image"], images["state"], strict=True))["library/b.jpg"] == "duplicate"
    assert Reason.OTHER_CONTENT in set(images["state"])
