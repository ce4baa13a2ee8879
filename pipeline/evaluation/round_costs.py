"""What each round cost, people's hours and the machine's, beside what its model saved by the answers that it gave."""

import pandas as pd

SPENT = ["reviewing_hours", "reviewing_cost", "training_hours", "training_cost"]
COLUMNS = ["round", *SPENT, "shown", "saved_hours", "saved"]


def per_round(
    trained: pd.DataFrame,
    reviewed: pd.DataFrame,
    shown: pd.DataFrame | None = None,
    *,
    reviewer_cost_per_hour: float,
    machine_cost_per_hour: float,
    minutes_by_hand: float,
) -> pd.DataFrame:
    """One row per round, columns `COLUMNS`; what is not known, or has no price, is NaN.

    Args:
      trained: columns `round`, `seconds`, `cost` (NaN where the training had no price).
      reviewed: columns `round`, `minutes` of reviewing that opened the round.
      shown: columns `round`, `shown`: answers of the round's model that a user saw; None where nothing was served.
      reviewer_cost_per_hour: of a person; 0 if it is not known.
      machine_cost_per_hour: of the machine, for trainings without a price of their own; 0 if it is not known.
      minutes_by_hand: that a person needs for an answer; 0 if it is not known.
    """
    table = trained.merge(reviewed, on="round", how="left")
    if shown is not None:
        table = table.merge(shown.groupby("round", as_index=False)["shown"].sum(), on="round", how="left")
    answers = 0.0 if shown is not None else float("nan")
    reviewing, training = table["minutes"].astype(float) / 60, table["seconds"].astype(float) / 3600
    costs = pd.DataFrame(
        {
            "round": table["round"],
            "reviewing_hours": reviewing,
            "reviewing_cost": reviewing * _price(reviewer_cost_per_hour),
            "training_hours": training,
            "training_cost": table["cost"].astype(float).fillna(training * _price(machine_cost_per_hour)),
            "shown": table["shown"].fillna(answers) if "shown" in table else answers,
        }
    )
    return with_saved(costs, reviewer_cost_per_hour=reviewer_cost_per_hour, minutes_by_hand=minutes_by_hand)


def with_saved(table: pd.DataFrame, *, reviewer_cost_per_hour: float, minutes_by_hand: float) -> pd.DataFrame:
    """Columns `COLUMNS`, sorted by round: what the answers `shown` would have taken and cost by hand is added."""
    saved = table["shown"].astype(float) * _price(minutes_by_hand) / 60
    table = table.assign(saved_hours=saved, saved=saved * _price(reviewer_cost_per_hour))
    return table[COLUMNS].sort_values("round", ignore_index=True)


def round_of(version: str) -> int | None:
    """The round of a version that is called as champions are (`round-12-0ac9f25cc873`); None for another name."""
    word, _, rest = version.partition("-")
    number = rest.partition("-")[0]
    return int(number) if word == "round" and number.isdigit() else None


def shown_by_round(versions: pd.DataFrame) -> pd.DataFrame:
    """Columns `round`, `shown`, from the answers shown by version (`version`, `shown`)."""
    rounds = [round_of(str(name)) for name in versions["version"]]
    table = pd.DataFrame({"round": rounds, "shown": versions["shown"].to_numpy()}).dropna(subset="round")
    return table.astype({"round": int}).groupby("round", as_index=False)["shown"].sum()


def _price(value: float) -> float:
    return value or float("nan")
