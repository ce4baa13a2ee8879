"""The second look at what hashes bring together: which contents are the same, and which are tied."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from pipeline.library import duplicates, looks
from pipeline.library.look_store import Looks

TIE_DISTANCE = 6  # bits between the hashes of views that are looked at
CONTENTS = 65_536  # whose looks are in memory at once, unless one candidate group has more
LEAST_SIDE = 64  # pixels: a smaller image shows too little to be tied for being alike
COMPARISONS = 256  # per content, about; what is left stays apart
COLUMNS = ["first", "second", "view", "verdict", "detail"]


def confirmed(contents: pd.Series, hashes: np.ndarray, component: np.ndarray, distance: int, seen: Looks) -> np.ndarray:
    """Pairs (M, 2) of positions, fewer than contents, that connect contents that are the same.

    Within a candidate group, the first content by its hash leads: those after it that are near and look the same go
    with it; the first that has no leader leads next. What has no look is the same as what it is near to.

    Args:
      contents: distinct content hashes (N,).
      hashes: (N,) uint64, of which none is empty.
      component: (N,) the candidate group of each.
      distance: of near hashes, in bits.
    """
    order = np.lexsort((contents.to_numpy(dtype=object).astype("U64"), component))
    starts = np.flatnonzero(np.diff(component[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    several = sizes > 1
    links = [np.empty((0, 2), np.intp)]
    for part in _portions(sizes[several]):
        begin, size = starts[several][part], sizes[several][part]
        rows = order[_ranges(begin, size)]
        ends = np.cumsum(size)
        last = np.repeat(ends, size)
        known, images = seen.of(contents.iloc[rows].tolist())
        links.append(rows[_led(hashes[rows], ends - size, last, known, images, distance)])
    return np.concatenate(links)


def ties(
    rows: pd.DataFrame,
    seen: Looks,
    accept: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    distance: int = TIE_DISTANCE,
) -> pd.DataFrame:
    """Finds contents that are the same, or alike, in any view: mirrored, turned, cropped, framed, with a watermark.

    Args:
      rows: of the index: `sha256`, `phash`, `views`, `width` and `height`.
      seen: their looks; what has none is tied to nothing.
      accept: whether images (positions in `rows`, twice (M,)) that are alike may be tied; what is the same always is.
      distance: bits between the hashes of two views, at most.

    Returns:
      `first`, `second` (positions in `rows`), `view` (of the second, beside the first as it is), `verdict` (`same` or
      `alike`) and `detail`, in words; fewer than rows, which connect what belongs together. Equal contents are left
      out.
    """
    known = (rows["phash"] != "").to_numpy()
    place = np.flatnonzero(known & ~rows["sha256"].duplicated().to_numpy())
    place = place[np.argsort(rows["sha256"].to_numpy(dtype=object)[place].astype("U64"), kind="stable")]
    large = (rows[["width", "height"]].min(axis=1) >= LEAST_SIDE).to_numpy()

    def may_be_alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        first, second = place[first], place[second]
        return large[first] & large[second] & accept(first, second)

    tied = _Ties(rows["sha256"].iloc[place], seen, may_be_alike)
    for view, pairs in _candidates(rows.iloc[place], distance, tied.component):
        tied.add(pairs, view)
    columns = dict.fromkeys(COLUMNS, "str") | {"first": "int64", "second": "int64"}
    if not tied.found:
        return pd.DataFrame(columns=COLUMNS).astype(columns)
    found = pd.concat(tied.found, ignore_index=True)
    found["first"], found["second"] = place[found["first"]], place[found["second"]]
    found["detail"] = found["verdict"] + np.where(found["view"] == looks.OWN, "", " (" + found["view"] + ")")
    return found[COLUMNS].astype(columns)


class _Ties:
    """What is tied so far: `found` pairs, and the `component` of each content, which is changed in place."""

    def __init__(
        self, contents: pd.Series, seen: Looks, accept: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> None:
        self._contents, self._seen, self._accept = contents, seen, accept
        self.component = np.arange(len(contents))
        self.found: list[pd.DataFrame] = []
        self._compared = np.zeros(len(contents), np.int64)

    def add(self, pairs: np.ndarray, view: str) -> None:
        """Looks at pairs (M, 2), of which the second is near in this view, and ties what is the same or alike."""
        pairs = pairs[self.component[pairs[:, 0]] != self.component[pairs[:, 1]]]
        pairs = pairs[(self._compared[pairs] < COMPARISONS).all(axis=1)]  # a fixed camera has n x n near pairs
        if not len(pairs):
            return
        np.add.at(self._compared, pairs.ravel(), 1)
        both, inverse = np.unique(pairs, return_inverse=True)
        known, images = self._seen.of(self._contents.iloc[both].tolist())
        first, second = inverse.reshape(-1, 2).T
        seen = known[first] & known[second]
        pairs, first, second = pairs[seen], first[seen], second[seen]
        accepted = self._accept(*pairs.T)
        found = looks.verdicts(images[first], images[second], [view] * len(pairs), accepted)
        verdicts = np.array(found, dtype=object)
        tied = verdicts != looks.UNLIKE
        pairs, verdicts = pairs[tied], verdicts[tied]
        tree = _tree(self.component, pairs)
        columns = {"first": pairs[tree, 0], "second": pairs[tree, 1], "view": view, "verdict": verdicts[tree]}
        self.found.append(pd.DataFrame(columns))
        links = np.concatenate([_as_pairs(self.component), pairs])
        self.component[:] = duplicates.connected(len(self.component), links)


def _candidates(rows: pd.DataFrame, distance: int, component: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yields a view and pairs (M, 2), of which the second is near in this view; not of one `component`."""
    own = duplicates.numbers(rows["phash"])
    hashes_of = (looks.of_view(rows["views"], number) for number in range(len(looks.VIEWS)))
    views = {
        view: duplicates.numbers(hashes.where(hashes != "", looks.NONE))
        for view, hashes in zip(looks.VIEWS, hashes_of, strict=True)
    }
    trimmed = np.where(views["trim"] != 0, views["trim"], own)
    everything = np.arange(len(own))
    for view, first, second, places in [
        (looks.OWN, own, own[:0], everything[:0]),
        (looks.TRIMMED, trimmed, own[:0], everything[:0]),
        *((view, own, hashes[hashes != 0], np.flatnonzero(hashes)) for view, hashes in views.items()),
    ]:
        of = np.concatenate([everything, places])
        is_view = np.arange(len(of)) >= len(own)
        for pairs in duplicates.near_stream(np.concatenate([first, second]), distance, partial(np.take, component, of)):
            if len(second):  # one is an image as it is, the other a view
                pairs = np.where(is_view[pairs[:, :1]], pairs[:, ::-1], pairs)
                pairs = pairs[~is_view[pairs[:, 0]] & is_view[pairs[:, 1]]]
            yield view, of[pairs]


def _led(
    hashes: np.ndarray, starts: np.ndarray, last: np.ndarray, known: np.ndarray, images: np.ndarray, distance: int
) -> np.ndarray:
    """Pairs of leaders and of those that go with them, of groups that lie side by side and end at `last`."""
    led = np.zeros(len(hashes), bool)
    budget = COMPARISONS * (last[starts] - starts)
    leaders, links = starts.copy(), [np.empty((0, 2), np.intp)]
    while True:
        active = (leaders < last[starts]) & (budget > 0)
        if not active.any():
            return np.concatenate(links)
        first = leaders[active]
        number = last[first] - first - 1
        pairs = np.stack([np.repeat(first, number), _ranges(first + 1, number)], axis=1)
        pairs = pairs[np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]) <= distance]
        checked = known[pairs].all(axis=1)
        equal = ~checked
        equal[checked] = looks.same(images[pairs[checked, 0]], images[pairs[checked, 1]])
        np.subtract.at(budget, np.searchsorted(starts, pairs[:, 0], side="right") - 1, 1)
        led[pairs[equal, 1]] = True
        links.append(pairs[equal])
        leaders[active] = _next(led, first + 1, last[first])


def _next(led: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The first place from each `begin` on that has no leader, or `end`."""
    free = np.append(np.flatnonzero(~led), len(led))
    return np.minimum(free[np.searchsorted(free, begin)], end)


def _portions(sizes: np.ndarray) -> list[slice]:
    """Parts of groups, side by side, with CONTENTS contents or a single group in each."""
    cut = [0]
    total = 0
    for place, size in enumerate(sizes.tolist()):
        if total and total + size > CONTENTS:
            cut.append(place)
            total = 0
        total += size
    return [slice(begin, end) for begin, end in zip(cut, [*cut[1:], len(sizes)], strict=True) if end > begin]


def _ranges(begin: np.ndarray, number: np.ndarray) -> np.ndarray:
    """The numbers from each `begin` on, as many as `number` says, one range after the other."""
    return np.repeat(begin - np.concatenate([[0], np.cumsum(number)[:-1]]), number) + np.arange(number.sum())


def _as_pairs(component: np.ndarray) -> np.ndarray:
    """Pairs that connect the members of each component."""
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return np.stack([first[inverse], np.arange(len(component))], axis=1)


def _tree(component: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Which pairs, in their order, first connect two components."""
    parent: dict[int, int] = {}

    def root(one: int) -> int:
        while (above := parent.get(one, one)) != one:
            parent[one] = parent.get(above, above)
            one = above
        return one

    joins = np.zeros(len(pairs), bool)
    for place, (one, other) in enumerate(component[pairs].tolist()):
        first, second = root(one), root(other)
        if first != second:
            parent[second] = first
            joins[place] = True
    return joins
