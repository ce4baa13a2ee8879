"""Reads a SQLite store by Apache Arrow's own driver: no row of millions becomes an object of Python."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa
from adbc_driver_sqlite import StatementOptions, dbapi

from pipeline.serving.store.opening import PATIENCE, unreachable


def file_of(engine: sa.Engine) -> Path | None:
    """The file of a SQLite store; None of one in memory, or of another database."""
    if engine.dialect.name != "sqlite":
        return None
    with engine.connect() as connection:
        file = connection.exec_driver_sql("select file from pragma_database_list where name = 'main'").scalar_one()
    return Path(file) if file else None


def batches(engine: sa.Engine, file: Path, query: sa.Select, *, rows: int) -> Iterator[pa.RecordBatch]:
    """What a query of the store of this file answers, all of one moment, at most so many rows at once.

    Columns have the types that SQLite knows: whole numbers, also for what is true or false, fractions and texts.

    Raises:
      ResumableError: if the file cannot be read.
    """
    asked = str(query.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True}))
    # The driver has a SQLite of its own. Two of them in a process must not have the file open at once: whichever
    # closes it takes the other's locks away (sqlite.org/howtocorrupt.html, 2.2.1).
    engine.dispose()
    options = {StatementOptions.BATCH_ROWS.value: str(rows)}
    try:
        with (
            dbapi.connect(f"{file.as_uri()}?mode=ro") as connection,
            connection.cursor(adbc_stmt_kwargs=options) as cursor,
        ):
            cursor.execute(f"pragma busy_timeout={round(1000 * PATIENCE)}").fetchone()
            cursor.execute(asked)
            yield from cursor.fetch_record_batch()
    except dbapi.Error as error:
        raise unreachable(error, str(engine.url)) from error
