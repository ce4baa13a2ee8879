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
from pipeline.evaluation import former
from pipeline.files import digest, read_json, write_json, write_table, write_text
from pipeline.library import classes, lineage
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


def called_off(model: str) -> dict:
    """Another candidate of the same round, which names what the last one names."""
    table = pd.read_parquet("data/evaluation/scores.parquet")
    digest_ = save_bundle(Path("data/model"), model)
    write_table(table.assign(model=digest_), Path("data/evaluation/scores.parquet"))
    return again()


def test_each_candidate_is_a_try_that_is_counted_once_and_forgiven_with_a_new_version_of_the_benchmark():
    first = run(scores(90, 100), scores(90, 100))
    assert first["tries"] == again()["tries"] == {"champion": 1, "benchmarks": 1}
    second = called_off("newer")
    assert second["tries"] == {"champion": 2, "benchmarks": 2}
    assert second["overall"]["low"] < first["overall"]["low"]  # the second one pays
    assert called_off("new")["tries"]["champion"] == 1  # the first one again
    assert len(pd.read_csv("data/tries.csv")) == 2

    corrected = pd.read_parquet("data/evaluation/scores.parquet")
    corrected.loc[0, ["label", "label_rank"]] = ["dog", 2]
    write_table(corrected, Path("data/evaluation/scores.parquet"))
    assert again()["tries"] == {"champion": 1, "benchmarks": 1}


def test_a_new_champion_has_tries_of_its_own_and_the_benchmarks_remember_all():
    run(scores(90, 100), scores(90, 100))
    save_bundle(Path("data/released"), "newest")
    assert called_off("newer")["tries"] == {"champion": 1, "benchmarks": 2}


def test_a_candidate_is_compared_with_the_best_former_champion_too():
    """The champion is two points worse than the one before it, and the candidate equals the champion."""
    table = former.extend(former.read(Path("-")), scores(990, 1000), champion="round-1-abc", model="abc")
    table = former.extend(table, scores(900, 1000), champion="round-0-def", model="def")
    Path("data/released").mkdir(parents=True)
    write_table(table, Path("data/released") / former.FILE)
    said = run(scores(950, 1000), scores(950, 1000))
    assert said["verdict"] == "fail"
    assert said["stopped_by"] == {"rule": "former champion", "of": "round-1-abc"}
    assert "worse than the former champion round-1-abc: 95.0% against 99.0% of 1,000 images" in said["reason"]
    page = Path("data/gate/index.html").read_text()
    assert "Stopped by: Named right, against the former champion round-1-abc" in page


def test_a_former_champion_is_right_where_it_named_what_people_corrected_the_label_to():
    truth = scores(0, 10).assign(label=["dog"] * 6 + ["yak"] * 4)
    stored = former.extend(former.read(Path("-")), scores(5, 10), champion="round-1-abc", model="abc")
    rows = former.of_today(stored, truth, classes.check(pd.DataFrame(columns=EVENTS.strip().split(",")), "classes"))
    assert rows["round-1-abc"]["label_rank"].tolist() == [2] * 5 + [1] + [-1] * 4


def test_labels_that_were_corrected_where_the_candidate_objects_are_judged_as_they_were_too():
    champion = scores(900, 1000)
    candidate = champion.assign(predicted=np.where(np.arange(1000) % 20 == 0, "dog", champion["predicted"]))
    candidate["label"] = np.where(np.arange(1000) % 20 == 0, "dog", "cat")
    candidate["label_rank"] = np.where(candidate["label"] == candidate["predicted"], 1, 2)
    candidate["top_labels"] = [[one, "cat" if one == "dog" else "dog"] for one in candidate["predicted"]]
    said = run(candidate, champion)
    today, before = said["rules"][:2]
    assert (today["rule"], before["rule"]) == ("right", "labels before corrections")
    assert today["difference"] == 0.045
    assert before["difference"] == -0.045
    assert (said["verdict"], said["stopped_by"]["rule"]) == ("fail", "labels before corrections")


def test_the_champion_shows_what_todays_promise_lets_it_show():
    """Its stored answers were shown under another promise: the two would not be comparable."""
    champion = scores(950, 1000).assign(shown=False)
    said = run(scores(950, 1000).assign(shown=True), champion)
    shown = next(rule for rule in said["rules"] if rule["rule"] == "shown")
    assert shown["candidate"] == shown["champion"] == 0.95
