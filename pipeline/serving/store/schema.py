"""The tables of the transaction log: what was asked of the served model, what it said, and what people say of that.

Times are UTC, integer microseconds since 1970, which sort the same in every database; digests are hexadecimal. A
picture of a request is named by `request_id` and `position` in all tables. `migrations` beside this file makes the
tables, and brings those of earlier versions up to date.
"""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, MetaData, Table, Text, UniqueConstraint
from sqlalchemy.schema import Index

metadata = MetaData()
NUMBER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up none but its own kind of integer


def _said() -> list[Column]:
    """What a model says of a picture, anew for each table."""
    return [
        Column("model", Text, nullable=False),
        Column("version", Text, nullable=False),
        Column("label", Text, nullable=False),
        Column("score", Float, nullable=False),
        Column("shown", Boolean, nullable=False),
        Column("top_labels", JSON, nullable=False),
        Column("top_scores", JSON, nullable=False),
        Column("latency_ms", Float, nullable=False),
    ]


def _picture(*, primary_key: bool = False) -> list[Column]:
    return [
        Column("request_id", Text, nullable=False, primary_key=primary_key),
        Column("position", Integer, nullable=False, primary_key=primary_key, autoincrement=False),
    ]


# One row for each picture of each request, also of one that was refused; `status` is that of HTTP. `model` is the
# digest of the released bundle, `version` its name; `threshold` is null where no answer is ever shown. `brightness` is
# the mean of the pixels as the network gets them, 0 to 1, for the drift of inputs. `path`: the picture, if it was kept.
transactions = Table(
    "transactions",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    *_picture(),
    Column("at", BigInteger, nullable=False),
    Column("client", Text, nullable=False),
    Column("user", Text, nullable=False, server_default=""),
    Column("sha256", Text, nullable=False, server_default=""),
    Column("bytes", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("threshold", Float),
    *_said(),
    Column("brightness", Float, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    Column("path", Text, nullable=False, server_default=""),
    UniqueConstraint("request_id", "position"),
    Index("transactions_at", "at"),
    Index("transactions_client", "client", "at"),
    sqlite_autoincrement=True,
)

# What a candidate, which answers nobody, says of the same pictures.
shadows = Table(
    "shadows",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    *_picture(),
    Column("at", BigInteger, nullable=False),
    *_said(),
    UniqueConstraint("request_id", "position", "model"),
    Index("shadows_at", "at"),
    sqlite_autoincrement=True,
)

# The models that have served. `classes`: those it knows. `expected`: what evaluation promised when it was released.
releases = Table(
    "releases",
    metadata,
    Column("model", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("classes", JSON, nullable=False),
    Column("threshold", Float),
    Column("expected", JSON, nullable=False),
)

# What people say of answers. `verdict`: right, wrong, not-in-classes, unusable; `label`: what it is, if named.
# `source`: audit (drawn by chance), feedback (somebody complained), chosen (by a person). `probability`: the chance
# that the transaction had to be drawn, null where none was. A later row of the same picture and `by` replaces it.
evaluations = Table(
    "evaluations",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    *_picture(),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False),
    Column("probability", Float),
    Column("note", Text, nullable=False, server_default=""),
    UniqueConstraint("request_id", "position", "by", "at"),
    sqlite_autoincrement=True,
)

# The random audit queue as it was drawn; it stays, so that estimates know the design.
audits = Table(
    "audits",
    metadata,
    *_picture(primary_key=True),
    Column("drawn_at", BigInteger, nullable=False),
    Column("stratum", Text, nullable=False),
    Column("probability", Float, nullable=False),
)

# Requests that were deleted: a record of theirs that still waits on a disk must not come back.
forgotten = Table("forgotten", metadata, Column("request_id", Text, primary_key=True))
