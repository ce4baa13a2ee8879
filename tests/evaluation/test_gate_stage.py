"""The stage on folders as evaluate and release leave them; no network is needed, the gate never loads one."""

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import bundle
from pipeline.errors import DataError, Exit, LeakageError
from pipeline.files import digest, read_json, write_json, write_table, write_text
from pipeline.library import lineage
from pipeline.stages import gate
from pipeline.workspace import Workspace

ROOT = Path(__file__).parent.parent.parent
EVENTS = "event,class,to,min_images,flip,by,at,note\n"
PHASHES = [f"{number * 2654435761 % 2**64:016x}" for number in range(1, 1001)]


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    shutil.copy(ROOT / "configs/params.yaml", "configs/params.yaml")
    write_text(EVENTS, Path("data/classes.csv"))
    return tmp_path


def save_bundle(folder: Path, name: str, *, classes: str = "cat dog", trained_on: pd.DataFrame | None = None) -> str:
    """A bundle whose network is a few bytes; returns its digest."""
    write_text(f"network {name}", folder / bundle.MODEL)
    card = bundle.Card("tiny", 16, model_digest=digest(folder / bundle.MODEL))
    write_text(classes.replace(" ", "\n") + "\n", folder / bundle.CLASSES)
    write_json(asdict(card), folder / bundle.CARD)
    seen = lineage.empty() if trained_on is None else lineage.extend(lineage.empty(), trained_on, round_=1)
    write_table(seen, folder / bundle.LINEAGE)
    return card.model_digest


def scores(right: int, of: int, *, label: str = "cat", said: str = "dog", model: str = "m") -> pd.DataFrame:
    """Scores of one benchmark, as evaluate stores them."""
    named = np.arange(of) < right
    return pd.DataFrame(
        {
            "image": [f"benchmark/{i}.jpg" for i in range(of)],
            "sha256": [f"{i:064x}" for i in range(of)],
            "phash": PHASHES[:of],
            "group": "",
            "together": "",
            "set": "benchmark:field",
            "label": label,
            "predicted": np.where(named, label, said),
            "score": 0.8,
            "top_labels": [[label, said] if right else [said, label] for right in named],
            "top_scores": [[0.8, 0.2]] * of,
            "label_score": np.where(named, 0.8, 0.2),
            "label_rank": np.where(named, 1, 2),
            "model": model,
        }
    )


def run(candidate: pd.DataFrame, champion: pd.DataFrame | None, **bundles) -> dict:
    """Lays out a round, runs the stage and returns `gate.json`."""
    made = save_bundle(Path("data/model"), "new", **bundles)
    write_table(candidate.assign(model=made), Path("data/evaluation/scores.parquet"))
    Path("data/released").mkdir(exist_ok=True)
    if champion is not None:
        save_bundle(Path("data/released"), "old")
        write_table(champion, Path("data/released/scores.parquet"))
    return again()


def again() -> dict:
    gate.main(Workspace(Path()))
    return read_json(Path("data/gate/gate.json"))


def test_the_first_model_passes_and_leaves_all_its_files():
    said = run(scores(90, 100), None)
    assert (said["verdict"], said["champion"]) == ("pass", "")
    assert said["model"] == bundle.check(Path("data/model")).model_digest
    assert sorted(path.name for path in Path("data/gate").iterdir()) == [
        "classes.csv", "flips.csv", "gate.json", "index.html",
    ]  # fmt: skip
    assert pd.read_csv("data/gate/flips.csv").empty


def test_a_worse_model_fails_and_its_flips_are_pictured():
    Image.new("RGB", (40, 30), "tan").save("10.jpg")
    params = Path("configs/params.yaml")
    write_text(params.read_text().replace("benchmark: data/demo/benchmark", "benchmark: ."), params)
    said = run(scores(5, 100), scores(90, 100))
    assert said["verdict"] == "fail"
    assert said["champion"] == bundle.check(Path("data/released")).model_digest
    assert len(pd.read_csv("data/gate/flips.csv")) == 85
    page = Path("data/gate/index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 1  # the one picture that is there
    assert page.count("The picture cannot be read</span>") == 59
    assert "25 more are in <code>flips.csv</code>" in page


def test_a_champion_without_scores_is_named():
    run(scores(90, 100), scores(90, 100))
    Path("data/released/scores.parquet").unlink()
    said = again()
    assert said["verdict"] == "investigate"
    assert "`wallaby gate --rescore`" in said["reason"]


def test_the_champion_itself_passes():
    run(scores(90, 100), scores(90, 100))
    same = save_bundle(Path("data/model"), "old")
    write_table(scores(20, 100, model=same), Path("data/evaluation/scores.parquet"))
    assert again()["verdict"] == "pass"


def test_scores_of_another_model_are_refused():
    run(scores(90, 100), None)
    save_bundle(Path("data/model"), "newer")
    with pytest.raises(DataError, match="the scores are those of another model"):
        again()


def test_a_corrected_label_is_held_against_the_champions_stored_prediction():
    champion = scores(100, 100)
    candidate = champion.assign(label=["dog"] * 5 + ["cat"] * 95)
    candidate["label_rank"] = np.where(candidate["label"] == "dog", 2, 1)
    said = run(candidate, champion)
    assert said["images"]["shared"] == 100
    assert said["overall"]["difference"] == 0
    assert said["benchmarks"]["field"]["same_version"]


def test_classes_that_were_merged_since_are_one_class_for_the_champion_too():
    write_text(EVENTS + "merge,dog,cat,,,,,\n", Path("data/classes.csv"))
    said = run(scores(100, 100), scores(60, 100))
    assert said["overall"]["champion"] == 1.0


@pytest.mark.parametrize("whose", ["model", "released"])
def test_a_benchmark_that_a_model_was_trained_on_is_refused(whose):
    trained = scores(1, 1).assign(set="train")
    run(scores(90, 100), scores(90, 100))
    name = {"model": "new", "released": "old"}[whose]
    save_bundle(Path("data") / whose, name, trained_on=trained)
    with pytest.raises(LeakageError, match="1 images would change sides") as refused:
        again()
    assert refused.value.code == Exit.LEAKAGE
    assert "benchmark/0.jpg (train -> benchmark:field)" in refused.value.where


def test_a_broken_score_of_the_champion_says_how_to_mend_it():
    with pytest.raises(DataError, match="a score is no probability") as refused:
        run(scores(90, 100), scores(90, 100).assign(score=np.nan))
    assert "--rescore" in refused.value.mend


def test_a_class_that_neither_model_knows_is_counted_apart():
    strange = scores(3, 3, label="yak").assign(sha256=["x", "y", "z"], phash=PHASHES[200:203], label_rank=-1)
    said = run(pd.concat([scores(90, 100), strange]), pd.concat([scores(90, 100), strange]))
    assert said["images"]["no known class"] == 3
    assert said["images"]["all"] == 103


def test_a_latency_that_was_measured_is_held_against_its_limit():
    params = Path("configs/params.yaml")
    write_text(params.read_text().replace("max_latency_ms: 0", "max_latency_ms: 20"), params)
    assert run(scores(90, 100), None)["verdict"] == "investigate"
    write_json({"ms": 31.5}, Path("data/evaluation/latency.json"))
    said = again()
    assert (said["verdict"], said["latency_ms"]) == ("fail", 31.5)
    write_json({"ms": 3.5}, Path("data/evaluation/latency.json"))
    assert again()["verdict"] == "pass"


def test_equal_inputs_give_equal_bytes():
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in Path("data/gate").iterdir()}

    run(scores(80, 100), scores(90, 100))
    before = files()
    again()
    assert files() == before
