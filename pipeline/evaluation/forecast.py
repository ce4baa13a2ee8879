"""What the next round's model will be worth, told by a head that is refit on stored features: no picture is read.

A refit head is not the next model, whose other layers are trained too. So a head of the same kind is refit on the
present round's data as well, and the forecast is what the present model really got, moved by the difference of the two.
Where a class is new, there is nothing to move, and the head alone speaks.
"""

from statistics import NormalDist

import numpy as np
import pandas as pd

from pipeline.evaluation import independence, linear_head
from pipeline.evaluation.scores import clusters_of

LIKE = 20  # images' worth of belief that a class is as restless as all
FIGURES = ["n", "known", "now", "forecast", "low", "high", "gain", "gain_low", "gain_high", "verdict", "independent"]
FORECASTS = ["forecast", "low", "high", "gain", "gain_low", "gain_high"]
GAINS, LOSES, NEW = "gains", "loses", "new"


def say(features: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """What a linear head, fit to features (N, F) and their labels (N,), says of others (M, F): classes (M,)."""
    return linear_head.fit(features, labels).predict(asked)


def by(rows: pd.DataFrame, column: str, *, confidence: float, flips: float, recovered: float) -> pd.DataFrame:
    """The forecast for each value of a column, over images whose class the next model will know.

    Args:
      rows: an image each: `column`, `right_now` (of the present model: 1, 0, or NaN if it does not know the class),
        `before` and `after` (whether the head fit to the present and to the next round's data is right), and perhaps
        `cluster`: two trainings differ on images that belong together as on one.
      flips: share of images, at least, on which two trainings differ though nothing else does.
      recovered: share of the forecast's errors, at most, that training the other layers takes away.

    Returns:
      One row per value: it and `FIGURES`. `now` and `gain` are over the `known` images, `forecast` over all `n`, of
      which so many are `independent`; the intervals say where the next model's figure on these very images will lie.
      The verdict is that the figure changes, for sure for all values together (Bonferroni; Dunn 1961, Journal of the
      American Statistical Association 56: 52-64).
    """
    known = rows["right_now"].notna()
    moved = (rows["after"].astype(float) - rows["before"].astype(float)).where(known)
    strange = (rows["right_now"] - rows["before"].astype(float)) ** 2
    every = max(float(strange[known].mean()) if known.any() else 0.0, flips)
    value = (rows["right_now"] + moved).where(known, rows["after"].astype(float))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    judged = max(rows.loc[known, column].nunique(), 1)
    surer = NormalDist().inv_cdf(1 - (1 - confidence) / 2 / judged) / z  # all verdicts are right at once (Dunn 1961)
    told = rows.assign(known=known, moved=moved, strange=strange, value=value, cluster=clusters_of(rows))
    told["differ"] = (rows["right_now"] - rows["before"].astype(float)).fillna(0.0)
    found = []
    for name, own in told.groupby(column, sort=True):
        n, sure = len(own), int(own["known"].sum())
        restless = max((float(own["strange"].sum()) + LIKE * every) / (sure + LIKE), flips)
        new = own.loc[~own["known"], "value"]
        guessed = restless + float(new.mean() * (1 - new.mean())) if len(new) else 0.0
        sums = independence.gather(own["differ"], own["cluster"])
        wider = float(independence.inflation(sums, confidence=confidence)[0])
        doubt = wider * (2 * restless * sure + guessed * len(new))
        forecast, half = float(own["value"].mean()), z * float(np.sqrt(doubt)) / n
        gain = float(own["moved"].mean()) if sure else np.nan
        gain_half = z * float(np.sqrt(wider * 2 * restless / sure)) if sure else np.nan
        clear = surer * gain_half
        verdict = NEW if not sure else GAINS if gain > clear else LOSES if gain < -clear else ""
        bounds = np.clip([forecast, forecast - half, forecast + half + recovered * (1 - forecast)], 0, 1)
        moves = [gain, gain - gain_half, gain + gain_half]
        found.append([name, n, sure, float(own["right_now"].mean()), *bounds, *moves, verdict, int(sums.clusters[0])])
    return pd.DataFrame(found, columns=[column, *FIGURES]).round(4)


def silent(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Takes away what is forecast of known classes without a verdict (`by`): that they stay as they are is as good.

    Measured (docs/throwaway.md): the mean error of such forecasts is that of "stays".
    """
    unsaid = [name for name in FORECASTS if name in forecasts]
    return forecasts.assign(**{name: forecasts[name].where(forecasts["verdict"] != "") for name in unsaid})
