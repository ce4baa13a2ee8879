"""How near test and benchmark images are to those that are trained on, measured by what a frozen network sees."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation import cosine
from pipeline.evaluation.scores import Matrix
from pipeline.library import duplicates
from pipeline.library.benchmarks import PREFIX

MOST = 2_000  # images of a set that are compared with all that are trained on
BLOCK = 8_192  # hashes of these, at once
BEYOND = 4  # bits beyond the limit of near-duplicates that are still looked at
CHANCE = 0.01  # of an alarm where both sets are as near
SUPERIORITY = 0.6  # share of pairs in which the test image is the nearer one, from which the difference matters
FEWEST = 10  # clusters of a set, below which nothing is concluded
COLUMNS = ["set", "image", "sha256", "label", "cluster", "other", "other_label", "similarity", "bits"]


@dataclass(frozen=True)
class Alarm:
    """The test set is nearer to the training set than a benchmark is.

    Attributes:
      benchmark: its name.
      chance: the one-sided p-value.
      superiority: how often a test image is nearer than one of the benchmark, 0 to 1; 0.5 where both are as near.
    """

    benchmark: str
    chance: float
    superiority: float


def nearest(rows: pd.DataFrame, vectors: Matrix, *, seed: int = 0) -> pd.DataFrame:
    """Finds for each image of test and benchmarks the image that is trained on and looks most alike.

    Of a set with more than `MOST` images, as many are drawn. What is torn is left out: it is counted elsewhere.

    Args:
      rows: of all sets, `splits.COLUMNS`.
      vectors: of the same images, in the same order.

    Returns:
      `COLUMNS`, the most alike first: `other` is the training image, `similarity` their cosine, and `bits` in how many
      bits the nearest hash of a training image differs (64 where either has none).
    """
    rows = rows.reset_index(drop=True)
    tested = (rows["set"] == "test") | rows["set"].str.startswith(PREFIX)
    random = np.random.default_rng(seed)
    chosen = [
        np.sort(random.permutation(places)[:MOST])
        for places in rows[tested & ~rows["torn"]].groupby("set").groups.values()
    ]
    trained = np.flatnonzero(rows["set"] == "train")
    if not chosen or not len(trained):
        return pd.DataFrame(columns=COLUMNS)
    asked = np.concatenate(chosen)
    place, similarity = (found[:, 0] for found in cosine.nearest(vectors, asked, trained, number=1))
    bits = least_bits(rows["phash"], asked, trained)
    table = rows.loc[asked, ["set", "image", "sha256", "label", "cluster"]].reset_index(drop=True)
    others = rows.loc[place, ["image", "label"]].to_numpy()
    table = table.assign(other=others[:, 0], other_label=others[:, 1], similarity=similarity.round(4), bits=bits)
    return table.sort_values(["similarity", "image"], ascending=[False, True], ignore_index=True)


def summary(near: pd.DataFrame, *, near_duplicate_distance: int) -> dict[str, dict[str, float | int]]:
    """For each set the `images` compared, the `median` similarity, and the hashes `within` and just `beyond` the limit.

    Args:
      near: as `nearest` returns it.
    """
    limit = near_duplicate_distance
    return {
        str(name): {
            "images": len(some),
            "median": round(float(some["similarity"].median()), 4),
            "within": int((some["bits"] <= limit).sum()),
            "beyond": int(((some["bits"] > limit) & (some["bits"] <= limit + BEYOND)).sum()),
        }
        for name, some in near.groupby("set")
    }


def alarms(near: pd.DataFrame) -> list[Alarm]:
    """Names the benchmarks that are further away from the training set than the test set is.

    Similarities are compared within a class, since classes differ in how alike their images are, and each cluster
    counts once: the one-sided rank-sum test of Mann and Whitney (1947).

    Args:
      near: as `nearest` returns it.
    """
    from scipy import stats  # here: it takes a second to import, and light commands need it not

    found = []
    test = near[near["set"] == "test"]
    for name in sorted(set(near["set"]) - {"test"}):
        both = pd.concat([test, near[near["set"] == name]])
        both = both[
            both["label"].isin(set(test["label"])) & both["label"].isin(set(both["label"][both["set"] == name]))
        ]
        both = both.assign(excess=both["similarity"] - both.groupby("label")["similarity"].transform("median"))
        clusters = both.groupby(["set", "cluster"])["excess"].mean()
        sides = [clusters.xs(key).to_numpy() for key in ("test", name) if key in clusters.index.get_level_values(0)]
        if len(sides) < 2 or min(map(len, sides)) < FEWEST:
            continue
        ranked = stats.mannwhitneyu(*sides, alternative="greater")
        superiority = float(ranked.statistic) / (len(sides[0]) * len(sides[1]))
        if ranked.pvalue < CHANCE and superiority >= SUPERIORITY:
            found.append(Alarm(name.removeprefix(PREFIX), float(ranked.pvalue), round(superiority, 3)))
    return found


def least_bits(phashes: pd.Series, asked: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """In how many bits (N,) the hash of each image asked differs from the nearest one trained on; 64 where unknown.

    Args:
      phashes: of all images, hexadecimal, or empty.
      asked, trained: positions among them.
    """
    known = (phashes != "").to_numpy()
    hashes = np.zeros(len(phashes), np.uint64)
    hashes[known] = duplicates.numbers(phashes[known])
    others = np.unique(hashes[trained[known[trained]]])
    bits = np.full(len(asked), duplicates.BITS)
    with_hash = np.flatnonzero(known[asked])
    for start in range(0, len(others), BLOCK):
        differing = np.bitwise_count(hashes[asked[with_hash], None] ^ others[start : start + BLOCK])
        bits[with_hash] = np.minimum(bits[with_hash], differing.min(axis=1))
    return bits
