"""A store that was moved or copied with its repository: its addresses are made those of the present place.

MLflow writes absolute addresses into its database: without this, a copy would write into the repository it was made of.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

# MLflow's tables and their columns with the address of a file or folder.
ADDRESSES = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}
WAIT = 60.0  # seconds for another process that writes


def adopt(database: Path, artifacts: Path) -> int:
    """Rewrites the addresses below another folder called as `artifacts` is; returns how many there were.

    Addresses that are elsewhere, for example in object storage, stay.

    Args:
      database: MLflow's SQLite file.
      artifacts: the present folder of its artifacts, absolute.

    Raises:
      sqlite3.Error: if the file is no database, or cannot be written.
    """
    changed = 0
    with closing(sqlite3.connect(database, timeout=WAIT)) as connection, connection:
        for table, columns in ADDRESSES.items():
            known = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            for column in set(columns) & known:
                rows = connection.execute(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL")
                for old, new in _moved((row[0] for row in rows.fetchall()), artifacts):
                    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (new, old))
                    changed += 1
    return changed


def _moved(addresses: Iterable[str], artifacts: Path) -> Iterable[tuple[str, str]]:
    for old in addresses:
        address = urlsplit(old)
        is_uri = address.scheme == "file"
        if not is_uri and not old.startswith("/"):
            continue
        parts = Path(url2pathname(address.path) if is_uri else old).parts
        if artifacts.name not in parts:
            continue
        last = len(parts) - 1 - parts[::-1].index(artifacts.name)
        path = artifacts.joinpath(*parts[last + 1 :])
        new = path.as_uri() if is_uri else str(path)
        if new != old:
            yield old, new
