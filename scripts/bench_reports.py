#!/usr/bin/env python
"""How long the report on the served model takes, and how much memory, on a log of millions.

    scripts/bench_reports.py [TRANSACTIONS] [EVALUATIONS] [STORE]

It makes up a log of TRANSACTIONS (5,000,000) over ten weeks and EVALUATIONS (50,000) of a random audit in a SQLite file
(STORE, kept if it is named), and then reads all tables and draws the page, in a process of its own. The rival is the
least that a notebook would do: `pandas.read_sql` of the whole table, and one mean of it. Goals: 30 seconds, 2 GiB.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import served_week

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


def main() -> None:
    transactions = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    evaluations = int(sys.argv[2]) if len(sys.argv) > 2 else 50_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(folder) / "log.sqlite"
        url = f"sqlite:///{path.absolute()}"
        fill(url, transactions, evaluations)
        size = path.stat().st_size / 2**30
        print(f"{transactions:,} transactions and {evaluations:,} evaluations, {size:.1f} GiB of SQLite")
        ours, theirs = measure("wallaby report", OURS, url), measure("pandas.read_sql of the whole table", RIVAL, url)
    print(f"the rival takes {theirs[0] / ours[0]:.1f} times as long and {theirs[1] / ours[1]:.1f} times the memory")
    verdict = "met" if ours[0] <= SECONDS and ours[1] <= GIB else "MISSED"
    print(f"goal of {SECONDS} s and {GIB:g} GiB: {verdict}")


def measure(name: str, code: str, url: str) -> tuple[float, float]:
    """Seconds and GiB that a program takes, from its start to its end."""
    watch = f"{code.format(url=url)}\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode:
        print(f"{name}: failed\n{result.stderr[-2000:]}")
        return float("nan"), float("nan")
    memory = int(result.stdout.split()[-1]) / 2**20
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{name}: {seconds:.1f} s ({busy:.1f} s of a processor), {memory:.2f} GiB at most")
    return seconds, memory


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
    main()
