"""What the reports read of the transaction log: compact columns, in chunks, for millions of transactions."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from pipeline.serving.store import arrow
from pipeline.serving.store.opening import reading, unreachable
from pipeline.serving.store.schema import audits, evaluations, releases, shadows, transactions

CHUNK = 100_000  # rows
ANSWERED = 200
TEXT = pa.dictionary(pa.int32(), pa.string())
TYPES = {
    "at": pa.int64(),
    "position": pa.int32(),
    "client": TEXT,
    "version": TEXT,
    "label": TEXT,
    "score": pa.float32(),
    "shown": pa.bool_(),
    "brightness": pa.float32(),
    "latency_ms": pa.float32(),
    "status": pa.int16(),
    "width": pa.int32(),
    "height": pa.int32(),
}  # of a transaction: 45 bytes
FACTS = ["at", "client", "sha256", "model", "version", "label", "score", "shown", "status"]
KEY = ["request_id", "position"]


class Log:
    """A store, read for the time from `since` to before `until`, microseconds since 1970; None is without limit."""

    def __init__(self, engine: sa.Engine, *, since: int | None = None, until: int | None = None):
        self._engine, self._since, self._until = reading(engine), since, until

    def transactions(self) -> pd.DataFrame:
        """The columns `TYPES`, texts as categories; in the order of time as far as it is that of recording."""
        schema = pa.schema(TYPES.items())
        query = self._limited(sa.select(*(transactions.c[name] for name in TYPES)), transactions.c.at + 0)
        query = query.order_by(transactions.c.id)
        file = arrow.file_of(self._engine)
        batches = self._chunks(query) if file is None else arrow.batches(self._engine, file, query, rows=CHUNK)
        table = pa.Table.from_batches((batch.cast(schema) for batch in batches), schema).unify_dictionaries()
        return table.to_pandas(split_blocks=True, self_destruct=True)

    def evaluations(self) -> pd.DataFrame:
        """What people say, oldest first: the columns of the schema, and of the transaction `FACTS`; `evaluated_at`."""
        said = [*KEY, "id", "by", "verdict", "label", "source", "note"]
        return self._joined(
            evaluations,
            [evaluations.c[name].label("truth" if name == "label" else name) for name in said]
            + [evaluations.c.at.label("evaluated_at")],
            order=evaluations.c.id,
        )

    def audits(self) -> pd.DataFrame:
        """The transactions drawn: the columns of the schema, and of the transaction `FACTS`."""
        return self._joined(audits, list(audits.c), order=audits.c.drawn_at)

    def shadows(self) -> pd.DataFrame:
        """What candidates said of transactions that were drawn: `KEY`, `shadow_model`, `shadow_version`,
        `shadow_label`, `shadow_score`, `shadow_shown`."""
        said = [shadows.c[name].label(f"shadow_{name}") for name in ("model", "version", "label", "score", "shown")]
        on = (shadows.c.request_id == audits.c.request_id) & (shadows.c.position == audits.c.position)
        query = self._limited(sa.select(*(audits.c[name] for name in KEY), *said).join(shadows, on), shadows.c.at)
        return self._frame(query.order_by(shadows.c.id))

    def releases(self) -> pd.DataFrame:
        """The models that have served, the first released first: the columns of the schema."""
        return self._frame(sa.select(releases).order_by(releases.c.at, releases.c.model))

    def shown_by_version(self) -> pd.DataFrame:
        """Columns `version`, `shown`: answers that a user saw, by the version that gave them."""
        seen = (transactions.c.status == ANSWERED) & transactions.c.shown.is_(True)
        query = sa.select(transactions.c.version, sa.func.count().label("shown")).where(seen)
        return self._frame(self._limited(query, transactions.c.at + 0).group_by(transactions.c.version))

    def _chunks(self, query: sa.Select) -> Iterator[pa.RecordBatch]:
        query, last = query.add_columns(transactions.c.id).limit(CHUNK), 0
        with self._connection() as connection:
            # The driver's own rows: SQLAlchemy would wrap each of millions.
            while rows := connection.execute(query.where(transactions.c.id > last)).cursor.fetchall():
                *columns, ids = zip(*rows, strict=True)
                yield pa.record_batch(list(map(pa.array, columns)), names=list(TYPES))
                last = ids[-1]

    def _joined(self, table: sa.Table, columns: list[Any], *, order: Any) -> pd.DataFrame:
        on = (table.c.request_id == transactions.c.request_id) & (table.c.position == transactions.c.position)
        query = sa.select(*columns, *(transactions.c[name] for name in FACTS)).join_from(table, transactions, on)
        return self._frame(
            self._limited(query, transactions.c.at + 0).order_by(order, table.c.request_id, table.c.position)
        )

    def _limited(self, query: Any, at: Any) -> Any:
        """Of transactions, `at` is time + 0: SQLite would else take the index of times for everything."""
        query = query if self._since is None else query.where(at >= self._since)
        return query if self._until is None else query.where(at < self._until)

    def _frame(self, query: Any) -> pd.DataFrame:
        with self._connection() as connection:
            result = connection.execute(query)
            return pd.DataFrame(result.fetchall(), columns=list(result.keys()))

    def _connection(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except sa.exc.SQLAlchemyError as error:
            raise unreachable(error, str(self._engine.url)) from error
