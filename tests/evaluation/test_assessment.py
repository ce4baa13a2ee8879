"""A whole assessment, with the data that is not as one would wish; and the stage, on a tiny network."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import assessment, audit, scores, thresholds
from pipeline.evaluation.assessment import Assessment
from pipeline.files import read_json, read_table, write_csv, write_json, write_table
from pipeline.inference import evaluated
from pipeline.library import board
from pipeline.library.splits import COLUMNS
from pipeline.workspace import Workspace
from tests.evaluation.made_up_models import guesses, images
from tests.library.builders import noise, put

PARAMS = {
    "confidence": 0.95,
    "precision": 0.8,
    "min_class_images": 40,
    "audit_max_share": 0.05,
    "audit_ask_again_after": 2,
}
SETS = ["train", "train", "val", "test", "benchmark:field"]
ROOT = Path(__file__).parent.parent.parent


def assess(rows: pd.DataFrame, probs: np.ndarray, classes: list[str]) -> Assessment:
    verdicts = pd.DataFrame(columns=["image", "at", "model", "label"], dtype=str)
    return assessment.assess(
        rows,
        scores.to_log_probs(probs),
        features(probs),
        classes,
        model="m",
        temperature=1.0,
        verdicts=verdicts,
        audited_before=audit.nothing(),
        **PARAMS,
    )


def features(probs: np.ndarray) -> np.ndarray:
    return np.log(probs).astype(np.float16)


def made_up(number: int = 600) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    probs, targets = guesses(number, skill=3.0)
    classes = [f"class {n}" for n in range(probs.shape[1])]
    return images([classes[n] for n in targets], [SETS[n % len(SETS)] for n in range(number)]), probs, classes


def test_every_image_is_counted_once():
    rows, probs, classes = made_up()
    rows.loc[rows.index[::9], "label"] = "emu"
    rows.loc[rows.index[::20], "set"] = "open:below-cutoff"
    rows.loc[rows["set"] == "open:below-cutoff", "label"] = "kiwi"
    found = assess(rows, probs, classes)
    assert sum(figures["n"] + figures["out_of_class"] for figures in found.metrics.values()) == len(rows)
    assert set(found.metrics) == set(rows["set"])
    assert found.tables["per_class"]["n"].sum() == sum(figures["n"] for figures in found.metrics.values())
    assert found.scores[list(rows)].equals(rows)


def test_a_benchmark_of_classes_that_the_model_does_not_know_has_counts_and_the_test_set_decides():
    rows, probs, classes = made_up()
    field = rows["set"] == "benchmark:field"
    rows.loc[field, "label"] = "emu"
    found = assess(rows, probs, classes)
    assert (found.metrics["benchmark:field"]["n"], found.metrics["benchmark:field"]["out_of_class"]) == (0, field.sum())
    assert found.thresholds.chosen_on == ["test"]
    assert "refused" in found.metrics["benchmark:field"]


def test_a_benchmark_that_has_lost_all_its_images_is_no_benchmark():
    rows, probs, classes = made_up()
    left = (rows["set"] != "benchmark:field").to_numpy()
    found = assess(rows[left].reset_index(drop=True), probs[left], classes)
    assert "benchmark:field" not in found.metrics
    assert found.thresholds.chosen_on == ["test"]


def test_a_class_with_one_image_is_assessed_like_any_other():
    rows, probs, classes = made_up()
    rows.loc[rows["label"] == "class 5", "label"] = "class 4"
    rows.loc[7, ["label", "set"]] = ["class 5", "val"]
    found = assess(rows, probs, classes)
    one = found.tables["per_class"].query("label == 'class 5'")
    assert one["n"].tolist() == [1]
    assert one["recall_high"].item() - one["recall_low"].item() > 0.5  # one image says little


def test_without_a_test_set_and_without_a_benchmark_nothing_is_shown():
    rows, probs, classes = made_up()
    found = assess(rows.assign(set="train"), probs, classes)
    assert found.thresholds.rule == thresholds.UNREACHED
    assert not found.scores["shown"].any()
    assert found.tables["coverage"].empty


def test_the_same_outputs_give_the_same_bytes(tmp_path):
    rows, probs, classes = made_up()
    for name in "ab":
        assessment.write(assess(rows, probs, classes), tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.fixture
def round_(tmp_path, monkeypatch) -> Path:
    """What stage evaluate reads, for a tiny network and 24 pictures: two of an unknown class, one unknown."""
    from pipeline.tracking import Tracking
    from tests.networks import save_bundle

    monkeypatch.setattr(Tracking, "log_evaluation", lambda *_, **__: None)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    names = [f"library/{n}.png" for n in range(24)]
    for number, name in enumerate(names):
        put(tmp_path / "data/demo" / name, noise(number, 20))
    labels = [["cat", "dog", "owl"][n % 3] for n in range(24)]
    rows = images(labels).assign(image=names, sha256=names, phash="", together="", burst=names, evidence="")
    rows = rows.assign(cluster=names, torn=False)
    rows["set"] = [SETS[n % len(SETS)] for n in range(24)]
    write_table(rows.iloc[:21][COLUMNS], tmp_path / "data/splits/splits.parquet")
    near = rows.iloc[:21].assign(similarity=[0.5 + n / 100 for n in range(21)])
    write_table(near[["set", "image", "similarity"]], tmp_path / "data/splits/nearest.parquet")
    excluded = rows.iloc[21:].drop(columns="set").assign(label="emu", detail="")
    excluded["reason"] = ["below the cutoff", "below the cutoff", "unknown"]
    write_table(excluded, tmp_path / "data/curated/excluded.parquet")
    write_csv(board.count(rows, min_images=3), tmp_path / "data/curated/board.csv")
    write_csv(pd.DataFrame(columns=["event", "class", "to"]), tmp_path / "data/classes.csv")
    save_bundle(tmp_path / "data/model", round=2, training={"best_epoch": 1, "epochs": 1, "seconds": 3})
    columns = ["epoch", "loss", "val_loss", "accuracy", "val_accuracy", "learning_rate"]
    write_csv(pd.DataFrame([[1, 1.0, 1.0, 0.5, 0.5, 0.001]], columns=columns), tmp_path / "data/model/history.csv")
    for name in ("base", "released", "reviews"):
        (tmp_path / "data" / name).mkdir()
    return tmp_path


def evaluate(folder: Path) -> Path:
    from pipeline.stages import evaluate as stage

    stage.main(Workspace(folder))
    return folder / "data/evaluation"


def test_the_stage_scores_every_image_of_every_set_and_the_open_ones(round_):
    folder = evaluate(round_)
    scored, metrics = read_table(folder / "scores.parquet"), read_json(folder / "metrics.json")
    assert len(scored) == 24 == sum(figures["n"] + figures["out_of_class"] for figures in metrics.values())
    assert metrics["open:below-cutoff"]["out_of_class"] == 2
    assert metrics["open:unknown"]["out_of_class"] == 1
    assert evaluated.read(folder / "outputs", scored["sha256"]).features.shape == (24, 4)
    chosen = thresholds.read(folder / thresholds.FILE, read_json(round_ / "data/model/card.json")["model_digest"])
    assert (chosen.shown(scored["predicted"], scored["score"]) == scored["shown"]).all()
    assert "Round 2" in (folder / "report.html").read_text()


def test_the_stage_run_again_gives_the_same_bytes_also_without_the_pictures_that_it_knows(round_):
    folder = evaluate(round_)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    shutil.copyfile(folder / audit.FILE, round_ / "data/base" / audit.FILE)
    shutil.copyfile(folder / "scores.parquet", round_ / "data/released/scores.parquet")
    params = round_ / "configs/params.yaml"
    params.write_text(params.read_text().replace("batch_size: 64  # images at once\n  conf", "batch_size: 7\n  conf"))
    evaluate(round_)
    for name in set(before) - {"report.html"}:
        assert (folder / name).read_bytes() == before[name], name
    assert "Compared with the champion" in (folder / "report.html").read_text()


def test_a_corrected_label_needs_nothing_inferred_anew(round_, monkeypatch):
    from pipeline.inference.runtimes.keras import KerasRuntime

    evaluate(round_)
    rows = read_table(round_ / "data/splits/splits.parquet")
    rows.loc[0, "label"] = "owl"
    write_table(rows, round_ / "data/splits/splits.parquet")
    monkeypatch.setattr(KerasRuntime, "predict_with_features", None)
    assert read_table(evaluate(round_) / "scores.parquet")["label"].iloc[0] == "owl"


def test_the_scores_do_not_move_when_the_model_does_not(round_):
    """A label decided by a person silences the audit, and nothing else changes."""
    first = evaluate(round_)
    scores_before = (first / "scores.parquet").read_bytes()
    write_json({"not": "read"}, round_ / "data/reviews/notes.json")
    decided = pd.DataFrame(
        [["library/2.png", "keep", "", "ann", "2026-03-01T12:00:00"]],
        columns=["image", "decision", "label", "by", "at"],
    )
    write_csv(decided, round_ / "data/reviews/ann.csv")
    assert (evaluate(round_) / "scores.parquet").read_bytes() == scores_before
