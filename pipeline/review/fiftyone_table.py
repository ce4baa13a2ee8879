"""A queue as a table for FiftyOne, the ten lines that load it there, and the table that these write."""

from pathlib import Path

import pandas as pd

from pipeline.files import atomic_folder, write_csv, write_text
from pipeline.library import cells, labels, tables

SAMPLES, ANSWERS, LOADER = "samples.csv", "answers.csv", "load.py"
GIVEN = ["decision", "subclass"]
COLUMNS = ["filepath", "image", "sha256", "recipe", "group", "rank", "label", "score", "reason", "model", *GIVEN]
LOADER_TEXT = '''\
"""Shows the queue in FiftyOne: tag pictures with a class, class/sub-class, yes, unknown, bad, keep; close the App."""

import csv
import fiftyone as fo

rows = list(csv.DictReader(open("samples.csv", encoding="utf-8", newline="")))
dataset = fo.Dataset("wallaby", overwrite=True)
for r in rows:
    seen = fo.Classification(label=r["label"], confidence=float(r["score"] or 0))
    told = {name: r[name] for name in ("recipe", "group", "reason")}  # pictures of one group show one event
    dataset.add_sample(fo.Sample(filepath=r["filepath"], prediction=seen, **told))
fo.launch_app(dataset).wait()
with open("answers.csv", "w", encoding="utf-8", newline="") as file:
    table = csv.DictWriter(file, rows[0])
    table.writeheader()
    table.writerows(r | {"decision": tag} for r, tags in zip(rows, dataset.values("tags")) for tag in tags or [""])
'''


def write(queue: pd.DataFrame, folder: Path, roots: dict[str, Path]) -> None:
    """Writes `samples.csv` and `load.py`, to be run in that folder by a Python with FiftyOne.

    Args:
      queue: columns `COLUMNS` but the first and those of `GIVEN`, in the order of work.
    """
    files = [str(labels.locate(image, roots).absolute()) for image in queue["image"]]
    with atomic_folder(folder) as new:
        write_csv(queue.assign(filepath=files, **dict.fromkeys(GIVEN, ""))[COLUMNS], new / SAMPLES)
        write_text(LOADER_TEXT, new / LOADER)


def read(path: Path, known: set[str]) -> pd.DataFrame:
    """What was decided: columns `image`, `sha256`, `answer`, `subclass`, `label`, `recipe`, `model`, a row a tag.

    A tag `lion/cub` is the class lion and its sub-class, if there is such a class and none of the whole name.

    Args:
      known: the classes there are, besides those that the table suggests.

    Raises:
      DataError: if a column is missing, or a content hash is none.
    """
    table = tables.read_csv(path, ["filepath", "image", "sha256", "label", "recipe", "model", "decision"])
    cells.check(table, path)
    folded = {name.casefold() for name in known | set(table["label"])}
    table = table[table["decision"] != ""].rename(columns={"decision": "answer"})
    table = table.reindex(columns=[*table.columns, *({"subclass"} - set(table))], fill_value="")
    parts = [_parts(tag, folded) for tag in table["answer"]]
    named = table["subclass"] != ""
    table["subclass"] = table["subclass"].where(named, [below for _, below in parts])
    table["answer"] = table["answer"].where(named, [name for name, _ in parts])
    where = [f"row {number + 2}" for number in table.index]
    return table[["image", "sha256", "answer", "subclass", "label", "recipe", "model"]].assign(where=where)


def _parts(tag: str, folded: set[str]) -> tuple[str, str]:
    """A tag's class and sub-class; of several classes that it may begin with, in whatever case, the longest name."""
    name, below = tag, ""
    while name and name.casefold() not in folded:
        name, _, last = name.rpartition("/")
        below = f"{last}/{below}" if below else last
    return (name, below) if name else (tag, "")
