"""The champion: released, forced with a reason, rolled back, and never lost."""

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import bundle, champion
from pipeline.errors import DataError, Exit, GateError, UsageError, WallabyError
from pipeline.files import digest, read_json, read_table, write_json, write_table, write_text
from pipeline.library import classes, lineage

WHO = {"by": "Ada", "at": "2026-03-01T12:00:00"}
RELEASED, CHAMPIONS = Path("released"), Path("champions")


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finish_round(
    number: int, *, verdict: str = "pass", scores_of: str = "", verdict_on: str = "", **card
) -> bundle.Card:
    """A round's model, a few bytes for a network, its scores and verdict."""
    write_text(f"network {number}", Path("model") / bundle.MODEL)
    made = bundle.Card("tiny", 16, round=number, model_digest=digest(Path("model") / bundle.MODEL), **card)
    write_text("cat\ndog\n", Path("model") / bundle.CLASSES)
    write_json(asdict(made), Path("model") / bundle.CARD)
    write_table(lineage.empty(), Path("model") / bundle.LINEAGE)
    scores = pd.DataFrame({"image": ["library/a.jpg"], "model": scores_of or made.model_digest})
    write_table(scores, Path("evaluation/scores.parquet"))
    said = {"verdict": verdict, "reason": "so it is", "model": verdict_on or made.model_digest}
    write_json(said, Path("gate/gate.json"))
    return made


def release(force: str = "") -> bool:
    change = champion.candidate(Path("model"), Path("evaluation"), Path("gate"), force=force, **WHO)
    champion.keep(RELEASED, CHAMPIONS)
    return champion.install(change, Path("model"), Path("evaluation"), RELEASED)


def roll_back(to: str = "", reason: str = "") -> bundle.Card:
    folder, change = champion.former(RELEASED, CHAMPIONS, to=to, reason=reason, **WHO)
    champion.keep(RELEASED, CHAMPIONS)
    champion.install(change, folder, folder, RELEASED)
    return change.card


def serving() -> int:
    card = champion.current(RELEASED)
    assert card is not None
    return card.round


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_released_model_takes_its_scores_and_thresholds_along():
    champion.open_released(RELEASED)
    card = finish_round(1)
    write_json({"threshold": 0.8}, Path("evaluation/thresholds.json"))
    assert release()
    assert names(RELEASED) == sorted([*bundle.FILES, "history.csv", "scores.parquet", "thresholds.json"])
    assert bundle.check(RELEASED) == card
    [row] = champion.history(RELEASED).to_dict("records")
    assert (row["action"], row["round"], row["by"], row["reason"]) == ("released", "1", "Ada", "so it is")


def test_releasing_the_champion_again_changes_nothing():
    finish_round(1)
    release()
    before = {path.name: path.read_bytes() for path in RELEASED.iterdir()}
    assert not release()
    assert {path.name: path.read_bytes() for path in RELEASED.iterdir()} == before


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"throwaway": True}, "a throw-away model is never a champion"),
        ({"verdict": "fail"}, "the gate says fail: so it is"),
        ({"verdict": "investigate"}, "the gate says investigate"),
        ({"scores_of": "another"}, "the scores are those of another model"),
        ({"verdict_on": "another"}, "the verdict is that on another model"),
    ],
)
def test_only_the_very_model_that_passed_the_gate_becomes_the_champion(fault, message):
    finish_round(1)
    release()
    finish_round(2, **fault)
    with pytest.raises(GateError, match=message) as refused:
        release()
    assert refused.value.code == Exit.GATE_FAILED
    assert serving() == 1


@pytest.mark.parametrize("fault", [{"throwaway": True}, {"scores_of": "another"}, {"verdict_on": "another"}])
def test_no_reason_makes_another_or_a_throw_away_model_the_champion(fault):
    finish_round(1, verdict="fail", **fault)
    with pytest.raises(GateError):
        release(force="we need it tonight")


def test_a_model_that_failed_is_forced_with_a_reason_that_is_kept():
    finish_round(1, verdict="fail")
    assert release(force="the old one\nnames no wombats")
    [row] = champion.history(RELEASED).to_dict("records")
    assert (row["action"], row["verdict"], row["reason"]) == ("forced", "fail", "the old one names no wombats")


def test_a_reason_of_blanks_is_none():
    finish_round(1, verdict="fail")
    with pytest.raises(GateError, match="the gate says fail"):
        release(force="  ")


def test_a_reason_for_a_model_that_passed_forces_nothing():
    finish_round(1)
    release(force="to be sure")
    assert champion.history(RELEASED)["action"].tolist() == ["released"]


def test_a_model_that_was_changed_after_the_gate_is_not_released():
    finish_round(1)
    write_text("x", Path("model") / bundle.MODEL)
    with pytest.raises(DataError, match="not what the last round made"):
        release()


def test_a_verdict_without_a_model_is_none():
    finish_round(1)
    said = read_json(Path("gate/gate.json"))
    write_json({key: said[key] for key in ("verdict", "reason")}, Path("gate/gate.json"))
    with pytest.raises(GateError, match="another model"):
        release()


def test_every_champion_is_kept_and_can_serve_again():
    for number in (1, 2, 3):
        finish_round(number)
        release()
    first = champion.history(RELEASED)["model"][0]
    assert len(names(CHAMPIONS)) == 2
    assert roll_back().round == 2
    assert roll_back().round == 1
    with pytest.raises(UsageError, match="no champion served before this one"):
        roll_back()
    assert roll_back("3").round == 3
    assert roll_back(first[:6], reason="it knew the wombats").round == 1
    assert serving() == 1
    told = champion.history(RELEASED)
    assert told["action"].tolist() == ["released"] * 3 + ["rolled back"] * 4
    assert told["reason"].tolist()[-1] == "it knew the wombats"
    assert bundle.check(RELEASED).model_digest == first
    assert read_table(RELEASED / "scores.parquet")["model"].tolist() == [first]


def test_after_a_roll_back_the_withdrawn_model_is_kept_too():
    for number in (1, 2):
        finish_round(number)
        release()
    roll_back()
    assert {name.split("-")[1] for name in names(CHAMPIONS)} == {"1", "2"}


@pytest.mark.parametrize("to", ["7", "abc", "ffffffff"])
def test_a_champion_that_never_was_is_not_found_and_those_there_are_named(to):
    for number in (1, 2):
        finish_round(number)
        release()
    with pytest.raises(UsageError, match=f"no former champion is called '{to}'") as refused:
        roll_back(to)
    assert "known: round-1-" in refused.value.mend


def test_without_a_champion_there_is_nothing_to_roll_back():
    champion.open_released(RELEASED)
    with pytest.raises(UsageError, match="there is no champion to roll back"):
        roll_back()


def test_a_round_that_made_two_champions_is_named_by_its_digest():
    for parent in ("a", "b", "c"):
        finish_round(1, parent_digest=parent)
        write_text(f"network {parent}", Path("model") / bundle.MODEL)
        card = replace(bundle.check(Path("model")), model_digest=digest(Path("model") / bundle.MODEL))
        write_json(asdict(card), Path("model") / bundle.CARD)
        write_table(pd.DataFrame({"model": [card.model_digest]}), Path("evaluation/scores.parquet"))
        write_json({"verdict": "pass", "reason": "", "model": card.model_digest}, Path("gate/gate.json"))
        release()
    with pytest.raises(UsageError, match="several former champions are called '1'"):
        roll_back("1")


def test_a_former_champion_that_was_spoilt_does_not_serve():
    for number in (1, 2):
        finish_round(number)
        release()
    [kept] = CHAMPIONS.iterdir()
    write_text("x", kept / bundle.MODEL)
    with pytest.raises(DataError, match="not the one its card describes"):
        roll_back()
    assert serving() == 2


def test_a_former_champion_comes_back_from_dvcs_cache():
    dvc("init", "--no-scm", "-q")
    for number in (1, 2):
        finish_round(number)
        release()
    [kept] = CHAMPIONS.iterdir()
    dvc("add", "-q", str(kept))
    for path in kept.iterdir():
        path.chmod(0o644)
        path.unlink()
    kept.rmdir()
    assert roll_back().round == 1
    assert serving() == 1


def test_a_former_champion_that_is_nowhere_is_said_in_dvcs_words():
    dvc("init", "--no-scm", "-q")
    for number in (1, 2):
        finish_round(number)
        release()
    [kept] = CHAMPIONS.iterdir()
    write_text(
        "outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  hash: md5\n  path: lost\n",
        CHAMPIONS / "round-9-0123456789ab.dvc",
    )
    with pytest.raises(WallabyError, match="dvc checkout"):
        roll_back("9")
    assert serving() == 2
    assert kept.exists()


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


def test_a_champion_is_scored_anew_by_todays_names(monkeypatch):
    finish_round(1)
    release()
    (RELEASED / "scores.parquet").unlink()
    loaded = bundle.Bundle(None, ["cat", "dog", "kitten"], bundle.check(RELEASED), lineage.empty())  # type: ignore[arg-type]
    monkeypatch.setattr(bundle, "load", lambda folder: loaded)
    rows = pd.DataFrame(
        {"image": ["a", "b", "c"], "set": ["benchmark:field", "test", "train"], "label": ["cat", "yak", "dog"]}
    )
    events = classes.check(pd.DataFrame([{"event": "merge", "class": "kitten", "to": "cat"}]), "classes.csv")
    probs = np.array([[0.3, 0.4, 0.3], [0.1, 0.8, 0.1]])
    assert champion.rescore(RELEASED, rows, events, lambda asked, model: probs[: len(asked)], top_k=5) == 2
    found = read_table(RELEASED / "scores.parquet")
    assert found["predicted"].tolist() == ["cat", "dog"]
    assert found["score"].tolist() == pytest.approx([0.6, 0.8])
    assert found["label_rank"].tolist() == [1, -1]
    assert set(found["model"]) == {loaded.card.model_digest}
