import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import forecast


def images(label: str, **columns: list) -> pd.DataFrame:
    return pd.DataFrame({"label": label, **columns})


def told(*tables: pd.DataFrame, flips: float = 0.02, recovered: float = 0.0) -> pd.DataFrame:
    rows = pd.concat(tables, ignore_index=True)
    return forecast.by(rows, "label", confidence=0.95, flips=flips, recovered=recovered).set_index("label")


def test_a_head_tells_classes_apart_that_lie_apart():
    random = np.random.default_rng(0)
    centres, labels = np.eye(3, 8), np.repeat(["cat", "dog", "emu"], 40)
    features = np.repeat(centres, 40, axis=0) + random.normal(0, 0.1, (120, 8))
    assert (forecast.say(features, labels, centres) == ["cat", "dog", "emu"]).all()


def test_of_a_class_with_very_many_images_as_many_are_learnt_as_say_enough():
    features = np.concatenate([np.tile([1.0, 0.0], (1000, 1)), np.tile([0.0, 1.0], (4, 1))])
    labels = np.repeat(["cat", "dog"], [1000, 4])
    assert forecast.say(features, labels, np.array([[0.0, 1.0]]))[0] == "dog"


def test_a_forecast_is_what_the_model_got_moved_by_what_the_heads_differ():
    """The heads are worse than the model: that both are so is no loss."""
    rows = images(
        "cat", right_now=[1.0] * 8 + [0.0] * 2, before=[True] * 5 + [False] * 5, after=[True] * 6 + [False] * 4
    )
    cat = told(rows).loc["cat"]
    assert (cat["now"], cat["forecast"], cat["gain"]) == (0.8, 0.9, 0.1)
    assert cat["low"] < 0.9 <= cat["high"]
    assert cat["verdict"] == ""  # one image of ten is no gain that could be told


def test_a_class_gains_or_loses_where_the_heads_differ_more_than_two_trainings_do():
    better = images("cat", right_now=[0.0] * 30, before=[False] * 30, after=[True] * 30)
    worse = images("dog", right_now=[1.0] * 30, before=[True] * 30, after=[False] * 30)
    same = images("emu", right_now=[1.0] * 30, before=[True] * 30, after=[True] * 30)
    assert told(better, worse, same)["verdict"].to_dict() == {"cat": "gains", "dog": "loses", "emu": ""}


def test_a_new_class_has_no_present_and_its_forecast_is_the_heads():
    emu = told(images("emu", right_now=[np.nan] * 4, before=[False] * 4, after=[True] * 3 + [False])).loc["emu"]
    assert np.isnan(emu["now"])
    assert np.isnan(emu["gain"])
    assert (emu["known"], emu["forecast"], emu["verdict"]) == (0, 0.75, "new")


@pytest.mark.parametrize(("few", "many"), [(5, 50)])
def test_of_few_images_less_is_promised(few, many):
    widths = [
        told(images("cat", right_now=[1.0] * n, before=[True] * n, after=[True] * n)).loc["cat", "gain_high"]
        for n in (few, many)
    ]
    assert widths[0] > widths[1] > 0


def test_where_all_layers_are_trained_the_next_model_may_be_better_than_its_head_and_not_worse():
    cat = images("cat", right_now=[np.nan] * 40, before=[False] * 40, after=[True] * 20 + [False] * 20)
    still, trained = told(cat).loc["cat"], told(cat, recovered=0.4).loc["cat"]
    assert trained["high"] - still["high"] == pytest.approx(0.2, abs=1e-3)
    assert (trained["forecast"], trained["low"]) == (still["forecast"], still["low"])


def test_images_that_belong_together_make_a_forecast_less_sure():
    rows = pd.DataFrame({"label": "cat", "right_now": 1.0, "before": [True] * 90 + [False] * 10, "after": True})
    alone, together = (
        forecast.by(table, "label", confidence=0.95, flips=0.02, recovered=0.0).iloc[0]
        for table in (rows, rows.assign(cluster=[str(number // 10) for number in range(100)]))
    )
    assert alone["forecast"] == together["forecast"]
    assert together["gain_high"] - together["gain"] > 2 * (alone["gain_high"] - alone["gain"])


def test_a_forecast_says_how_many_of_its_images_are_independent():
    rows = images("cat", right_now=[1.0] * 40, before=[True] * 40, after=[True] * 40)
    assert told(rows).loc["cat", ["n", "independent"]].tolist() == [40, 40]
    assert told(rows.assign(cluster=np.arange(40) // 10)).loc["cat", ["n", "independent"]].tolist() == [40, 4]


def test_of_a_known_class_that_need_not_change_nothing_is_forecast():
    better = images("cat", right_now=[0.0] * 30, before=[False] * 30, after=[True] * 30)
    same = images("emu", right_now=[1.0] * 30, before=[True] * 30, after=[True] * 30)
    new = images("yak", right_now=[np.nan] * 30, before=[False] * 30, after=[True] * 30)
    found = forecast.silent(told(better, same, new))
    assert found["forecast"].notna().to_dict() == {"cat": True, "emu": False, "yak": True}
    assert found.loc["emu", ["low", "high", "gain"]].isna().all()
    assert found.loc["emu", "now"] == 1.0
