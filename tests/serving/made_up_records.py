"""Transactions made up for tests of the log."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from pipeline.serving.store import opening, schema
from pipeline.serving.store.spool import Record


def transaction(request_id: str = "", position: int = 0, **values: Any) -> Record:
    row = {
        "request_id": request_id or uuid.uuid4().hex, "position": position, "at": 1_700_000_000_000_000,
        "client": "ann", "user": "", "sha256": "a" * 64, "bytes": 10, "width": 8, "height": 8, "model": "m" * 64,
        "version": "round-1-mmmm", "runtime": "keras", "label": "zebra", "score": 0.9, "threshold": 0.5, "shown": True,
        "top_labels": ["zebra", "okapi"], "top_scores": [0.9, 0.1], "brightness": 0.5, "latency_ms": 3.0, "status": 200,
        "error": "", "path": "",
    }  # fmt: skip
    return Record("transactions", row | values)


def stored(url: str, table: sa.Table = schema.transactions) -> list[dict[str, Any]]:
    """All rows, in the order in which they were added."""
    engine = opening.connect(url)
    with opening.reading(engine).connect() as connection:
        order = [table.c.id] if "id" in table.c else []
        rows = [dict(row) for row in connection.execute(sa.select(table).order_by(*order)).mappings()]
    engine.dispose()
    return rows


def requests(url: str) -> list[str]:
    return [row["request_id"] for row in stored(url)]


def soon(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether a condition holds before so much time is over."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
