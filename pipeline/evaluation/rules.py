"""The rules of the gate: what a candidate must not lose, each with a paired interval.

Every rule is a test of non-inferiority: it is met where the interval excludes a loss of its tolerance or more. A
candidate passes only if all are met, so one that is worse in any of them passes at most as often as that rule alone
lets it pass, and no rule needs a correction for the others: an intersection-union test (Berger 1982, Technometrics 24:
295-300; Berger, Hsu 1996, Statistical Science 11: 283-319). What further tries cost, `tries` says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from pipeline.evaluation import independence, intervals, paired_metrics, paired_scores, paired_statistics
from pipeline.evaluation.independence import images

RIGHT, SHOWN, REFUSED, BENCHMARK, NEW = "right", "shown", "refused", "benchmark", "new classes"
FORMER, BEFORE = "former champion", "labels before corrections"
METRIC = "metric"  # in the place of RIGHT, where another is chosen
MET, UNSURE, BROKEN, NOT_JUDGED = "met", "not sure", "broken", "not judged"
POWER = 0.8  # with which the images that are said to be enough tell that nothing is lost


@dataclass(frozen=True)
class Bounds:
    """What may be lost, as shares of the images.

    Attributes:
      shown: of right answers that are shown, and of images of no known class that are refused. It is wider than the
        tolerance of what is named: how many answers a threshold shows depends on luck (scripts/bench_promises.py).
      benchmark: of what is named right on one benchmark.
      new_right: share of the images of new classes that must be named right; 0: none.
    """

    shown: float = 0.1
    benchmark: float = 0.05
    new_right: float = 0.5


@dataclass(frozen=True)
class Rule:
    """One rule, and what the images say of it.

    Attributes:
      rule: one of the names above; `of`: the benchmark, former champion or metric that it is about, or "".
      n, independent: images.
      candidate, champion: shares, or values of the metric; of new classes, `champion` is the share that is asked for.
      difference, low, high: of these, with the interval that this try has; NaN of no image.
      tolerance: the loss that must be excluded.
      state: met, not sure, broken (a loss of more than the tolerance is sure) or not judged (too few images).
      needed: about how many images would tell with chance `POWER`; None if none would, or if it is not in question.
    """

    rule: str
    of: str
    n: int
    independent: int
    candidate: float
    champion: float
    difference: float
    low: float
    high: float
    tolerance: float
    state: str
    needed: int | None = None

    def compared(self) -> str:
        """The two shares, the images and the interval, as a sentence says them."""
        if self.rule == METRIC and self.of == paired_metrics.LOG_LOSS:
            counted = images(self.n, self.independent)
            values = f"log loss {self.candidate:.3f} against {self.champion:.3f} of {counted}"
            return f"{values}, {self._ends(-self.high, -self.low, '{:+.3f} to {:+.3f}')}"
        if self.rule == METRIC:
            values = f"{paired_metrics.WORDS[self.of]} {self.candidate:.1%} against {self.champion:.1%}"
            ends = self._ends(100 * self.low, 100 * self.high, "{:+.1f} to {:+.1f} points")
            return f"{values} of {images(self.n, self.independent)}, {ends}"
        return compared(vars(self), against=" asked for" if self.rule == NEW else "")

    @staticmethod
    def _ends(low: float, high: float, text: str) -> str:
        return "so few that no interval can be right" if np.isnan(low) else text.format(low, high)

    def would_tell(self) -> str:
        """How many images would tell, "" where that is not known."""
        if not self.needed or self.needed <= self.n:
            return ""
        return f"; about {images(self.needed, round(self.needed * self.independent / self.n))} would tell"


def find(
    pairs: pd.DataFrame,
    *,
    formers: Mapping[str, pd.DataFrame],
    before: pd.DataFrame | None,
    tolerance: float,
    bounds: Bounds,
    confidence: float,
    first: float,
    over_years: float,
    min_images: int,
    metric: str = paired_metrics.TOP1,
) -> list[Rule]:
    """The rules in the order in which they are said, first that of all images together.

    Args:
      pairs: as `paired_scores.align` gives them, with columns `shown` and `shown_before`, and for another metric than
        top-1 those that `paired_metrics.difference` needs.
      formers: the candidate's pairs with each former champion.
      before: the pairs under the labels as they were before people corrected some; None if none was corrected.
      confidence: two-sided, of this try; `first`: of a first one; `over_years`: of this try against former champions.
      min_images: a rule is judged on so many independent images.
      metric: of the first rule (`paired_metrics.WORDS`).
    """
    shared = paired_scores.shared(pairs)
    outside = pairs[pairs["standing"] == paired_scores.OUTSIDE]
    new = pairs[pairs["standing"] == paired_scores.NEW]
    known: dict[str, Any] = {"confidence": confidence, "first": first, "min_images": min_images}
    if metric == paired_metrics.TOP1:
        found = [_named(RIGHT, "", shared, tolerance, **known | {"min_images": 1})]
    else:
        found = [_measured(shared, metric, tolerance, confidence=confidence)]
    if before is not None:
        found.append(_named(BEFORE, "", paired_scores.shared(before), tolerance, **known))
    now, then = shared["right"] & shared["shown"], shared["right_before"] & shared["shown_before"]
    found.append(_paired(SHOWN, "", now, then, shared["cluster"], bounds.shown, **known))
    found.append(
        _paired(REFUSED, "", ~outside["shown"], ~outside["shown_before"], outside["cluster"], bounds.shown, **known)
    )
    sets = list(shared.groupby("set", sort=True))
    if len(sets) > 1:
        found += [_named(BENCHMARK, str(name), rows, max(bounds.benchmark, tolerance), **known) for name, rows in sets]
    if bounds.new_right:
        found.append(_of_new(new, bounds.new_right, confidence=confidence, min_images=min_images))
    years = known | {"confidence": over_years}
    earlier = [_named(FORMER, name, paired_scores.shared(rows), tolerance, **years) for name, rows in formers.items()]
    judged = [rule for rule in earlier if rule.state != NOT_JUDGED]
    found += [min(judged, key=lambda rule: rule.low)] if judged else earlier[:1]
    return found


def compared(row: Any, *, against: str = "") -> str:
    """Two shares, the images and the interval of their difference, as a sentence says them.

    Args:
      row: has `candidate`, `champion`, `n`, `independent`, `low` and `high`.
      against: what to say behind the share of the champion.
    """
    return (
        f"{row['candidate']:.1%} against {row['champion']:.1%}{against} of {images(row['n'], row['independent'])},"
        f" {100 * row['low']:+.1f} to {100 * row['high']:+.1f} points"
    )


def table(rules: list[Rule]) -> list[dict[str, Any]]:
    """The rules for JSON: no NaN, which it does not have."""
    return [
        {
            name: None if isinstance(value, float) and np.isnan(value) else round(value, 6) if name in SHARES else value
            for name, value in vars(rule).items()
        }
        for rule in rules
    ]


SHARES = ("candidate", "champion", "difference", "low", "high", "tolerance")


def _named(rule: str, of: str, rows: pd.DataFrame, tolerance: float, **more: Any) -> Rule:
    return _paired(rule, of, rows["right"], rows["right_before"], rows["cluster"], tolerance, **more)


def _paired(
    rule: str,
    of: str,
    now: pd.Series,
    then: pd.Series,
    cluster: pd.Series,
    tolerance: float,
    *,
    confidence: float,
    first: float,
    min_images: int,
) -> Rule:
    n, independent = len(now), int(cluster.nunique())
    if not n:
        return Rule(rule, of, 0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, tolerance, NOT_JUDGED)
    change = now.to_numpy().astype(int) - then.to_numpy().astype(int)
    gained, lost = int((change > 0).sum()), int((change < 0).sum())
    sums = independence.gather(change, cluster)
    (low,), (high,) = paired_statistics.difference(np.array([gained]), np.array([lost]), sums, confidence=confidence)
    state = MET if low > -tolerance else BROKEN if high < -tolerance else UNSURE
    if independent < min_images or (rule != RIGHT and independent < least(tolerance, first)):
        state = NOT_JUDGED
    needed = None
    if state == UNSURE:
        worth = float(independence.effective(sums, confidence=first)[0])
        needed = paired_statistics.needed(
            gained, lost, n, tolerance=tolerance, confidence=first, effective=worth, power=POWER
        )
    shares = float(now.mean()), float(then.mean()), float(change.mean()), float(low), float(high)
    return Rule(rule, of, n, independent, *shares, tolerance, state, needed)


def _measured(shared: pd.DataFrame, metric: str, tolerance: float, *, confidence: float) -> Rule:
    n, independent = len(shared), int(shared["cluster"].nunique())
    if not n:
        return Rule(METRIC, metric, 0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, tolerance, NOT_JUDGED)
    found = paired_metrics.difference(shared, metric, confidence=confidence)
    state = MET if found.low > -tolerance else BROKEN if found.high < -tolerance else UNSURE
    return Rule(METRIC, metric, n, independent, **vars(found), tolerance=tolerance, state=state)


def least(tolerance: float, confidence: float) -> int:
    """How many independent images can exclude a loss of `tolerance` at all: those on which both models agree."""
    if tolerance <= 0:
        return 1
    z = float(special.ndtri(0.5 + confidence / 2))
    return int(np.floor(z * z * (1 - tolerance) / tolerance)) + 1


def _of_new(new: pd.DataFrame, share: float, *, confidence: float, min_images: int) -> Rule:
    n, independent = len(new), int(new["cluster"].nunique())
    if not n:
        return Rule(NEW, "", 0, 0, np.nan, share, np.nan, np.nan, np.nan, 0.0, NOT_JUDGED)
    sums = independence.gather(new["right"], new["cluster"])
    (low,), (high,) = intervals.share(sums, confidence=confidence)
    low, high, right = float(low) - share, float(high) - share, float(new["right"].mean())
    state = MET if low > 0 else BROKEN if high < 0 else UNSURE
    state = NOT_JUDGED if independent < min_images else state
    needed = None
    if state == UNSURE and right > share:
        z, z_power = special.ndtri(0.5 + confidence / 2), special.ndtri(POWER)
        spread = z * np.sqrt(share * (1 - share)) + z_power * np.sqrt(right * (1 - right))
        worth = float(independence.effective(sums, confidence=confidence)[0])
        needed = int(np.ceil((spread / (right - share)) ** 2 * n / worth))
    return Rule(NEW, "", n, independent, right, share, right - share, low, high, 0.0, state, needed)
