"""Worlds of the gate over years: champions in a row, candidates in a row, and labels that are corrected."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.evaluation import paired_scores, paired_statistics, rules, tries
from pipeline.evaluation.rules import MET, NOT_JUDGED, UNSURE, Rule

from .gate import CHURN, CONFIDENCE, MIN_IMAGES, TOLERANCE
from .lines import Line, at_least, at_most, compared, error_of, promise

IMAGES, ROUNDS, START = 2000, 20, 0.95


def model(base: np.ndarray, right: float, random: np.random.Generator, *, churn: float = CHURN) -> np.ndarray:
    """What a model that is right in a share of all images names right (N,); two such models differ in `churn`.

    Args:
      base: what the first champion would name right if it had no luck of its own (N,), in `START` of all images.
    """
    gained = churn / 4 / (1 - START)
    lost = (START + churn / 4 - right) / START
    return np.where(base, random.random(len(base)) >= lost, random.random(len(base)) < gained)


def paired(now: np.ndarray, then: np.ndarray) -> pd.DataFrame:
    """The pairs of two models on images of classes that both know."""
    table = pd.DataFrame({"right": now, "right_before": then, "set": "field", "label": "a"})
    return table.assign(standing=paired_scores.SHARED, cluster=np.arange(len(now)), shown=True, shown_before=True)


def found(
    now: np.ndarray,
    champion: np.ndarray,
    formers: dict[str, np.ndarray],
    *,
    number: int = 1,
    ever: int = 1,
    before: pd.DataFrame | None = None,
) -> list[Rule]:
    return rules.find(
        paired(now, champion),
        formers={name: paired(now, then) for name, then in formers.items()},
        before=before,
        tolerance=TOLERANCE,
        bounds=rules.Bounds(),
        confidence=tries.paid(CONFIDENCE, number),
        first=CONFIDENCE,
        over_years=tries.paid(CONFIDENCE, ever),
        min_images=MIN_IMAGES,
    )


def passed(judged: list[Rule]) -> bool:
    return all(rule.state in (MET, NOT_JUDGED) for rule in judged)


def fallen(random: np.random.Generator, *, remembers: bool = True) -> float:
    """How much less the last champion is right than the first, where each candidate is worse than the champion.

    Args:
      remembers: whether former champions and tries count.
    """
    base = random.random(IMAGES) < START
    truth, champion, number = START, model(base, START, random), 0
    formers: dict[str, np.ndarray] = {}
    for ever in range(1, ROUNDS + 1):
        right, number = truth - random.uniform(0.005, 0.01), number + 1
        now = model(base, right, random)
        costs = {"number": number, "ever": ever} if remembers else {}
        if passed(found(now, champion, formers if remembers else {}, **costs)):
            formers[f"round {ever}"] = champion
            truth, champion, number = right, now, 0
    return START - truth


def lucky(random: np.random.Generator, *, remembers: bool = True) -> bool:
    """Whether one of many candidates passes, each worse than the champion by the tolerance."""
    base = random.random(IMAGES) < START
    champion = model(base, START, random)
    return any(
        passed(found(model(base, START - TOLERANCE, random), champion, {}, number=number if remembers else 1))
        for number in range(1, ROUNDS + 1)
    )


@promise
def gate_years(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 7: rounds that are each a little worse, and many tries, do not wear the gate down"""
    for remembers, line in ((False, "without memory"), (True, "")):
        losses = np.array([fallen(random, remembers=remembers) for _ in range(runs)])
        share = float((losses > TOLERANCE).mean())
        luck = float(np.mean([lucky(random, remembers=remembers) for _ in range(runs)]))
        what = f"gate, {ROUNDS} rounds, each worse by 0.5 to 1 point{line and f', {line}'}: "
        if remembers:
            yield at_most(what + "a loss beyond the tolerance", share, runs, 0.05)
            yield at_most(f"gate, {ROUNDS} tries, each worse by the tolerance: one passes", luck, runs, 0.05)
        else:
            yield compared(what + "a loss beyond the tolerance", share)
            yield compared(f"gate, {ROUNDS} tries, each worse by the tolerance, {line}: one passes", luck)
        yield compared(what + "points lost on average", 100 * float(losses.mean()))


def told(images: int, differing: float, random: np.random.Generator) -> int | None:
    """How many images would tell, if an equal model was not sure to be as good."""
    change = random.choice([1, -1, 0], images, p=[differing / 2, differing / 2, 1 - differing])
    judged = found(change == 1, change == -1, {})[0]
    return judged.needed if judged.state == UNSURE else None


@promise
def gate_images(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 8: on so many images as would tell, an equal model passes in 80 %"""
    for images, differing in ((245, 0.04), (500, 0.08), (1000, 0.16)):
        numbers = [number for _ in range(runs) if (number := told(images, differing, random))]
        passes = []
        for number in numbers:
            gained, lost, _ = random.multinomial(number, [differing / 2, differing / 2, 1 - differing], 100).T
            low, _ = paired_statistics.interval(gained, lost, np.full(100, number), confidence=CONFIDENCE)
            passes.append((low > -TOLERANCE).mean())
        what = f"gate, {images} images, {differing:.0%} differ: passes on as many as would tell"
        share = float(np.mean(passes)) if passes else np.nan
        yield at_least(what, share, 0.8, error_of(share, len(passes)))


def corrected(random: np.random.Generator, *, loss: float, both: bool = True) -> list[Rule]:
    """The rules where people corrected the benchmark's labels, but only those that the candidate contradicts.

    A tenth of the labels is wrong; the models are right in 80 % and differ in 30 %. Of a wrong label, a model that
    names the true class is wrong, until it is corrected.
    """
    wrong = random.random(IMAGES) < 0.1
    champion = random.random(IMAGES) < 0.8
    gained, lost = 0.15 / 0.2, (0.15 + loss) / 0.8
    now = np.where(champion, random.random(IMAGES) >= lost, random.random(IMAGES) < gained)
    still = wrong & ~now
    before = paired(now & ~wrong, champion & ~wrong)
    return found(now & ~still, champion & ~still, {}, before=before if both else None)


@promise
def gate_corrections(runs: int, random: np.random.Generator) -> Iterator[Line]:
    """row 9: an equal candidate does not look better because only its objections were corrected"""
    named = (rules.RIGHT, rules.BEFORE)
    for both, line in ((False, "today's labels alone"), (True, "both labels")):
        equal = [corrected(random, loss=0.0, both=both) for _ in range(runs)]
        better = float(np.mean([all(rule.low > 0 for rule in judged if rule.rule in named) for judged in equal]))
        worse = float(np.mean([passed(corrected(random, loss=TOLERANCE, both=both)) for _ in range(runs)]))
        if both:
            yield at_most(
                f"gate, corrected where the candidate objects, {line}: equal, looks better", better, runs, 0.05
            )
            yield at_most("gate, the same: worse by the tolerance, passes", worse, runs, 0.05)
        else:
            gain = np.mean([judged[0].difference for judged in equal])
            yield compared(f"gate, corrected where the candidate objects, {line}: points gained", 100 * float(gain))
            yield compared("gate, the same: equal, looks better", better)
            yield compared("gate, the same: worse by the tolerance, passes", worse)
