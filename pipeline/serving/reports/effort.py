"""What accuracy costs: labels, people's and the machine's hours and audits, against what it gained and saved."""

import pandas as pd

from pipeline.evaluation import round_costs

LEDGER = [
    "round",
    "set",
    "labelled",
    "minutes",
    "cost",
    "gain",
    "per_100_images",
    "per_hour",
    "cost_per_point",
    "exact",
    "training_hours",
    "training_cost",
]


def per_round(ledger: list[dict[str, object]], *, cost_per_hour: float) -> pd.DataFrame:
    """Returns the ledger with the cost of each round, and of each point that it gained.

    Args:
      ledger: as `runs.ledger_of` returns it: what each round cost and gained, on each set.
      cost_per_hour: of a reviewer; 0 if it is not known.

    Returns:
      `LEDGER`: `gain` is of top-1; `cost_per_point` is what one hundredth of it cost, where a gain is shown.
    """
    table = pd.DataFrame(ledger)
    if table.empty:
        return pd.DataFrame(columns=LEDGER)
    cost = table["minutes"] / 60 * (cost_per_hour or float("nan"))
    table = table.assign(cost=cost, cost_per_point=cost / (100 * table["gain"].where(table["gain_low"] > 0)))
    return table.reindex(columns=LEDGER).sort_values(["round", "set"], ignore_index=True)


def costs(
    spent: list[dict[str, object]], versions: pd.DataFrame, *, cost_per_hour: float, minutes_by_hand: float
) -> pd.DataFrame:
    """Returns what each round cost, beside what its model saved by the answers that users saw.

    Args:
      spent: as `runs.ledger_of` returns it: what each round cost.
      versions: that served: columns `version`, `pictures` (answered), `shown` (the share of the answers).
      cost_per_hour: of a person; 0 if it is not known.
      minutes_by_hand: that a person needs for an answer; 0 if it is not known.

    Returns:
      `round_costs.COLUMNS`, one row per round that was recorded or served.
    """
    answers = (versions["pictures"].astype(float) * versions["shown"].astype(float)).round()
    shown = round_costs.shown_by_round(pd.DataFrame({"version": versions["version"], "shown": answers}))
    table = pd.DataFrame(spent, columns=["round", *round_costs.SPENT]).merge(shown, on="round", how="outer")
    table = table.assign(shown=table["shown"].fillna(0))
    return round_costs.with_saved(table, reviewer_cost_per_hour=cost_per_hour, minutes_by_hand=minutes_by_hand)


def labels_by_month(labels: pd.DataFrame) -> pd.DataFrame:
    """Who labelled how many images when, and how many took a model's suggestion.

    Args:
      labels: the label table, columns `by`, `at` (ISO 8601, "" if unknown), `model` ("" without a suggestion).

    Returns:
      Columns `month`, `by`, `labels`, `suggested`; rows without a date are under "" .
    """
    rows = labels.assign(month=labels["at"].str[:7], suggested=labels["model"] != "")
    found = rows.groupby(["month", "by"]).agg(labels=("suggested", "size"), suggested=("suggested", "sum"))
    return found.reset_index().sort_values(["month", "by"], ignore_index=True)


def audit_effort(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Who evaluated how many served pictures: `by`, `source`, `evaluations`, `first`, `last`."""
    groups = evaluations.groupby(["by", "source"])["evaluated_at"]
    found = groups.agg(evaluations="size", first="min", last="max").reset_index()
    return found.assign(first=pd.to_datetime(found["first"], unit="us"), last=pd.to_datetime(found["last"], unit="us"))
