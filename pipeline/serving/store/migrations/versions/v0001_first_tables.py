"""The first tables. A migration is never edited: it tells what a store of its time looks like."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def text(name: str, **options) -> sa.Column:
    return sa.Column(name, sa.Text, nullable=False, **options)


def number(name: str, kind=sa.Integer, **options) -> sa.Column:
    return sa.Column(name, kind, nullable=False, **options)


def said() -> list[sa.Column]:
    return [
        text("model"),
        text("version"),
        text("label"),
        number("score", sa.Float),
        number("shown", sa.Boolean),
        number("top_labels", sa.JSON),
        number("top_scores", sa.JSON),
        number("latency_ms", sa.Float),
    ]


def upgrade() -> None:
    op.create_table(
        "transactions",
        number("id", NUMBER, primary_key=True, autoincrement=True),
        text("request_id"),
        number("position"),
        number("at", sa.BigInteger),
        text("client"),
        text("user", server_default=""),
        text("sha256", server_default=""),
        number("bytes", sa.BigInteger),
        number("width"),
        number("height"),
        text("runtime"),
        sa.Column("threshold", sa.Float),
        *said(),
        number("brightness", sa.Float),
        number("status"),
        text("error", server_default=""),
        text("path", server_default=""),
        sa.UniqueConstraint("request_id", "position"),
        sqlite_autoincrement=True,
    )
    op.create_index("transactions_at", "transactions", ["at"])
    op.create_index("transactions_client", "transactions", ["client", "at"])
    op.create_table(
        "shadows",
        number("id", NUMBER, primary_key=True, autoincrement=True),
        text("request_id"),
        number("position"),
        number("at", sa.BigInteger),
        *said(),
        sa.UniqueConstraint("request_id", "position", "model"),
        sqlite_autoincrement=True,
    )
    op.create_index("shadows_at", "shadows", ["at"])
    op.create_table(
        "releases",
        text("model", primary_key=True),
        text("version"),
        number("at", sa.BigInteger),
        number("classes", sa.JSON),
        sa.Column("threshold", sa.Float),
        number("expected", sa.JSON),
    )
    op.create_table(
        "evaluations",
        number("id", NUMBER, primary_key=True, autoincrement=True),
        text("request_id"),
        number("position"),
        number("at", sa.BigInteger),
        text("by"),
        text("verdict"),
        text("label", server_default=""),
        text("source"),
        sa.Column("probability", sa.Float),
        text("note", server_default=""),
        sa.UniqueConstraint("request_id", "position", "by", "at"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audits",
        text("request_id", primary_key=True),
        number("position", primary_key=True, autoincrement=False),
        number("drawn_at", sa.BigInteger),
        text("stratum"),
        number("probability", sa.Float),
    )
    op.create_table("forgotten", text("request_id", primary_key=True))
