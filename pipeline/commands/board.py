"""`wallaby board`: where each class stands against the lower cutoff, or one class image by image."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd
import pyarrow.compute as pc

from pipeline.commands import Answer, existing
from pipeline.errors import DataError, closest
from pipeline.evaluation import class_mix
from pipeline.files import read_json
from pipeline.inference import pool_predictions
from pipeline.library import board as cutoffs
from pipeline.library import lookup
from pipeline.library.exclusion import Reason
from pipeline.review import decisions, yields
from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Board:
    """Where the classes stand.

    Attributes:
      classes: the cutoff board, one row per class.
      gains: what short classes may gain from the pool (`yields.standing`).
      mix: how much of library and pool each class is (`class_mix.beside`); without rows if no pool is identified.
      other_content: of curation's summary, the images whose file was replaced; none if it does not count them.
    """

    classes: pd.DataFrame
    gains: pd.DataFrame
    mix: pd.DataFrame
    other_content: dict[str, Any] | None

    def as_dict(self) -> list[dict[str, Any]]:
        """The board with the gains and the share of the pool beside it, for JSON."""
        table = self.classes.merge(self.gains.drop(columns="short_by"), on="label", how="left")
        return table.merge(self.mix[["label", "pool", "pool_share"]], on="label", how="left").to_dict("records")


def board(workspace: Workspace) -> Answer:
    """Answers with the `Board` of the round.

    Raises:
      DataError: if the round has not come this far yet.
    """
    classes = cutoffs.read(existing(workspace.board))
    log = decisions.read_all(workspace.reviews, workspace.root_names)
    other_content = read_json(workspace.curated / "summary.json").get("other_content")
    pool = pool_predictions.named(workspace.predictions)
    library = dict(zip(classes["label"], classes["images"], strict=True))
    mix = class_mix.beside(library, pool=pool, served={})
    return Answer(Board(classes, yields.standing(workspace.queue, log), mix if pool else mix.head(0), other_content))


def page(workspace: Workspace, label: str = "") -> Answer:
    """Answers with the address of the data set's page, of one class if that is named.

    Raises:
      DataError: if the round has not come this far yet.
    """
    address = existing(workspace.dataset / "index.html").resolve().as_uri()
    address += f"#class={quote(label)}" if label else ""
    return Answer({"page": address}, f"look at {address}")


def of_class(workspace: Workspace, label: str) -> Answer:
    """Answers with a class's row of the `board`, and its `images`.

    The images have columns `image`, `subclass`, `origin`, `group`, `state` (the set, or the reason why the image is in
    none) and `detail`.

    Raises:
      DataError: for an unknown class; the nearest name is offered.
    """
    classes = cutoffs.read(existing(workspace.board))
    tables = [
        (workspace.splits_table, "set", None),
        (workspace.left_out, None, "reason"),
        (workspace.excluded, "reason", "detail"),
    ]
    parts = []
    for path, state, detail in tables:
        rows = pd.DataFrame(lookup.rows(path, pc.field("label") == label))
        if detail:  # those whose file was replaced have no label; they had this one
            then = pc.field("reason") == Reason.OTHER_CONTENT
            replaced = [row for row in lookup.rows(path, then) if row["label_then"] == label]
            rows = pd.concat([rows, pd.DataFrame(replaced)]) if replaced else rows
        if len(rows):
            states = rows[state] if state else Reason.LEFT_OUT
            parts.append(rows.assign(state=states, detail=rows[detail] if detail else ""))
    if not parts:
        known = set(classes["label"])
        raise DataError(f"unknown class '{label}'", where=workspace.board, mend=closest(label, known))
    columns = ["image", "subclass", "origin", "group", "state", "detail"]
    images = pd.concat(parts)[columns].drop_duplicates("image").sort_values(["state", "image"], ignore_index=True)
    row = classes[classes["label"] == label].to_dict("records")
    return Answer({"board": row[0] if row else {"label": label}, "images": images})
