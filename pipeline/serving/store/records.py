"""What is done with records in the store: added exactly once, looked up, deleted by client or age."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.serving.store import schema
from pipeline.serving.store.spool import Record

INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
OF_A_PICTURE = (schema.transactions, schema.shadows, schema.evaluations, schema.audits)
CHUNK = 500  # values in a condition


@dataclass(frozen=True)
class Deleted:
    """How many transactions went, and the pictures that no other transaction names."""

    transactions: int
    paths: list[str]


def add(connection: sa.Connection, records: Iterable[Record]) -> None:
    """Adds records; what is there already, or belongs to a request that was deleted, is passed over.

    Raises:
      SQLAlchemyError: what the database says; nothing is added then.
    """
    by_table: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_table.setdefault(record.table, []).append(record.row)
    for name, rows in by_table.items():
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
