"""`wallaby quarantine`, after a round that would put 40 images away."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.cli import program
from pipeline.commands import quarantine as command
from pipeline.errors import UsageError
from pipeline.files import write_csv, write_table, write_text
from pipeline.library import quarantine
from pipeline.review import decisions
from pipeline.review.purging import Audit
from pipeline.workspace import Workspace
from tests.library.builders import sha

AT = "2026-03-0{}T10:00:00"
PARAMS = (Path(__file__).parents[2] / "configs/params.yaml").read_text()


class Repository(Workspace):
    """A queue that would put 40 `images` away, of which the first ten are drawn."""

    def __init__(self, root: Path):
        super().__init__(root)
        write_text(PARAMS, self.params_file)
        self.images = [f"pool/{number:02d}.jpg" for number in range(40)]
        whole = pd.DataFrame({"image": self.images, "sha256": [sha(image) for image in self.images], "score": 0.1})
        whole["model"] = "a" * 64
        write_table(whole, self.queue / "whole/purge-low.parquet")
        write_table(whole.head(10), self.queue / "purge-low.parquet")
        write_csv(pd.DataFrame(columns=quarantine.COLUMNS), self.quarantine)

    def judge(self, images: list[str], decision: str, *, at: int = 1, recipe: str = "purge-low") -> None:
        label = "emu" if decision == "label" else ""
        rows = {"image": images, "decision": decision, "label": label, "by": "ann", "at": AT.format(at)}
        decisions.write(pd.DataFrame(rows).assign(recipe=recipe), self.reviews, "session")

    def audit(self) -> Audit:
        return command.show(self).data

    def accept(self, lost: float | None = 0.5, *, at: int = 2, dry_run: bool = False) -> int:
        return command.accept(self, lost=lost, by="ann", at=AT.format(at), dry_run=dry_run).data["put_away"]

    def away(self) -> pd.DataFrame:
        return quarantine.read(self.quarantine)


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path)


def test_nothing_is_put_away_before_the_whole_sample_is_judged(repo):
    repo.judge(repo.images[:9], "bad")
    with pytest.raises(UsageError, match="1 of the 10 images drawn are not judged yet"):
        repo.accept()
    assert repo.away().empty


def test_the_bound_is_told_and_must_be_accepted(repo):
    repo.judge(repo.images[:10], "bad")
    assert repo.audit().bound == 9 / 40  # of ten good ones, none is among ten drawn of 40 in 3.5 %; of nine, in 5.2 %
    assert "at most 22.5% of them are good (9 images), at 95% confidence\n" in command.show(repo).text
    for lost in (None, 0.2):
        with pytest.raises(UsageError, match=r"at most 22.5% of 40 images are good") as error:
            repo.accept(lost)
    assert error.value.mend.startswith("--lost 0.225")
    assert repo.away().empty


def test_a_good_picture_in_the_sample_raises_the_bound_and_is_not_put_away(repo):
    repo.judge(repo.images[:8], "bad")
    repo.judge(repo.images[8:9], "label")
    repo.judge(repo.images[9:10], "unknown")
    assert repo.audit().good == 2
    assert repo.accept(0.6) == 38
    assert not repo.away()["image"].isin(repo.images[8:10]).any()


def test_who_tries_another_list_pays_for_it(repo):
    repo.judge(repo.images[:10], "bad")
    first = repo.audit()
    repo.judge([f"pool/of an earlier list {number}.jpg" for number in range(10)], "bad")
    second = repo.audit()
    assert (first.tried, second.tried) == (1, 2)
    assert second.bound == 13 / 40  # at 0.8 % instead of 4 %
    assert "in all 2 lists tried together" in command.show(repo).text


def test_lists_before_the_last_one_put_away_are_paid_for(repo):
    repo.judge(["pool/of an earlier list.jpg"], "bad", at=1)
    put_away = pd.DataFrame([{"image": "pool/old.jpg", "sha256": sha("old"), "at": AT.format(2)}])
    quarantine.write(put_away.reindex(columns=quarantine.COLUMNS).astype("object").fillna(""), repo.quarantine)
    repo.judge(repo.images[:10], "bad", at=3)
    assert repo.audit().tried == 1


def test_what_was_decided_for_another_reason_is_no_list_tried(repo):
    repo.judge([f"pool/unknown {number}.jpg" for number in range(30)], "bad", recipe="unknown")
    assert repo.audit().tried == 1


def test_to_keep_is_no_judgement(repo):
    repo.judge(repo.images[:10], "keep")
    assert repo.audit().judged == 0


def test_a_dry_run_puts_nothing_away(repo):
    repo.judge(repo.images[:10], "bad")
    assert repo.accept(dry_run=True) == 40
    assert repo.away().empty


def test_undo_takes_back_what_was_put_away_last_and_only_that(repo):
    quarantine.write(
        pd.DataFrame([{"image": "pool/old.jpg", "sha256": sha("old"), "at": AT.format(1)}])
        .reindex(columns=quarantine.COLUMNS)
        .astype("object")
        .fillna(""),
        repo.quarantine,
    )
    before = repo.quarantine.read_bytes()
    repo.judge(repo.images[:10], "bad")
    assert repo.accept() == 40
    assert command.undo(repo).data == {"returned": 40}
    assert repo.quarantine.read_bytes() == before


def test_what_is_away_already_is_not_put_away_twice(repo):
    repo.judge(repo.images[:10], "bad")
    repo.accept()
    with pytest.raises(UsageError, match="nothing to put into quarantine"):
        repo.accept(at=3)


def test_an_empty_quarantine_has_nothing_to_undo(repo):
    with pytest.raises(UsageError, match="nothing is in quarantine"):
        command.undo(repo)


@pytest.mark.parametrize(
    "line", ["--lost 0.1 --by ann accept", "accept --by ann --lost 0.1", "--by ann accept --lost 0.1"]
)
def test_what_an_action_takes_may_stand_before_or_after_it(line):
    args = program().parse(["quarantine", *line.split()])
    assert (args.action, args.lost, args.by, args.dry_run) == ("accept", 0.1, "ann", False)


def test_a_mistyped_action_offers_the_nearest():
    with pytest.raises(UsageError, match="unknown action 'acept'") as error:
        program().parse(["quarantine", "acept"])
    assert error.value.mend == "did you mean 'accept'?"
