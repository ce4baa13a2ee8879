"""Corrections of benchmark sets and of the test set: a person's, named, and each makes a new version of the set.

Older models are not asked again: the gate scores them under the corrected labels from what they said of each picture
(`evaluation.paired_scores.relabel`).
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError
from pipeline.files import read_table
from pipeline.library import benchmarks, labels
from pipeline.review.decisions import BAD, KEEP, LABEL

TEST = "test"
BEFORE = ["benchmark", "label", "sha256"]  # what a set says of an image


@dataclass(frozen=True)
class Guarded:
    """What models are measured on.

    Attributes:
      benchmarks: all sets, columns `benchmarks.COLUMNS`.
      test: columns `image`, `sha256`: the test set, today's and the ancestors'; an image may have no name.
    """

    benchmarks: pd.DataFrame
    test: pd.DataFrame

    def images(self, contents: pd.Series) -> set[str]:
        """The guarded images, and of those in `contents` (content hashes by image) the ones with a test image's.

        A test image in `contents` whose file was replaced is not guarded: what was tested is another content.
        """
        tested = set(self.test["sha256"]) - {""}
        same = contents.index[contents.isin(tested)]
        others = contents.index[(contents != "") & ~contents.isin(tested)]
        return {*self.benchmarks["image"], *same, *(set(self.test["image"]) - set(others))}


def read_guarded(folder: Path, root_names: list[str], *, splits: Path, lineage: Path) -> Guarded:
    """Reads the benchmarks, and the test set of the last round and of the base's ancestors.

    Args:
      folder: of the benchmark sets.
      splits: the table of the last round's sets; it need not exist.
      lineage: the table of what the base's ancestors have seen; it need not exist.
    """
    columns = ["image", "sha256"]
    tested = [pd.DataFrame(columns=columns, dtype="str")]
    if splits.exists():
        rows = read_table(splits, [*columns, "set"])
        tested.append(rows.loc[rows["set"] == TEST, columns])
    if lineage.exists():
        rows = read_table(lineage, ["sha256", "role"])
        tested.append(rows.loc[rows["role"] == TEST, ["sha256"]].assign(image=""))
    return Guarded(benchmarks.read_all(folder, root_names), pd.concat(tested, ignore_index=True)[columns])


def correct(
    listed: pd.DataFrame, ours: pd.DataFrame, undone: pd.DataFrame, replaced: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Corrects benchmark sets, and takes corrections back.

    A decision for a class gives the image that label; `unknown` says that it shows no known class; `bad` takes it out
    of its set; `keep` leaves its label. Each is about a content, which the set names from then on: so a set takes an
    image back whose file was replaced. A correction is made once: the label may be changed by hand after it.

    Args:
      listed: all sets, columns `benchmarks.COLUMNS`.
      ours: the decisions that hold, one an image, which is the index.
      undone: decisions that were taken back.
      replaced: what decisions replaced.

    Returns:
      The sets, and rows for `replaced`, with the name of the set in `benchmark`.
    """
    kept = replaced[replaced["benchmark"] != ""].drop_duplicates(["decision", "benchmark"], keep="last")
    now = listed.set_index("image")
    for row in kept[kept["decision"].isin(undone["id"])][::-1].itertuples():
        said = undone.loc[undone["id"] == row.decision].iloc[0]
        stands = now.loc[row.image, "label"] if row.image in now.index else None
        if stands == _written(said["decision"], said["label"], row.label):
            now.loc[row.image, BEFORE] = [row.benchmark, row.label, row.sha256]
    made = set(kept["decision"])
    todo = ours[ours.index.isin(now.index) & ~ours["id"].isin(made)]
    before = []
    for image, said in todo.iterrows():
        stands = now.loc[image]
        written = _written(said["decision"], said["label"], stands["label"])
        same_content = said["sha256"] in ("", stands["sha256"]) or stands["sha256"] == ""
        if written == stands["label"] and same_content:
            continue
        before.append({"decision": said["id"], "image": image, "status": "ok", **stands[BEFORE]})
        if written is None:
            now = now.drop(index=image)
        else:
            now.loc[image, ["label", "sha256"]] = [written, said["sha256"] or stands["sha256"]]
    result = now.reset_index()[benchmarks.COLUMNS].sort_values(["benchmark", "image"], ignore_index=True)
    return result, pd.DataFrame(before, columns=["decision", "benchmark", *labels.COLUMNS], dtype="str").fillna("")


def refuse_empty(before: pd.DataFrame, after: pd.DataFrame) -> None:
    """Refuses a correction after which a benchmark set would be empty (`benchmarks.COLUMNS`).

    Raises:
      DataError: with its name.
    """
    for name in sorted(set(before["benchmark"]) - set(after["benchmark"])):
        advice = "add images to it, take a decision back, or remove its file"
        raise DataError(f"no image would be left in the benchmark '{name}'", where="the decisions", mend=advice)


def _written(decision: str, label: str, before: str) -> str | None:
    """The label that a decision gives a benchmark image, which had another one `before`; None takes it out."""
    return {LABEL: label, BAD: None, KEEP: before}.get(decision, "")
