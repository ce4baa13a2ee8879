#!/usr/bin/env python
"""How long the report on the served model takes, and how much memory, on a log of millions.

    scripts/bench_reports.py [TRANSACTIONS] [EVALUATIONS] [STORE]

It makes up a log of TRANSACTIONS (5,000,000) over ten weeks and EVALUATIONS (50,000) of a random audit in a SQLite file
(STORE, kept if it is named), and then reads all tables and draws the page, in a process of its own. The rival is the
least that a notebook would do: `pandas.read_sql` of the whole table, and one mean of it. Goals: 30 seconds, 2 GiB.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
from promises import served_week

from pipeline.evaluation.over_rounds import BANDS
from pipeline.serving.reports.log import KEY
from pipeline.serving.reports.periods import DAY
from pipeline.serving.store.opening import open_store
from pipeline.serving.verdicts import AUDIT, NOT_IN_CLASSES, RIGHT, UNUSABLE, WRONG

WEEKS = 10
SECONDS, GIB = 30, 2.0
OURS = """
from pipeline.commands import report
from pipeline.serving import reports
told = reports.load({url!r})
page = report.html(told)
print(len(page), int(told["use"]["pictures"].sum()))
"""
RIVAL = """
import pandas as pd, sqlalchemy as sa
table = pd.read_sql("select * from transactions", sa.create_engine({url!r}))
print(table["shown"].mean(), len(table))
"""


def main(transactions: int, evaluations: int, store: str) -> None:
    with harness.scratch() as folder:
        path = Path(store or folder / "log.sqlite").absolute()
        fill(f"sqlite:///{path}", transactions, evaluations)
        size = path.stat().st_size / 2**30
        print(f"{transactions:,} transactions and {evaluations:,} evaluations, {size:.1f} GiB of SQLite")
        ours, theirs = (cost(code.format(url=f"sqlite:///{path}")) for code in (OURS, RIVAL))
    harness.heads()
    harness.row("wallaby report, s", ours.seconds, "pandas.read_sql of the whole table", theirs.seconds, limit=SECONDS)
    harness.row("  seconds of a processor", ours.cpu, "", theirs.cpu)
    harness.row("  GiB at most", ours.peak / 1024, "", theirs.peak / 1024, limit=GIB)


def cost(code: str) -> harness.Cost:
    """What a program takes, from its start to its end; NaN if it fails."""
    try:
        return harness.measured([sys.executable, "-c", code])
    except SystemExit as error:
        print(error)
        return harness.Cost(math.nan, math.nan, math.nan)


def fill(url: str, transactions: int, evaluations: int) -> None:
    """Writes the weeks that are not there yet, with the same models; a part of each is drawn and evaluated."""
    engine = open_store(url)
    random = np.random.default_rng(0)
    connection: Any = engine.raw_connection()
    cursor = connection.cursor()
    cursor.execute("pragma synchronous=off")
    [written] = cursor.execute("select count(distinct stratum) from audits").fetchone()
    if not written:
        served_week.write(engine, pd.DataFrame(served_week.releases(served_week.Planted())), "releases")
    for number in range(written // len(BANDS), WEEKS):
        cursor.execute("begin")
        week = served_week.make(pictures=transactions // WEEKS * 40 // 41, seed=number)
        rows = week.transactions.assign(at=week.transactions["at"] + 7 * DAY * number, user="")
        insert(cursor, "transactions", rows)
        drawn, said = audit(rows.assign(truth=week.truth), evaluations // WEEKS, f"week {number}", random)
        insert(cursor, "audits", drawn)
        insert(cursor, "evaluations", said)
        connection.commit()
        print(f"week {number + 1} of {WEEKS} written", file=sys.stderr)
    connection.close()
    engine.dispose()


def insert(cursor: Any, table: str, rows: pd.DataFrame) -> None:
    for name in ("top_labels", "top_scores"):
        if name in rows:
            rows[name] = [json.dumps(value) for value in rows[name]]
    marks = ", ".join("?" * len(rows.columns))
    names = ", ".join(f'"{name}"' for name in rows.columns)
    values = zip(*(rows[name].tolist() for name in rows.columns), strict=True)
    cursor.executemany(f"insert into {table} ({names}) values ({marks})", values)


def audit(rows: pd.DataFrame, number: int, name: str, random: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same number of each band of scores, and what a reviewer who does not err says of them."""
    answered = rows[rows["status"] == 200]
    band = np.searchsorted(BANDS, answered["score"], side="right")
    drawn = answered.assign(stratum=[f"{name} {one}" for one in band])
    population = drawn["stratum"].value_counts()
    drawn = drawn.sample(frac=1, random_state=random).groupby("stratum").head(-(-number // len(population)))
    chance = drawn["stratum"].value_counts() / population
    drawn = drawn.assign(drawn_at=rows["at"].max(), probability=drawn["stratum"].map(chance))
    outside = ~drawn["truth"].isin(served_week.CLASSES)
    verdict = np.select(
        [drawn["truth"] == "", drawn["truth"] == drawn["label"], outside], [UNUSABLE, RIGHT, NOT_IN_CLASSES], WRONG
    )
    truth = drawn["truth"].mask(verdict == RIGHT, "")
    said = drawn[[*KEY, "probability"]].assign(
        at=drawn["drawn_at"], by="ada", verdict=verdict, label=truth, source=AUDIT
    )
    return drawn[[*KEY, "drawn_at", "stratum", "probability"]], said.assign(note="")


if __name__ == "__main__":
    main(**vars(harness.parser(__doc__, transactions=5_000_000, evaluations=50_000, store="").parse_args()))
