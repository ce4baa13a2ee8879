"""What is done with records in the store: added exactly once, looked up, deleted by client or age."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.serving.store import schema
from pipeline.serving.store.spool import Record

INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
OF_A_PICTURE = (schema.transactions, schema.shadows, schema.evaluations, schema.audits)
CHUNK = 500  # values in a condition
JSON = json.JSONEncoder(ensure_ascii=False)


@dataclass(frozen=True)
class Column:
    """What a column takes. `required`: a record that does not name it has no value for it."""

    required: bool
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Deleted:
    """How many transactions went, and the pictures that no other transaction names."""

    transactions: int
    paths: list[str]


def _is_text(value: Any) -> bool:
    """Half a character, a lone surrogate, is none that a database takes."""
    try:
        return isinstance(value, str) and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        return False


def _is_json(value: Any) -> bool:
    if isinstance(value, list) and all(type(part) is float and math.isfinite(part) for part in value):
        return True  # as most are, and as to write it twice would cost the most of all checks
    if isinstance(value, list) and all(isinstance(part, str) and part.isascii() for part in value):
        return True
    try:
        return bool(JSON.encode(value).encode())
    except (ValueError, TypeError, RecursionError):
        return False


def _is_fraction(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:
        return False


def _is_whole(bits: int) -> Callable[[Any], bool]:
    limit = 1 << (bits - 1)
    return lambda value: type(value) is int and -limit <= value < limit


FITS: dict[type, Callable[[Any], bool]] = {
    sa.Text: _is_text,
    sa.JSON: _is_json,
    sa.Float: _is_fraction,
    sa.Boolean: lambda value: type(value) is bool,
    sa.Integer: _is_whole(32),
    sa.BigInteger: _is_whole(64),
}


def _column(column: sa.Column) -> Column:
    fits = FITS[type(column.type)]
    if column.nullable:
        return Column(False, lambda value: value is None or fits(value))
    return Column(column.server_default is None, fits)


COLUMNS = {
    name: {column.name: _column(column) for column in table.c if column.name != "id"}
    for name, table in schema.metadata.tables.items()
}


def fault(record: Record) -> str:
    """Why no store can take a record, in a few words; empty if one can."""
    columns = COLUMNS.get(record.table)
    if columns is None:
        return f"there is no table '{record.table}'"
    for name, value in record.row.items():
        if name not in columns:
            return f"the table '{record.table}' has no column '{name}'"
        if not columns[name].fits(value):
            return f"{name} is not of its column's type"
    if len(record.row) < len(columns):
        for name, column in columns.items():
            if column.required and name not in record.row:
                return f"{name} is missing"
    return ""


def add(connection: sa.Connection, records: Iterable[Record]) -> None:
    """Adds records; what is there already, or belongs to a request that was deleted, is passed over.

    Raises:
      SQLAlchemyError: what the database says; nothing is added then.
    """
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}  # SQLAlchemy takes the columns of the first row for all
    for record in records:
        alike.setdefault((record.table, *sorted(record.row)), []).append(record.row)
    for (name, *_), rows in alike.items():
        table = schema.metadata.tables[name]
        kept = rows if "request_id" not in table.c else _not_forgotten(connection, rows)
        if kept:
            insert = INSERTS[connection.dialect.name](table)
            connection.execute(insert.on_conflict_do_nothing(), kept)


def client_of(connection: sa.Connection, request_id: str, position: int) -> str | None:
    """Who asked; None if there is no such transaction."""
    table = schema.transactions
    wanted = (table.c.request_id == request_id) & (table.c.position == position)
    return connection.scalar(sa.select(table.c.client).where(wanted))


def forget(connection: sa.Connection, client: str) -> Deleted:
    """Deletes all that was recorded of a client; a record of it that still waits in a spool will not come back."""
    return _delete(connection, schema.transactions.c.client == client)


def prune(connection: sa.Connection, before: int) -> Deleted:
    """Deletes what was recorded before a time, in microseconds since 1970."""
    return _delete(connection, schema.transactions.c.at < before)


def _delete(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> Deleted:
    table = schema.transactions
    requests = list(connection.scalars(sa.select(table.c.request_id).where(condition).distinct()))
    paths = list(connection.scalars(sa.select(table.c.path).where(condition & (table.c.path != "")).distinct()))
    number = connection.scalar(sa.select(sa.func.count()).select_from(table).where(condition)) or 0
    insert = INSERTS[connection.dialect.name](schema.forgotten)
    for some in _chunks(requests):
        connection.execute(insert.on_conflict_do_nothing(), [{"request_id": name} for name in some])
        for each in OF_A_PICTURE:
            connection.execute(sa.delete(each).where(each.c.request_id.in_(some)))
    shared = {path for some in _chunks(paths) for path in connection.scalars(_naming(some))}
    return Deleted(number, [path for path in paths if path not in shared])


def _naming(paths: list[str]) -> sa.Select:
    return sa.select(schema.transactions.c.path).where(schema.transactions.c.path.in_(paths)).distinct()


def _not_forgotten(connection: sa.Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    gone: set[str] = set()
    for some in _chunks(sorted({row["request_id"] for row in rows})):
        wanted = schema.forgotten.c.request_id.in_(some)
        gone.update(connection.scalars(sa.select(schema.forgotten.c.request_id).where(wanted)))
    return [row for row in rows if row["request_id"] not in gone] if gone else rows


def _chunks(values: list[str]) -> Iterable[list[str]]:
    return (values[first : first + CHUNK] for first in range(0, len(values), CHUNK))
