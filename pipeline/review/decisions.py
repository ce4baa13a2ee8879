"""Review decisions: what people said of images, in append-only tables, one a session.

A row is a decision. It is on disk before `append` returns, and never changed again: who thinks better of it adds a row
that takes it back. A program that is killed while it writes leaves a line cut short at the end; that line was never
confirmed to anybody, is left out with a note, and the next row takes its place.
"""

import csv
import fcntl
import hashlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from pipeline.errors import DataError, UsageError, closest, from_os_error
from pipeline.files import write_csv
from pipeline.library import cells, labels, tables
from pipeline.library.cells import DECISIONS, NO, YES, Fault
from pipeline.library.tables import is_in

LABEL, UNKNOWN, BAD, KEEP, UNDO = DECISIONS
COLUMNS = [
    *("image", "sha256", "decision", "label", "subclass", "by", "at", "model", "suggested", "recipe"),
    *("id", "session", "tool", "seconds", "undoes", "blind"),
]  # `blind` comes last and is never empty: a row that ends with it was written whole
REQUIRED = ["image", "decision", "by", "at"]
IDENTITY = ["image", "decision", "label", "by", "at", "recipe", "tool", "undoes", "blind"]
SINCE_THEN = ["subclass"]  # columns that tables of earlier years lack
CHANGED_RECIPE, CONFLICT_RECIPE, PURGE_RECIPE = "changed-content", "label-conflict", "purge-low"
SETTLING_RECIPE = "settle"
ID = re.compile(r"[\w.-]*")
SECONDS = re.compile(r"(?:\d+(?:\.\d*)?)?")
SESSION = re.compile(r"\w[\w .@+-]*")
HEADER = (",".join(COLUMNS) + "\n").encode()
EARLIER = [name for name in COLUMNS if name not in SINCE_THEN]


def read_all(folder: Path, root_names: list[str]) -> pd.DataFrame:
    """The decisions that hold, of every review table, the oldest first: without those taken back and blind ones.

    Raises:
      DataError: as `read_log`.
    """
    return in_force(read_log(folder, root_names))


def read_log(folder: Path, root_names: list[str]) -> pd.DataFrame:
    """Reads every review table: all that was ever said (`COLUMNS`), the oldest first, whatever the files' order.

    Tables need not have the columns after `recipe`: a session is then called like its file, and a decision by a digest
    of what it says. A decision that stands in two tables counts once.

    Raises:
      DataError: with file and row, for a decision that is not known, a label without a name or with a line break, a
        bad image name, a decision that does not say who made it and when, a time that is none or in the future, a
        content hash that is none, an id that two decisions share, or one that takes back what is not there.
    """
    found = [pd.DataFrame(columns=[*REQUIRED, "file"], dtype="str")]
    for file in sorted(folder.glob("*.csv")):
        data = _whole_lines(file.read_bytes(), file)
        if data:
            found.append(tables.parse_csv(data, file, REQUIRED).assign(file=str(file)))
    log = _checked(found, root_names).drop_duplicates(["id", *IDENTITY, *SINCE_THEN], ignore_index=True)
    twice = log["id"].duplicated()
    _refuse(twice, log, "two decisions have the same id", "give one of them another id")
    takes_back = log[log["decision"] == UNDO]
    there = log.loc[log["decision"] != UNDO].set_index("id")["image"]
    gone = takes_back["undoes"].map(there).astype("str") != takes_back["image"]
    _refuse(gone, takes_back, "it takes back a decision that is not there", "bring back that review table")
    return log[COLUMNS].sort_values(["at", "image", "id"], ignore_index=True)


def _checked(found: list[pd.DataFrame], root_names: list[str]) -> pd.DataFrame:
    """Tables with a column `file` as one, with `where` each row is. All are checked at once, which is many times as
    fast; only where something is wrong, one after the other, for what is wrong and where."""
    together = pd.concat(found).fillna("")
    where = [f"{file}, row {number + 2}" for file, number in zip(together["file"], together.index, strict=True)]
    stem = {file: Path(file).stem for file in together["file"].unique()}
    named = together.reindex(columns=COLUMNS, fill_value="").reset_index(drop=True)
    named["session"] = named["session"].mask(named["session"] == "", together["file"].map(stem).to_numpy())
    try:
        return check(named, root_names, "", session="").assign(where=where)
    except DataError:
        tables_ = [check(one, root_names, one["file"].iloc[0], session="") for one in found if len(one)]
        return pd.concat(tables_, ignore_index=True).assign(where=where, session=named["session"])


def in_force(log: pd.DataFrame) -> pd.DataFrame:
    """The rows of `read_log` that hold: neither taken back nor blind, nor such that take back."""
    undone = is_in(log["id"], taken_back(log)["id"])
    return log[~undone & (log["decision"] != UNDO) & (log["blind"] != YES)].reset_index(drop=True)


def taken_back(log: pd.DataFrame) -> pd.DataFrame:
    """The rows of `read_log` that were taken back."""
    return log[is_in(log["id"], log.loc[log["decision"] == UNDO, "undoes"])]


def check(table: pd.DataFrame, root_names: list[str], source: object, *, session: str) -> pd.DataFrame:
    """Returns decisions with all columns, those that are missing or empty filled in; its index says the row.

    Args:
      session: of rows that do not name theirs.

    Raises:
      DataError: as `read_log`.
    """
    table = table.reindex(columns=COLUMNS, fill_value="").fillna("").astype("str")
    labels.check_images(table["image"].drop_duplicates(), root_names, source)
    for columns, rule in RULES.items():
        said = table[list(columns)]
        for texts in said.drop_duplicates().itertuples():  # a rule is asked once for what is said alike
            if wrong := rule(*texts[1:]):
                _refuse_fault(wrong, table["image"].loc[texts[0]], texts[0], source)
    labels.check_spelling(table.loc[table["decision"] == LABEL, ["image", "label"]], source)
    table["blind"] = table["blind"].replace("", NO)
    table["session"] = table["session"].replace("", session)
    nameless = table["id"] == ""
    table.loc[nameless, "id"] = _digests(table[nameless])
    return table


def check_new(table: pd.DataFrame, root_names: list[str], source: object, *, session: str) -> pd.DataFrame:
    """As `check`, of decisions that come in: their classes are new, or ought to have another name.

    Raises:
      DataError: also for a class that is called like a word of a decision.
    """
    table = check(table, root_names, source, session=session)
    cells.refuse_words(table[table["decision"] == LABEL], source)
    return table


def fault(row: dict[str, str], root_names: list[str]) -> Fault:
    """What is wrong with a new decision (`COLUMNS`), and how to mend it; None if nothing is.

    As `check_new`, without a table: a page that waits for one decision has no time for it.
    """
    wrong = [rule(*(row[name] for name in columns)) for columns, rule in RULES.items()]
    wrong.append(cells.class_fault(row["label"]) if row["decision"] == LABEL else None)
    return labels.image_fault(row["image"], root_names) or next(filter(None, wrong), None)


def _class_fault(decision: str, label: str, subclass: str) -> Fault:
    if decision not in DECISIONS:
        return f"unknown decision '{decision}'", closest(decision, DECISIONS)
    if decision == LABEL and label.lower() in ("", labels.UNKNOWN):
        return "a decision without a class", "name one, or decide unknown"
    if labels.BROKEN.search(label) or labels.BROKEN.search(subclass):
        return "a line break or control character in a label", "write the label in one line"
    if subclass and decision != LABEL:
        return "a sub-class without its class", "name the class, or leave the sub-class empty"
    return None


def _source_fault(by: str, at: str) -> Fault:
    if by.strip() and at:
        return cells.time_fault(at)  # ISO 8601: the later time is the greater text
    advice = "write a name into `by`, and a time such as 2026-03-01T12:00:00 into `at`"
    return "a decision does not say by whom and when", advice


def _blind_fault(blind: str) -> Fault:
    return None if blind in (YES, NO, "") else ("`blind` says neither yes nor no", "write one of them, or nothing")


def _seconds_fault(seconds: str) -> Fault:
    return None if SECONDS.fullmatch(seconds) else ("`seconds` is no number", "write one, or nothing")


def _undo_fault(decision: str, undoes: str) -> Fault:
    if (decision == UNDO) == (undoes != ""):
        return None
    return "`undoes` names the decision that an undo takes back", "fill it there, and nowhere else"


def _id_fault(id_: str) -> Fault:
    what = "`id` is more than letters, digits, '.', '-' and '_'"
    return None if ID.fullmatch(id_) else (what, "write a plainer one, or nothing")


RULES: dict[tuple[str, ...], Callable[..., Fault]] = {
    ("decision", "label", "subclass"): _class_fault,
    ("by", "at"): _source_fault,
    ("sha256",): cells.content_fault,
    ("blind",): _blind_fault,
    ("seconds",): _seconds_fault,
    ("decision", "undoes"): _undo_fault,
    ("id",): _id_fault,
}


def append(decision: dict[str, str], folder: Path, session: str, root_names: list[str]) -> str:
    """Adds one decision to a session's table, as `append_all`; returns its id."""
    return append_all([decision], folder, session, root_names)[0]


def append_all(said: list[dict[str, str]], folder: Path, session: str, root_names: list[str]) -> list[str]:
    """Adds decisions to a session's table; they are on disk when this returns.

    Safe for several threads and processes. A decision whose `id` the table has already is not added again, so that a
    request may be repeated; without an `id`, a digest of what it says is one.

    Args:
      said: values of `COLUMNS` each; what is missing is empty.
      session: names the table, `SESSION.csv`.

    Returns:
      The decisions' ids.

    Raises:
      UsageError: if the session's name is no file's name, or its table has other columns.
      DataError: as `read_log`.
      ResumableError: if they cannot be written, the disk being full for one; the table is as it was before.
    """
    path = folder / f"{session}.csv"
    if not SESSION.fullmatch(session):
        raise UsageError(f"'{session}' cannot name a session", where=folder, mend="take letters, digits and spaces")
    rows = [{name: str(row.get(name, "")) for name in COLUMNS} | {"session": session} for row in said]
    for number, row in enumerate(rows):
        _refuse_fault(fault(row, root_names), row["image"], number, path)
    named = [(row["image"], row["label"] if row["decision"] == LABEL else "") for row in rows]
    if len({label for _, label in named}) > 1:
        labels.check_spelling(pd.DataFrame(named, columns=["image", "label"], dtype="str"), path)
    rows = [row | {"blind": row["blind"] or NO} for row in rows]
    rows = [row | {"id": row["id"] or digest(row)} for row in rows]
    if any(labels.BROKEN.search(text) for row in rows for text in row.values()):
        raise DataError("a decision with a line break or control character", where=path, mend="write it in one line")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(path) as file:
            before = file.read()
            data = _whole_lines(before, path)
            columns = _columns(data, rows, path)
            new = [row for row in rows if f",{row['id']},{session},".encode() not in data]
            if new:
                _add_lines(file, data, [[row[name] for name in columns] for row in new])
            if not before:
                _keep_entry(folder)
    except OSError as error:
        error.filename = str(path)
        raise from_os_error(error) from error
    return [row["id"] for row in rows]


def write(decisions: pd.DataFrame, folder: Path, name: str) -> Path:
    """Writes one session's decisions as a new file; never adds to or replaces an old one."""
    number, path = 1, folder / f"{name}.csv"
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.csv"
    whole = decisions.reindex(columns=COLUMNS, fill_value="").fillna("").astype("str")
    whole = whole.assign(session=path.stem, blind=whole["blind"].replace("", NO))
    whole["id"] = whole["id"].mask(whole["id"] == "", _digests(whole))
    write_csv(whole, path)
    return path


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Each review table as it stands, by its file's name; empty ones are left out."""
    found = {file.name: _whole_lines(file.read_bytes(), file) for file in sorted(folder.glob("*.csv"))}
    return {name: tables.parse_csv(data, folder / name, REQUIRED) for name, data in found.items() if data}


def rewrite(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Replaces a review table as a whole by what `change` makes of it; nobody adds a row meanwhile."""
    with _locked(path) as file:
        table = tables.parse_csv(_whole_lines(file.read(), path), path, REQUIRED)
        write_csv(change(table), path)


@contextmanager
def _locked(path: Path) -> Iterator[io.FileIO]:
    """Yields the table, opened to be read and written by this process alone."""
    while True:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):  # else it was replaced
                yield file
                return


def settled(decisions: pd.DataFrame) -> frozenset[str]:
    """The images that people decided on while they saw them beside their near-duplicates."""
    return frozenset(decisions.loc[decisions["recipe"] == CONFLICT_RECIPE, "image"])


def verdicts(decisions: pd.DataFrame) -> pd.DataFrame:
    """What people last said of each image's label: columns `image`, `at`, `model` and `label`, "" to keep what it has.

    The label audit does not ask them the same again (`evaluation.audit`).
    """
    said = decisions[decisions["decision"].isin([LABEL, KEEP])]
    return said.drop_duplicates("image", keep="last")[["image", "at", "model", "label"]].reset_index(drop=True)


def _whole_lines(data: bytes, path: Path) -> bytes:
    """`data` without a last line, or a head, that was cut short while it was written here.

    Raises:
      DataError: if the line before was written by another program, so that the last one may have been confirmed.
    """
    end = data.rfind(b"\n") + 1
    rest = data[end:]
    if not rest or (end == 0 and HEADER.startswith(rest)):
        return data[:end]
    head = data.partition(b"\n")[0].rstrip(b"\r")
    if end == 0 or not head.endswith(b",blind"):  # written whole, by a spreadsheet for one
        return data
    texts = next(csv.reader([rest.decode("utf-8", "replace").rstrip("\r")], strict=False), [])
    if len(texts) == head.count(b",") + 1 and texts[-1] in (YES, NO):
        return data
    if data[:end].endswith(b"\r\n"):
        advice = "the table was cut short: bring its last version back, or remove that line"
        what, row = f"a row has {len(texts)} of {head.count(b',') + 1} cells", data.count(b"\n") + 1
        raise DataError(what, where=f"{path}, row {row}", mend=advice)
    print(f"note: the last line is cut short and left out: {path}", file=sys.stderr)
    return data[:end]


def _columns(data: bytes, rows: list[dict[str, str]], path: Path) -> list[str]:
    """The columns of a table that begins with `data`, which rows are added to."""
    head = data[: data.find(b"\n") + 1].replace(b"\r", b"")
    if not data or head == HEADER:
        return COLUMNS
    if head == (",".join(EARLIER) + "\n").encode() and not any(row[name] for row in rows for name in SINCE_THEN):
        return EARLIER
    raise UsageError("a review table with other columns", where=path, mend="name another session")


def _add_lines(file: io.FileIO, data: bytes, rows: list[list[str]]) -> None:
    """Adds rows behind `data`, what is whole of the file, or leaves it at that."""
    start = HEADER if not data else b"" if data.endswith(b"\n") else b"\n"
    try:
        file.seek(len(data))
        file.truncate()
        lines = io.StringIO()
        csv.writer(lines, lineterminator="\n").writerows(rows)
        rest = start + lines.getvalue().encode()
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(len(data))
        raise


def _keep_entry(folder: Path) -> None:
    """Has the folder itself on disk, with the name of a file that is new in it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digests(table: pd.DataFrame) -> list[str]:
    """`digest` of each row; `to_dict` would take six times as long as all the rest of a table's check."""
    rows = zip(*(table[name].tolist() for name in COLUMNS), strict=True)
    return [digest(dict(zip(COLUMNS, cells, strict=True))) for cells in rows]


def digest(row: dict[str, str]) -> str:
    """What a row is called: 16 digits of a digest of what it says, less what it leaves open of `SINCE_THEN`."""
    said = [row[name] for name in IDENTITY] + [row[name] for name in SINCE_THEN if row[name]]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def _refuse_fault(wrong: Fault, image: str, number: int, source: object) -> None:
    if wrong:
        what, mend = wrong
        raise DataError(f"{what}: {image}", where=f"{source}, row {number + 2}", mend=mend)


def _refuse(wrong: pd.Series, table: pd.DataFrame, what: str, mend: str) -> None:
    if wrong.any():
        row = table[wrong].iloc[0]
        raise DataError(f"{what}: {row['image']}", where=row["where"], mend=mend)
