"""Opens the transaction log, SQLite by default or PostgreSQL, and brings its tables up to date."""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from pipeline.errors import ResumableError, UsageError
from pipeline.serving.store import schema

MIGRATIONS = Path(__file__).parent / "migrations"
WHERE = "serve.store"
PATIENCE = 5.0  # seconds to wait for another writer, or for a server to answer
READING = "wallaby_reading"
LOOKS, BETWEEN = 3, 0.1  # at a file, seconds: while a checkpoint writes, it is shorter than its first page says
CHECK = 10.0  # seconds that looking for damage may take: what is found later, is found where it is met
STEPS = 10_000  # of SQLite's machine between two looks at the clock
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
ADVISORY_LOCK = 5_772_156_649  # any number that is ours: PostgreSQL lets one process migrate


def open_store(url: str, *, patience: float = PATIENCE) -> sa.Engine:
    """Connects, and makes the tables or brings them up to date; several processes may do so at once.

    Who only reads, for long perhaps, takes `reading(engine)`, so that no writer waits for it.

    Args:
      url: of SQLAlchemy: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.
      patience: seconds to wait for a lock or for a server.

    Raises:
      UsageError: for what is no such URL, a driver that is not installed, or a later version's tables.
      ResumableError: if the database does not answer, is locked or full.
    """
    engine = connect(url, patience=patience)
    try:
        migrate(engine)
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        raise unreachable(error, url) from error
    return engine


def open_existing(url: str, *, patience: float = PATIENCE) -> sa.Engine | None:
    """As `open_store`, for who only looks: None where no service has made a store yet, and none is made.

    Raises:
      UsageError, ResumableError: as `open_store`.
    """
    engine = connect(url, patience=patience, make_folder=False)
    file = file_of(url)  # SQLite would make it by looking
    try:
        there = (file is None or file.exists()) and sa.inspect(reading(engine)).has_table(schema.transactions.name)
        if there:
            migrate(engine)
    except sa.exc.SQLAlchemyError as error:
        engine.dispose()
        raise unreachable(error, url) from error
    if not there:
        engine.dispose()
    return engine if there else None


def connect(url: str, *, patience: float = PATIENCE, make_folder: bool = True) -> sa.Engine:
    """The engine of a store, which connects when it is first used.

    Args:
      make_folder: whether to make the folder of SQLite's file.

    Raises:
      UsageError: for what is no such URL, or a driver that is not installed.
    """
    try:
        parsed = sa.make_url(url)
        options = _OPTIONS[parsed.get_backend_name()](patience)
        engine = sa.create_engine(parsed, **options)
    except (sa.exc.ArgumentError, KeyError):
        raise UsageError(
            "not the address of a database of SQLite or PostgreSQL",
            where=WHERE,
            mend="sqlite:///data/serving/transactions.sqlite, or postgresql+psycopg://USER@HOST/NAME",
        ) from None
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is not installed", where=WHERE, mend="pip install -c constraints.txt -e '.[postgres]'"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        if make_folder and parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        sa.event.listen(engine, "connect", partial(_prepare_sqlite, patience))
        sa.event.listen(engine, "begin", _begin_immediately)
    return engine


def reading(engine: sa.Engine) -> sa.Engine:
    """The same store for those who only read: what they see is of one moment, and they hold up nobody."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine.execution_options(**{READING: True})


def migrate(engine: sa.Engine) -> None:
    """Makes the tables, or brings those of an earlier version up to date.

    Raises:
      UsageError: if a later version of this program has made them.
    """
    settings = alembic.config.Config()
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    newest = ScriptDirectory.from_config(settings).get_current_head()
    with engine.begin() as connection:
        if MigrationContext.configure(connection).get_current_revision() == newest:
            return
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        settings.attributes["connection"] = connection
        try:
            alembic.command.upgrade(settings, "head")
        except CommandError:
            raise UsageError(
                "a later version of this program has made the tables of the store",
                where=engine.url.render_as_string(hide_password=True),
                mend="use that version",
            ) from None


@dataclass(frozen=True)
class Identity:
    """Which file a store is: another one may have taken its place."""

    device: int
    inode: int


class UnreachableError(ResumableError):
    """The store cannot be used at the moment. `reason`: what the database said, in one line."""

    reason = ""


class DamagedError(ResumableError):
    """The store is there, and its content is not what the database has written."""


def file_of(url: str) -> Path | None:
    """The file of a SQLite store; None of one in memory, or of another database."""
    parsed = sa.make_url(url)
    database = parsed.database or ""
    inside = parsed.get_backend_name() == "sqlite" and database not in ("", ":memory:")
    return Path(database) if inside and not database.startswith("file:") else None


def identity(file: Path) -> Identity:
    """Which file it is, after a look at its first page on the disk.

    A connection that has pages of the file in memory notices neither garbage in their place nor that the file was
    deleted, and goes on: what it says it has written nobody would ever read. So this looks past every connection and
    past the write-ahead log, by SQLite itself: to open and close the file by other means would take SQLite's locks
    away (sqlite.org/howtocorrupt.html, 2.2).

    Raises:
      DamagedError: if the first page is not SQLite's.
      ResumableError: if there is no such file.
    """
    for attempt in range(LOOKS):
        try:
            status = file.stat()
            _read_first_page(file)
        except FileNotFoundError:
            raise ResumableError("the store is gone", where=file, mend="it is made again") from None
        except sqlite3.Error as error:
            if attempt == LOOKS - 1:
                raise unreachable(error, f"sqlite:///{file}") from error
            time.sleep(BETWEEN)
        else:
            break
    if not status.st_size:
        raise _damaged("the file is empty", f"sqlite:///{file}")
    return Identity(status.st_dev, status.st_ino)


def refuse_damaged(engine: sa.Engine) -> None:
    """Looks for damage in a SQLite store, for `CHECK` seconds at most.

    Raises:
      DamagedError: if SQLite finds any.
    """
    until = time.monotonic() + CHECK
    with reading(engine).connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: time.monotonic() > until, STEPS)
        try:
            found = connection.exec_driver_sql("pragma quick_check(1)").scalar()
        except sa.exc.OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", 0) != sqlite3.SQLITE_INTERRUPT:
                raise
            found = "ok"
        finally:
            driver.set_progress_handler(None, 0)
    if found != "ok":
        raise _damaged(str(found), str(engine.url))


def unreachable(error: Exception, url: str) -> ResumableError:
    """What the database said, as an error that can be mended; no password is told."""
    cause = getattr(error, "orig", None) or error
    reason = str(cause).strip().partition("\n")[0]
    if getattr(cause, "sqlite_errorcode", 0) & 0xFF in DAMAGED:
        return _damaged(reason, url)
    unreached = UnreachableError(
        f"the transaction log cannot be used: {reason}",
        where=sa.make_url(url).render_as_string(hide_password=True),
        mend="start the database, or correct serve.store, and run the same command again",
    )
    unreached.reason = reason
    return unreached


def _read_first_page(file: Path) -> None:
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        connection.execute("pragma schema_version").fetchone()


def _damaged(reason: str, url: str) -> DamagedError:
    return DamagedError(
        f"the store is damaged: {reason}",
        where=sa.make_url(url).render_as_string(hide_password=True),
        mend='docs/serving.md, "A damaged store": move it away, or put a backup in its place',
    )


def _sqlite(patience: float) -> dict[str, Any]:
    return {"connect_args": {"timeout": patience}}


def _postgresql(patience: float) -> dict[str, Any]:
    waits = {"connect_timeout": max(2, round(patience)), "options": f"-c lock_timeout={round(1000 * patience)}"}
    return {"pool_pre_ping": True, "connect_args": waits}


_OPTIONS = {"sqlite": _sqlite, "postgresql": _postgresql}


def _prepare_sqlite(patience: float, connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # the driver would begin by itself, and too late: see `_begin_immediately`
    _use_wal(connection, time.monotonic() + patience)
    connection.execute("pragma synchronous=normal")  # of a power cut, the last moments may be lost, and nothing spoilt


def _use_wal(connection: sqlite3.Connection, until: float) -> None:
    """Readers do not wait for the writer then. Of two that change a new file, SQLite refuses one, however patient."""
    while True:
        try:
            connection.execute("pragma journal_mode=wal")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


def _begin_immediately(connection: sa.Connection) -> None:
    # Of two writers that had begun by reading, SQLite would refuse one at once, however patient it is.
    connection.exec_driver_sql("begin" if connection.get_execution_options().get(READING) else "begin immediate")
