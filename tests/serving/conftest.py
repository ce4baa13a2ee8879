"""Stores to test with: SQLite in a folder of the test, and PostgreSQL of Debian's packages where it is installed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


class Postgres:
    """A PostgreSQL server of the tests' own, with nothing in it."""

    def __init__(self) -> None:
        self._binaries, self._folder = POSTGRES[-1].parent, Path(tempfile.mkdtemp(prefix="wallaby-postgres-"))
        self._as_owner: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self._folder, "postgres")
            self._as_owner = ["runuser", "-u", "postgres", "--"]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.address = f"postgresql+psycopg://wallaby@127.0.0.1:{self._port}"
        self._run("initdb", "-U", "wallaby", "-A", "trust", "--no-sync", "--locale=C.UTF-8")
        self.start()

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._run("pg_ctl", "-l", self._folder / "log", "-o", f"{options} -c fsync=off", "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as_owner, self._binaries / program, "-D", self._folder / "data", *arguments]
        subprocess.run([*map(str, command)], check=True, cwd=self._folder, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if not POSTGRES:
        pytest.skip("PostgreSQL's server is not installed")
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture
def postgres_to_stop(postgres) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """An empty store, and what stops and starts its server."""
    stopped = []

    def stop() -> None:
        postgres.stop()
        stopped.append(True)

    def start() -> None:
        postgres.start()
        stopped.clear()

    yield database(postgres), stop, start
    if stopped:
        postgres.start()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path) -> str:
    """An empty store of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/transactions.sqlite"
    return database(request.getfixturevalue("postgres"))


def database(server: Postgres) -> str:
    """The address of a new one."""
    name = f"test_{os.urandom(6).hex()}"
    admin = sa.create_engine(f"{server.address}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    admin.dispose()
    return f"{server.address}/{name}"
