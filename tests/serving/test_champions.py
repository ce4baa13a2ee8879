"""The champion: released, forced with a reason, rolled back, and never lost."""

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from pipeline import bundle
from pipeline.errors import DataError, Exit, GateError, UsageError, WallabyError
from pipeline.evaluation import former
from pipeline.files import digest, read_json, read_table, write_json, write_table, write_text
from pipeline.library import lineage
from pipeline.repository import dvc
from pipeline.serving import champions

WHO = {"by": "Ada", "at": "2026-03-01T12:00:00"}


@dataclass(frozen=True)
class Rounds:
    """A folder with a round's model, evaluation and verdict, the champion and the former ones."""

    root: Path

    @property
    def released(self) -> Path:
        return self.root / "released"

    @property
    def champions(self) -> Path:
        return self.root / "champions"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def scores(self) -> Path:
        return self.root / "evaluation/scores.parquet"

    @property
    def verdict(self) -> Path:
        return self.root / "gate/gate.json"

    def finish(
        self, number: int, *, verdict: str = "pass", scores_of: str = "", verdict_on: str = "", **card
    ) -> bundle.Card:
        """Makes a round's model, a few bytes for a network, its scores and verdict."""
        write_text(f"network {number}", self.model / bundle.MODEL)
        made = bundle.Card("tiny", 16, round=number, model_digest=digest(self.model / bundle.MODEL), **card)
        write_text("cat\ndog\n", self.model / bundle.CLASSES)
        write_json(asdict(made), self.model / bundle.CARD)
        write_table(lineage.empty(), self.model / bundle.LINEAGE)
        write_table(pd.DataFrame({"image": ["library/a.jpg"], "model": scores_of or made.model_digest}), self.scores)
        write_json({"verdict": verdict, "reason": "so it is", "model": verdict_on or made.model_digest}, self.verdict)
        return made

    def release(self, force: str = "") -> bool:
        evaluation = self.scores.parent
        change = champions.candidate(self.model, evaluation, self.verdict.parent, force=force, **WHO)
        champions.keep(self.released, self.champions, following=change.card.model_digest)
        return champions.install(change, self.model, evaluation, self.released)

    def roll_back(self, to: str = "", reason: str = "") -> bundle.Card:
        folder, change = champions.former(
            self.released, self.champions, checkout=partial(dvc.checkout, self.root), to=to, reason=reason, **WHO
        )
        champions.keep(self.released, self.champions, following=change.card.model_digest)
        champions.install(change, folder, folder, self.released)
        return change.card

    def serving(self) -> int:
        card = champions.current(self.released)
        assert card is not None
        return card.round


@pytest.fixture
def rounds(tmp_path) -> Rounds:
    return Rounds(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_released_model_takes_its_scores_and_thresholds_along(rounds):
    champions.open_released(rounds.released)
    card = rounds.finish(1)
    write_json({"threshold": 0.8}, rounds.scores.with_name("thresholds.json"))
    assert rounds.release()
    assert names(rounds.released) == sorted([*bundle.FILES, "history.csv", "scores.parquet", "thresholds.json"])
    assert bundle.check(rounds.released) == card
    [row] = champions.history(rounds.released).to_dict("records")
    assert (row["action"], row["round"], row["by"], row["reason"]) == ("released", "1", "Ada", "so it is")


def test_a_release_that_was_interrupted_and_is_repeated_keeps_no_copy_of_the_new_champion(rounds):
    rounds.finish(1)
    rounds.release()
    rounds.release()
    assert not rounds.champions.exists()
    rounds.finish(2)
    rounds.release()
    rounds.release()
    assert len(names(rounds.champions)) == 1


def test_releasing_the_champion_again_changes_nothing(rounds):
    rounds.finish(1)
    rounds.release()
    before = {path.name: path.read_bytes() for path in rounds.released.iterdir()}
    assert not rounds.release()
    assert {path.name: path.read_bytes() for path in rounds.released.iterdir()} == before


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
def test_only_the_very_model_that_passed_the_gate_becomes_the_champion(rounds, fault, message):
    rounds.finish(1)
    rounds.release()
    rounds.finish(2, **fault)
    with pytest.raises(GateError, match=message) as refused:
        rounds.release()
    assert refused.value.code == Exit.GATE_FAILED
    assert rounds.serving() == 1


@pytest.mark.parametrize("fault", [{"throwaway": True}, {"scores_of": "another"}, {"verdict_on": "another"}])
def test_no_reason_makes_another_or_a_throw_away_model_the_champion(rounds, fault):
    rounds.finish(1, verdict="fail", **fault)
    with pytest.raises(GateError):
        rounds.release(force="we need it tonight")


def test_a_model_that_failed_is_forced_with_a_reason_that_is_kept(rounds):
    rounds.finish(1, verdict="fail")
    assert rounds.release(force="the old one\nnames no wombats")
    [row] = champions.history(rounds.released).to_dict("records")
    assert (row["action"], row["verdict"], row["reason"]) == ("forced", "fail", "the old one names no wombats")


def test_a_reason_of_blanks_is_none(rounds):
    rounds.finish(1, verdict="fail")
    with pytest.raises(GateError, match="the gate says fail"):
        rounds.release(force="  ")


def test_a_reason_for_a_model_that_passed_forces_nothing(rounds):
    rounds.finish(1)
    rounds.release(force="to be sure")
    assert champions.history(rounds.released)["action"].tolist() == ["released"]


def test_a_model_that_was_changed_after_the_gate_is_not_released(rounds):
    rounds.finish(1)
    write_text("x", rounds.model / bundle.MODEL)
    with pytest.raises(DataError, match="not what the last round made"):
        rounds.release()


def test_a_verdict_without_a_model_is_none(rounds):
    rounds.finish(1)
    verdict = read_json(rounds.verdict)
    write_json({key: verdict[key] for key in ("verdict", "reason")}, rounds.verdict)
    with pytest.raises(GateError, match="another model"):
        rounds.release()


def test_every_champion_is_kept_and_can_serve_again(rounds):
    for number in (1, 2, 3):
        rounds.finish(number)
        rounds.release()
    first = champions.history(rounds.released)["model"][0]
    assert len(names(rounds.champions)) == 2
    assert rounds.roll_back().round == 2
    assert rounds.roll_back().round == 1
    with pytest.raises(UsageError, match="no champion served before this one"):
        rounds.roll_back()
    assert rounds.roll_back("3").round == 3
    assert rounds.roll_back(first[:6], reason="it knew the wombats").round == 1
    assert rounds.serving() == 1
    history = champions.history(rounds.released)
    assert history["action"].tolist() == ["released"] * 3 + ["rolled back"] * 4
    assert history["reason"].tolist()[-1] == "it knew the wombats"
    assert bundle.check(rounds.released).model_digest == first
    assert read_table(rounds.released / "scores.parquet")["model"].tolist() == [first]


def test_after_a_roll_back_the_withdrawn_model_is_kept_too(rounds):
    for number in (1, 2):
        rounds.finish(number)
        rounds.release()
    rounds.roll_back()
    assert {name.split("-")[1] for name in names(rounds.champions)} == {"1", "2"}


@pytest.mark.parametrize("to", ["7", "abc", "ffffffff"])
def test_a_champion_that_never_was_is_not_found_and_those_there_are_named(rounds, to):
    for number in (1, 2):
        rounds.finish(number)
        rounds.release()
    with pytest.raises(UsageError, match=f"no former champion is called '{to}'") as refused:
        rounds.roll_back(to)
    assert "known: round-1-" in refused.value.mend


def test_without_a_champion_there_is_nothing_to_roll_back(rounds):
    champions.open_released(rounds.released)
    with pytest.raises(UsageError, match="there is no champion to roll back"):
        rounds.roll_back()


def test_a_round_that_made_two_champions_is_named_by_its_digest(rounds):
    for parent in ("a", "b", "c"):
        rounds.finish(1, parent_digest=parent)
        write_text(f"network {parent}", rounds.model / bundle.MODEL)
        card = replace(bundle.check(rounds.model), model_digest=digest(rounds.model / bundle.MODEL))
        write_json(asdict(card), rounds.model / bundle.CARD)
        write_table(pd.DataFrame({"model": [card.model_digest]}), rounds.scores)
        write_json({"verdict": "pass", "reason": "", "model": card.model_digest}, rounds.verdict)
        rounds.release()
    with pytest.raises(UsageError, match="several former champions are called '1'"):
        rounds.roll_back("1")


def test_a_former_champion_that_was_spoilt_does_not_serve(rounds):
    for number in (1, 2):
        rounds.finish(number)
        rounds.release()
    [kept] = rounds.champions.iterdir()
    write_text("x", kept / bundle.MODEL)
    with pytest.raises(DataError, match="not the one its card describes"):
        rounds.roll_back()
    assert rounds.serving() == 2


def test_a_former_champion_comes_back_from_dvcs_cache(rounds):
    dvc.run(rounds.root, "init", "--no-scm", "-q")
    for number in (1, 2):
        rounds.finish(number)
        rounds.release()
    [kept] = rounds.champions.iterdir()
    dvc.track(rounds.root, kept)
    for path in kept.iterdir():
        path.chmod(0o644)
        path.unlink()
    kept.rmdir()
    assert rounds.roll_back().round == 1
    assert rounds.serving() == 1


def test_a_former_champion_that_is_nowhere_is_said_in_dvcs_words(rounds):
    dvc.run(rounds.root, "init", "--no-scm", "-q")
    for number in (1, 2):
        rounds.finish(number)
        rounds.release()
    [kept] = rounds.champions.iterdir()
    write_text(
        "outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  hash: md5\n  path: lost\n",
        rounds.champions / "round-9-0123456789ab.dvc",
    )
    with pytest.raises(WallabyError, match="dvc checkout"):
        rounds.roll_back("9")
    assert rounds.serving() == 2
    assert kept.exists()


def test_what_every_champion_named_on_the_benchmarks_stays_with_the_champion(rounds):
    named = {"set": "benchmark:field", "sha256": "a" * 64, "label": "cat", "predicted": "cat", "label_rank": 1}
    for number in (1, 2, 3):
        card = rounds.finish(number)
        rows = [named | {"model": card.model_digest}, named | {"model": card.model_digest, "set": "train"}]
        write_table(pd.DataFrame(rows), rounds.scores)
        rounds.release()
    kept = former.read(rounds.released / former.FILE)
    assert kept["champion"].str.slice(0, 7).tolist() == ["round-1", "round-2"]
    assert set(kept["set"]) == {"benchmark:field"}
    (rounds.released / former.FILE).unlink()  # as in a repository that is older than the table
    everything = champions.former_scores(rounds.released, rounds.champions)
    assert everything["champion"].str.slice(0, 7).tolist() == ["round-1", "round-2", "round-3"]
