"""Benchmark sets: hand-kept tables `data/benchmarks/NAME.csv`, frozen; changing one makes a new version.

Columns `image` and `label`; an empty label means that the picture shows nothing the model should know. `sha256`, which
older tables lack, is the content that the label was given to.
"""

import hashlib
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.files import write_csv
from pipeline.library import cells, labels

PREFIX = "benchmark:"
COLUMNS = ["benchmark", "image", "label", "sha256"]


def read_all(folder: Path, root_names: list[str]) -> pd.DataFrame:
    """Reads every set of `folder` into one table (`COLUMNS`), sorted by set and image.

    Raises:
      DataError: with file and row; also for an empty set, and for an image that two sets share.
    """
    tables = [pd.DataFrame(columns=COLUMNS, dtype=str)]
    for file in sorted(folder.glob("[!.]*.csv")):
        table = labels.read_csv(file, ["image", "label"])
        labels.check_images(table["image"], root_names, file)
        labels.check_labels(table, file)
        cells.check(table, file)
        if table.empty:
            raise DataError("the benchmark set is empty", where=file, mend="name its images, or remove the file")
        table = table.reindex(columns=[*table.columns, *({"sha256"} - set(table))], fill_value="")
        tables.append(table.assign(benchmark=file.stem)[COLUMNS])
    everything = pd.concat(tables, ignore_index=True).sort_values(["benchmark", "image"], ignore_index=True)
    shared = everything[everything["image"].duplicated(keep=False)]
    if len(shared):
        first = shared["image"].iloc[0]
        names = " and ".join(shared.loc[shared["image"] == first, "benchmark"])
        raise DataError(f"{first} is in two benchmark sets", where=f"{folder}: {names}", mend="keep it in one of them")
    return everything


def replaced(listed: pd.DataFrame, library: pd.DataFrame) -> pd.Series:
    """The images whose file has another content than their label was given to: no set is measured on them until a
    person confirms or corrects the label.

    Args:
      listed: `COLUMNS`.
      library: the index's library table.
    """
    now = listed["image"].map(library.drop_duplicates("image").set_index("image")["sha256"]).astype("str").fillna("")
    return listed.loc[(listed["sha256"] != "") & (now != "") & (now != listed["sha256"]), "image"]


def note_contents(folder: Path, indexed: pd.DataFrame) -> int:
    """Writes into each set the content that an image has in the index where it names none; returns how many.

    Args:
      indexed: columns `image` and `sha256`.
    """
    noted = 0
    for file in sorted(folder.glob("[!.]*.csv")):
        table = labels.read_csv(file, ["image", "label"])
        table = table.reindex(columns=[*table.columns, *({"sha256"} - set(table))], fill_value="")
        filled = labels.with_contents(table, indexed)
        if number := int((filled["sha256"] != table["sha256"]).sum()):
            write_csv(filled, file)
            noted += number
    return noted


def versions(rows: pd.DataFrame) -> dict[str, str]:
    """The version of each set: a short digest of its images' content hashes and labels, each pair once.

    Args:
      rows: columns `set` (`benchmark:NAME`), `sha256`, `label`.
    """
    rows = rows[rows["set"].str.startswith(PREFIX)].drop_duplicates(["set", "sha256", "label"])
    rows = rows.sort_values(["sha256", "label"])
    lines = rows["sha256"] + " " + rows["label"] + "\n"
    return {
        str(name): hashlib.sha256("".join(some).encode()).hexdigest()[:12] for name, some in lines.groupby(rows["set"])
    }


def resolve(listed: pd.DataFrame, library: pd.DataFrame, source: object) -> pd.DataFrame:
    """Finds each listed image in the index; returns it as rows of the splits table, but for those that were `replaced`.

    Args:
      listed: `COLUMNS`.
      library: the index's library table.

    Raises:
      DataError: if an image is missing or unreadable: a set that shrinks in silence compares nothing; and for a
        picture that two sets share, under whatever names.
    """
    listed = listed[~listed["image"].isin(replaced(listed, library))]
    rows = listed.drop(columns="sha256").merge(library, on="image", how="left")
    rows["failure"] = rows["failure"].fillna("not indexed")
    broken = rows[rows["failure"] != ""]
    if len(broken):
        first = broken.iloc[0]
        raise DataError(
            f"{len(broken)} benchmark images cannot be read, first {first['image']}: {first['failure']}",
            where=f"{source}/{first['benchmark']}.csv",
            mend="bring the files back, or remove their rows (which makes a new version of the set)",
        )
    sets = rows.groupby("sha256")["benchmark"].nunique()
    shared = rows[rows["sha256"].isin(sets.index[sets > 1])]
    if len(shared):
        same = shared[shared["sha256"] == shared["sha256"].iloc[0]]
        raise DataError(
            f"{shared['sha256'].nunique()} pictures are in two benchmark sets, first {' and '.join(same['image'])}",
            where=f"{source}: {' and '.join(sorted(set(same['benchmark'])))}",
            mend="keep each in one of them",
        )
    return rows.assign(
        set=PREFIX + rows["benchmark"], group=rows["sha256"].str[:16], together="", subclass="", origin="real"
    )
