from pathlib import Path

import pandas as pd
import pytest
from builders import sha

from pipeline import paths
from pipeline.errors import UsageError
from pipeline.files import write_csv, write_table
from pipeline.library import quarantine
from pipeline.review import decisions, purging

AT = "2026-03-0{}T10:00:00"
PARAMS = "roots:\n  library: {library: library}\n  pool: {pool: pool}\n  benchmark: {}\n"


@pytest.fixture
def listed(tmp_path, monkeypatch) -> list[str]:
    """A queue that would put 40 images away, of which the first ten are drawn."""
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("configs/params.yaml").write_text(PARAMS)
    images = [f"pool/{i:02d}.jpg" for i in range(40)]
    whole = pd.DataFrame({"image": images, "sha256": [sha(image) for image in images], "score": 0.1, "model": "a" * 64})
    write_table(whole, paths.QUEUE / "whole/purge-low.parquet")
    write_table(whole.head(10), paths.QUEUE / "purge-low.parquet")
    write_csv(pd.DataFrame(columns=quarantine.COLUMNS), paths.QUARANTINE)
    return images


def judge(images: list[str], decision: str, *, at: int = 1) -> None:
    label = "emu" if decision == "label" else ""
    said = {"decision": decision, "label": label, "by": "ann", "at": AT.format(at)}
    decisions.write(pd.DataFrame({"image": images} | said), paths.REVIEWS, "session")


def accept(lost: float | None = 0.5, *, at: int = 2, dry_run: bool = False) -> int:
    return purging.accept(lost=lost, confidence=0.95, by="ann", at=AT.format(at), dry_run=dry_run)[1]


def test_nothing_is_put_away_before_the_whole_sample_is_judged(listed):
    judge(listed[:9], "bad")
    with pytest.raises(UsageError, match="1 of the 10 images drawn are not judged yet"):
        accept()
    assert quarantine.read(paths.QUARANTINE).empty


def test_the_bound_is_told_and_must_be_accepted(listed):
    judge(listed[:10], "bad")
    assert purging.audit(confidence=0.95).bound == pytest.approx(0.213, abs=0.001)  # 1.645² / (10 + 1.645²)
    assert "at most 21.3% of them are good (8 images)" in str(purging.audit(confidence=0.95))
    for lost in (None, 0.2):
        with pytest.raises(UsageError, match=r"at most 21.3% of 40 images are good") as error:
            accept(lost)
    assert error.value.mend.startswith("--lost 0.213")
    assert quarantine.read(paths.QUARANTINE).empty


def test_a_good_picture_in_the_sample_raises_the_bound_and_is_not_put_away(listed):
    judge(listed[:8], "bad")
    judge(listed[8:9], "label")
    judge(listed[9:10], "unknown")
    assert purging.audit(confidence=0.95).good == 2
    assert accept(0.6) == 38
    assert not quarantine.read(paths.QUARANTINE)["image"].isin(listed[8:10]).any()


def test_to_keep_is_no_judgement(listed):
    judge(listed[:10], "keep")
    assert purging.audit(confidence=0.95).judged == 0


def test_a_dry_run_puts_nothing_away(listed):
    judge(listed[:10], "bad")
    assert accept(dry_run=True) == 40
    assert quarantine.read(paths.QUARANTINE).empty


def test_undo_takes_back_what_was_put_away_last_and_only_that(listed):
    quarantine.write(
        pd.DataFrame([{"image": "pool/old.jpg", "sha256": sha("old"), "at": AT.format(1)}])
        .reindex(columns=quarantine.COLUMNS)
        .astype("object")
        .fillna(""),
        paths.QUARANTINE,
    )
    before = paths.QUARANTINE.read_bytes()
    judge(listed[:10], "bad")
    assert accept() == 40
    assert purging.undo(dry_run=False) == 40
    assert paths.QUARANTINE.read_bytes() == before


def test_what_is_away_already_is_not_put_away_twice(listed):
    judge(listed[:10], "bad")
    accept()
    with pytest.raises(UsageError, match="nothing to put into quarantine"):
        accept(at=3)


def test_an_empty_quarantine_has_nothing_to_undo(listed):
    with pytest.raises(UsageError, match="nothing is in quarantine"):
        purging.undo(dry_run=False)
