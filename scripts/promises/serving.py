"""Worlds of a service: a log of which the truth is known, audited by the real draw from a real SQLite store."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.serving import audits, evaluations
from pipeline.serving.reports import accuracy, estimates, model_comparison
from pipeline.serving.reports.log import KEY, Log
from pipeline.serving.store.opening import open_store
from pipeline.serving.verdicts import AUDIT, RIGHT, WRONG

from . import served_week
from .lines import Line, at_least, at_most, between, promise

ANSWERS, DRAWN = 6_000, 300
LIBRARY, EASY, HARD = 0.3, 0.99, 0.80  # share of traffic that the library has, and how right answers are on it and else
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Audited:
    """What a report says, and what is true: `low`, `high`, `truth`, and the shares told and truly `uncovered`."""

    low: float
    high: float
    truth: float
    uncovered: float
    truly_uncovered: float

    @property
    def right(self) -> bool:
        return self.low <= self.truth <= self.high


def traffic(random: np.random.Generator) -> tuple[pd.DataFrame, pd.Series, np.ndarray]:
    """Transactions without a `path`, whether each is right, and which the library has."""
    library = random.random(ANSWERS) < LIBRARY
    mean = np.where(library, EASY, HARD)
    score = random.beta(6 * mean, 6 * (1 - mean))
    right = pd.Series(random.random(ANSWERS) < score)
    rows = served_week.make(pictures=ANSWERS, seed=int(random.integers(2**31))).transactions.head(ANSWERS)
    contents = [f"{value:08x}{number:056x}" for number, value in enumerate(random.integers(0, 2**32, ANSWERS))]
    score = np.clip(score, 0.05, 1).round(6)
    plain = {"status": 200, "error": "", "version": "round-1", "label": "lion", "path": ""}
    rows = rows.assign(sha256=contents, score=score, shown=score >= 0.6, **plain)
    rows["top_labels"] = [["lion", "bear"]] * ANSWERS
    rows["top_scores"] = [[one, round(1 - one, 6)] for one in score.tolist()]
    return rows, right, library


def audited(share: float, random: np.random.Generator) -> Audited:
    """One log of a service that keeps this share of the contents that it does not know."""
    rows, right, library = traffic(random)
    kept = np.array([int(sha[:8], 16) / 2**32 < share for sha in rows["sha256"]]) & ~library
    rows["path"] = np.where(kept, "kept/" + rows["sha256"], "")
    with tempfile.TemporaryDirectory(prefix="promise-") as folder:
        engine = open_store(f"sqlite:///{Path(folder) / 'log.sqlite'}")
        try:
            served_week.write(engine, rows, "transactions")
            audits.draw(engine, DRAWN, at=served_week.MONDAY, known=rows.loc[library, "sha256"].tolist())
            waiting = audits.queue(engine)
            of = right.set_axis(pd.MultiIndex.from_frame(rows[KEY]))
            said = [
                {"request_id": request, "position": str(position), "source": AUDIT}
                | ({"verdict": RIGHT} if of[request, position] else {"verdict": WRONG, "truth": "bear"})
                for request, position in zip(waiting["request_id"], waiting["position"], strict=True)
            ]
            evaluations.record(engine, said, by="ada", at=served_week.MONDAY)
            log = Log(engine)
            units, design = accuracy.judged(log.audits(), log.evaluations())
        finally:
            engine.dispose()
    told = accuracy.overall(units, design, confidence=CONFIDENCE).set_index("measure").loc["right"]
    covered = accuracy.coverage(ANSWERS, design).iloc[0]["share"]
    everything = share > 0
    truth = right.mean() if everything else right[library].mean()
    return Audited(told["low"], told["high"], truth, 1 - covered, 0.0 if everything else 1 - library.mean())


@promise
def served_accuracy(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """Report: the share right of all usable images, where library and pool are easier than what is new (row 3)."""
    for share in (0.05, 0.2, 1.0, 0.0):
        played = [audited(share, random) for _ in range(runs)]
        name = f"served accuracy, {share:.0%} of new images kept"
        right = float(np.mean([one.right for one in played]))
        yield between(f"{name}: the interval is right", right, runs, 0.93, 0.98)
        wrong = float(np.mean([abs(one.uncovered - one.truly_uncovered) for one in played]))
        yield at_most(f"{name}: error of the share not covered", wrong, 10**6, 0.01)


def shadowed(*, gain: float, named: float, random: np.random.Generator, number: int = 1200) -> tuple[pd.Series, float]:
    """What is said of a candidate better by `gain`, where reviewers name the class of a share of the wrong answers."""
    hard = random.random(number)
    before, after = (0.5 * hard + 0.5 * random.random(number) < share for share in (0.75, 0.75 + gain))
    keys = {"request_id": [f"{place:05d}" for place in range(number)], "position": 0}
    unnamed = ~before & (random.random(number) >= named)
    units = pd.DataFrame(
        keys
        | {"version": "old", "label": np.where(before, "lion", "other"), "truth": np.where(unnamed, "", "lion")}
        | {"verdict": np.where(before, RIGHT, WRONG), "right": before, "in_classes": True, "usable": True}
        | {"cluster": keys["request_id"], "stratum": "all", "evaluated": True, "probability": 0.05}
    )
    says = pd.DataFrame(keys | {"shadow_version": "new", "shadow_label": np.where(after, "lion", "another")})
    row = model_comparison.shadowed(units, says, estimates.strata(units), confidence=CONFIDENCE).iloc[0]
    return row, right_share(0.75 + gain) - right_share(0.75)


def right_share(limit: float) -> float:
    """The chance that the mean of two uniform numbers is below `limit`, of .5 or more."""
    return 1 - 2 * (1 - limit) ** 2


@promise
def shadow(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """Better model by shadow, where reviewers name the class of half of the wrong answers, or of all (row 4)."""
    for named in (0.5, 1.0):
        rows = [shadowed(gain=0.04, named=named, random=random) for _ in range(runs)]
        name = f"shadow, a better candidate, class named of {named:.0%}"
        yield at_most(f"{name}: called worse", float(np.mean([row["high"] < 0 for row, _ in rows])), runs, 0.025)
        right = float(np.mean([row["low"] <= true <= row["high"] for row, true in rows]))
        yield at_least(f"{name}: the interval is right", right, 0.93, 2 * np.sqrt(0.05 * 0.95 / runs))
