"""Networks side by side: which are not beaten in both accuracy and speed, and which fits the data at hand."""

from collections.abc import Sequence

import pandas as pd

from pipeline.evaluation import independence, intervals, paired_statistics

HANDFUL, MANY = 50, 1000  # training images a class


def compare(measured: list[dict], cluster: Sequence[str] | None = None, *, confidence: float) -> pd.DataFrame:
    """One row per network, the most accurate first.

    Args:
      measured: `name`, `accuracy`, `images_per_second` and `right` (of each val image, in the same order) of each.
      cluster: of each val image, in that order; without, every one is alone.

    Returns:
      The same, without `right`, with the interval of the accuracy, `low` and `high`; `n` images and the `independent`
      ones among them; `p_best`, of the exact test against the most accurate (McNemar's, by clusters); `pareto`: no
      other network is better in one and as good in the other.
    """
    rows = pd.DataFrame(measured).sort_values(["accuracy", "images_per_second", "name"], ascending=[False, False, True])
    best = rows["right"].iloc[0]
    measures = [independence.gather(right, cluster) for right in rows["right"]]
    shares = [intervals.share(sums, confidence=confidence) for sums in measures]
    return rows.assign(
        n=rows["right"].map(len),
        independent=[int(sums.clusters[0]) for sums in measures],
        low=[float(low[0]) for low, _ in shares],
        high=[float(high[0]) for _, high in shares],
        p_best=[paired_statistics.mcnemar(best, right, cluster) for right in rows["right"]],
        pareto=pareto(rows),
    ).drop(columns="right")


def pareto(rows: pd.DataFrame) -> list[bool]:
    """Whether no other row has both measures at least as high, and one of them higher."""
    points = list(zip(rows["accuracy"], rows["images_per_second"], strict=True))
    return [not any(b[0] >= a[0] and b[1] >= a[1] and b != a for b in points) for a in points]


def fitting(rows: pd.DataFrame, *, confidence: float) -> pd.Series:
    """The fastest of those that the val images cannot tell from the most accurate."""
    equal = rows[rows["p_best"] > 1 - confidence]
    return equal.sort_values(["images_per_second", "accuracy"], ascending=False).iloc[0]


def advice(rows: pd.DataFrame, images_per_class: float, *, confidence: float) -> str:
    """Says in two sentences which network fits, and why.

    The amount of data says what to expect: the fewer pictures, the more pretrained weights help (Kornblith, Shlens,
    Le 2019, "Do Better ImageNet Models Transfer Better?"). The measured accuracies decide.

    Args:
      rows: as `compare` gives them.
      images_per_class: the median of the training set.
    """
    if images_per_class < HANDFUL:
        amount = "a handful: pretrained and frozen weights are the safe choice"
    elif images_per_class < MANY:
        amount = "some: pretrained weights that are trained on usually win"
    else:
        amount = "a lot: random weights can catch up with pretrained ones"
    best, fits = rows.iloc[0], fitting(rows, confidence=confidence)
    counted = independence.images(fits["n"], fits["independent"], word="")
    named = f"{fits['name']} fits ({fits['accuracy']:.1%} of {counted}, {fits['images_per_second']:.0f} images/s)"
    if fits["name"] == best["name"]:
        reason = "it is the most accurate" + (" and none is as good and faster" if len(rows) > 1 else "")
    else:
        times = fits["images_per_second"] / best["images_per_second"]
        reason = (
            f"{best['name']} has {best['accuracy']:.1%}, which so few images cannot tell from it"
            f" (McNemar p {fits['p_best']:.2f}), and {fits['name']} is {times:.1f} times faster"
        )
    return f"With {images_per_class:.0f} training images a class you have {amount}. Measured here, {named}: {reason}."
