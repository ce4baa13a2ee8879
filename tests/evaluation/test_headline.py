"""Headline figures: the same names in every round."""

from pipeline.evaluation import headline

MEASURED = {
    "train": {"n": 90, "top1": 1.0},
    "val": {"n": 20, "top1": 0.9},
    "test": {"n": 20, "top1": 0.8, "top5": 1.0},
    "benchmark:field": {"n": 12, "top1": 0.75},
    "benchmark:night (2025)": {"n": 4, "top1": 0.5},
    "benchmark:nothing known": {"n": 0, "out_of_class": 3},
}
CARD = {"round": 3, "parent_digest": "a" * 64, "preset": "squeezenet", "data_digest": "b" * 64}
RECIPE = {"learning_rate": 0.01, "freeze": ["stem", "body"], "flip": True, "seed": 7}


def parameters(**recipe):
    return headline.parameters(CARD, classes=5, images_by_set={"train": 90, "val": 20}, recipe=RECIPE | recipe)


def test_every_set_that_says_how_good_a_version_is_has_an_accuracy_and_its_images():
    assert headline.metrics(MEASURED) == {
        "test_accuracy": 0.8,
        "benchmark_field_accuracy": 0.75,
        "benchmark_night_2025_accuracy": 0.5,
    }
    assert headline.counts(MEASURED) == {
        "test_images": 20,
        "benchmark_field_images": 12,
        "benchmark_night_2025_images": 4,
    }


def test_what_a_training_took_is_in_minutes_and_costs_only_what_has_a_price():
    training = {"epochs": 9, "best_epoch": 6, "seconds": 1800.0}
    taken = {"epochs": 9.0, "best_epoch": 6.0, "minutes": 30.0}
    assert headline.metrics({}, training) == taken
    assert headline.metrics({}, training, cost_per_hour=3.0) == taken | {"cost": 1.5}


def test_parameters_say_what_a_round_was_made_of():
    assert parameters() == {
        "round": 3,
        "parent": "round-2-aaaaaaaaaaaa",
        "preset": "squeezenet",
        "classes": 5,
        "images": 110,
        "images_train": 90,
        "images_val": 20,
        "images_test": 0,
        "data_digest": "b" * 64,
        "freeze": "stem, body",
        "learning_rate": 0.01,
        "seed": 7,
        "recipe": headline.recipe_digest(RECIPE),
    }


def test_a_setting_that_has_no_parameter_of_its_own_changes_the_digest_of_the_recipe():
    changed = {key for key, value in parameters(flip=False).items() if parameters()[key] != value}
    assert changed == {"recipe"}
    assert headline.recipe_digest({"a": 1, "b": 2}) == headline.recipe_digest({"b": 2, "a": 1})
