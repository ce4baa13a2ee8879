"""The bursts among the images that a model has named, each judged as a whole: a table beside those of the images.

One row per image of a burst, in the order of the shards: `image`, `sha256`, its `place` in them, the `burst`, the
`evidence` for it, how many `frames` it has, and what the model makes of all frames together: `burst_label`,
`burst_score`, `burst_top_labels`, `burst_top_scores`. What it makes of each frame alone stands in the shards.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.evaluation import joint
from pipeline.files import read_arrow, write_pieces
from pipeline.inference import shards, store

ROWS, CLASSES = b"rows", b"classes"  # of the metadata: images in the shards, and classes that the model knows
AT_ONCE = 500_000  # frames judged together
SCHEMA = pa.schema(
    {
        "image": pa.string(),
        "sha256": pa.string(),
        "place": pa.int64(),
        "burst": pa.string(),
        "evidence": pa.string(),
        "frames": pa.int64(),
        "burst_label": pa.string(),
        "burst_score": pa.float64(),
        "burst_top_labels": pa.list_(pa.string()),
        "burst_top_scores": pa.list_(pa.float64()),
    }
)


@dataclass(frozen=True)
class Judged:
    """What a model makes of bursts.

    Attributes:
      frames: the `burst` (its number) of each image that is in one; the index: the place in the shards, ascending.
      bursts: `burst` (the name), `label` (categorical), `score` of each; the index: its number.
      details: reads `top_labels` and `top_scores` of some bursts, by name, which are the index.
      classes: how many the model knows.
    """

    frames: pd.Series
    bursts: pd.DataFrame
    details: Callable[[list[str]], pd.DataFrame]
    classes: int


def write(folder: Path, known: pd.DataFrame, classes: list[str], *, top_k: int, out: Path) -> int:
    """Judges the bursts of the images that a store has named; returns how many there are.

    Memory is linear in the frames: about 100 bytes each.

    Args:
      folder: of the shards.
      known: `sha256`, `burst` and `evidence` of contents that are in a burst; of a content that has several, the first.
      classes: the model's.
      top_k: classes kept of each burst.
      out: the table.
    """
    parts = shards.listed(folder)
    starts = shards.starts_of(parts)
    keys, first = np.unique(store.content_keys(known), return_index=True)
    names, number = np.unique(known["burst"].to_numpy(dtype=object)[first], return_inverse=True)
    evidence = known["evidence"].to_numpy(dtype=object)[first]

    def matched(shard: Path) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a shard that are named and in a burst, and where their contents stand among the keys."""
        rows = read_arrow(shard, ["sha256", "failure"]).to_pandas()
        place = store.place(store.content_keys(rows), keys)
        named = np.flatnonzero((place >= 0) & (rows["failure"] == "").to_numpy())
        return named, place[named]

    places = [matched(shard) for shard in parts] if len(keys) else []
    content = np.concatenate([np.empty(0, np.int64), *(place for _, place in places)])
    several = np.bincount(number[np.unique(content)], minlength=len(names)) > 1
    code = np.where(several, np.cumsum(several) - 1, -1)  # bursts of which several contents are named, without a gap
    frames = np.bincount(code[number[content]][several[number[content]]], minlength=int(several.sum()))
    in_bursts = []
    for rows, place in places:
        burst = code[number[place]]
        in_bursts.append((rows[burst >= 0], place[burst >= 0], burst[burst >= 0]))
    judged = _judged(parts, [(rows, burst) for rows, _, burst in in_bursts], frames, classes, top_k)
    texts = pa.array(classes, pa.string())

    def tables() -> Iterator[pa.Table]:
        for shard, start, (rows, place, burst) in zip(parts, starts, in_bursts if len(frames) else [], strict=False):
            label, score = judged.labels[burst], judged.scores[burst]
            listed = (label >= 0).sum(axis=1)
            offsets = pa.array(np.append(0, np.cumsum(listed)).astype(np.int32))
            yield pa.table(
                [
                    *read_arrow(shard, ["image", "sha256"]).take(rows).columns,
                    pa.array(rows + start),
                    pa.array(names[number[place]], pa.string()),
                    pa.array(evidence[place], pa.string()),
                    pa.array(frames[burst]),
                    texts.take(pa.array(label[:, 0])),
                    pa.array(score[:, 0]),
                    pa.ListArray.from_arrays(offsets, texts.take(pa.array(label[label >= 0]))),
                    pa.ListArray.from_arrays(offsets, pa.array(score[label >= 0])),
                ],
                schema=SCHEMA,
            )

    facts: dict[str, Any] = {ROWS.decode(): str(int(starts[-1])), CLASSES.decode(): str(len(classes))}
    write_pieces(tables(), SCHEMA, out, **facts)
    return len(frames)


def _judged(
    parts: list[Path],
    in_bursts: list[tuple[np.ndarray, np.ndarray]],
    frames: np.ndarray,
    classes: list[str],
    top_k: int,
) -> joint.Judgement:
    """Judges bursts in blocks of frames; of each shard, the rows that are in one, and the number of their burst."""
    number = pa.array(classes, pa.string())
    bursts, labels, scores = [], [], []
    for shard, (rows, burst) in zip(parts, in_bursts, strict=False):
        table = read_arrow(shard, ["top_labels", "top_scores"]).take(rows)
        bursts.append(burst)
        labels.append(_square(table["top_labels"], lambda values: pc.index_in(values, number).to_numpy(), top_k))
        scores.append(_square(table["top_scores"], lambda values: values.to_numpy(), top_k))
    made = [np.empty((0, top_k), np.int64)], [np.empty((0, top_k))]
    if len(frames):
        burst, label, score = np.concatenate(bursts), np.concatenate(labels), np.concatenate(scores)
        order = np.argsort(burst, kind="stable")
        ends = np.cumsum(frames)
        for block in _blocks(ends):
            some = order[(ends[block[0]] - frames[block[0]]) : ends[block[-1]]]
            known = score[some] >= 0
            judged = joint.judge(
                burst[some] - block[0],
                np.nonzero(known)[0],
                label[some][known].astype(np.int64),
                score[some][known].astype(np.float64),
                classes=len(classes),
                top_k=top_k,
            )
            made[0].append(judged.labels)
            made[1].append(judged.scores)
    return joint.Judgement(np.concatenate(made[0]), np.concatenate(made[1]))


def _blocks(ends: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of bursts, in blocks of about `AT_ONCE` frames."""
    numbers = np.arange(len(ends))
    yield from np.split(numbers, np.flatnonzero(np.diff(ends // AT_ONCE)) + 1)


def _square(lists: pa.ChunkedArray, values: Callable[[pa.Array], np.ndarray], width: int) -> np.ndarray:
    """The first values of lists as an array (N, width) float32, -1 where a list is shorter."""
    joined = lists.combine_chunks()
    joined = joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined
    length = pc.list_value_length(joined).to_numpy(zero_copy_only=False)
    square = np.full((len(joined), width), -1, np.float32)
    place = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    first = place < width
    square[np.repeat(np.arange(len(joined)), length)[first], place[first]] = values(pc.list_flatten(joined))[first]
    return square


def read(path: Path, folder: Path) -> Judged | None:
    """The bursts among the images that the store in `folder` has named; None where there are none.

    Raises:
      DataError: if they are those of another state of the store.
    """
    if not path.exists():
        return None
    facts = pq.read_schema(path).metadata
    if int(facts[ROWS]) != int(shards.starts_of(shards.listed(folder))[-1]):
        raise DataError("the bursts are those of other predictions", where=path, mend="run `dvc repro identify`")
    texts = ["burst", "burst_label"]
    table = pq.read_table(path, columns=["place", "burst_score", *texts], read_dictionary=texts).unify_dictionaries()
    if not len(table):
        return None
    name = table["burst"].combine_chunks().to_pandas().cat
    first = np.unique(name.codes.to_numpy(), return_index=True)[1]
    bursts = table.select(["burst_label", "burst_score"]).take(first).to_pandas()
    bursts = bursts.set_axis(["label", "score"], axis=1).assign(burst=name.categories.to_numpy(object))

    def details(some: list[str]) -> pd.DataFrame:
        lists = ["burst_top_labels", "burst_top_scores"]
        wanted = ds.dataset(path).to_table(
            filter=pc.field("burst").isin(pa.array(some, pa.string())), columns=["burst", *lists]
        )
        rows = wanted.to_pandas().drop_duplicates("burst").set_index("burst")
        return rows.set_axis(["top_labels", "top_scores"], axis=1)

    frames = pd.Series(name.codes.to_numpy().astype(np.int64), index=table["place"].to_numpy(), name="burst")
    return Judged(frames, bursts, details, int(facts[CLASSES]))
