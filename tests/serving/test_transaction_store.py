"""The transaction log's tables: made once, brought up to date, and alike in every database."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from pipeline.errors import ResumableError, UsageError
from pipeline.serving.store import opening, schema


def names(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}


def test_the_migrations_make_the_tables_that_the_program_expects(url):
    engine = opening.open_store(url)
    assert names(engine) == set(schema.metadata.tables)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_a_store_is_opened_again_with_what_is_in_it(url):
    row = {"request_id": "a"}
    with opening.open_store(url).begin() as connection:
        connection.execute(schema.forgotten.insert(), row)
    with opening.open_store(url).connect() as connection:
        assert connection.execute(sa.select(schema.forgotten)).mappings().all() == [row]


def test_who_only_looks_makes_no_store_and_finds_one_that_is_there(url):
    assert opening.open_existing(url) is None
    bare = opening.connect(url)
    assert names(bare) == set()
    opening.open_store(url).dispose()
    found = opening.open_existing(url)
    assert found is not None
    assert names(found) == set(schema.metadata.tables)


def test_servers_that_start_at_the_same_moment_make_the_tables_once(url):
    with ThreadPoolExecutor(4) as threads:
        engines = list(threads.map(lambda _: opening.open_store(url), range(4)))
    assert all(names(engine) == set(schema.metadata.tables) for engine in engines)


def test_a_new_file_that_another_server_is_preparing_is_waited_for(tmp_path):
    other = sqlite3.connect(tmp_path / "new.sqlite", isolation_level=None)
    other.execute("begin immediate")
    other.execute("create table of_the_other (x)")
    with ThreadPoolExecutor(1) as threads:
        opened = threads.submit(opening.open_store, f"sqlite:///{tmp_path}/new.sqlite")
        time.sleep(0.2)
        other.execute("commit")
        assert names(opened.result()) > set(schema.metadata.tables)
    other.close()


@pytest.mark.timeout(20)  # as long as the patience is, it would wait
def test_a_file_that_can_only_be_read_is_not_waited_for(tmp_path):
    sqlite3.connect(tmp_path / "old.sqlite").execute("create table of_another (x)").connection.close()
    found = sa.create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(f"file:{tmp_path}/old.sqlite?mode=ro", uri=True)
    )
    sa.event.listen(found, "connect", partial(opening._prepare_sqlite, 3600.0))
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        found.connect()


def test_a_store_of_a_later_version_is_refused(url):
    engine = opening.open_store(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(UsageError, match="later version"):
        opening.open_store(url)


def test_a_long_reader_holds_up_no_writer(url):
    engine = opening.open_store(url, patience=0.2)
    with opening.reading(engine).connect() as reader:
        before = reader.scalar(sa.select(sa.func.count()).select_from(schema.forgotten))
        with engine.begin() as writer:
            writer.execute(schema.forgotten.insert(), {"request_id": "a"})
        assert reader.scalar(sa.select(sa.func.count()).select_from(schema.forgotten)) == before == 0


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("nonsense", "not the address"),
        ("mysql://a@b/c", "SQLite or PostgreSQL"),
        ("postgresql+asyncpg://a@b/c", "not installed"),
    ],
)
def test_what_is_no_store_is_refused(url, what):
    with pytest.raises(UsageError, match=what):
        opening.open_store(url)


def test_a_server_that_is_not_there_is_named_without_its_password():
    with pytest.raises(ResumableError) as refused:
        opening.open_store("postgresql+psycopg://me:secret@127.0.0.1:1/log")
    assert "127.0.0.1" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_store_that_another_program_has_locked_says_so(tmp_path):
    url = f"sqlite:///{tmp_path}/transactions.sqlite"
    opening.open_store(url)
    other = sqlite3.connect(tmp_path / "transactions.sqlite", isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(ResumableError, match="locked"):
        opening.open_store(url, patience=0.1)
    other.close()


def test_a_file_that_is_no_database_is_not_overwritten(tmp_path):
    path = tmp_path / "transactions.sqlite"
    path.write_bytes(b"my own notes" * 100)
    with pytest.raises(ResumableError, match="not a database"):
        opening.open_store(f"sqlite:///{path}")
    assert path.read_bytes() == b"my own notes" * 100
