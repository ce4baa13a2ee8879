"""What rounds cost, beside what their models saved by the answers that users saw."""

import pandas as pd
import pytest

from pipeline.serving import reports
from pipeline.serving.reports import effort
from pipeline.serving.store.opening import open_store
from scripts.promises import served_week

VERSIONS = pd.DataFrame({"version": ["round-1-aa", "round-3-cc"], "pictures": [100, 1000], "shown": [0.5, 0.6]})
SPENT = [
    {"round": number, "reviewing_hours": 1.0, "reviewing_cost": 30.0, "training_hours": 2.0, "training_cost": 4.0}
    for number in (1, 2)
]


def test_a_round_has_its_cost_and_its_saving_also_one_that_never_served_or_is_not_recorded():
    found = effort.costs(SPENT, VERSIONS, cost_per_hour=30.0, minutes_by_hand=0.5).set_index("round")
    assert found["shown"].to_dict() == {1: 50, 2: 0, 3: 600}
    assert found["saved_hours"][3] == pytest.approx(5.0)
    assert found["saved"][3] == pytest.approx(150.0)
    assert pd.isna(found["training_hours"][3])


def test_without_the_minutes_by_hand_nothing_is_said_of_savings():
    assert effort.costs(SPENT, VERSIONS, cost_per_hour=30.0, minutes_by_hand=0.0)["saved_hours"].isna().all()


def test_without_records_and_answers_there_is_no_table():
    assert effort.costs([], VERSIONS.head(0), cost_per_hour=0.0, minutes_by_hand=0.5).empty


def test_answers_that_users_saw_are_counted_by_version(tmp_path):
    address = f"sqlite:///{tmp_path / 'week.sqlite'}"
    assert reports.shown_by_version(address) is None
    week = served_week.make(pictures=300).transactions
    engine = open_store(address)
    served_week.write(engine, week, "transactions")
    engine.dispose()
    seen = week[(week["status"] == 200) & week["shown"].astype(bool)]
    found = reports.shown_by_version(address)
    assert found.set_index("version")["shown"].to_dict() == seen["version"].value_counts().to_dict()
