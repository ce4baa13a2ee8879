"""How much the service is used: over time, by whom, at what rates, and how fast it answers."""

import numpy as np
import pandas as pd

from pipeline.serving.reports import periods

ANSWERED = 200
QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


def over_time(log: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Counts images, requests and clients, and measures latency, for each stretch of time.

    Args:
      log: transactions, as `Log.transactions` returns them.
      unit: hour, day or week.

    Returns:
      One row per stretch of time that has any: `start`, `pictures`, `requests`, `clients`, `refused` (images), `shown`
      (share of the answers), and the latency of answers, `p50_ms`, `p95_ms`, `p99_ms`.
    """
    period = periods.of(log["at"], unit)
    found = _figures(log, period)
    clients = pd.Series(log["client"].cat.codes).groupby(period).nunique()
    found.insert(2, "clients", clients)
    found.insert(0, "start", periods.times(found.index.to_series()))
    return found.reset_index(drop=True)


def by_client(log: pd.DataFrame) -> pd.DataFrame:
    """Columns `client`, `pictures`, `requests`, `share` (of all pictures), `refused`, `shown`, the latency, `first` and
    `last`; the greatest first."""
    found = _figures(log, log["client"])
    at = log.groupby("client", observed=True)["at"].agg(first="min", last="max")
    found.insert(2, "share", found["pictures"] / max(len(log), 1))
    found = found.assign(first=periods.times(at["first"]), last=periods.times(at["last"]))
    found = found.rename_axis("client").reset_index().astype({"client": "str"})
    return found.sort_values(["pictures", "client"], ascending=[False, True], ignore_index=True)


def named(log: pd.DataFrame) -> dict[str, int]:
    """How many answers name each class, whether a user saw them or not."""
    counts = log.loc[log["status"] == ANSWERED, "label"].value_counts()
    return {str(name): int(number) for name, number in counts.items() if name and number}


def by_version(log: pd.DataFrame) -> pd.DataFrame:
    """Columns `version`, `first`, `last`, `pictures`, `requests`, `refused`, `shown`, the latency; the first to serve
    first."""
    answered = log[log["status"] == ANSWERED]
    found = _figures(answered, answered["version"]).drop(columns="refused")
    at = answered.groupby("version", observed=True)["at"].agg(first="min", last="max")
    found.insert(0, "first", periods.times(at["first"]))
    found.insert(1, "last", periods.times(at["last"]))
    found = found.rename_axis("version").reset_index().astype({"version": "str"})
    return found.sort_values(["first", "version"], ignore_index=True)


def peaks(log: pd.DataFrame) -> pd.DataFrame:
    """The most that came in one second, minute and hour: `within`, `requests`, `pictures`, and the `start` of the one
    that had the most requests."""
    rows = []
    first = (log["position"] == 0).to_numpy()
    at = log["at"].to_numpy(np.int64)
    for name, length in {"second": periods.SECOND, "minute": 60 * periods.SECOND, "hour": periods.HOUR}.items():
        pictures = np.unique(at // length, return_counts=True)[1]
        begun, requests = np.unique(at[first] // length, return_counts=True)
        if len(begun):
            best = int(requests.argmax())
            when = pd.Timestamp(int(begun[best]) * length, unit="us")
            rows.append({"within": name, "requests": requests[best], "pictures": pictures.max(), "start": when})
    return pd.DataFrame(rows, columns=["within", "requests", "pictures", "start"])


def refusals(log: pd.DataFrame) -> pd.DataFrame:
    """Columns `status` (of HTTP), `pictures`, `share`, of what was not answered."""
    counts = log.loc[log["status"] != ANSWERED, "status"].value_counts().sort_index()
    return (
        counts.rename("pictures").rename_axis("status").reset_index().assign(share=counts.to_numpy() / max(len(log), 1))
    )


def _figures(log: pd.DataFrame, by: np.ndarray | pd.Series) -> pd.DataFrame:
    answered = log["status"] == ANSWERED
    rows = pd.DataFrame({"first": log["position"] == 0, "refused": ~answered, "shown": log["shown"].where(answered)})
    rows["shown"] = rows["shown"].astype("float32")
    grouped = rows.groupby(by, observed=True)
    found = grouped.agg(
        pictures=("first", "size"), requests=("first", "sum"), refused=("refused", "sum"), shown=("shown", "mean")
    )
    latency = log["latency_ms"].where(answered)
    quantiles = latency.groupby(by, observed=True).quantile(list(QUANTILES.values())).unstack()
    return found.assign(**{name: quantiles[level] for name, level in QUANTILES.items()})
