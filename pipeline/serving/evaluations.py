"""What people say of served answers, recorded against the transactions: one by one, or from a table."""

from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from pipeline.errors import DataError, closest
from pipeline.files import write_csv
from pipeline.library import lookup, sheets
from pipeline.library.tables import read_csv, where
from pipeline.serving import audits
from pipeline.serving.store import records, schema
from pipeline.serving.store.spool import Record
from pipeline.serving.verdicts import AUDIT, CHOSEN, NOT_IN_CLASSES, RIGHT, UNUSABLE, VERDICTS, WRONG

SHEET = ["request_id", "position", "path", "label", "score", "shown", "others", "verdict", "truth", "note", "link"]
REQUIRED = ["request_id", "position", "verdict"]


def record(engine: sa.Engine, said: list[dict[str, str]], *, by: str, at: int, where: object = "") -> int:
    """Records verdicts on transactions, all or none; returns how many.

    A verdict of the audit counts for every drawn transaction of the same content and answer (`audits.alike`).

    Args:
      said: each with `request_id`, `position`, `verdict` and, if they are known, `truth` (what it is), `note`, `line`
        (of the file), and `source`: audit, for what was drawn by chance and comes from the queue; else chosen.
      by: who says so.
      at: now, in microseconds since 1970.
      where: what to name in an error, a file say.

    Raises:
      DataError: for an unknown verdict or transaction, one that was not drawn in an audit, a class named with a verdict
        that names none, or one that contradicts the verdict.
    """
    rows = []
    with engine.begin() as connection:
        of_audit = any(one.get("source") == AUDIT for one in said)
        alike = audits.alike(connection, by) if of_audit else {}
        left = {(one["request_id"], int(one["position"])) for one in said}
        for number, one in enumerate(said):
            place = f"{where}, row {one['line']}" if "line" in one else one["request_id"]
            rows.append(_row(connection, one, place) | {"by": by, "at": at + number})
            for key in alike.get((one["request_id"], int(one["position"])), []) if one.get("source") == AUDIT else []:
                if key not in left:  # of two different verdicts in one table, each stands for its own row
                    left.add(key)
                    mate = one | {"request_id": key[0], "position": str(key[1])}
                    rows.append(_row(connection, mate, place) | {"by": by, "at": at + number})
        records.add(connection, [Record("evaluations", row) for row in rows])
    return len(said)


def write_sheet(path: Path, engine: sa.Engine, *, kept: Path, index: Path, folders: dict[str, Path]) -> int:
    """Writes the audit's queue as a table with empty columns `verdict`, `truth` and `note`; returns its length.

    Its `path` is that of the image below `kept`, or the image ROOT/path that library or pool have; `link` opens it.

    Args:
      kept: the folder where the service keeps images.
      index: the folder of the index.
      folders: every root's folder, by name.
    """
    rows = audits.queue(engine)
    others = [
        "; ".join(f"{label} {score:.0%}" for label, score in zip(names[1:], scores[1:], strict=False))
        for names, scores in zip(rows["top_labels"], rows["top_scores"], strict=True)
    ]
    lacking = rows["path"] == ""
    found = lookup.images_of(rows.loc[lacking, "sha256"].tolist(), index)
    images = rows["sha256"].map(lambda sha256: found.get(sha256, "")).where(lacking, "")
    links = sheets.links(images, folders)
    links = links.mask(~lacking, rows["path"].map(lambda path: (kept / path).absolute().as_uri()))
    sheet = rows.assign(others=others, verdict="", truth="", note="", score=rows["score"].round(3), link=links)
    sheet["path"] = rows["path"].where(~lacking, images)
    write_csv(sheets.inert(sheet[SHEET]), path)
    return len(sheet)


def take_sheet(path: Path, engine: sa.Engine, *, by: str, at: int) -> tuple[int, int]:
    """Records the verdicts of a filled table; rows without one are left open. What an audit has drawn counts as such.

    Returns:
      How many of the audit, and how many others.

    Raises:
      DataError: as `record`, with the row; or if the table has not the columns `REQUIRED`.
    """
    table = (
        sheets.as_meant(read_csv(path, REQUIRED))
        .reindex(columns=[*REQUIRED, "truth", "note"], fill_value="")
        .fillna("")
    )
    table["line"] = (table.index + 2).astype(str)
    filled = table[table["verdict"] != ""]
    with engine.connect() as connection:
        drawn = [_drawn(connection, *key) is not None for key in _keys(filled, path)]
    filled = filled.assign(source=[AUDIT if one else CHOSEN for one in drawn])
    number = record(engine, filled.to_dict("records"), by=by, at=at, where=path)
    return sum(drawn), number - sum(drawn)


def _keys(table: pd.DataFrame, path: Path) -> list[tuple[str, int]]:
    wrong = ~table["position"].str.fullmatch(r"[0-9]{1,9}")
    if wrong.any():
        row = table[wrong].iloc[0]
        raise DataError(f"position '{row['position']}' is no number", where=path, mend="as it stands in the sheet")
    keys = pd.DataFrame({"request_id": table["request_id"], "position": table["position"].astype(int)})
    again = keys.index[keys.duplicated()]
    if len(again):
        key = keys.loc[again[0]]
        number = int((keys == key).all(axis=1).sum())
        what = f"{number} verdicts on one image: {key['request_id']}, position {key['position']}"
        raise DataError(what, where=where(path, keys.index, again[0]), mend="leave one of them")
    return list(keys.itertuples(index=False, name=None))


def _row(connection: sa.Connection, one: dict[str, str], place: object) -> dict[str, object]:
    verdict, truth, source = one["verdict"], one.get("truth", "").strip(), one.get("source", CHOSEN)
    if verdict not in VERDICTS:
        raise DataError(f"unknown verdict '{verdict}'", where=place, mend=closest(verdict, VERDICTS))
    key = (one["request_id"], int(one["position"]))
    table = schema.transactions
    found = connection.execute(
        sa.select(table.c.label, table.c.model).where((table.c.request_id == key[0]) & (table.c.position == key[1]))
    ).first()
    if found is None:
        raise DataError(f"there is no transaction {key[0]}, picture {key[1]}", where=place, mend="look at its answer")
    probability = _drawn(connection, *key)
    if source == AUDIT and probability is None:
        raise DataError("this transaction was not drawn in an audit", where=place, mend="record it as chosen")
    _refuse_contradiction(connection, verdict, truth, found.label, found.model, place)
    probability = probability if source == AUDIT else None
    told = {"request_id": key[0], "position": key[1], "verdict": verdict, "label": truth, "source": source}
    return told | {"probability": probability, "note": one.get("note", "")}


def _refuse_contradiction(
    connection: sa.Connection, verdict: str, truth: str, label: str, model: str, place: object
) -> None:
    if not truth:
        return
    if verdict == UNUSABLE or (verdict == RIGHT and truth != label):
        raise DataError(f"'{verdict}' names the class '{truth}'", where=place, mend="leave the class out, or say wrong")
    if verdict == WRONG and truth == label:
        raise DataError(f"the model said '{truth}' itself", where=place, mend="say right, or name the true class")
    table = schema.releases
    known = connection.scalar(sa.select(table.c.classes).where(table.c.model == model))
    if known and verdict == WRONG and truth not in known:
        close = closest(truth, known)
        raise DataError(f"the model has no class '{truth}'", where=place, mend=f"{close}; or say {NOT_IN_CLASSES}")
    if known and verdict == NOT_IN_CLASSES and truth in known:
        raise DataError(f"the model has the class '{truth}'", where=place, mend="say wrong")


def _drawn(connection: sa.Connection, request_id: str, position: int) -> float | None:
    table = schema.audits
    wanted = (table.c.request_id == request_id) & (table.c.position == position)
    return connection.scalar(sa.select(table.c.probability).where(wanted))
