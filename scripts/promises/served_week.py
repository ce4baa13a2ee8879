"""A made-up week of use of a served model, from a seed, of which the truth is known.

What is planted: a better model from Thursday noon on, which was a shadow since Wednesday; darker pictures on Saturday,
which both models name worse than they think; a class that neither has, and that many ask for; a client whose pictures
come all at once on Tuesday from 10 to 11. The reviewer answers what a random audit draws of each day, and does not err;
users complain of some of what is wrong.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import sqlalchemy as sa
from scipy import stats

from pipeline.serving import audits, evaluations
from pipeline.serving.reports.log import KEY
from pipeline.serving.reports.periods import DAY, HOUR
from pipeline.serving.store import schema
from pipeline.serving.verdicts import AUDIT, FEEDBACK, NOT_IN_CLASSES, RIGHT, UNUSABLE, WRONG

MONDAY = 20_514 * DAY  # 2 March 2026
CLASSES = ["antelope", "bear", "cheetah", "elephant", "giraffe", "hippo", "kangaroo", "lion", "tiger", "zebra"]
CLIENTS = {"app": 0.6, "website": 0.25, "museum": 0.1, "partner": 0.05}
STATUSES = {415: 0.004, 413: 0.001}  # refused pictures
COMPLAIN = 0.15  # of who is shown a wrong answer
BATCH = 20_000
SPREAD = 3.0  # of the scores: the lower, the more of them lie near 0 and 1


@dataclass(frozen=True)
class Planted:
    """What the report has to find."""

    before: str = "round-1"
    after: str = "round-2"
    released: int = MONDAY + 3 * DAY + 12 * HOUR
    right: dict[str, float] = field(default_factory=lambda: {"round-1": 0.82, "round-2": 0.9})  # of known classes
    expected: float = 0.93  # on test, of both
    weak: str = "hippo"  # found less often, by
    weaker: float = 0.35
    drift: int = MONDAY + 5 * DAY  # a day long
    darker: float = 0.25
    worse: float = 0.25
    unknown: str = "okapi"
    asked: float = 0.06  # share of the pictures
    taken_for: str = "zebra"
    peak: int = MONDAY + DAY + 10 * HOUR  # an hour long
    peak_client: str = "museum"
    unusable: float = 0.02


@dataclass(frozen=True)
class Week:
    """`transactions` and `shadows` as the schema has them; `truth` (N,), of each transaction, "" for unusable ones."""

    planted: Planted
    transactions: pd.DataFrame
    shadows: pd.DataFrame
    truth: pd.Series


def make(*, pictures: int = 20_000, seed: int = 0, planted: Planted = Planted()) -> Week:
    """Makes up a week of about that many pictures; the same seed gives the same week."""
    random = np.random.default_rng(seed)
    at = _times(pictures, random, planted)
    number = len(at)
    truth = np.where(
        random.random(number) < planted.asked, planted.unknown, random.choice(CLASSES, number, p=_frequencies())
    )
    drift = (at >= planted.drift) & (at < planted.drift + DAY)
    after = at >= planted.released
    client = random.choice(list(CLIENTS), number, p=list(CLIENTS.values()))
    client[(at >= planted.peak) & (at < planted.peak + HOUR)] = planted.peak_client
    requests, position = _requests(client)
    luck = random.random((4, number))  # one for both models: what is hard for one is hard for the other
    answers = {name: _answers(truth, drift, right, luck, planted) for name, right in planted.right.items()}
    status = random.choice([200, *STATUSES], number, p=[1 - sum(STATUSES.values()), *STATUSES.values()])
    rows = pd.DataFrame(
        {
            "request_id": [f"made-up-{seed}-{request:08d}" for request in requests],
            "position": position,
            "at": at,
            "client": client,
            "sha256": [f"{value:016x}" for value in random.integers(0, 2**63, number)],
            "bytes": random.integers(20_000, 400_000, number),
            "width": random.choice([640, 1024, 2048], number),
            "height": random.choice([480, 768, 1536], number),
            "runtime": "keras",
            "threshold": 0.6,
            "version": np.where(after, planted.after, planted.before),
            "brightness": np.clip(random.normal(0.5, 0.12, number) - planted.darker * drift, 0, 1),
            "latency_ms": random.gamma(4, 6, number) + 8,
            "status": status,
            "error": np.where(status == 200, "", "not a picture that can be read"),
        }
    )
    rows["model"] = rows["version"].map(_digest)
    rows["path"] = "made-up/" + rows["sha256"] + ".jpg"
    said = answers[planted.before].mask(pd.Series(after), answers[planted.after])
    rows = pd.concat([rows, said], axis=1)
    refused = (rows["status"] != 200).to_numpy()
    rows.loc[refused, ["label", "path"]] = ""
    rows.loc[refused, ["score", "shown"]] = [0.0, False]
    shadow = (at >= planted.released - DAY) & ~after & ~refused
    shadows = pd.concat([rows[[*KEY, "at", "latency_ms"]], answers[planted.after]], axis=1)[shadow]
    shadows = shadows.assign(version=planted.after, model=_digest(planted.after))
    known = pd.Series(truth).mask(pd.Series(random.random(number) < planted.unusable), "")
    return Week(planted, rows, shadows.reset_index(drop=True), known)


def fill(engine: sa.Engine, week: Week, *, audited: int = 250, by: str = "ada", seed: int = 0) -> None:
    """Writes the week into an empty store, day by day, as it would have come: each night, `audited` pictures are drawn
    and evaluated."""
    with engine.begin() as connection:
        connection.execute(sa.insert(schema.releases), releases(week.planted))
    days = week.transactions["at"] // DAY
    truth = week.truth.set_axis(pd.MultiIndex.from_frame(week.transactions[KEY]))
    for day in sorted(days.unique()):
        night = int(day + 1) * DAY
        write(engine, week.transactions[days == day], "transactions")
        write(engine, week.shadows[week.shadows["at"] // DAY == day], "shadows")
        audits.draw(engine, audited, at=night)
        waiting = audits.queue(engine)
        said = [
            _verdict(request, position, label, truth[request, position]) | {"source": AUDIT}
            for request, position, label in zip(
                waiting["request_id"], waiting["position"], waiting["label"], strict=True
            )
        ]
        evaluations.record(engine, said, by=by, at=night)
    complain(engine, week, seed=seed)


def complain(engine: sa.Engine, week: Week, *, seed: int = 0) -> None:
    """Some of those who were shown a wrong answer say so; what it is, half of them."""
    random = np.random.default_rng(seed)
    rows = week.transactions.assign(truth=week.truth)
    rows = rows[
        (rows["status"] == 200) & rows["shown"].astype(bool) & (rows["label"] != rows["truth"]) & (rows["truth"] != "")
    ]
    rows = rows[random.random(len(rows)) < COMPLAIN]
    named = random.random(len(rows)) < 0.5
    said = pd.DataFrame(
        {
            **{name: rows[name] for name in KEY},
            "at": rows["at"] + 60_000_000,
            "by": rows["client"],
            "verdict": np.where(rows["truth"] == week.planted.unknown, NOT_IN_CLASSES, WRONG),
            "label": rows["truth"].where(named, ""),
            "source": FEEDBACK,
        }
    )
    write(engine, said, "evaluations")


def releases(planted: Planted) -> list[dict[str, object]]:
    """The two models, as the service records them."""
    classes = {label: {"n": 40, "top1": planted.expected} for label in CLASSES}
    expected = {"test": {"n": 400, "top1": planted.expected, "classes": classes}}
    begun = {planted.before: MONDAY, planted.after: planted.released}
    return [
        {"model": _digest(version), "version": version, "at": at, "classes": CLASSES}
        | {"threshold": 0.6, "expected": expected}
        for version, at in begun.items()
    ]


def write(engine: sa.Engine, rows: pd.DataFrame, table: str) -> None:
    """Adds rows to a table of the store."""
    for first in range(0, len(rows), BATCH):
        with engine.begin() as connection:
            some = rows.iloc[first : first + BATCH].to_dict("records")
            connection.execute(sa.insert(schema.metadata.tables[table]), some)


def _frequencies() -> np.ndarray:
    """Of the classes: some are seen five times as often as others."""
    weight = np.linspace(1, 5, len(CLASSES))
    return weight / weight.sum()


def _times(pictures: int, random: np.random.Generator, planted: Planted) -> np.ndarray:
    """When pictures come, in order: more by day than by night, and many in the peak's hour."""
    hour = (np.arange(24) + 0.5) / 24
    rate = 1.2 - np.cos(2 * np.pi * hour)
    within = random.choice(24, pictures, p=rate / rate.sum()) * HOUR + random.integers(0, HOUR, pictures)
    usual = MONDAY + random.integers(0, 7, pictures) * DAY + within
    peak = planted.peak + random.integers(0, HOUR, pictures // 40)
    return np.sort(np.concatenate([usual, peak]))


def _requests(client: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of one client that follow each other come in one request, up to two at once."""
    same = np.r_[False, client[1:] == client[:-1]]
    same[2:] &= ~same[1:-1]  # of three in a row, at most two are one request
    second = same & ~np.r_[False, same[:-1]] & (np.arange(len(client)) % 3 == 0)
    return np.cumsum(~second), second.astype(int)


def _answers(truth: np.ndarray, drift: np.ndarray, right: float, luck: np.ndarray, planted: Planted) -> pd.DataFrame:
    """What a model says: calibrated on ordinary days, too sure of itself on darker pictures."""
    outside = truth == planted.unknown
    mean = right - planted.weaker * (truth == planted.weak)
    score = stats.beta.ppf(luck[0], SPREAD * mean, SPREAD * (1 - mean))
    score[outside] = stats.beta.ppf(luck[0][outside], 2, 2)
    hit = luck[1] < score - planted.worse * drift
    other = np.asarray(CLASSES)[(luck[2] * len(CLASSES)).astype(int)]
    other = np.where(other == truth, np.roll(CLASSES, 1)[np.searchsorted(CLASSES, other)], other)
    other = np.where(outside & (luck[3] < 0.7), planted.taken_for, other)
    label = np.where(hit & ~outside, truth, other)
    second = np.where(label == CLASSES[0], CLASSES[1], CLASSES[0])
    score = np.clip(score, 1 / len(CLASSES), 1).round(6)
    return pd.DataFrame(
        {
            "label": label.astype(object),
            "score": score,
            "shown": score >= 0.6,
            "top_labels": [list(pair) for pair in zip(label.tolist(), second.tolist(), strict=True)],
            "top_scores": [[one, round(1 - one, 6)] for one in score.tolist()],
        }
    )


def _verdict(request: str, position: int, label: str, truth: str) -> dict[str, str]:
    told = {"request_id": request, "position": str(position), "truth": ""}
    if truth == "":
        return told | {"verdict": UNUSABLE}
    if truth == label:
        return told | {"verdict": RIGHT}
    return told | {"verdict": WRONG if truth in CLASSES else NOT_IN_CLASSES, "truth": truth}


def _digest(version: str) -> str:
    return (version.encode().hex() * 8)[:64]
