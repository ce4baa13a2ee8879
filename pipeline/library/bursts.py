"""Bursts: images of one event, found by names in sequence or capture times, and only where they also look alike.

How alike two neighbours must look is measured on the library itself. Pairs of one class that lie far apart say how
alike two independent images are; how many of all neighbours look less alike than the median of those tells which share
of the neighbours is independent. Images that are counted through, and have nothing to do with each other, stay apart;
frames of a video are tied even where they differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from pipeline.library import duplicates
from pipeline.library.likeness import LAGS, LONG_RUN, Independent, Vectors, similarities

MEDIAN = 0.5  # least likeness of a tie, as a chance among independent pairs, whatever else speaks for it
CHANCE = 0.05  # the same in long runs and over long pauses
MIXED = 0.1  # share of independent neighbours from which on a kind of neighbours is held to the stricter limit
PAUSES = (2.0, 10.0)  # seconds that divide pauses into kinds
FAST = 20  # neighbours within the shortest pause: many cameras write whole seconds, and the order within one is chance
MOST_AT_ONCE = 100  # images of one camera and one time; of more, the clock stood still
KIND = 50  # neighbours of a folder from which on it is a kind of its own
INSIDE = 200  # pairs in a large burst that say whether it is one event
LARGE = 20  # images from which on a burst can be a chain
STEPS = (0.03, 0.01, 0.003, 0.001, 0.0001)  # chances at which a chain is cut
LINK_COLUMNS = ["image", "other", "evidence", "detail", "similarity", "chance"]


class Evidence(StrEnum):
    """What ties two images, beside their look."""

    NAMES = "names in sequence"
    TIME = "capture times"
    LOOK = "second look"
    EARLIER = "an earlier round"
    NEIGHBOURHOOD = "close neighbours"


Looks = Callable[[Callable[[np.ndarray, np.ndarray], np.ndarray]], pd.DataFrame]
Neighbourhoods = Callable[[np.ndarray], pd.DataFrame]


@dataclass(frozen=True)
class Settings:
    """What may tie images.

    Attributes:
      names: whether names in sequence count as evidence.
      seconds: between the capture times of two neighbours, at most; 0: times do not count.
      false_links: share of the ties of each kind that may be wrong.
      max_share: of a class that a burst may have before it must be alike all through.
    """

    names: bool = True
    seconds: float = 60.0
    false_links: float = 0.02
    max_share: float = 0.5


@dataclass(frozen=True)
class Bursts:
    """What belongs together.

    Attributes:
      images: `image`, `sha256`, its `burst` (the smallest content hash in it, shortened; of an image that is alone its
        own) and the `evidence` for it, kinds joined by commas.
      links: `LINK_COLUMNS`, fewer than images: each says why two images belong together.
      chains: `label`, `images` and `first` of each burst that the guard has cut.
    """

    images: pd.DataFrame
    links: pd.DataFrame
    chains: list[dict[str, Any]]


def find(
    images: pd.DataFrame,
    vectors: Vectors,
    settings: Settings,
    *,
    before: pd.Series | None = None,
    looks: Looks | None = None,
    neighbourhoods: Neighbourhoods | None = None,
) -> Bursts:
    """Finds bursts.

    A pair of neighbours is tied if its q-value is at most `settings.false_links` (Storey 2002, "A direct approach to
    false discovery rates"), within neighbours of one kind: of one folder or pattern of names and one distance, or of
    one pause. Its p-value is the chance that two independent images of the class look as alike. Two images that people
    put into different groups are never tied; nor are two names whose capture times lie too far apart.

    Args:
      images: columns `image`, `sha256`, `label`, `together`, `taken` (ISO, or "") and `camera`; sorted by `image`.
      vectors: of the same images, in the same order.
      before: the burst that the lineage has of each image, "" of a new one; what it tied stays tied.
      looks: gives what a second look ties, `first`, `second` (positions) and `detail`; it is told which images may be
        tied that it finds alike: those that so few independent pairs are as alike as.
      neighbourhoods: gives further ties, `first`, `second` and `similarity`, from what is tied already: the number (N,)
        of each image's burst (`neighbourhoods.ties`).
    """
    if len(images) < 2:
        alone = duplicates.name(images["sha256"], np.arange(len(images)))
        alone = images[["image", "sha256"]].assign(burst=alone, evidence="")
        return Bursts(alone, pd.DataFrame(columns=LINK_COLUMNS), [])
    rows, kept = _neighbours(images, settings)
    independent, chains = Independent(rows, vectors), list[dict[str, Any]]()
    if len(kept):
        kept, chains = _without_chains(images, _tied(independent.judged(kept), settings), independent, settings)
    if looks is not None:
        found = _agreed(images, looks(independent.rarely_so_alike).assign(evidence=str(Evidence.LOOK)))
        kept = pd.concat([kept, found], ignore_index=True)
    component = _components(images, kept)
    if before is not None:
        stored = duplicates.same_pairs(before.reset_index(drop=True))
        stored = stored[component[stored[:, 0]] != component[stored[:, 1]]]
        found = pd.DataFrame(stored, columns=["first", "second"]).assign(evidence=str(Evidence.EARLIER))
        kept = pd.concat([kept, found], ignore_index=True)
        component = _components(images, kept)
    if neighbourhoods is not None:
        found = _agreed(images, neighbourhoods(component).assign(evidence=str(Evidence.NEIGHBOURHOOD)))
        kept = pd.concat([kept, found], ignore_index=True)
        component = _components(images, kept)
    name, told = duplicates.name(images["sha256"], component), _spanning(images, kept)
    return Bursts(images[["image", "sha256"]].assign(burst=name, evidence=_evidence(name, images, told)), told, chains)


def _components(images: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    links = np.concatenate(
        [pairs[["first", "second"]].to_numpy(dtype=np.intp), duplicates.same_pairs(images["sha256"])]
    )
    return duplicates.connected(len(images), links)


def between(images: pd.DataFrame, vectors: Vectors, settings: Settings, *, side: np.ndarray) -> pd.DataFrame:
    """Judges the neighbours by name or time of which one is on each of two sides, tied or not.

    Args:
      images, vectors: as in `find`.
      side: of each image (N,): 0 or 1; any other number is no side.

    Returns:
      `first` (position of the image of side 0), `second` (of side 1), `evidence`, `similarity` and `chance` (that two
      independent images of the class look as alike), one row per pair.
    """
    columns = ["first", "second", "evidence", "similarity", "chance"]
    if len(images) < 2:
        return pd.DataFrame(columns=columns)
    rows, pairs = _neighbours(images, settings)
    sides = np.sort(side[pairs[["first", "second"]].to_numpy(dtype=np.intp)], axis=1)
    pairs = pairs[(sides == [0, 1]).all(axis=1)].reset_index(drop=True)
    first, second = (pairs[name].to_numpy(dtype=np.intp) for name in ("first", "second"))
    in_order = side[first] == 0
    pairs = pairs.assign(first=np.where(in_order, first, second), second=np.where(in_order, second, first))
    return Independent(rows, vectors).judged(pairs)[columns] if len(pairs) else pairs.reindex(columns=columns)


def _neighbours(images: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images with their sequences, and the pairs that may be tied: neighbours by name or time."""
    rows = _with_sequences(images)
    pairs = pd.concat([_neighbours_by_name(rows, settings), _neighbours_by_time(rows, settings)], ignore_index=True)
    return rows, _agreed(images, pairs)


def of_several_events(evidence: pd.Series) -> pd.Series:
    """Whether each image (N,) is in a neighbourhood, which is no single event, by the `evidence` for its burst."""
    return evidence.str.contains(Evidence.NEIGHBOURHOOD, regex=False)


def _with_sequences(images: pd.DataFrame) -> pd.DataFrame:
    """Adds `run` (of names; -1: none), `number`, `pattern` of the name, `folder`, `seconds` and `clock`."""
    parts = images["image"].str.extract(r"^(.*/)([^/]*?)(\d+)(\D*)$").fillna("")
    counted = (parts[2] != "").to_numpy()
    run = pd.factorize(parts[0] + parts[1] + "\n" + parts[3])[0]
    number = pd.to_numeric(parts[2].str[-15:], errors="coerce").fillna(-1)
    folder = images["image"].str.rpartition("/")[0]
    root = images["image"].str.partition("/")[0]
    pattern = root + "/" + parts[1].str.replace(r"\d+", "#", regex=True) + "#" + parts[3]
    times = pd.to_datetime(images["taken"].where(images["taken"] != ""), errors="coerce", format="ISO8601")
    clock = images["camera"].where(images["camera"] != "", folder)
    return images.assign(
        run=np.where(counted, run, -1),
        number=number.to_numpy(),
        pattern=pattern.to_numpy(),
        folder=folder.to_numpy(),
        seconds=(times - pd.Timestamp(0)).dt.total_seconds().to_numpy(),
        clock=pd.factorize(clock)[0],
        label=images["label"].where(images["label"] != "", folder).to_numpy(),
    )


def _neighbours_by_name(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    order = np.lexsort((np.arange(len(rows)), rows["number"], rows["run"]))
    run = rows["run"].to_numpy()[order]
    lengths = np.bincount(run[run >= 0], minlength=run.max(initial=-1) + 1)
    pairs = []
    for lag in range(1, LAGS + 1 if settings.names else 1):
        same = (run[:-lag] == run[lag:]) & (run[:-lag] >= 0)
        first, second = order[:-lag][same], order[lag:][same]
        pause = np.abs(rows["seconds"].to_numpy()[first] - rows["seconds"].to_numpy()[second])
        one_clock = rows["clock"].to_numpy()[first] == rows["clock"].to_numpy()[second]
        apart = (pause > settings.seconds) & one_clock & (settings.seconds > 0)
        pairs.append(_pairs(first[~apart], second[~apart], Evidence.NAMES, lag))
    found = pd.concat(pairs, ignore_index=True) if pairs else _pairs(order[:0], order[:0], Evidence.NAMES, 0)
    first = found["first"].to_numpy()
    folder, pattern = (pd.factorize(rows[name])[0][first] for name in ("folder", "pattern"))
    neighbours = np.bincount(folder[found["lag"].to_numpy() == 1], minlength=folder.max(initial=-1) + 1)
    kind = np.where(neighbours[folder] >= KIND, folder, -1 - pattern)
    return found.assign(
        kind=kind, one_event=lengths[rows["run"].to_numpy()[first]] <= LONG_RUN if len(found) else False
    )


def _neighbours_by_time(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    seconds, clock = rows["seconds"].to_numpy(), rows["clock"].to_numpy()
    at_once = rows.groupby(["clock", "seconds"])["image"].transform("size").to_numpy()  # NaN without a time
    order = np.lexsort((np.arange(len(rows)), seconds, clock))
    of_class = rows.groupby("label")["image"].transform("size").to_numpy() * settings.max_share
    order = order[at_once[order] <= np.minimum(MOST_AT_ONCE, np.maximum(LARGE, of_class))[order]]
    pairs = []
    for lag in range(1, FAST + 1 if settings.seconds > 0 else 1):
        first, second = order[:-lag], order[lag:]
        pause = seconds[second] - seconds[first]
        near = (clock[first] == clock[second]) & (pause <= min(settings.seconds, PAUSES[0] if lag > LAGS else np.inf))
        kind = np.searchsorted(PAUSES, pause[near])
        found = _pairs(first[near], second[near], Evidence.TIME, lag)
        pairs.append(found.assign(kind=kind, one_event=kind <= 1, lag=np.where(kind, lag, 0)))
    empty = _pairs(order[:0], order[:0], Evidence.TIME, 0).assign(kind=0, one_event=False)
    return pd.concat(pairs, ignore_index=True) if pairs else empty


def _pairs(first: np.ndarray, second: np.ndarray, evidence: Evidence, lag: int) -> pd.DataFrame:
    return pd.DataFrame({"first": first, "second": second, "evidence": str(evidence), "lag": lag})


def _agreed(images: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Without pairs that people have put into different groups."""
    together = images["together"].to_numpy(dtype=object)
    one, other = together[pairs["first"]], together[pairs["second"]]
    return pairs[(one == other) | (one == "") | (other == "")].reset_index(drop=True)


def _tied(pairs: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The pairs whose q-value among those of their kind, evidence and distance is small enough."""
    kind = pairs.groupby(["evidence", "kind", "lag"], sort=False).ngroup().to_numpy()
    independent = _independent_shares(pairs, kind)[kind]
    rank = pairs["chance"].groupby(kind).rank(method="max")
    q = pd.Series(independent * np.bincount(kind)[kind] * pairs["chance"] / rank)
    order = np.argsort(-pairs["chance"].to_numpy(), kind="stable")
    q.iloc[order] = q.iloc[order].groupby(kind[order]).cummin()
    limit = np.where(pairs["one_event"] & (independent <= MIXED), MEDIAN, CHANCE)
    return pairs[(q <= settings.false_links) & (pairs["chance"] <= limit)].reset_index(drop=True)


def _independent_shares(pairs: pd.DataFrame, kind: np.ndarray) -> np.ndarray:
    """The share of independent neighbours in each kind, by how many are less alike than the median (Storey 2002).

    Within the shortest pause the order is chance, and a frame is like those next to it, not like all. There each image
    counts once, with the neighbour that is most alike, and the chance that one of so many is as alike (Sidak 1967).
    """
    number = np.bincount(kind)
    unlike = np.bincount(kind, pairs["chance"] > MEDIAN)
    at_once = pairs["lag"].to_numpy() == 0
    if at_once.any():
        some = pairs[at_once]
        ends = pd.concat([some["first"], some["second"]]).to_numpy()
        best = pd.concat([some["chance"]] * 2).groupby([np.tile(kind[at_once], 2), ends]).agg(["min", "size"])
        chance = 1 - (1 - best["min"]) ** best["size"]
        of = best.index.get_level_values(0).to_numpy()
        counted = np.unique(of)
        number[counted] = np.bincount(of)[counted]
        unlike[counted] = np.bincount(of, chance > MEDIAN)[counted]
    return np.minimum((1 + unlike) / (MEDIAN * number), 1.0)


def _without_chains(
    images: pd.DataFrame, links: pd.DataFrame, independent: Independent, settings: Settings
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Cuts each burst that holds too much of a class and is not alike all through, at its weakest ties."""
    sizes = np.bincount(independent.label)

    def found() -> tuple[np.ndarray, list[np.ndarray]]:
        component = duplicates.connected(len(images), links[["first", "second"]].to_numpy())
        return component, _chains(component, sizes, independent, settings)

    component, left = found()
    chains = [
        {
            "label": str(images["label"].iloc[members].mode().iloc[0]),
            "images": len(members),
            "first": images["image"].iloc[members].min(),
        }
        for members in left
    ]
    for step in (*STEPS, 0.0):
        if not left:
            break
        bad = np.isin(component[links["first"]], component[[members[0] for members in left]])
        links = links[~bad | (links["chance"] <= step).to_numpy()].reset_index(drop=True)
        component, left = found()
    return links, chains


def _chains(component: np.ndarray, sizes: np.ndarray, independent: Independent, settings: Settings) -> list[np.ndarray]:
    """The members of each burst that is too large for one event."""
    random, found = np.random.default_rng(0), []
    counts = np.bincount(component)
    for number in np.flatnonzero(counts >= LARGE):
        members = np.flatnonzero(component == number)
        labels, parts = np.unique(independent.label[members], return_counts=True)
        if not (parts > settings.max_share * sizes[labels]).any():
            continue
        first, second = random.choice(members, INSIDE), random.choice(members, INSIDE)
        first, second = first[first != second], second[first != second]
        similarity = similarities(independent.vectors, first, second)
        if np.median(independent.chances(first, second, similarity)) > MEDIAN / 2:
            found.append(members)
    return found


def _evidence(name: pd.Series, images: pd.DataFrame, links: pd.DataFrame) -> pd.Series:
    """What ties the images of each burst, kinds joined by commas; of images that are alone, nothing."""
    of = pd.Series(name.to_numpy(), index=images["image"].to_numpy())
    kinds = links.assign(burst=links["image"].map(of))[["burst", "evidence"]].drop_duplicates()
    joined = kinds.sort_values("evidence").groupby("burst")["evidence"].agg(", ".join)
    return name.map(joined).astype("str").fillna("")


def _spanning(images: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """As few links as hold all bursts together, the most alike first, with names."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    links = links.reindex(columns=["first", "second", "evidence", "detail", "lag", "similarity", "chance"])
    links = links.sort_values(["chance", "first", "second"], na_position="first", ignore_index=True)
    links = links[~links.duplicated(["first", "second"])].reset_index(drop=True)
    weights = np.arange(1, len(links) + 1)
    places = links["first"].to_numpy(dtype=np.intp), links["second"].to_numpy(dtype=np.intp)
    tree = minimum_spanning_tree(coo_array((weights, places), shape=(len(images), len(images))).tocsr()).tocoo()
    chosen = links.iloc[np.sort(tree.data.astype(np.intp)) - 1]
    names = images["image"].to_numpy(dtype=object)
    detail = chosen["detail"].where(chosen["evidence"] == Evidence.LOOK, "")
    return pd.DataFrame(
        {
            "image": names[chosen["first"].to_numpy(dtype=np.intp)],
            "other": names[chosen["second"].to_numpy(dtype=np.intp)],
            "evidence": chosen["evidence"].to_numpy(),
            "detail": detail.fillna("").to_numpy(),
            "similarity": chosen["similarity"].astype("float64").round(3).to_numpy(),
            "chance": chosen["chance"].astype("float64").round(6).to_numpy(),
        }
    ).sort_values(["image", "other"], ignore_index=True)
