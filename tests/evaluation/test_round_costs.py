"""What a round cost, people's hours and the machine's, beside what its model saved."""

import pandas as pd
import pytest

from pipeline.evaluation import round_costs

TRAINED = pd.DataFrame({"round": [1, 2], "seconds": [7200.0, 1800.0], "cost": [float("nan"), 4.0]})
REVIEWED = pd.DataFrame({"round": [1, 2], "minutes": [float("nan"), 90.0]})
PRICES = {"reviewer_cost_per_hour": 30.0, "machine_cost_per_hour": 2.0, "minutes_by_hand": 0.5}


def test_hours_have_their_price_and_answers_what_they_would_take_by_hand():
    shown = pd.DataFrame({"round": [2], "shown": [1200]})
    first, second = round_costs.per_round(TRAINED, REVIEWED, shown, **PRICES).to_dict("records")
    assert (first["training_hours"], first["training_cost"], first["shown"]) == (2.0, 4.0, 0)
    assert pd.isna(first["reviewing_hours"])
    assert (second["training_hours"], second["training_cost"]) == (0.5, 4.0)  # what its training noted
    assert (second["reviewing_hours"], second["reviewing_cost"]) == (1.5, 45.0)
    assert (second["saved_hours"], second["saved"]) == (10.0, 300.0)


def test_what_has_no_price_has_no_cost_and_what_was_not_served_saves_nothing_that_is_known():
    free = dict.fromkeys(PRICES, 0.0)
    found = round_costs.per_round(TRAINED, REVIEWED, **free)
    assert found[["shown", "saved_hours", "saved", "reviewing_cost"]].isna().all().all()
    assert pd.isna(found["training_cost"][0])
    assert found["training_cost"][1] == 4.0


@pytest.mark.parametrize(
    ("version", "number"), [("round-12-0ac9f25cc873", 12), ("candidate", None), ("round-x-1", None)]
)
def test_a_version_names_its_round(version, number):
    assert round_costs.round_of(version) == number


def test_answers_of_several_models_of_a_round_count_together():
    versions = pd.DataFrame({"version": ["round-2-aa", "round-2-bb", "old"], "shown": [3, 4, 9]})
    assert round_costs.shown_by_round(versions).to_numpy().tolist() == [[2, 7]]
