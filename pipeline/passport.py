"""Why: all that is known of one image, or of one class image by image, read from the round's tables."""

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset

from pipeline import bundle, config, paths, sections
from pipeline.errors import DataError, closest
from pipeline.library import board, classes, freshness, history, index, labels, pictures
from pipeline.library.exclusion import Reason
from pipeline.library.index import MEASURES
from pipeline.review import decisions

HASH = re.compile("[0-9a-f]{8,64}")
FACTS = ["sha256", "phash", "width", "height", "bytes", "format", "orientation", "failure"]
PREDICTION = ["label", "predicted", "score", "margin", "top_labels", "top_scores", "failure", "model", "set"]
NAMES_OFFERED = 3


def of_image(asked: str) -> dict[str, Any]:
    """All that is known of an image.

    Args:
      asked: the image's name ROOT/path, its file, or the beginning of its content hash (8 digits or more).

    Raises:
      DataError: if no such image is indexed; similar names are offered.
    """
    row = find(asked)
    if "near" in row:  # a picture that is not indexed
        return row
    image, sha256 = row["image"], row["sha256"]
    roots = config.load(sections.Roots)
    told: dict[str, Any] = {"image": image, "file": str(labels.locate(image, roots.folders)), "from": row.pop("from")}
    told |= {name: row[name] for name in FACTS} | {"quality": {name: row[name] for name in MEASURES}}
    now = freshness.contents([image], roots.folders, config.cache(index.CACHE))[image]
    told["changed_since"] = now not in ("", sha256)
    told["label"] = _label(image, sha256)
    told["history"] = _decisions(image, sha256)
    told["today"], told["group"] = _today(image, sha256)
    told["same_content"] = (
        sorted({r["image"] for r in _indexed(pc.field("sha256") == sha256)} - {image}) if sha256 else []
    )
    told["lineage"] = _lineage(sha256)
    last = _rows(paths.BASE / history.IMAGES, _this(image, sha256))
    told["last_round"] = {key: last[0][key] for key in ("label", "set", "reason")} if last else None
    told["predictions"] = _predictions(image, sha256)
    return told


def of_class(name: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """A class's row of the board, and its images.

    Returns:
      The board's row, and columns `image`, `subclass`, `origin`, `group`, `state` (its set, or the reason why it is in
      none) and `detail`.

    Raises:
      DataError: for an unknown class; the nearest name is offered.
    """
    standing = board.read(_existing(paths.CURATED / "board.csv"))
    tables = [
        (paths.SPLITS / "splits.parquet", "set", None),
        (paths.SPLITS / "left_out.parquet", None, "reason"),
        (paths.CURATED / "excluded.parquet", "reason", "detail"),
    ]
    parts = []
    for path, state, detail in tables:
        rows = pd.DataFrame(_rows(path, pc.field("label") == name))
        if detail:  # those whose file was replaced have no label; they had this one
            then = pc.field("reason") == Reason.OTHER_CONTENT
            replaced = [row for row in _rows(path, then) if row["label_then"] == name]
            rows = pd.concat([rows, pd.DataFrame(replaced)]) if replaced else rows
        if len(rows):
            states = rows[state] if state else Reason.LEFT_OUT
            parts.append(rows.assign(state=states, detail=rows[detail] if detail else ""))
    if not parts:
        known = set(standing["label"])
        raise DataError(f"unknown class '{name}'", where=paths.CURATED / "board.csv", mend=closest(name, known))
    columns = ["image", "subclass", "origin", "group", "state", "detail"]
    images = pd.concat(parts)[columns].drop_duplicates("image")
    row = standing[standing["label"] == name].to_dict("records")
    return (row[0] if row else {"label": name}), images.sort_values(["state", "image"], ignore_index=True)


def find(asked: str) -> dict[str, Any]:
    found = _indexed(pc.field("image") == asked)
    if not found and HASH.fullmatch(asked.removeprefix("sha256:")):
        found = _indexed(pc.starts_with(pc.field("sha256"), asked.removeprefix("sha256:")))
        if len({row["sha256"] for row in found}) > 1:
            raise DataError(f"{len(found)} images begin with '{asked}'", mend="give more digits of the hash")
    if not found and Path(asked).is_file():
        try:
            data = pictures.load_bytes(Path(asked))
            sha256 = hashlib.sha256(data).hexdigest()
            found = _indexed(pc.field("sha256") == sha256)
            if not found:
                return {"image": asked, "sha256": sha256, "near": _near(pictures.inspect(data).phash)}
        except pictures.PictureError as reason:
            raise DataError(f"not a picture: {reason}", where=asked) from None
    if not found:
        name = PurePosixPath(asked).stem
        similar = _indexed(pc.match_substring(pc.field("image"), name)) if name else []
        offered = ", ".join(row["image"] for row in similar[:NAMES_OFFERED])
        raise DataError(
            f"no image '{asked}' in the index",
            where=paths.INDEX,
            mend=f"perhaps {offered}" if offered else "name it as ROOT/path, by its file, or by its content hash",
        )
    return found[0]


def _indexed(condition: pa.compute.Expression) -> list[dict[str, Any]]:
    found = []
    for name in ("library", "pool"):
        rows = _rows(_existing(paths.INDEX / f"{name}.parquet"), condition)
        found += [{**row, "from": name} for row in rows]
    away = _rows(paths.INDEX / "quarantined.parquet", condition)
    return found + [{**row, "from": "quarantine"} for row in away]


def _near(phash: str) -> list[dict[str, Any]]:
    """The library's near-duplicates of a picture that is not in it, nearest first."""
    distance = config.load(sections.Curate).near_duplicate_distance
    library = pa.parquet.read_table(paths.INDEX / "library.parquet", columns=["image", "phash"]).to_pandas()
    library = library[library["phash"] != ""]
    if not phash or library.empty:
        return []
    hashes = np.array([int(text, 16) for text in library["phash"]], dtype=np.uint64)
    differing = np.bitwise_count(hashes ^ np.uint64(int(phash, 16)))
    near = library.assign(bits=differing)[differing <= distance].sort_values(["bits", "image"])
    return near[["image", "bits"]].to_dict("records")


def _this(image: str, sha256: str) -> pa.compute.Expression:
    """Rows about the image with this content: what was said of another one under its name is not about it."""
    named = pc.field("image") == image
    return named & ((pc.field("sha256") == sha256) | (pc.field("sha256") == "")) if sha256 else named


def _label(image: str, sha256: str) -> dict[str, Any] | None:
    """The row of the label table, the class that it counts for today, and whether it is about another content."""
    try:
        every = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(labels.COLUMNS, pa.string()), include_columns=labels.COLUMNS,
            include_missing_columns=True, strings_can_be_null=False,
        )  # fmt: skip
        parse = pa.csv.ParseOptions(newlines_in_values=True)
        table = pa.csv.read_csv(paths.LABELS, convert_options=every, parse_options=parse)
        rows = table.filter(pc.equal(table["image"], image)).to_pandas().fillna("")
    except (pa.ArrowInvalid, FileNotFoundError):  # the strict reader says what is wrong with it
        rows = labels.read(paths.LABELS, list(config.load(sections.Roots).folders))
        rows = rows[rows["image"] == image]
    if rows.empty:
        return None
    today = classes.read(paths.CLASSES).apply(rows).iloc[0]
    row = rows.iloc[0].to_dict()
    return {**row, "class": today["label"], "other_content": bool(sha256) and row["sha256"] not in ("", sha256)}


def _decisions(image: str, sha256: str) -> list[dict[str, Any]]:
    """What people said under the image's name, and whether of another content."""
    said = decisions.read_all(paths.REVIEWS, list(config.load(sections.Roots).folders))
    said = said.assign(other_content=(sha256 != "") & ~said["sha256"].isin(["", sha256]))
    columns = ["at", "by", "decision", "label", "suggested", "model", "recipe", "id", "other_content"]
    return said.loc[said["image"] == image, columns].to_dict("records")


def _today(image: str, sha256: str) -> tuple[dict[str, str] | None, dict[str, Any] | None]:
    """What the image is today, and its near-duplicate group with all its members."""
    where = _this(image, sha256)
    in_set = _rows(paths.SPLITS / "splits.parquet", where)
    excluded = _rows(paths.CURATED / "excluded.parquet", where)
    left_out = _rows(paths.SPLITS / "left_out.parquet", where)
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
        (paths.CURATED / "excluded.parquet", "reason"),
        (paths.SPLITS / "left_out.parquet", "reason"),
        (paths.SPLITS / "splits.parquet", "set"),
    ):
        members |= {row["image"]: (row["label"], row[state]) for row in _rows(path, pc.field("group") == name)}
    members.pop(image, None)
    others = [{"image": key, "label": label, "state": state} for key, (label, state) in sorted(members.items())]
    return today, {"name": name, "others": others} if name else None


def _lineage(sha256: str) -> dict[str, Any] | None:
    for folder in (paths.MODEL, paths.BASE):
        rows = _rows(folder / bundle.LINEAGE, pc.field("sha256") == sha256)
        if rows:
            return {name: rows[0][name] for name in ("role", "first_round", "last_round")}
    return None


def _predictions(image: str, sha256: str) -> list[dict[str, Any]]:
    found = []
    for path, where in (
        (paths.EVALUATION / "scores.parquet", _this(image, sha256)),
        (paths.RELEASED / "scores.parquet", _this(image, sha256)),
        (paths.PREDICTIONS, pc.field("sha256") == sha256),
    ):
        rows = _rows(path, where)
        named = [row for row in rows if row.get("image") == image]  # else: of the same content under another name
        for row in named or rows[:1]:
            told = {name: row[name] for name in PREDICTION if name in row}
            label = told.pop("predicted", None) or told["label"]
            found.append({**told, "label": label, "from": str(path)})
    return found


def _rows(path: Path, condition: pa.compute.Expression) -> list[dict[str, Any]]:
    """The rows of a table, or of a folder's shards, that meet the condition; none where there is no table yet."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.exists() else []
    return pa.dataset.dataset([str(file) for file in files]).to_table(filter=condition).to_pylist() if files else []


def _existing(path: Path) -> Path:
    if not path.exists():
        raise DataError("the round has not come this far yet", where=path, mend="run `dvc repro`")
    return path
