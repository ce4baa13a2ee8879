"""`wallaby why`: all that is known of one image, read from the round's tables."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline import bundle
from pipeline.commands import Answer, existing
from pipeline.library import classes, freshness, history, labels, lookup
from pipeline.library.exclusion import Reason
from pipeline.library.index import MEASURES
from pipeline.review import decisions
from pipeline.workspace import Workspace

CAPTURE = ["taken", "camera"]  # which an index of an earlier version lacks
FACTS = ["sha256", "phash", "width", "height", "bytes", "format", "orientation", "failure"]
PREDICTION = ["label", "predicted", "score", "margin", "top_labels", "top_scores", "failure", "model", "set"]


def why(workspace: Workspace, asked: str) -> Answer:
    """Answers with all that is known of an image.

    Args:
      asked: the image's name ROOT/path, its file, or the beginning of its content hash (8 digits or more).

    Raises:
      DataError: if no such image is indexed; similar names are offered.
    """
    row = find(workspace, asked)
    if "near" in row:  # a file that is not indexed
        return Answer(row)
    image, sha256 = row["image"], row["sha256"]
    folders = workspace.folders
    facts: dict[str, Any] = {"image": image, "file": str(labels.locate(image, folders)), "from": row.pop("from")}
    facts |= {name: row[name] for name in FACTS} | {name: row.get(name) or "" for name in CAPTURE}
    facts["quality"] = {name: row[name] for name in MEASURES}
    now = freshness.contents([image], folders, workspace.index_cache)[image]
    facts["changed_since"] = now not in ("", sha256)
    facts["label"] = _label(workspace, image, sha256)
    facts["history"] = _decisions(workspace, image, sha256)
    facts["today"], facts["group"] = _today(workspace, image, sha256)
    facts["burst"] = _burst(workspace, image)
    same = lookup.indexed(workspace.index, pc.field("sha256") == sha256) if sha256 else []
    facts["same_content"] = sorted({other["image"] for other in same} - {image})
    facts["lineage"] = _lineage(workspace, sha256)
    last = lookup.rows(workspace.base / history.IMAGES, _about(image, sha256))
    facts["last_round"] = {key: last[0][key] for key in ("label", "set", "reason")} if last else None
    facts["predictions"] = _predictions(workspace, image, sha256)
    return Answer(facts)


def find(workspace: Workspace, asked: str) -> dict[str, Any]:
    """Finds an image in the index of the round.

    Raises:
      DataError: if the round has no index yet, or as `lookup.find`.
    """
    for table in (workspace.library_table, workspace.pool_table):
        existing(table)
    return lookup.find(asked, workspace.index, near_duplicate_distance=workspace.near_duplicate_distance)


def _about(image: str, sha256: str) -> pa.compute.Expression:
    """Rows about the image with this content: a row about another content under its name is not about it."""
    named = pc.field("image") == image
    return named & ((pc.field("sha256") == sha256) | (pc.field("sha256") == "")) if sha256 else named


def _label(workspace: Workspace, image: str, sha256: str) -> dict[str, Any] | None:
    """The row of the label table, the class that it counts for today, and whether it is about another content."""
    try:
        every = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(labels.COLUMNS, pa.string()), include_columns=labels.COLUMNS,
            include_missing_columns=True, strings_can_be_null=False,
        )  # fmt: skip
        parse = pa.csv.ParseOptions(newlines_in_values=True)
        table = pa.csv.read_csv(workspace.labels, convert_options=every, parse_options=parse)
        rows = table.filter(pc.equal(table["image"], image)).to_pandas().fillna("")
    except (pa.ArrowInvalid, FileNotFoundError):  # the strict reader says what is wrong with it
        rows = labels.read(workspace.labels, workspace.root_names)
        rows = rows[rows["image"] == image]
    if rows.empty:
        return None
    today = classes.read(workspace.classes).apply(rows).iloc[0]
    row = rows.iloc[0].to_dict()
    return {**row, "class": today["label"], "other_content": bool(sha256) and row["sha256"] not in ("", sha256)}


def _decisions(workspace: Workspace, image: str, sha256: str) -> list[dict[str, Any]]:
    """The decisions under the image's name, and whether they are about another content."""
    log = decisions.read_all(workspace.reviews, workspace.root_names)
    log = log.assign(other_content=(sha256 != "") & ~log["sha256"].isin(["", sha256]))
    columns = ["at", "by", "decision", "label", "suggested", "model", "recipe", "id", "other_content"]
    return log.loc[log["image"] == image, columns].to_dict("records")


def _today(workspace: Workspace, image: str, sha256: str) -> tuple[dict[str, str] | None, dict[str, Any] | None]:
    """What the image is today, and its near-duplicate group with all its members."""
    about = _about(image, sha256)
    in_set = lookup.rows(workspace.splits_table, about)
    excluded = lookup.rows(workspace.excluded, about)
    left_out = lookup.rows(workspace.left_out, about)
    if in_set:
        today = {"set": in_set[0]["set"]}
    elif excluded:
        today = {"reason": excluded[0]["reason"], "detail": excluded[0]["detail"]}
        today["label_then"] = excluded[0].get("label_then", "")
    elif left_out:
        today = {"reason": Reason.LEFT_OUT, "detail": left_out[0]["reason"]}
    else:
        return None, None
    name = (in_set or excluded or left_out)[0]["group"]
    members: dict[str, tuple[str, str]] = {}
    for path, state in (
        (workspace.excluded, "reason"),
        (workspace.left_out, "reason"),
        (workspace.splits_table, "set"),
    ):
        members |= {row["image"]: (row["label"], row[state]) for row in lookup.rows(path, pc.field("group") == name)}
    members.pop(image, None)
    others = [{"image": key, "label": label, "state": state} for key, (label, state) in sorted(members.items())]
    return today, {"name": name, "others": others} if name else None


def _burst(workspace: Workspace, image: str) -> dict[str, Any] | None:
    """The number of `images` of its burst, whether it is `torn`, and the `links` that tie it to others.

    Of a burst of the pool, the `evidence` for it, and what the model makes of it as a whole: `label`, `score`.
    """
    rows = lookup.rows(workspace.bursts, pc.field("image") == image)
    if not rows:
        judged = lookup.rows(workspace.judged_bursts, pc.field("image") == image)
        return _pool_burst(judged[0]) if judged else None
    members = lookup.rows(workspace.bursts, pc.field("burst") == rows[0]["burst"])
    links = lookup.rows(workspace.burst_links, (pc.field("image") == image) | (pc.field("other") == image))
    in_set = lookup.rows(workspace.splits_table, pc.field("image") == image)
    return {
        "images": len(members),
        "torn": bool(in_set and in_set[0].get("torn")),
        "links": [{**link, "other": link["image"] if link["other"] == image else link["other"]} for link in links],
    }


def _pool_burst(row: dict[str, Any]) -> dict[str, Any]:
    said = {"evidence": row["evidence"], "label": row["burst_label"], "score": row["burst_score"]}
    return {"images": row["frames"], "torn": False, "links": [], **said}


def _lineage(workspace: Workspace, sha256: str) -> dict[str, Any] | None:
    for folder in (workspace.model, workspace.base):
        rows = lookup.rows(folder / bundle.LINEAGE, pc.field("sha256") == sha256)
        if rows:
            return {name: rows[0][name] for name in ("role", "first_round", "last_round")}
    return None


def _predictions(workspace: Workspace, image: str, sha256: str) -> list[dict[str, Any]]:
    predictions = []
    for path, about in (
        (workspace.scores, _about(image, sha256)),
        (workspace.released / "scores.parquet", _about(image, sha256)),
        (workspace.predictions, pc.field("sha256") == sha256),
    ):
        rows = lookup.rows(path, about)
        named = [row for row in rows if row.get("image") == image]  # else: of the same content under another name
        for row in named or rows[:1]:
            prediction = {name: row[name] for name in PREDICTION if name in row}
            label = prediction.pop("predicted", None) or prediction["label"]
            predictions.append({**prediction, "label": label, "from": str(path)})
    return predictions
