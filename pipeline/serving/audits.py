"""The random audit: served pictures drawn by chance for a person to judge, so that accuracy is not that of complaints.

Each draw is from the transactions recorded since the one before, so that every transaction is in one draw's frame, late
ones too. Within it they are drawn by stratum, which is a model, a band of scores, and whether the service has kept the
image or library or pool have it: without replacement, each of a stratum with the same chance, which is recorded. Unsure
answers are drawn more often, for they differ more (Neyman 1934, with the scores for the shares that are right).

Only an image that is at hand can be judged. The service keeps a share of the contents, by their hash: what it keeps is
a random sample of all that it was sent and did not know, and stands for that (two-phase sampling: Sarndal, Swensson,
Wretman 1992, chapter 9). Images of library and pool are a population of their own, often an easier one.

One content gets one answer of a model: however many transactions show it, a person judges it once, and the verdict
counts for all that were drawn. The queue's order is that of contents, so that those judged so far are a random part.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import sqlalchemy as sa

from pipeline.errors import ResumableError
from pipeline.evaluation.over_rounds import BANDS
from pipeline.serving.store.opening import reading
from pipeline.serving.store.schema import audits, evaluations, transactions
from pipeline.serving.verdicts import AUDIT

LEAST = 5  # of a stratum: fewer have no variance to tell of
NEVER_SURE = 0.05  # a score is not trusted beyond this: a stratum of sure answers is drawn from, too
CHUNK = 50_000
KEYS = 500  # in one condition
KEPT, AT_HAND, NEITHER = "", ", in library or pool", "not kept"  # kinds of images; the first two end a stratum's name
OF = (transactions.c.request_id == audits.c.request_id) & (transactions.c.position == audits.c.position)
Key = tuple[str, int]  # request and position
LATEST = re.compile(r"\d+-(\d+) ")
QUEUE = [
    "request_id",
    "position",
    "at",
    "path",
    "sha256",
    "model",
    "version",
    "label",
    "score",
    "shown",
    "top_labels",
    "top_scores",
]


@dataclass(frozen=True)
class Draw:
    """What was drawn.

    Attributes:
      drawn: how many transactions.
      population: how many they stand for.
      uncovered: how many nobody stands for, since no image like theirs is kept.
      strata: by `stratum`: `population`, `drawn` and `probability`.
      independent: how many contents are among those drawn.
    """

    drawn: int
    population: int
    uncovered: int
    strata: pd.DataFrame
    independent: int = 0


@dataclass(frozen=True)
class Waiting:
    """What waits for a verdict: drawn transactions, and how many decisions they take."""

    images: int
    decisions: int


def draw(engine: sa.Engine, number: int, *, at: int, known: Collection[str] = (), dry_run: bool = False) -> Draw:
    """Draws answered transactions whose picture can be shown, from those recorded since the last draw.

    The same log draws the same ones.

    Args:
      at: now, in microseconds since 1970.
      known: content hashes of pictures that are at hand although the service has not kept them.
      dry_run: only say what would be drawn.

    Raises:
      ResumableError: if somebody else draws at the same time.
    """
    known = pd.Index(list(known)).unique()  # which hashes them once, and not for each piece of the log
    with reading(engine).connect() as connection:
        last = _last_frame(connection)
        frame, answered = _frame(connection, last, known)
    total = int(answered["number"].sum())
    if frame.empty:
        return Draw(0, 0, total, pd.DataFrame(columns=["stratum", "population", "drawn", "probability"]))
    frame["stratum"] = _strata(frame, last + 1, int(answered["last"].max()))
    plan = frame.groupby("stratum", observed=True).agg(
        available=("score", "size"), score=("score", "mean"), version=("version", "first"), band=("band", "first"),
        kind=("kind", "first"),
    )  # fmt: skip
    not_kept = answered[answered["kind"] == NEITHER].set_index(["version", "band"])["number"]
    beside = not_kept.reindex(pd.MultiIndex.from_frame(plan[["version", "band"]])).fillna(0).to_numpy()
    plan["population"] = plan["available"] + np.where(plan["kind"] == KEPT, beside, 0).astype(int)
    sizes, scores, available = (plan[name].to_numpy() for name in ("population", "score", "available"))
    plan["drawn"] = allocate(sizes, scores, number, available)
    plan["probability"] = plan["drawn"] / plan["population"]
    drawn = frame[frame["id"].isin(_choose(frame, plan["drawn"], seed=last))]
    with reading(engine).connect() as connection:
        independent = _contents(connection, drawn["id"].tolist())
    if not dry_run:
        with engine.begin() as connection:
            if _last_frame(connection) != last:
                raise ResumableError("somebody else has drawn meanwhile", mend="run the same command again")
            _write(connection, drawn.join(plan["probability"], on="stratum"), at)
    population = int(plan["population"].sum())
    strata = plan.reset_index()[["stratum", "population", "drawn", "probability"]]
    return Draw(len(drawn), population, total - population, strata, independent)


def allocate(population: np.ndarray, score: np.ndarray, number: int, available: np.ndarray | None = None) -> np.ndarray:
    """How many (H,) of `number` to draw from each stratum; every one has `LEAST` or, where `number`
    does not allow that, one at least.

    Args:
      population: transactions of each stratum (H,).
      score: their mean scores (H,), for the share that is right.
      available: how many of them can be drawn (H,); by default all.
    """
    available = population if available is None else available
    spread = np.sqrt(np.clip(score, NEVER_SURE, 1 - NEVER_SURE) * (1 - np.clip(score, NEVER_SURE, 1 - NEVER_SURE)))
    found = np.minimum(available, np.clip(number // len(population), 1, LEAST))
    while (left := number - int(found.sum())) > 0 and (open_ := found < available).any():
        wanted = np.where(open_, population * spread, 0.0)
        exact = found + left * wanted / wanted.sum()
        more = np.minimum(available, np.floor(exact).astype(int)) - found
        if not more.any():  # what is left is less than one of each: the greatest parts first
            best = np.argsort(-np.where(open_, exact - np.floor(exact), -1.0), kind="stable")[:left]
            more[best] = open_[best]
        found = found + more
    return found


def queue(engine: sa.Engine, *, by: str = "") -> pd.DataFrame:
    """What was drawn and waits for a verdict, in random order: whoever stops early leaves a random sample.

    Args:
      by: what others have judged waits, too, for this reviewer; "" for what nobody has.

    Returns:
      Columns `QUEUE`, one row per content and answer.
    """
    query = sa.select(*(transactions.c[name] for name in QUEUE)).join_from(audits, transactions, OF)
    query = query.where(_unjudged(by)).order_by(audits.c.drawn_at, audits.c.request_id, audits.c.position)
    with engine.connect() as connection:
        rows = pd.DataFrame(connection.execute(query).fetchall(), columns=QUEUE)
    again = rows.duplicated(["sha256", "label"]) & (rows["sha256"] != "")
    return rows[~again].sample(frac=1, random_state=0).reset_index(drop=True)


def waiting(engine: sa.Engine) -> Waiting:
    """How many transactions wait for a verdict, and how many rows `queue` has."""
    query = sa.select(transactions.c.sha256, transactions.c.label).join_from(audits, transactions, OF)
    with engine.connect() as connection:
        rows = connection.execute(query.where(_unjudged(""))).fetchall()
    alone = sum(not sha256 for sha256, _ in rows)
    return Waiting(len(rows), alone + len({tuple(row) for row in rows if row[0]}))


def alike(connection: sa.Connection, by: str) -> dict[Key, list[Key]]:
    """For each drawn transaction the others of its content and answer, but for those that only others have judged.

    Args:
      by: the reviewer: what this one judged before is among them.
    """
    query = sa.select(*(transactions.c[name] for name in ("request_id", "position", "sha256", "label")))
    query = query.join_from(audits, transactions, OF).where(transactions.c.sha256 != "")
    judged = sa.select(evaluations.c.request_id, evaluations.c.position, evaluations.c.by)
    by_whom: dict[Key, set[str]] = {}
    for request, position, who in connection.execute(judged.where(evaluations.c.source == AUDIT)):
        by_whom.setdefault((request, position), set()).add(who)
    groups: dict[tuple[str, str], list[Key]] = {}
    for request, position, sha256, label in connection.execute(query):
        groups.setdefault((sha256, label), []).append((request, position))
    return {
        key: [other for other in keys if other != key and by in by_whom.get(other, {by})]
        for keys in groups.values()
        if len(keys) > 1
        for key in keys
    }


def _unjudged(by: str) -> sa.ColumnElement[bool]:
    said = (evaluations.c.request_id == audits.c.request_id) & (evaluations.c.position == audits.c.position)
    said &= evaluations.c.source == AUDIT
    return ~sa.exists().where(said & (evaluations.c.by == by) if by else said)


def _last_frame(connection: sa.Connection) -> int:
    """The greatest number of a transaction that was in a draw's frame."""
    found = (LATEST.match(stratum) for stratum in connection.scalars(sa.select(audits.c.stratum).distinct()))
    return max((int(match[1]) for match in found if match), default=0)


def _frame(connection: sa.Connection, last: int, known: pd.Index) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The answered transactions whose image is at hand, and the `number` of all by `version`, `band` and `kind`."""
    names = ["id", "version", "score", "sha256", "path"]
    query = sa.select(*(transactions.c[name] for name in names)).order_by(transactions.c.id)
    query = query.where((transactions.c.status == 200) & (transactions.c.id > last))
    columns = ["id", "version", "score", "band", "kind"]
    parts, counts = (
        [pd.DataFrame(columns=columns)],
        [pd.DataFrame(columns=["version", "band", "kind", "number", "last"])],
    )
    for rows in connection.execution_options(yield_per=CHUNK).execute(query).partitions():
        part = pd.DataFrame(rows, columns=names)
        part["band"] = np.asarray(BANDS)[np.searchsorted(BANDS, part["score"], side="right") - 1]
        at_hand = known.get_indexer(part["sha256"]) >= 0 if len(known) else np.zeros(len(part), bool)
        part["kind"] = np.select([part["path"] != "", at_hand], [KEPT, AT_HAND], NEITHER)
        counts.append(part.groupby(["version", "band", "kind"])["id"].agg(number="size", last="max").reset_index())
        some = part.loc[part["kind"] != NEITHER, columns]
        parts.append(some.astype({"version": "category", "score": "float32", "kind": "category"}))
    found = pd.concat(parts[1:] or parts, ignore_index=True).astype({"version": "category", "kind": "category"})
    total = pd.concat(counts[1:] or counts, ignore_index=True).groupby(["version", "band", "kind"])
    return found, total.agg(number=("number", "sum"), last=("last", "max")).reset_index()


def _strata(frame: pd.DataFrame, first: int, last: int) -> pd.Series:
    groups = frame.groupby(["version", "band", "kind"], observed=True)
    names = [f"{first}-{last} {version} from {low:g}{kind}" for version, low, kind in groups.size().index]
    return pd.Series(pd.Categorical.from_codes(groups.ngroup(), names), frame.index)


def _choose(frame: pd.DataFrame, drawn: pd.Series, *, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    groups = frame.groupby("stratum", observed=True)["id"]
    return np.concatenate([random.choice(ids.to_numpy(), drawn[name], replace=False) for name, ids in groups])


def _contents(connection: sa.Connection, ids: list[int]) -> int:
    """How many contents transactions have; one whose content is unknown is its own."""
    found: set[str] = set()
    unknown = 0
    for first in range(0, len(ids), KEYS):
        wanted = sa.select(transactions.c.sha256).where(transactions.c.id.in_(ids[first : first + KEYS]))
        contents = list(connection.scalars(wanted))
        unknown += contents.count("")
        found.update(contents)
    return len(found - {""}) + unknown


def _write(connection: sa.Connection, drawn: pd.DataFrame, at: int) -> None:
    for first in range(0, len(drawn), KEYS):
        some = drawn.iloc[first : first + KEYS].set_index("id")
        wanted = sa.select(transactions.c.id, transactions.c.request_id, transactions.c.position)
        keys = connection.execute(wanted.where(transactions.c.id.in_(some.index.tolist()))).fetchall()
        rows = [
            {"request_id": request, "position": position, "drawn_at": at}
            | {"stratum": str(some.at[number, "stratum"]), "probability": float(some.at[number, "probability"])}
            for number, request, position in keys
        ]
        connection.execute(sa.insert(audits), rows)
